"""A batch on its way through kafka-python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from logpipe_signals.backend.alone import send_alone
from logpipe_signals.backend.base import Delivery, Message, RecordMetadata, Sent
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.kafka import errors
from logpipe_signals.exceptions import BackendUnavailable, LogPipeError

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
        self._private: SharedClient | None = None

    def start(self, message: Message) -> None:
        """Give a message to the client's queue."""
        self._messages.append(message)
        self._futures.append(self._given(message, self._client))

    def refuse(self, message: Message, error: Exception) -> None:
        """Note a message that the client is not even given."""
        self._messages.append(message)
        self._futures.append(Sent(error=error))

    def _given(self, message: Message, client: SharedClient) -> Any:
        key = message.key.encode() if message.key else None
        try:
            future = client.producer.send(message.topic, value=message.value, key=key, headers=list(message.headers))
        except Exception as error:  # noqa: BLE001  # one message's outcome, whatever the client's version raises
            return Sent(error=errors.outcome_of(message.topic, error))
        if future.is_done and future.failed():
            # kafka-python 2 refuses some messages itself in this way.
            return Sent(error=errors.outcome_of(message.topic, future.exception))
        return future

    @property
    def done(self) -> bool:
        return self._outcomes is not None or all(map(_is_done, self._futures))

    def wait(self, timeout_seconds: float) -> list[Sent]:
        if self._outcomes is None:
            self._until = Deadline(min(timeout_seconds, self.deadline.remaining_seconds))
            self._wait_for(self._futures, self._client)
            outcomes = [_settled(*each) for each in zip(self._messages, self._futures, strict=True)]
            suspects = {index for index, each in enumerate(outcomes) if isinstance(each.error, errors.InBadCompany)}
            send_alone(self._messages, outcomes, suspects, self._sent_alone)
            self._client.gate.forget(self)
            if self._private is not None:
                self._private.abandon()
            self._outcomes = outcomes
        return self._outcomes

    def _wait_for(self, futures: Sequence[Any], client: SharedClient) -> None:
        done = all(_is_done(each) or each._produce_future.wait(self._until.remaining_seconds) for each in futures)
        if not done:
            client.abandon()

    # --- messages that were refused together --------------------------------------------------------------------

    def _sent_alone(self, index: int) -> Sent:
        """Send a message by a client that nobody else uses, so that a refusal can only be its own."""
        message = self._messages[index]
        try:
            client = self._private_client()
            missing = client.missing_topics({message.topic}, self._until)
        except LogPipeError as error:
            return Sent(error=error)
        if missing:
            return Sent(error=missing[message.topic])
        future = self._given(message, client)
        self._wait_for([future], client)
        outcome = _settled(message, future)
        if isinstance(outcome.error, errors.InBadCompany):
            return Sent(error=errors.rejected(message.topic, outcome.error.__cause__ or outcome.error))
        return outcome

    def _private_client(self) -> SharedClient:
        if self._private is None or not self._private.usable:
            self._private = self._client.another(self._until)
            self._private.gate.watch(self)
        return self._private


def _is_done(future: Any) -> bool:
    return isinstance(future, Sent) or future.is_done


def _settled(message: Message, future: Any) -> Sent:
    if isinstance(future, Sent):
        return future
    if not future.is_done:
        return Sent(error=BackendUnavailable(f"Kafka did not acknowledge a message for {message.topic!r} in time."))
    try:
        place = future.get(timeout=0)
    except Exception as error:  # noqa: BLE001  # one message's outcome
        if errors.may_be_anothers_fault(error):
            return Sent(error=errors.in_bad_company(message.topic, error))
        return Sent(error=errors.outcome_of(message.topic, error))
    return Sent(metadata=RecordMetadata(message.topic, str(place.partition), place.offset))
