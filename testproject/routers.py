"""Which side a model is on."""

from __future__ import annotations

from typing import Any

from django.db import models

EVERYWHERE = ("logpipe_signals", "zoo")


class SideRouter:
    """`testproject.mirror` lives on the subscriber's side, all else on the publisher's; logpipe_signals on both."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        """Return the model's side."""
        return self._side(model._meta.app_label)

    def db_for_write(self, model: type[models.Model], **hints: Any) -> str | None:
        """Return the model's side."""
        return self._side(model._meta.app_label)

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        """Migrate logpipe_signals everywhere, every other app on its own side."""
        return None if app_label in EVERYWHERE else db == (self._side(app_label) or "default")

    def _side(self, app_label: str) -> str | None:
        if app_label in EVERYWHERE:
            return None
        return "subscriber" if app_label == "mirror" else "default"
