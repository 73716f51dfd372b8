"""Producing by hand, as with django-logpipe: `Producer("people", PersonSerializer).send(joe)`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.db import models

from logpipe_signals.backend import get_producer_backend
from logpipe_signals.backend.base import RecordMetadata
from logpipe_signals.conf import settings
from logpipe_signals.envelope import Envelope
from logpipe_signals.registry import SerializerClass, require_message_rules
from logpipe_signals.schemas.validation import require_sent

logger = logging.getLogger(__name__)


class BaseProducer:
    """
    Sends messages now, past the outbox: nothing is kept if the log is away.

    For changes of a model use `@publishes`; this is for messages that belong to no committed row.
    """

    def __init__(self, topic_name: str, producer_id: str | None = None) -> None:
        self.client = get_producer_backend()
        self.topic_name = topic_name
        self.producer_id = settings.PRODUCER_ID if producer_id is None else producer_id

    def _send(self, declared: SerializerClass, key: str, data: Any) -> RecordMetadata | None:
        require_sent(declared, data)
        envelope = Envelope(
            type=declared.MESSAGE_TYPE, version=declared.VERSION, message=data, producer=self.producer_id
        )
        metadata = self.client.send(self.topic_name, key=key, value=envelope.render(settings.DEFAULT_FORMAT))
        logger.debug("Sent a message of type %r to topic %r", envelope.type, self.topic_name)
        return metadata


class DRFProducer(BaseProducer):
    """Sends objects through a DRF serializer: `Producer("people", PersonSerializer).send(joe)`."""

    def __init__(self, topic_name: str, serializer_class: SerializerClass, producer_id: str | None = None) -> None:
        super().__init__(topic_name, producer_id)
        self.serializer_class = require_message_rules(serializer_class, f"Producer of topic {topic_name!r}")

    def send(self, instance: models.Model | Mapping[str, Any]) -> RecordMetadata | None:
        """
        Send one object and wait until the log has it.

        The key is the value of the serializer's KEY_FIELD; without one it is empty, as in django-logpipe.

        Raises:
            BackendUnavailable: It is not known to have arrived.
            MessageRejected: The log will never take it.
            SchemaViolation: `SCHEMA_VALIDATION` asks for it, and the object does not fit what the serializer says.
        """
        data = self.serializer_class(instance=instance).data
        key_field = getattr(self.serializer_class, "KEY_FIELD", None)
        return self._send(self.serializer_class, str(data[key_field]) if key_field else "", data)


class PydanticProducer(BaseProducer):
    """Sends Pydantic models, which say their own type, version and key: `PydanticProducer("people").send(joe)`."""

    def send(self, instance: Any) -> RecordMetadata | None:
        """
        Send one model and wait until the log has it; it is dumped in JSON mode, by field name.

        Raises:
            DeclarationError: Its class has no MESSAGE_TYPE or VERSION.
            BackendUnavailable: It is not known to have arrived.
            MessageRejected: The log will never take it.
            SchemaViolation: `SCHEMA_VALIDATION` asks for it, and the model does not fit its own schema.
        """
        model = require_message_rules(type(instance), f"PydanticProducer of topic {self.topic_name!r}")
        key_field = getattr(model, "KEY_FIELD", None)
        key = getattr(instance, key_field) if key_field else ""
        if hasattr(key, "model_dump"):
            key = key.model_dump(mode="json")  # A RootModel, as django-logpipe has it.
        return self._send(model, str(key), instance.model_dump(mode="json"))


Producer = DRFProducer
