"""A batch on its way through kafka-python."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from logpipe_signals.backend.alone import send_alone
from logpipe_signals.backend.base import Delivery, Message, RecordMetadata, Sent
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.kafka import errors
from logpipe_signals.exceptions import BackendUnavailable

if TYPE_CHECKING:
    from logpipe_signals.backend.kafka.client import SharedClient


class KafkaDelivery(Delivery):
    """The futures of a batch's messages, in their order; a message that was refused at once has its outcome instead."""

    def __init__(self, client: SharedClient, deadline: Deadline) -> None:
        self.deadline = self._until = deadline
        self._client = client
        self._messages: list[Message] = []
        self._futures: list[Any] = []
        self._outcomes: list[Sent] | None = None

    def start(self, message: Message) -> None:
        """Give a message to the client's queue."""
        self._messages.append(message)
        self._futures.append(self._given(message))

    def refuse(self, message: Message, error: Exception) -> None:
        """Note a message that the client is not even given."""
        self._messages.append(message)
        self._futures.append(Sent(error=error))

    def _given(self, message: Message) -> Any:
        key = message.key.encode() if message.key else None
        try:
            return self._client.producer.send(
                message.topic, value=message.value, key=key, headers=list(message.headers)
            )
        except Exception as error:  # noqa: BLE001  # one message's outcome, whatever the client's version raises
            return Sent(error=errors.outcome_of(message.topic, error))

    @property
    def done(self) -> bool:
        return self._outcomes is not None or all(isinstance(each, Sent) or each.is_done for each in self._futures)

    def wait(self, timeout_seconds: float) -> list[Sent]:
        if self._outcomes is None:
            self._until = Deadline(min(timeout_seconds, self.deadline.remaining_seconds))
            if not self._all_done(self._until):
                self._client.abandon()
            outcomes = self._known_outcomes()
            suspects = {index for index, each in enumerate(outcomes) if isinstance(each.error, errors.InBadCompany)}
            send_alone(self._messages, outcomes, suspects, self._sent_alone)
            self._client.gate.forget(self)
            self._outcomes = outcomes
        return self._outcomes

    def _all_done(self, until: Deadline) -> bool:
        return all(
            isinstance(each, Sent) or each.is_done or each._produce_future.wait(until.remaining_seconds)
            for each in self._futures
        )

    def _sent_alone(self, index: int) -> Sent:
        self._futures[index] = self._given(self._messages[index])
        if not self._all_done(self._until):
            self._client.abandon()
        return _settled(self._messages[index], self._futures[index], shared=False)

    def _known_outcomes(self) -> list[Sent]:
        # A future of kafka-python is one message's share in a whole record batch's.
        shares = Counter(id(each._produce_future) for each in self._futures if not isinstance(each, Sent))
        return [
            _settled(message, each, shared=shares[id(getattr(each, "_produce_future", None))] > 1)
            for message, each in zip(self._messages, self._futures, strict=True)
        ]


def _settled(message: Message, future: Any, *, shared: bool) -> Sent:
    if isinstance(future, Sent):
        return future
    if not future.is_done:
        return Sent(error=BackendUnavailable(f"Kafka did not acknowledge a message for {message.topic!r} in time."))
    try:
        place = future.get(timeout=0)
    except Exception as error:  # noqa: BLE001  # one message's outcome
        if shared and errors.is_permanent(error):
            return Sent(error=errors.in_bad_company(message.topic, error))
        return Sent(error=errors.outcome_of(message.topic, error))
    return Sent(metadata=RecordMetadata(message.topic, str(place.partition), place.offset))
