"""How far behind: what every log can tell of a position, without being in a group."""

from logpipe_signals.testing.conformance.lag import *  # noqa: F403
