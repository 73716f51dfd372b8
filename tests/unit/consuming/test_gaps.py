"""Gaps: records that the log dropped before they were read are reported, and a policy decides."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from logpipe_signals import Consumer
from logpipe_signals.exceptions import GapFound
from logpipe_signals.models import LogRecord, Offset
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from tests.unit.consuming.conftest import person

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture
def with_gap(logpipe_settings: Callable[..., None]) -> None:
    """Have read the first of five records, and let the log drop the next two."""
    from logpipe_signals import formats
    from logpipe_signals.backend import database
    from logpipe_signals.backend.base import Message

    backend = "logpipe_signals.backend.database"
    logpipe_settings(
        CONSUMER_BACKEND=f"{backend}.Consumer",
        OFFSET_BACKEND=f"{backend}.ModelOffsetStore",
        DATABASE_LOG_PARTITIONS=1,
    )
    bodies = [{"type": "person", "version": 1, "message": person(number)} for number in range(5)]
    messages = [Message(topic="people", key="k", value=formats.render("json", body)) for body in bodies]
    database.Producer().submit(messages, timeout_seconds=5).wait(5)
    assert consumer().run(iter_limit=1).applied == 1
    LogRecord.objects.filter(offset__lt=3).delete()


def consumer(**options: str) -> Consumer:
    made = Consumer("people", consumer_timeout_ms=10, **options)
    made.register(PersonCopySerializer)
    return made


@pytest.mark.usefixtures("with_gap")
def test_a_gap_is_reported_with_its_extent_and_reading_goes_on_behind_it(caplog: pytest.LogCaptureFixture):
    assert consumer().run().applied == 2
    assert "no longer has the records of people/0 from 1 up to 3" in caplog.text
    assert PersonCopy.objects.count() == 3
    assert Offset.objects.using("subscriber").get().position == "5"


@pytest.mark.usefixtures("with_gap")
def test_a_gap_can_stop_the_consumer():
    with pytest.raises(GapFound, match="from 1 up to 3"):
        consumer(on_gap="raise").run()
    assert Offset.objects.using("subscriber").get().position == "1"
