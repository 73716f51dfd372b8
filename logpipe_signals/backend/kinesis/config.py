"""What is wrong with the settings of Kinesis."""

from __future__ import annotations

from django.core.checks import CheckMessage, Error, Info

from logpipe_signals.backend.kinesis.limits import MOST_RECORDS_A_READ
from logpipe_signals.conf import settings

DJANGO_LOGPIPES_LIMIT = 25
ITERATOR_TYPES = ("TRIM_HORIZON", "LATEST")


def check_producer() -> list[CheckMessage]:
    """Return what is wrong with the producer's settings."""
    found = check_connection()
    if not _is_whole(settings.KINESIS_SEQ_NUM_CACHE_SIZE, least=0):
        found.append(
            _error("KINESIS_SEQ_NUM_CACHE_SIZE", "which is no number of keys", "Say 1000, or 0 for no cache.", "E121")
        )
    return found


def check_consumer() -> list[CheckMessage]:
    """Return what is wrong with the consumer's settings."""
    found = check_connection()
    limit = settings.KINESIS_FETCH_LIMIT
    if not _is_whole(limit, least=1) or limit > MOST_RECORDS_A_READ:
        cure = f"Say how many records a read may bring: 1 to {MOST_RECORDS_A_READ:,}."
        found.append(_error("KINESIS_FETCH_LIMIT", "which Kinesis does not take", cure, "E122"))
    elif limit <= DJANGO_LOGPIPES_LIMIT:
        found.append(_slow(limit))
    if settings.KINESIS_SHARD_ITERATOR_TYPE not in ITERATOR_TYPES:
        cure = "Say TRIM_HORIZON (the beginning) or LATEST (the end)."
        found.append(_error("KINESIS_SHARD_ITERATOR_TYPE", "where no new shard can begin", cure, "E123"))
    return found


def check_connection() -> list[CheckMessage]:
    """Return what is wrong with the settings that reading and writing share."""
    url = settings.KINESIS_ENDPOINT_URL
    if url and not url.startswith(("http://", "https://")):
        cure = "Say https://kinesis.eu-central-1.amazonaws.com, or leave it empty for AWS's own."
        return [_error("KINESIS_ENDPOINT_URL", "which is no URL", cure, "E124")]
    return []


def _slow(limit: int) -> CheckMessage:
    return Info(
        f"LOGPIPE['KINESIS_FETCH_LIMIT'] is {limit}: at 5 reads a second, which is what Kinesis takes, no more than "
        f"{5 * limit} records a second are read of a shard, which takes 1,000.",
        hint=f"It is django-logpipe's default. Say 1000, or up to {MOST_RECORDS_A_READ}.",
        id="logpipe_signals.I120",
    )


def _is_whole(value: object, *, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _error(setting: str, why: str, cure: str, number: str) -> Error:
    value = getattr(settings, setting)
    return Error(f"LOGPIPE[{setting!r}] is {value!r}, {why}.", hint=cure, id=f"logpipe_signals.{number}")
