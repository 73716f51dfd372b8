"""librdkafka producers of this process: shared by threads, polled by one of their own, remade after a fork."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import threading
import time
from collections.abc import Callable, Collection
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from logpipe_signals.backend.base import Message
from logpipe_signals.backend.clock import Deadline
from logpipe_signals.backend.confluent import errors
from logpipe_signals.backend.confluent.config import client_logger, producer_config
from logpipe_signals.backend.naming import refusal_of_kafka_name
from logpipe_signals.exceptions import BackendUnavailable, DeclarationError

MISSING_TOPIC_SECONDS = 3.0
"""How long to wait for a topic to appear, where brokers create topics, before calling it missing."""
EXIT_SECONDS = 10.0
POLL_SECONDS = 0.2
NOTE_SECONDS = 10.0
"""How often one kind of error is logged: librdkafka tries, and tells of it, many times a second."""
FULL_QUEUE_PAUSE_SECONDS = 0.005

TIMEOUTS_SECONDS = (0.25, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60, 120, 300)
"""librdkafka's time-out belongs to a client, not to a message: there is one client for each of these that is used."""


class SharedClient:
    """A librdkafka producer and the thread that takes its acknowledgements."""

    def __init__(self, timeout_seconds: float) -> None:
        config = producer_config(int(1000 * timeout_seconds))
        self._topics: set[str] = set()
        self._closed = threading.Event()
        self._broken = False
        self._noted: dict[str, float] = {}
        try:
            self.producer = confluent_kafka.Producer({**config, "error_cb": self._note})
        except (KafkaException, ValueError, TypeError) as error:
            # The client's own message could show values, and some of them are passwords.
            raise DeclarationError(
                f"librdkafka refuses the settings of a producer ({type(error).__name__}). LOGPIPE's KAFKA_KWARGS and "
                f"KAFKA_PRODUCER_KWARGS give: {', '.join(sorted(config))}. Run manage.py check."
            ) from None
        self._poller = threading.Thread(target=self._take_acknowledgements, name="logpipe-confluent", daemon=True)
        self._poller.start()

    def _take_acknowledgements(self) -> None:
        while not self._closed.is_set():
            self.producer.poll(POLL_SECONDS)

    def _note(self, error: KafkaError) -> None:
        if error.code() == KafkaError._FATAL:
            self._broken = True
        if self._noted.get(error.name(), -NOTE_SECONDS) + NOTE_SECONDS <= time.monotonic():
            self._noted[error.name()] = time.monotonic()
            client_logger.info("%s: %s", error.name(), error.str())

    @property
    def usable(self) -> bool:
        """Tell whether batches may be given to it."""
        return not self._broken and not self._closed.is_set()

    # --- sending ------------------------------------------------------------------------------------------------

    def produce(self, message: Message, report: Callable[[Any, Any], None], deadline: Deadline) -> None:
        """
        Give a message to the queue; wait for room while that is full.

        Raises:
            KafkaException: It was refused.
            BackendUnavailable: No room came in time.
        """
        key = message.key.encode() if message.key else None
        headers: Any = list(message.headers) or None
        while True:
            try:
                return self.producer.produce(message.topic, message.value, key, headers=headers, on_delivery=report)
            except BufferError:
                if deadline.passed or self._closed.wait(FULL_QUEUE_PAUSE_SECONDS):
                    raise BackendUnavailable("Kafka is slower than this process: the client's queue is full.") from None

    def purge(self) -> None:
        """Drop all it still holds: nothing of that is sent any more."""
        self.producer.purge(in_queue=True, in_flight=True, blocking=True)

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
        until = Deadline(min(MISSING_TOPIC_SECONDS, deadline.remaining_seconds / 2))
        while True:
            error = self._error_of(topic, deadline)
            if error is None:
                return None
            if until.passed:
                return errors.outcome_of(topic, error)
            time.sleep(0.05)

    def partition_count(self, topic: str, deadline: Deadline) -> int:
        """
        Return how many partitions a topic has now.

        Raises:
            BackendUnavailable: No broker answers.
        """
        return len(self._described(topic, deadline).partitions)

    def _error_of(self, topic: str, deadline: Deadline) -> KafkaError | None:
        return self._described(topic, deadline).error

    def _described(self, topic: str, deadline: Deadline) -> Any:
        try:
            return self.producer.list_topics(topic, timeout=max(0.1, deadline.remaining_seconds)).topics[topic]
        except KafkaException as error:
            cause = error.args[0]
            raise errors.unavailable("a first connection; see KAFKA_BOOTSTRAP_SERVERS", cause) from error

    # --- the end ------------------------------------------------------------------------------------------------

    def flush(self, timeout_seconds: float) -> None:
        """Wait until all it holds has an outcome."""
        self.producer.flush(timeout_seconds)

    def close(self) -> None:
        """Send what it holds, each message within its time, and let it go."""
        _clients.drop(self)
        self.flush(EXIT_SECONDS)
        self._closed.set()
        if threading.current_thread() is not self._poller:
            self._poller.join(2 * POLL_SECONDS)

    def leave_to_parent(self) -> None:
        """After a fork: librdkafka's threads are not here, and destroying it would wait for them. So it stays."""
        self._closed = threading.Event()
        self._closed.set()
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.producer))


# --- one a process, settings and time-out ---------------------------------------------------------------------------


class _Clients:
    """The clients of this process, by the settings and time-out they were made with."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_settings: dict[str, SharedClient] = {}
        self.of_the_parent: list[SharedClient] = []

    def drop(self, client: SharedClient) -> None:
        for fingerprint, each in list(self.by_settings.items()):
            if each is client:
                self.by_settings.pop(fingerprint, None)

    def start_anew_in_child(self) -> None:
        self.lock = threading.Lock()
        self.of_the_parent += self.by_settings.values()
        for client in self.by_settings.values():
            client.leave_to_parent()
        self.by_settings = {}
        # Closed clients and consumers that the collector has not come by yet: to destroy one here crashes as well.
        gc.freeze()

    def close(self) -> None:
        for client in current_clients():
            client.close()


_clients = _Clients()
atexit.register(_clients.close)
os.register_at_fork(after_in_child=_clients.start_anew_in_child)


def shared_client(timeout_seconds: float) -> SharedClient:
    """Return this process's client that gives messages up within this time, making it the first time."""
    timeout = max((each for each in TIMEOUTS_SECONDS if each <= timeout_seconds), default=TIMEOUTS_SECONDS[0])
    fingerprint = repr(sorted(producer_config(int(1000 * timeout)).items(), key=lambda item: item[0]))
    with _clients.lock:
        client = _clients.by_settings.get(fingerprint)
        if client is None or not client.usable:
            client = _clients.by_settings[fingerprint] = SharedClient(timeout)
        return client


def current_clients() -> list[SharedClient]:
    """Return the clients that this process has now."""
    return list(_clients.by_settings.values())
