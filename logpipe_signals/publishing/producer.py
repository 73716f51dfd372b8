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


class DRFProducer:
    """
    Serialises an object and sends it now, past the outbox: nothing is kept if the log is away.

    For changes of a model use `@publishes`; this is for messages that belong to no committed row.
    """

    def __init__(self, topic_name: str, serializer_class: SerializerClass, producer_id: str | None = None) -> None:
        self.client = get_producer_backend()
        self.topic_name = topic_name
        self.serializer_class = require_message_rules(serializer_class, f"Producer of topic {topic_name!r}")
        self.producer_id = settings.PRODUCER_ID if producer_id is None else producer_id

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
        require_sent(self.serializer_class, data)
        key_field = getattr(self.serializer_class, "KEY_FIELD", None)
        key = str(data[key_field]) if key_field else ""
        envelope = Envelope(
            type=self.serializer_class.MESSAGE_TYPE,
            version=self.serializer_class.VERSION,
            message=data,
            producer=self.producer_id,
        )
        metadata = self.client.send(self.topic_name, key=key, value=envelope.render(settings.DEFAULT_FORMAT))
        logger.debug("Sent a message of type %r to topic %r", envelope.type, self.topic_name)
        return metadata


Producer = DRFProducer
