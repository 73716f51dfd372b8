"""A batch on its way through librdkafka."""

from __future__ import annotations

import threading
from collections.abc import Callable
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

    def __init__(self, client: SharedClient, count: int, deadline: Deadline) -> None:
        self._client = client
        self._deadline = deadline
        self._messages: list[Message] = []
        self._outcomes: list[Sent | None] = [None] * count
        self._suspects: set[int] = set()
        self._open = count
        self._changed = threading.Condition()
        self._settled: list[Sent] | None = None

    def start(self, message: Message, refusal: Exception | None) -> None:
        """Give a message to the client's queue, unless it is refused."""
        index = len(self._messages)
        self._messages.append(message)
        if refusal is not None:
            self._settle(index, Sent(error=refusal))
        else:
            self._give(index)

    def _give(self, index: int) -> None:
        message = self._messages[index]
        try:
            self._client.produce(message, self._reporter(index), self._deadline)
        except KafkaException as error:
            self._settle(index, Sent(error=errors.outcome_of(message.topic, error.args[0])))
        except (ValueError, TypeError) as error:
            self._settle(index, Sent(error=MessageRejected(f"Kafka's client refuses a message: {error}")))
        except BackendUnavailable as error:
            self._settle(index, Sent(error=error))

    def _reporter(self, index: int) -> Callable[[Any, Any], None]:
        def report(error: Any, place: Any) -> None:
            if error is None:
                metadata = RecordMetadata(place.topic(), str(place.partition()), place.offset())
                self._settle(index, Sent(metadata=metadata))
                return
            if errors.is_permanent(error):
                # Kafka refuses a whole record batch, and librdkafka does not say who was in it.
                self._suspects.add(index)
            self._settle(index, Sent(error=errors.outcome_of(self._messages[index].topic, error)))

        return report

    def _settle(self, index: int, outcome: Sent) -> None:
        with self._changed:
            if self._outcomes[index] is None:
                self._outcomes[index] = outcome
                self._open -= 1
            if not self._open:
                self._changed.notify_all()

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
        with self._changed:
            if self._changed.wait_for(lambda: not self._open, until.remaining_seconds):
                return
        self._client.purge()
        with self._changed:
            self._changed.wait_for(lambda: not self._open, PURGE_SECONDS)

    def _sent_alone(self, index: int, until: Deadline) -> Sent:
        self._outcomes[index] = None
        self._open = 1
        self._give(index)
        self._wait_for_reports(until)
        return self._outcomes[index] or _not_acknowledged(self._messages[index])


def _not_acknowledged(message: Message) -> Sent:
    return Sent(error=BackendUnavailable(f"Kafka did not acknowledge a message for {message.topic!r} in time."))
