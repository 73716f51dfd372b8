"""Dead letters: what could not be applied is kept with its bytes, headers, position and error."""

from __future__ import annotations

import base64
import traceback
from collections.abc import Sequence
from typing import Any

from logpipe_signals.backend.base import Record
from logpipe_signals.consuming.incoming import Refused, storable, stored_identity
from logpipe_signals.models.dead_letters import DeadLetter, DeadLetterState, Side

LARGEST_VERSION = 2**31 - 1
LONGEST_TEXT = 20_000


def keep(refused: Sequence[Refused], *, group: str, alias: str) -> list[DeadLetter]:
    """Write the dead letters of those whose policy asks for one, in one statement."""
    letters = [letter_of(item, group=group) for item in refused if item.policy == "dead_letter"]
    if letters:
        DeadLetter.objects.using(alias).bulk_create(letters)
    return letters


def letter_of(refused: Refused, *, group: str) -> DeadLetter:
    """Return the dead letter of a record that was refused, in text that every database takes."""
    error, meta = refused.error, refused.meta
    return DeadLetter(
        side=Side.CONSUMER,
        state=DeadLetterState.OPEN,
        group=group,
        identity=stored_identity(refused.identity),
        message_type=storable(refused.message_type)[:200],
        version=refused.version if refused.version is not None and abs(refused.version) <= LARGEST_VERSION else None,
        source=storable(meta.source)[:64],
        sequence=meta.sequence or None,
        reason=type(error).__name__[:64],
        error=storable(str(error))[:LONGEST_TEXT],
        traceback=storable("".join(traceback.format_exception(error)))[-LONGEST_TEXT:],
        **_bytes_of(refused.record),
    )


def _bytes_of(record: Record) -> dict[str, Any]:
    return {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "key": record.key.encode() if isinstance(record.key, str) else record.key,
        "value": record.value.encode() if isinstance(record.value, str) else record.value,
        "headers": [[name, base64.b64encode(value or b"").decode()] for name, value in record.headers],
    }
