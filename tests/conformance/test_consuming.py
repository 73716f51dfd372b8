"""What every consumer owes."""

from logpipe_signals.testing.conformance.consuming import *  # noqa: F403
