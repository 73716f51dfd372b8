"""
One shallow tree of errors; django-logpipe's names keep their meaning.

Every message says what failed, which thing it was, and the cure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import serializers

if TYPE_CHECKING:
    from logpipe_signals.backend.base import Gap, Record


class LogPipeError(Exception):
    """The root of everything this package raises."""


# --- declarations -----------------------------------------------------------------------------------------------------


class DeclarationError(LogPipeError):
    """A publication, subscription or setting cannot work as written."""


# --- publishing -------------------------------------------------------------------------------------------------------


class BackendUnavailable(LogPipeError):
    """The log cannot be reached now; nothing of this call was acknowledged and everything may be tried again."""


class MessageRejected(LogPipeError):
    """The log will never take this message (too large, invalid); trying again cannot help."""


class MissingTopicError(LogPipeError):
    """The topic does not exist on the log."""


class LeaseLost(LogPipeError):
    """This process no longer holds the lease under which it meant to write."""


class BackfillError(LogPipeError):
    """A backfill cannot do what was asked: its options contradict its publication, or its state does not allow it."""


# --- both sides -------------------------------------------------------------------------------------------------------


class Parked(LogPipeError):
    """A change waits behind an earlier one of its identity that could not be sent, or applied."""


# --- formats ----------------------------------------------------------------------------------------------------------


class UnknownFormatError(LogPipeError):
    """No renderer or parser is registered under this format's code."""


class SchemaViolation(LogPipeError):
    """A message does not fit the JSON Schema of its serializer; the text names the fields, and no values."""


# --- consuming --------------------------------------------------------------------------------------------------------


class PositionConflict(LogPipeError):
    """The stored position is not the one last read: another consumer owns this partition now."""


class GapFound(LogPipeError):
    """
    The log dropped records before they were read, and the subscription's policy is to stop there.

    Attributes:
        gap: From where to where.
    """

    def __init__(self, descr: str, gap: Gap) -> None:
        super().__init__(descr)
        self.gap = gap


class LogPipeMessageError(LogPipeError):
    """
    A record could not be applied.

    Attributes:
        message: The record, with its position on the log.
    """

    message: Record

    def __init__(self, descr: Any, message: Record) -> None:
        super().__init__(descr)
        self.message = message


class IgnoredMessageTypeError(LogPipeMessageError):
    """The consumer was told to pass over this type."""


class UnknownMessageTypeError(LogPipeMessageError):
    """No serializer is registered for this type."""


class UnknownMessageVersionError(LogPipeMessageError):
    """Serializers are registered for this type, but none for this version."""


class InvalidMessageError(LogPipeMessageError):
    """The record's bytes are no envelope, or its message lacks what `lookup_instance` needs."""


class ValidationError(LogPipeMessageError, serializers.ValidationError):
    """
    The serializer refused the message.

    Attributes:
        detail: DRF's errors by field.
    """

    def __init__(self, descr: Any, message: Record) -> None:
        serializers.ValidationError.__init__(self, getattr(descr, "detail", descr))
        self.args = (descr,)
        self.message = message
