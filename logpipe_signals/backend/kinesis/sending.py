"""
The sender: what a process has on its way to Kinesis, in order of key, in calls of many records.

A call of `PutRecords` gives no order among its records, so it has one record of a key, and the next one of that key
goes when the earlier one is acknowledged. What a call partly refuses is tried again alone, with growing pauses, until
its batch's time is up; whatever happens, each message gets an outcome.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.kinesis import errors
from logpipe_signals.backend.kinesis.calls import LastSequenceNumbers, Put
from logpipe_signals.backend.kinesis.client import shared_client
from logpipe_signals.backend.kinesis.delivery import Entry, KinesisDelivery
from logpipe_signals.backend.kinesis.queues import Queues

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

CALLS_AT_ONCE = 4
IDLE_SECONDS = 30.0
EXIT_SECONDS = 10.0


class Sender:
    """Queues, and the threads that empty them."""

    def __init__(self, client: KinesisClient) -> None:
        self.client = client
        self.last_sequence_numbers = LastSequenceNumbers()
        self._queues = Queues()
        self._changed = threading.Condition(threading.Lock())
        self._threads: set[threading.Thread] = set()
        self._idle_threads = 0
        self._closed = False

    def start(self, delivery: KinesisDelivery) -> None:
        """Take a batch's entries that have no outcome yet."""
        delivery.give_up = self._give_up
        with self._changed:
            self._queues.add([entry for entry in delivery.entries if entry.outcome is None])
            self._wake()

    def flush(self, timeout_seconds: float) -> None:
        """Wait until nothing is on its way."""
        with self._changed:
            self._changed.wait_for(lambda: not self._queues, timeout_seconds)

    def close(self) -> None:
        """Send what it holds within the time that its batches have, and end the threads."""
        self.flush(EXIT_SECONDS)
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _give_up(self, delivery: KinesisDelivery) -> None:
        with self._changed:
            for entry in delivery.entries:
                entry.late()
            self._changed.notify_all()

    # --- threads ----------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        self._changed.notify_all()
        if self._queues.has_ready and not self._idle_threads and len(self._threads) < CALLS_AT_ONCE:
            thread = threading.Thread(target=self._work, name="logpipe-kinesis-sender", daemon=True)
            self._threads.add(thread)
            thread.start()

    def _work(self) -> None:
        while entries := self._next_call():
            put = Put(self.client, entries, self.last_sequence_numbers)
            earliest = min((entry.delivery for entry in entries), key=lambda each: each.deadline.remaining_seconds)
            try:
                put.call(earliest.deadline, spare_seconds=earliest.spare_seconds)
            except Exception as error:  # noqa: BLE001  (every message gets an outcome, whatever a client raises)
                with self._changed:
                    self._failed(entries, error)
            else:
                with self._changed:
                    self._called(put)

    def _next_call(self) -> list[Entry]:
        """Wait for entries of a call; empty when this thread is not needed any more."""
        with self._changed:
            idle = Deadline(IDLE_SECONDS)
            while not self._closed and not (idle.passed and not self._queues):
                if entries := self._queues.take():
                    self._wake()
                    return entries
                self._changed.notify_all()  # Some may have had their outcome there: who flushes wants to know.
                self._idle_threads += 1
                self._changed.wait(max(0.001, min(self._queues.seconds_to_next, IDLE_SECONDS)))
                self._idle_threads -= 1
            self._threads.discard(threading.current_thread())
            return []

    # --- outcomes, under the lock -----------------------------------------------------------------------------------

    def _called(self, put: Put) -> None:
        for entry, place, error in put.results():
            if place is not None:
                entry.arrived(*place)
                self._queues.leave(entry)
            else:
                self._try_again(entry, errors.unavailable(f"stream {entry.message.topic!r}", error))
        self._wake()

    def _failed(self, entries: Sequence[Entry], error: Exception) -> None:
        if errors.is_permanent(error) and self._may_be_good_alone(entries):
            # Kinesis refuses a call for one of its records and does not say which.
            for entry in entries:
                entry.alone = True
                self._queues.line_up(entry)
        else:
            for entry in entries:
                self._settle(entry, error)
        self._wake()

    def _may_be_good_alone(self, entries: Sequence[Entry]) -> bool:
        """Also one that was to be ordered by a sequence number: a stream that was made anew does not know that."""
        return len(entries) > 1 or self.last_sequence_numbers.forget(entries[0].queue)

    def _settle(self, entry: Entry, error: Exception) -> None:
        outcome = errors.outcome_of(entry.message.topic, error)
        if errors.is_permanent(error):
            entry.failed(outcome)
            self._queues.leave(entry)
        elif errors.may_pass(error):
            self._try_again(entry, outcome)
        else:
            self._queues.fail(entry, outcome)

    def _try_again(self, entry: Entry, error: Exception) -> None:
        if entry.outcome is not None or entry.delivery.is_late:
            self._queues.fail(entry, error)
        else:
            self._queues.put_off(entry)


# --- one a process and client -----------------------------------------------------------------------------------------


class _Senders:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_client: dict[int, Sender] = {}

    def start_anew_in_child(self) -> None:
        self.lock = threading.Lock()
        self.by_client = {}

    def close(self) -> None:
        with self.lock:
            senders, self.by_client = list(self.by_client.values()), {}
        for sender in senders:
            sender.close()


_senders = _Senders()
atexit.register(_senders.close)
os.register_at_fork(after_in_child=_senders.start_anew_in_child)


def shared_sender() -> Sender:
    """Return this process's sender for the settings of now, making it the first time."""
    client = shared_client()
    with _senders.lock:
        sender = _senders.by_client.get(id(client))
        if sender is None or sender.client is not client:
            sender = _senders.by_client[id(client)] = Sender(client)
        return sender


def current_senders() -> list[Sender]:
    """Return the senders that this process has now."""
    return list(_senders.by_client.values())


def close_senders() -> None:
    """Send what this process holds, and give its senders up."""
    _senders.close()
