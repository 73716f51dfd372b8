"""What consumers of one group owe each other."""

from logpipe_signals.testing.conformance.groups import *  # noqa: F403
