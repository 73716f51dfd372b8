"""One kafka-python producer for a process and its settings: shared by threads, remade after a fork, flushed at exit."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import kafka
import kafka.errors
from kafka.future import Future

from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.kafka import errors
from logpipe_signals.backend.kafka.config import bounded_connect, producer_config
from logpipe_signals.backend.naming import refusal_of_kafka_name
from logpipe_signals.exceptions import BackendUnavailable, DeclarationError

if TYPE_CHECKING:
    from logpipe_signals.backend.kafka.delivery import KafkaDelivery

logger = logging.getLogger(__name__)

MISSING_TOPIC_SECONDS = 3.0
"""How long to wait for a topic to appear, where brokers create topics, before calling it missing."""
EXIT_SECONDS = 10.0


class TimeIsUp(kafka.errors.KafkaError):
    """A produce request that came too late; the client must not try it again."""


class Gate:
    """Stands between a client and the network: once a batch's time is up, no produce request passes any more."""

    def __init__(self) -> None:
        self._in_hand: set[KafkaDelivery] = set()
        self._lock = threading.Lock()
        self.shut = False

    def watch(self, delivery: KafkaDelivery) -> None:
        """Hold the client to this batch's deadline."""
        with self._lock:
            self._in_hand.add(delivery)

    def forget(self, delivery: KafkaDelivery) -> None:
        """The batch's outcomes are known."""
        with self._lock:
            self._in_hand.discard(delivery)

    @property
    def is_open(self) -> bool:
        """Tell whether a produce request may pass now."""
        if not self.shut:
            with self._lock:
                self.shut = self.shut or any(each.deadline.passed and not each.done for each in self._in_hand)
        return not self.shut

    @property
    def remaining_seconds(self) -> float:
        """Return the time of the batch that has most left."""
        with self._lock:
            return max((each.deadline.remaining_seconds for each in self._in_hand), default=0.0)


