"""The kit for unittest: a mixin beside Django's TestCase or TransactionTestCase."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from logpipe_signals.backend.base import Record
from logpipe_signals.testing.capturing import capture_published
from logpipe_signals.testing.delivering import Delivery, deliver
from logpipe_signals.testing.memory import MemoryLog, in_memory_log
from logpipe_signals.testing.published import Published, PublishedMessage


class LogpipeTestMixin:
    """
    What pytest has as fixtures.

        class PersonTests(LogpipeTestMixin, TestCase):
            def test_saving_publishes(self):
                with self.capture_published() as published:
                    Person.objects.create(first_name="Joe")
                self.assert_published(published, type="person", fields={"first_name": "Joe"})
    """

    def capture_published(self, *args: Any, **options: Any) -> AbstractContextManager[Published]:
        """See `logpipe_signals.testing.capture_published`."""
        return capture_published(*args, **options)

    def in_memory_log(self, **settings: Any) -> AbstractContextManager[MemoryLog]:
        """See `logpipe_signals.testing.in_memory_log`."""
        return in_memory_log(**settings)

    def deliver(self, *records: Record | PublishedMessage, **options: Any) -> Delivery:
        """See `logpipe_signals.testing.deliver`."""
        return deliver(*records, **options)

    def assert_published(self, published: Published, **expected: Any) -> PublishedMessage:
        """See `Published.assert_one`."""
        return published.assert_one(**expected)

    def assert_nothing_published(self, published: Published, **filters: Any) -> None:
        """See `Published.assert_none`."""
        published.assert_none(**filters)
