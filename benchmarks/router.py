"""Which side a model is on: `deep` has what the publisher's side has."""

from __future__ import annotations

from typing import Any

from testproject.routers import SideRouter


class DeepRouter(SideRouter):
    """The test project's sides, and `deep`."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        """Migrate on `deep` as on the publisher's side."""
        return super().allow_migrate("default" if db == "deep" else db, app_label, **hints)
