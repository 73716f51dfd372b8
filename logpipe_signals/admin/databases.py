"""Which database a page shows, where several have the tables."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from django.contrib import admin
from django.db import connections, models, router
from django.http import HttpRequest

DATABASE = "database"


class DatabaseFilter(admin.SimpleListFilter):
    """Chooses the database to look at, where several have the table."""

    title = "database"
    parameter_name = DATABASE

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the aliases that have the table, if there is anything to choose."""
        aliases = aliases_of(model_admin.model)
        return [(alias, alias) for alias in aliases] if len(aliases) > 1 else []

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Leave it: `LookOnlyAdmin.get_queryset` has chosen already, for the pages of single rows too."""
        return queryset


def aliases_of(model: type[models.Model]) -> list[str]:
    """Return the databases that have a model's table."""
    return [alias for alias in connections if router.allow_migrate_model(alias, model)]


def chosen_database(request: HttpRequest, model: type[models.Model]) -> str | None:
    """Return the alias that a request names, by itself or by the filters of the list it comes from."""
    filters = parse_qs(request.GET.get("_changelist_filters", ""))
    chosen = request.GET.get(DATABASE) or next(iter(filters.get(DATABASE, [])), None)
    return chosen if chosen in aliases_of(model) else None
