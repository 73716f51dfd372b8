"""
The admin: what waits in the outbox, what was set aside, who holds which lease, where consumers stand.

Everything here is to look at, on every database that has the tables: rows are written by the relay and the consumers
alone, and a position or an outbox row changed by hand would lose messages. Dead letters can be replayed and skipped.
"""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qs

from django.contrib import admin, messages
from django.db import connections, models, router
from django.http import HttpRequest

from logpipe_signals.models import DeadLetter, Lease, Offset, OutboxRow

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


class LookOnlyAdmin(admin.ModelAdmin):
    """Shows, changes nothing."""

    show_full_result_count = False  # The outbox may hold millions.
    list_filter = [DatabaseFilter]

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the rows of the chosen database."""
        queryset = super().get_queryset(request)
        chosen = request.GET.get(DATABASE) or _first(parse_qs(request.GET.get("_changelist_filters", "")).get(DATABASE))
        return queryset.using(chosen) if chosen in aliases_of(self.model) else queryset

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Say no."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False


@admin.register(OutboxRow)
class OutboxRowAdmin(LookOnlyAdmin):
    """What waits to be sent, the oldest first."""

    list_display = ["id", "publication", "object_id", "operation", "lane", "priority", "attempts", "created_at"]
    list_filter = [DatabaseFilter, "operation", "priority"]
    search_fields = ["publication", "object_id", "key"]
    ordering = ["id"]
    fields = [
        *("id", "publication", "object_id", "key", "operation", "lane", "priority"),
        *("attempts", "created_at", "retry_at"),
    ]


@admin.register(DeadLetter)
class DeadLetterAdmin(LookOnlyAdmin):
    """What was set aside, with its bytes and its error."""

    list_display = ["id", "created", "side", "state", "topic", "identity", "reason", "attempts"]
    list_filter = [DatabaseFilter, "state", "side", "topic", "reason"]
    search_fields = ["identity", "object_id", "topic", "reason"]
    ordering = ["-id"]
    actions = ["replay_selected", "skip_selected"]
    fieldsets = [
        (None, {"fields": ["side", "state", "reason", "error", "attempts", "created", "modified"]}),
        ("Row", {"fields": ["identity", "message_type", "version", "publication", "object_id", "source", "sequence"]}),
        ("Record", {"fields": ["topic", "partition", "offset", "group", "key_text", "value_text", "headers_text"]}),
        ("Traceback", {"fields": ["traceback"], "classes": ["collapse"]}),
    ]

    def has_replay_permission(self, request: HttpRequest) -> bool:
        """Ask for the permission to change dead letters: to replay is to write rows."""
        return bool(request.user.has_perm("logpipe_signals.change_deadletter"))

    @admin.action(description="Replay: apply them, or send their rows, once more", permissions=["replay"])
    def replay_selected(self, request: HttpRequest, queryset: Any) -> None:
        """Do what `manage.py replay_dead_letters` does."""
        from logpipe_signals.consuming import replay as applying
        from logpipe_signals.consuming.consumer import MultiConsumer
        from logpipe_signals.consuming.declared import declared_consumers
        from logpipe_signals.exceptions import DeclarationError
        from logpipe_signals.publishing import replay as publishing

        resent = publishing.replay(queryset)
        try:
            report = applying.replay(queryset, MultiConsumer(*declared_consumers()).routes())
        except DeclarationError:  # A project that only publishes has no consumers to apply anything.
            report = applying.ReplayReport()
        self.message_user(request, f"{resent} back in the outbox, {len(report.replayed)} applied.")
        left = len(report.failed) + len(report.waiting)
        if left:
            self.message_user(request, f"{left} still fail or wait behind one that does.", messages.WARNING)

    @admin.action(description="Skip: close them without applying or sending", permissions=["replay"])
    def skip_selected(self, request: HttpRequest, queryset: Any) -> None:
        """Close them."""
        from logpipe_signals.consuming import replay as applying
        from logpipe_signals.publishing import replay as publishing

        self.message_user(request, f"{publishing.skip(queryset) + applying.skip(queryset)} skipped.")

    @admin.display(description="key")
    def key_text(self, letter: DeadLetter) -> str:
        """Return the key, what is no UTF-8 escaped."""
        return _text(letter.key)

    @admin.display(description="value")
    def value_text(self, letter: DeadLetter) -> str:
        """Return the bytes of the message, what is no UTF-8 escaped."""
        return _text(letter.value)

    @admin.display(description="headers")
    def headers_text(self, letter: DeadLetter) -> str:
        """Return one header a line."""
        return "\n".join(f"{name}: {_text(base64.b64decode(value or ''))}" for name, value in letter.headers)


@admin.register(Lease)
class LeaseAdmin(LookOnlyAdmin):
    """Who works on which lane, shard or partition, until when."""

    list_display = ["kind", "name", "owner", "token", "acquired_at", "expires_at"]
    list_filter = [DatabaseFilter, "kind", "owner"]
    ordering = ["kind", "number", "name"]


@admin.register(Offset)
class OffsetAdmin(LookOnlyAdmin):
    """Where each consumer group stands."""

    list_display = ["group", "topic", "partition", "position", "log", "updated_at"]
    list_filter = [DatabaseFilter, "group", "topic"]
    ordering = ["group", "topic", "partition"]


def _first(values: list[str] | None) -> str | None:
    return values[0] if values else None


def _text(value: Any) -> str:
    return "" if value is None else bytes(value).decode(errors="backslashreplace")