class SharedClient:
    """A `KafkaProducer`, thrown away when a batch's time is up."""

    def __init__(self, config: dict[str, Any], timeout_seconds: float) -> None:
        self.gate = Gate()
        self._topics: set[str] = set()
        self._made: list[Any] = []
        try:
            self.producer = kafka.KafkaProducer(
                **{**bounded_connect(kafka.KafkaProducer, timeout_seconds), **config},
                kafka_client=self._gated(
                    config.pop("kafka_client", kafka.KafkaProducer.DEFAULT_CONFIG["kafka_client"])
                ),
            )
        except Exception as error:  # noqa: BLE001  # the client's refusals have no common root
            self._close_connections()
            failure = _cannot_start(error, config)
            raise failure from failure.__cause__
        _let_it_be_aborted(self.producer)
        # kafka-python's own handler gives the queue one second; ours gives it the time its batches have.
        self._without_its_own_exit()

    def _gated(self, base: type) -> Any:
        made, gate = self._made, self.gate

        class GatedClient(base):  # type: ignore[misc]  # whichever client class this kafka-python has
            def send(self, node_id: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
                if type(request).__name__.startswith("ProduceRequest") and not gate.is_open:
                    return Future().failure(TimeIsUp("The batch's time was up before it was sent."))
                return super().send(node_id, request, *args, **kwargs)

        def make(*args: Any, **kwargs: Any) -> GatedClient:
            client = GatedClient(*args, **kwargs)
            made.append(client)
            return client

        return make

    # --- topics -------------------------------------------------------------------------------------------------

    def missing_topics(self, topics: Collection[str], deadline: Deadline) -> dict[str, Exception]:
        """
        Return which of these topics are not there or have no valid name, and why.

        Raises:
            BackendUnavailable: No broker answers.
        """
        missing = {}
        for topic in sorted(set(topics) - self._topics):
            if (error := self._look_for(topic, deadline)) is not None:
                missing[topic] = error
            else:
                self._topics.add(topic)
        return missing

    def _look_for(self, topic: str, deadline: Deadline) -> Exception | None:
        if (refusal := refusal_of_kafka_name(topic)) is not None:
            return refusal
        wait_seconds = min(MISSING_TOPIC_SECONDS, deadline.remaining_seconds / 2)
        self.producer.config["max_block_ms"] = max(1, int(1000 * wait_seconds))
        answered_ms = self._last_answer_ms()
        try:
            self.producer.partitions_for(topic)
        except kafka.errors.KafkaTimeoutError as error:
            if self._last_answer_ms() > answered_ms:
                return errors.missing_topic(topic, error)
            raise errors.unavailable(f"the partitions of topic {topic!r}", error) from error
        except Exception as error:  # noqa: BLE001  # each client version refuses a bad name in its own way
            return errors.outcome_of(topic, error)
        return None

    def _last_answer_ms(self) -> float:
        return float(self.producer._metadata._last_successful_refresh_ms)

    # --- the end ------------------------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Tell whether batches may be given to it."""
        return self.gate.is_open and not self.producer._closed and not self._is_beyond_repair()

    def _is_beyond_repair(self) -> bool:
        # kafka-python 3: after any batch that a broker refused for good, it fails all later ones with that error.
        transactions = self.producer._transaction_manager
        return transactions is not None and bool(transactions.has_fatal_error())

    def another(self, deadline: Deadline) -> SharedClient:
        """Return a client of the same settings that nobody else is given."""
        return SharedClient(producer_config(), deadline.remaining_seconds)

    def abandon(self) -> None:
        """Throw it away with everything it still holds: nothing of that is sent any more."""
        self.gate.shut = True
        _drop(self)
        sender = self.producer._sender
        sender.force_close()
        sender.join(1.0)
        if not sender.is_alive():
            self._close_connections()
        self.producer._closed = True

    def _close_connections(self) -> None:
        for client in self._made:
            with contextlib.suppress(Exception):  # the sender may have closed it already; what counts is that it is
                client.close()

    def flush(self, timeout_seconds: float) -> None:
        """Wait until all it holds has an outcome."""
        with contextlib.suppress(kafka.errors.KafkaTimeoutError):
            self.producer.flush(timeout_seconds)

    def close(self) -> None:
        """Send what it holds within the time that its batches have, and let it go."""
        _drop(self)
        self.flush(min(EXIT_SECONDS, self.gate.remaining_seconds))
        self.abandon()

    def leave_to_parent(self) -> None:
        """After a fork: the connections are the parent's, and the thread that served them is not here."""
        self._without_its_own_exit()
        self.producer._closed = True

    def _without_its_own_exit(self) -> None:
        self.producer._unregister_cleanup()


def _let_it_be_aborted(producer: Any) -> None:
    """kafka-python 2 dies over a batch that is on the wire when it aborts them all, and leaves its connections open."""
    abort = producer._accumulator.abort_incomplete_batches

    def abort_what_it_can() -> None:
        with contextlib.suppress(ValueError):
            abort()

    producer._accumulator.abort_incomplete_batches = abort_what_it_can


def _cannot_start(error: Exception, config: dict[str, Any]) -> Exception:
    if errors.refuses_settings(error):
        # The client's own message would show values, and some of them are passwords.
        return DeclarationError(
            f"kafka-python {kafka.__version__} refuses the settings of a producer ({type(error).__name__}). "
            f"LOGPIPE's KAFKA_KWARGS and KAFKA_PRODUCER_KWARGS give: {', '.join(sorted(config))}. Run manage.py check."
        )
    return errors.unavailable("a first connection; see KAFKA_BOOTSTRAP_SERVERS", error)


# --- one a process and settings -------------------------------------------------------------------------------------


class _Clients:
    """The clients of this process, by the settings they were made with."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_settings: dict[str, SharedClient] = {}
        self.of_the_parent: list[SharedClient] = []

    def start_anew_in_child(self) -> None:
        self.lock = threading.Lock()
        # Kept, not collected: closing them here would speak on the parent's connections.
        self.of_the_parent += self.by_settings.values()
        self.by_settings = {}
        for client in self.of_the_parent:
            client.leave_to_parent()

    def close(self) -> None:
        for client in current_clients():
            client.close()


_clients = _Clients()
atexit.register(_clients.close)
os.register_at_fork(after_in_child=_clients.start_anew_in_child)


def shared_client(deadline: Deadline) -> SharedClient:
    """
    Return this process's client for the settings of now, making it the first time.

    Raises:
        BackendUnavailable: No broker was found in time.
    """
    config = producer_config()
    fingerprint = repr(sorted(config.items()))
    if not _clients.lock.acquire(timeout=deadline.remaining_seconds):
        raise BackendUnavailable("Kafka could not be reached: another thread tried for all of the time given.")
    try:
        client = _clients.by_settings.get(fingerprint)
        if client is None or not client.usable:
            client = _clients.by_settings[fingerprint] = SharedClient(config, deadline.remaining_seconds)
        return client
    finally:
        _clients.lock.release()


def current_clients() -> list[SharedClient]:
    """Return the clients that this process has now."""
    return list(_clients.by_settings.values())


def _drop(client: SharedClient) -> None:
    for fingerprint, each in list(_clients.by_settings.items()):
        if each is client:
            _clients.by_settings.pop(fingerprint, None)
