"""
What every log owes, as tests: a backend of a third party is held to the same suite as the package's own.

    # tests/test_my_log.py
    import pytest
    from logpipe_signals.testing.conformance import Log
    from logpipe_signals.testing.conformance.producing import *
    from logpipe_signals.testing.conformance.consuming import *
    from logpipe_signals.testing.conformance.groups import *
    from logpipe_signals.testing.conformance.lag import *

    @pytest.fixture
    def log():
        mine = Log(name="mine", producer_class=..., consumer_class=..., create_topic=..., lacks={"retention"})
        with mine.running():
            yield mine

A test that says something about what this log does not have (`lacks`) is skipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from logpipe_signals.testing.conformance.log import Log

pytest.register_assert_rewrite(*(f"{__name__}.{room}" for room in ("log", "producing", "consuming", "groups", "lag")))

__all__ = ["Log"]


def __getattr__(name: str) -> Any:
    if name != "Log":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from logpipe_signals.testing.conformance.log import Log

    return Log
