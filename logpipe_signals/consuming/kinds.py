"""Kinds of serializers: DRF's and Pydantic's, told apart without importing Pydantic."""

from __future__ import annotations

from django.db import models

from logpipe_signals.registry import SerializerClass


def is_pydantic(serializer_class: SerializerClass) -> bool:
    """Tell a Pydantic model from a DRF serializer."""
    return isinstance(serializer_class, type) and hasattr(serializer_class, "model_validate")


def model_of(serializer_class: SerializerClass) -> type[models.Model] | None:
    """Return the model a serializer writes, where its Meta says so."""
    model = getattr(getattr(serializer_class, "Meta", None), "model", None)
    return model if isinstance(model, type) and issubclass(model, models.Model) else None
