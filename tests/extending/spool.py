"""A log: every message a line of a file, for another program to pick up."""

from pathlib import Path

from django.conf import settings
from django.core.checks import Error

from logpipe_signals.backend.base import Delivered, RecordMetadata, Sent
from logpipe_signals.backend.base import Producer as BaseProducer
from logpipe_signals.exceptions import BackendUnavailable, MessageRejected


class Producer(BaseProducer):
    supports_headers = False  # identity and sequence travel in the body's `meta` then
    supports_tombstones = False

    def submit(self, messages, *, timeout_seconds):
        try:
            return Delivered([self._append(message) for message in messages])
        except OSError as error:
            raise BackendUnavailable(f"The spool cannot be written: {error}") from error

    def _append(self, message):
        if message.value is None or b"\n" in message.value:
            return Sent(error=MessageRejected("A line cannot hold this."))
        path = Path(settings.SPOOL_FOLDER) / message.topic
        with path.open("ab") as file:
            offset = file.tell()
            file.write(message.value + b"\n")
        return Sent(metadata=RecordMetadata(message.topic, "0", offset))

    @classmethod
    def check(cls):
        if hasattr(settings, "SPOOL_FOLDER"):
            return []
        return [Error("There is no SPOOL_FOLDER.", hint="Set it.", id="spool.E001")]
