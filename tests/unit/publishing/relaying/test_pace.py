"""How many rows a relay claims at once."""

from __future__ import annotations

from logpipe_signals.publishing.pace import FIRST_ROWS, TARGET_BYTES, TARGET_SECONDS, Pace
from tests.conftest import ChangeSettings


def test_full_and_easy_batches_grow_up_to_the_setting(logpipe_settings: ChangeSettings):
    logpipe_settings(RELAY_BATCH_SIZE=3 * FIRST_ROWS)
    pace = Pace()
    for _ in range(5):
        pace.took(pace.rows, message_bytes=1, seconds=0.0)
    assert pace.rows == 3 * FIRST_ROWS


def test_the_setting_is_the_most_from_the_first_batch_on(logpipe_settings: ChangeSettings):
    logpipe_settings(RELAY_BATCH_SIZE=7)
    assert Pace().rows == 7


def test_batches_that_are_not_full_leave_it_as_it_is():
    pace = Pace()
    pace.took(1, message_bytes=100, seconds=TARGET_SECONDS / 3)
    assert pace.rows == FIRST_ROWS


def test_large_messages_make_batches_small():
    pace = Pace()
    pace.took(FIRST_ROWS, message_bytes=100 * TARGET_BYTES, seconds=0.0)
    assert pace.rows == FIRST_ROWS // 100


def test_slow_serializers_make_batches_small_but_never_empty():
    pace = Pace()
    pace.took(1, message_bytes=1, seconds=10 * TARGET_SECONDS)
    assert pace.rows == 1
