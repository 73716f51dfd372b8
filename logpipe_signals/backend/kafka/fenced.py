"""
Fencing by Kafka's transactions (KIP-98): a relay's batches are transactions under an id of its own.

Whoever takes over its lanes calls `init_transactions` under that id, which raises the epoch: from then on the broker
refuses what the former owner sends, however late it wakes up, and readers of committed records never see what it had
begun. A client is made in `ready` only, before leases are taken, so that none is ever made under a lease that ran out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import kafka.errors

from logpipe_signals.backend import base
from logpipe_signals.backend.base import Delivery, Message, Sent
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.kafka import errors
from logpipe_signals.backend.kafka.client import SharedClient
from logpipe_signals.backend.kafka.config import producer_config
from logpipe_signals.backend.kafka.delivery import KafkaDelivery
from logpipe_signals.conf import settings
from logpipe_signals.exceptions import BackendUnavailable, MessageRejected

READY_SECONDS = 10.0


class FencedProducer(base.Producer):
    """One relay's own client; one transaction at a time."""

    supports_fencing = True

    def __init__(self, owner: str) -> None:
        self._id = transactional_id(owner)
        self._client: SharedClient | None = None
        self._open: FencedDelivery | None = None
        self._lock = threading.RLock()

    def ready(self) -> None:
        with self._lock:
            if self._client is None or not self._client.usable:
                self._client = transactional_client(self._id)

    def fence(self, owner: str) -> None:
        transactional_client(transactional_id(owner)).abandon()

    def submit(self, messages: Sequence[Message], *, timeout_seconds: float) -> Delivery:
        deadline = Deadline(timeout_seconds)
        with self._lock:
            if self._open is not None:
                self._open.wait(deadline.remaining_seconds)
            client = self._usable_client()
            missing = client.missing_topics({message.topic for message in messages}, deadline)
            self._open = FencedDelivery(client, deadline, messages, missing)
            return self._open

    def flush(self, timeout_seconds: float) -> None:
        with self._lock:
            if self._open is not None:
                self._open.wait(timeout_seconds)

    def close(self) -> None:
        with self._lock:
            self.flush(READY_SECONDS)
            if self._client is not None:
                self._client.abandon()
            self._client = self._open = None

    def _usable_client(self) -> SharedClient:
        if self._client is None or not self._client.usable:
            raise BackendUnavailable("The relay's Kafka client was given up or fenced off; a new one comes first.")
        return self._client


class FencedDelivery(Delivery):
    """A batch in a transaction: all of it is committed, or none and the rest of it is tried again."""

    def __init__(
        self, client: SharedClient, deadline: Deadline, messages: Sequence[Message], missing: dict[str, Exception]
    ) -> None:
        self._client = client
        self._deadline = deadline
        self._messages = messages
        self._missing = missing
        self._outcomes: list[Sent] | None = None
        try:
            self._batch = self._transaction(messages)
        except Exception as error:
            client.abandon()
            raise errors.unavailable("a transaction", error) from error

    @property
    def done(self) -> bool:
        return self._outcomes is not None

    def wait(self, timeout_seconds: float) -> list[Sent]:
        if self._outcomes is None:
            until = Deadline(min(timeout_seconds, self._deadline.remaining_seconds))
            self._outcomes = self._end(self._batch, until)
            if any(isinstance(each.error, errors.InBadCompany) for each in self._outcomes):
                self._outcomes = self._one_by_one(self._outcomes)
        return self._outcomes

    def _transaction(self, messages: Sequence[Message]) -> KafkaDelivery:
        self._client.producer.begin_transaction()
        batch = TogetherDelivery(self._client, self._deadline)
        self._client.gate.watch(batch)
        for message in messages:
            if (error := self._missing.get(message.topic)) is not None:
                batch.refuse(message, error)
            else:
                batch.start(message)
        return batch

    def _end(self, batch: KafkaDelivery, until: Deadline) -> list[Sent]:
        outcomes = batch.wait(until.remaining_seconds)
        # What the client or `missing` refused never reached the transaction; a failure of any other ends it.
        failed = any(each.error is not None and not _stayed_out(each.error) for each in outcomes)
        try:
            if not failed:
                _finish(self._client.producer, "begin_commit", until)
                return outcomes
            _finish(self._client.producer, "begin_abort", until)
        except Exception as error:  # noqa: BLE001  (fenced, or away: nobody knows, so nothing counts as sent)
            self._client.abandon()
            return [_unsent(each, error) for each in outcomes]
        return [_unsent(each, None) for each in outcomes]

    def _one_by_one(self, outcomes: list[Sent]) -> list[Sent]:
        """After a record batch was refused: each message in a transaction of its own, so that one costs itself."""
        return [self._alone(message, outcome) for message, outcome in zip(self._messages, outcomes, strict=True)]

    def _alone(self, message: Message, outcome: Sent) -> Sent:
        if _stayed_out(outcome.error) or not self._client.usable or self._deadline.passed:
            return outcome
        try:
            (alone,) = self._end(self._transaction([message]), self._deadline)
        except Exception as error:  # noqa: BLE001  (the client is no good any more: the rest is tried again later)
            self._client.abandon()
            return Sent(error=errors.unavailable("a transaction", error))
        if isinstance(alone.error, errors.InBadCompany):
            return Sent(error=errors.rejected(message.topic, alone.error.__cause__ or alone.error))
        return alone


class TogetherDelivery(KafkaDelivery):
    """Leaves what was refused together to the transaction around it."""

    def _sent_alone(self, index: int) -> Sent:
        return Sent(error=errors.in_bad_company(self._messages[index].topic, RuntimeError("refused together")))


def transactional_id(owner: str) -> str:
    """Return the id that a relay's transactions go by."""
    return f"logpipe-{owner}"


def transactional_client(name: str) -> SharedClient:
    """
    Return a client under this id; every other client under it is fenced off.

    Raises:
        BackendUnavailable: Kafka did not do it in time.
    """
    lease_ms = int(1000 * settings.LEASE_SECONDS)
    config = {**producer_config(), "transactional_id": name, "transaction_timeout_ms": max(10_000, lease_ms)}
    client = SharedClient(config, READY_SECONDS)
    try:
        client.producer.config["max_block_ms"] = int(1000 * READY_SECONDS)
        client.producer.init_transactions()
    except Exception as error:
        client.abandon()
        raise errors.unavailable("its transactions", error) from error
    return client


def _finish(producer: Any, begin: str, until: Deadline) -> None:
    """Commit or abort in bounded time: kafka-python's own methods wait for ever."""
    start: Callable[[], Any] = getattr(producer._transaction_manager, begin)
    result = start()
    producer._sender.wakeup()
    result.wait(timeout_ms=max(1, int(1000 * until.remaining_seconds)))
    if not result.is_done:
        raise kafka.errors.KafkaTimeoutError("The transaction did not end in time.")
    if not result.succeeded:
        raise result.exception


def _stayed_out(error: Exception | None) -> bool:
    return isinstance(error, MessageRejected) or (error is not None and not isinstance(error, BackendUnavailable))


def _unsent(outcome: Sent, error: Exception | None) -> Sent:
    """Return the outcome of a message whose transaction was not committed."""
    if outcome.error is not None:
        return outcome
    cause = error or RuntimeError("its transaction was given up for another message's sake")
    return Sent(error=errors.unavailable("a transaction", cause))
