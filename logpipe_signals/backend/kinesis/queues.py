"""What waits to be sent, in order of key. Not thread-safe: the sender holds its lock around every call."""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict, deque
from collections.abc import Iterable

from tenacity import RetryCallState, Retrying, wait_random_exponential

from logpipe_signals.backend import clock
from logpipe_signals.backend.kinesis.delivery import Entry
from logpipe_signals.backend.kinesis.limits import BYTES_A_CALL, RECORDS_A_CALL

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 3.0
_pause = wait_random_exponential(multiplier=FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS)


def pause_seconds(attempts: int) -> float:
    """Return how long to wait after this many tries: longer each time, bounded, with jitter."""
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = max(1, attempts)
    return float(_pause(state))


class Queues:
    """
    A queue for each stream and key, whose head may be sent.

    A head is in line, waits for its next try, or is in a call's hands; it leaves its queue when it is settled.
    """

    def __init__(self) -> None:
        self._queues: dict[tuple[str, str], deque[Entry]] = {}
        self._lines: OrderedDict[str, deque[Entry]] = OrderedDict()
        self._later: list[tuple[float, int, Entry]] = []
        self._numbers = itertools.count()

    def __bool__(self) -> bool:
        return bool(self._queues)

    @property
    def has_ready(self) -> bool:
        """Tell whether a call has something to take now."""
        return bool(self._lines)

    @property
    def seconds_to_next(self) -> float:
        """Return when the next one that was put off is due."""
        return self._later[0][0] - clock.seconds() if self._later else float("inf")

    def add(self, entries: Iterable[Entry]) -> None:
        """Take entries behind everything of their keys."""
        for entry in entries:
            queue = self._queues.setdefault(entry.queue, deque())
            queue.append(entry)
            if len(queue) == 1:
                self.line_up(entry)

    def line_up(self, entry: Entry) -> None:
        """Let a head be sent."""
        self._lines.setdefault(entry.message.topic, deque()).append(entry)

    def put_off(self, entry: Entry) -> None:
        """Let a head be sent again after a while."""
        entry.attempts += 1
        due = clock.seconds() + pause_seconds(entry.attempts)
        heapq.heappush(self._later, (due, next(self._numbers), entry))

    def leave(self, entry: Entry) -> None:
        """Take a head that is settled off its queue, and put the next one in line."""
        queue = self._queues[entry.queue]
        queue.popleft()
        while queue and queue[0].outcome is not None:
            queue.popleft()
        if queue:
            self.line_up(queue[0])
        else:
            del self._queues[entry.queue]

    def fail(self, entry: Entry, error: Exception) -> None:
        """Fail a head for now, and with it those of its batch and key: none of them may overtake it."""
        entry.failed(error)
        for other in itertools.islice(self._queues[entry.queue], 1, None):
            if other.delivery is entry.delivery:
                other.failed(error)
        self.leave(entry)

    def take(self) -> list[Entry]:
        """Return the entries of one call: of one stream, one a key, within the limits. Empty when none is due."""
        while self._later and self.seconds_to_next <= 0:
            self.line_up(heapq.heappop(self._later)[2])
        while self._lines:
            stream, line = next(iter(self._lines.items()))
            entries = self._fill(line)
            self._lines.move_to_end(stream)
            if not line:
                del self._lines[stream]
            if entries:
                return entries
        return []

    def _fill(self, line: deque[Entry]) -> list[Entry]:
        entries: list[Entry] = []
        size = 0
        while line and len(entries) < RECORDS_A_CALL:
            entry = line[0]
            if self._is_over(entry):
                line.popleft()
                self.leave(entry)
                continue
            if entries and (entry.alone or size + entry.size > BYTES_A_CALL):
                break
            size += entry.size
            entries.append(line.popleft())
            if entry.alone:
                break
        return entries

    def _is_over(self, entry: Entry) -> bool:
        """Tell whether it has an outcome; one whose time is up gets one."""
        if entry.outcome is None and entry.delivery.is_late:
            for each in self._queues[entry.queue]:
                if each.delivery is entry.delivery:
                    each.late()
        return entry.outcome is not None
