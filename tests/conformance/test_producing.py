"""What every producer owes."""

from logpipe_signals.testing.conformance.producing import *  # noqa: F403
