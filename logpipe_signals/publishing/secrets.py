"""Which sensitive values an error about a row may quote; see `logpipe_signals.redaction`."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.db import models, transaction

from logpipe_signals.envelope import Envelope
from logpipe_signals.keys import decode_pk
from logpipe_signals.redaction import NO_SECRETS, Paths, Secrets, secrets_in, sensitive_paths, traceback_of
from logpipe_signals.registry import Publication, SerializerClass

if TYPE_CHECKING:
    from logpipe_signals.publishing.messages import Outgoing


def secrets_of(outgoing: Outgoing, using: str) -> Secrets:
    """Return the sensitive values of what could not be sent: of its messages, of what was kept, and of the row."""
    paths = sensitive_paths(outgoing.publication.serializer_classes)
    if not paths:
        return NO_SECRETS
    payload = outgoing.rows[-1].payload
    bodies = [*_bodies(outgoing), *(json.loads(payload).values() if payload else ())]
    found = frozenset[str]().union(*(secrets_in(body, paths) for body in bodies))
    return found | _of_row(outgoing.publication, outgoing.object_id, using)


def secrets_of_instance(publication: Publication, instance: models.Model) -> Secrets:
    """Return the sensitive values of a row, as its serializers show them; what cannot be read is passed over."""
    found: set[str] = set()
    for serializer_class in publication.serializer_classes:
        paths = sensitive_paths([serializer_class])
        for member in _sensitive_members(serializer_class, instance, paths):
            found |= secrets_in(member, paths)
    return frozenset(found)


def log_failure(logger: logging.Logger, text: str, publication: Publication, instance: Any, error: Exception) -> None:
    """Log an error about a row with its traceback, without the row's sensitive values."""
    secrets = secrets_of_instance(publication, instance)
    logger.error(f"{text}\n%s", publication.name, traceback_of(error, secrets))


def _bodies(outgoing: Outgoing) -> Iterator[Any]:
    for message in outgoing.messages:
        with suppress(Exception):  # a format of the project's own may do anything
            yield Envelope.parse_inert(message.value or b"").message


def _of_row(publication: Publication, object_id: str, using: str) -> Secrets:
    with suppress(Exception), transaction.atomic(using=using):  # gone, or unreadable: nothing of it can be quoted
        pk = decode_pk(publication.model, object_id, using)
        return secrets_of_instance(publication, publication.model._base_manager.using(using).get(pk=pk))
    return NO_SECRETS


def _sensitive_members(
    serializer_class: SerializerClass, instance: models.Model, paths: Paths
) -> Iterator[dict[str, Any]]:
    """Yield each sensitive field's value as the row has it, and as the message shows it."""
    for name in sorted({path[0] for path in paths}):
        with suppress(Exception):  # this may be the very field that raises
            field = serializer_class(instance).fields[name]
            value = field.get_attribute(instance)
            yield {name: str(value) if (name,) in paths else None}
            yield {name: field.to_representation(value)}
