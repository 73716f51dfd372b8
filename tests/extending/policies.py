"""What becomes of a record that cannot be applied."""

from logpipe_signals.exceptions import InvalidMessageError, ValidationError


def keep_what_can_be_mended(record, error):
    if isinstance(error, InvalidMessageError):
        return "skip"  # nobody will ever read those bytes
    if isinstance(error, ValidationError):
        return "dead_letter"  # the publisher mends it, and it is replayed
    return "raise"  # our own fault: stop here, and let somebody look
