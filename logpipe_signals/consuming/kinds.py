"""What a serializer is about."""

from __future__ import annotations

from django.db import models

from logpipe_signals.registry import SerializerClass


def model_of(serializer_class: SerializerClass) -> type[models.Model] | None:
    """Return the model a serializer writes, where its Meta says so."""
    model = getattr(getattr(serializer_class, "Meta", None), "model", None)
    return model if isinstance(model, type) and issubclass(model, models.Model) else None
