"""A batch on its way through librdkafka."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaException

from logpipe_signals.backend.alone import send_alone
from logpipe_signals.backend.base import Delivery, Message, RecordMetadata, Sent
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.confluent import errors
from logpipe_signals.backend.confluent.client import SharedClient
from logpipe_signals.exceptions import BackendUnavailable, MessageRejected

PURGE_SECONDS = 1.0
"""How long the reports of what was purged may take to come in."""


class ConfluentDelivery(Delivery):
    """The outcomes of a batch's messages, in their order, as librdkafka reports them."""

    def __init__(self, client: SharedClient, messages: Sequence[Message], deadline: Deadline) -> None:
        self._client = client
        self._deadline = deadline
        self._messages = messages
        self._outcomes: list[Sent | None] = [None] * len(messages)
        self._suspects: set[int] = set()
        self._open = len(messages)
        self._lock = threading.Lock()
        self._all_known = threading.Event()
        self._settled: list[Sent] | None = None

    def start(self, refusals: Mapping[str, Exception]) -> None:
        """Give the messages to the client's queue, but those whose topic is refused."""
        for index, message in enumerate(self._messages):
            if (refusal := refusals.get(message.topic)) is not None:
                self._settle(index, Sent(error=refusal))
            else:
                self._give(index, message)

    def _give(self, index: int, message: Message) -> None:
        try:
            self._client.produce(message, partial(self._report, index), self._deadline)
        except KafkaException as error:
            self._settle(index, Sent(error=errors.outcome_of(message.topic, error.args[0])))
        except (ValueError, TypeError) as error:
            self._settle(index, Sent(error=MessageRejected(f"Kafka's client refuses a message: {error}")))
        except BackendUnavailable as error:
            self._settle(index, Sent(error=error))

    def _report(self, index: int, error: Any, place: Any) -> None:
        """Take what librdkafka says of a message; called from the thread that polls the client."""
        if error is None:
            metadata = RecordMetadata(self._messages[index].topic, str(place.partition()), place.offset())
            self._settle(index, Sent(metadata))
            return
        if errors.is_permanent(error):
            # Kafka refuses a whole record batch, and librdkafka does not say who was in it.
            self._suspects.add(index)
        self._settle(index, Sent(error=errors.outcome_of(self._messages[index].topic, error)))

    def _settle(self, index: int, outcome: Sent) -> None:
        with self._lock:
            if self._outcomes[index] is None:
                self._outcomes[index] = outcome
                self._open -= 1
            if self._open:
                return
        self._all_known.set()

    @property
    def done(self) -> bool:
        return not self._open

    def wait(self, timeout_seconds: float) -> list[Sent]:
        if self._settled is None:
            until = Deadline(min(timeout_seconds, self._deadline.remaining_seconds))
            self._wait_for_reports(until)
            outcomes = [outcome or _not_acknowledged(self._messages[0]) for outcome in self._outcomes]
            suspects, self._suspects = self._suspects, set()
            send_alone(self._messages, outcomes, suspects, lambda index: self._sent_alone(index, until))
            self._settled = outcomes
        return self._settled

    def _wait_for_reports(self, until: Deadline) -> None:
        if self.done or self._all_known.wait(until.remaining_seconds):
            return
        self._client.purge()
        self._all_known.wait(PURGE_SECONDS)

    def _sent_alone(self, index: int, until: Deadline) -> Sent:
        self._outcomes[index] = None
        self._open = 1
        self._all_known.clear()
        self._give(index, self._messages[index])
        self._wait_for_reports(until)
        return self._outcomes[index] or _not_acknowledged(self._messages[index])


def _not_acknowledged(message: Message) -> Sent:
    return Sent(error=BackendUnavailable(f"Kafka did not acknowledge a message for {message.topic!r} in time."))
