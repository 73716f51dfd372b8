"""Dead letters: found, looked at, replayed, skipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_GET, require_POST

from logpipe_signals.admin import payloads, repair, trail
from logpipe_signals.admin.databases import DatabaseFilter
from logpipe_signals.admin.looking import LookOnlyAdmin, moment
from logpipe_signals.models import DeadLetter
from logpipe_signals.models.dead_letters import WAITING
from logpipe_signals.models.trail import TrailAction

PAYLOAD = "logpipe_signals.view_payload"
WHOLE_PAYLOAD = "logpipe_signals.view_unredacted_payload"
REPLAY = "logpipe_signals.replay_deadletter"
Repair = Callable[[HttpRequest, Any], repair.Repaired]


class DeadLetterAdmin(LookOnlyAdmin):
    """What was set aside, with its error, and, for those who may, its bytes."""

    list_display = ["id", moment("created"), "side", "state", "topic", "identity", "reason", "attempts"]
    list_filter = [DatabaseFilter, "state", "side", "topic", "reason", "created"]
    search_fields = ["identity", "object_id", "topic", "reason", "error"]
    search_help_text = "Looks in topic, identity, reason and error; a whole key finds its letters too."
    ordering = ["-id"]
    actions = ["replay_selected", "skip_selected"]

    # --- the list -----------------------------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list under its name."""
        return super().changelist_view(request, {"title": "Dead letters"} | (extra_context or {}))

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Find by text, and by the whole key, which is bytes."""
        found, may_have_duplicates = super().get_search_results(request, queryset, search_term)
        if search_term:
            found = found | queryset.filter(Q(key=search_term.encode()))
        return found, may_have_duplicates

    def has_replay_permission(self, request: HttpRequest) -> bool:
        """Tell whether somebody may replay and skip: that is to write rows, or to give changes up."""
        return bool(request.user.has_perm(REPLAY))

    @admin.action(description="Replay: apply them, or send their rows, once more", permissions=["replay"])
    def replay_selected(self, request: HttpRequest, queryset: Any) -> None:
        """Do what `manage.py replay_dead_letters` does."""
        self._repair_selected(request, queryset, repair.replay, "replayed")

    @admin.action(description="Skip: close them without applying or sending", permissions=["replay"])
    def skip_selected(self, request: HttpRequest, queryset: Any) -> None:
        """Close them."""
        self._repair_selected(request, queryset, repair.skip, "skipped")

    def _repair_selected(self, request: HttpRequest, letters: Any, act: Repair, what: str) -> None:
        count = letters.count()
        if count > repair.MOST_AT_ONCE:
            text = f"{count} are too many to be {what} from here. Use manage.py replay_dead_letters, or select fewer."
            self.message_user(request, text, messages.ERROR)
            return
        waiting = list(letters.filter(state__in=WAITING).defer("value", "payload", "headers", "traceback"))
        self._tell(request, act(request, letters), what)
        # For the site's list of recent actions; the trail says more.
        LogEntry.objects.log_actions(request.user.pk or 0, waiting, CHANGE, f"{what.capitalize()}: see its trail.")

    def _tell(self, request: HttpRequest, done: repair.Repaired, what: str) -> None:
        if done.closed:
            self.message_user(request, f"{done.closed} {what}.", messages.SUCCESS)
        if done.left:
            self.message_user(request, f"{done.left} still fail or wait; each one's trail says why.", messages.WARNING)
        if done.passed_over:
            self.message_user(request, f"{done.passed_over} closed before, and left as they were.", messages.INFO)

    # --- one letter ---------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Add the pages and steps of one letter."""
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        own = [
            ("payload", require_GET(self.payload_view)),
            ("download", require_GET(self.download_view)),
            ("replay", require_POST(self.replay_view)),
            ("skip", require_POST(self.skip_view)),
        ]
        steps = [
            path(f"<path:object_id>/{step}/", self.admin_site.admin_view(view), name=f"{name}_{step}")
            for step, view in own
        ]
        return [*steps, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show a letter without its payload."""
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request):
            raise PermissionDenied
        letter: DeadLetter = self.row(request, object_id)
        using, payload = self.database(request), payloads.payload_of(letter)
        return self.page(
            request,
            "dead_letter.html",
            f"Dead letter {letter.pk}",
            letter=letter,
            payload=payload,
            error=payload.hidden(letter.error),
            traceback=payload.hidden(letter.traceback),
            identity=payload.hidden(letter.identity),
            is_waiting=letter.state in WAITING,
            may_replay=self.has_replay_permission(request),
            may_see_payload=self._may_see(request, payload),
            may_see_all=request.user.has_perm(WHOLE_PAYLOAD),
            trail=trail.of(letter, using),
            links=self._links(request, letter),
        )

    def payload_view(self, request: HttpRequest, object_id: str) -> TemplateResponse:
        """Show the payload, and write down that somebody looked at it."""
        letter: DeadLetter = self.row(request, object_id)
        payload = payloads.payload_of(letter)
        whole = "whole" in request.GET
        if not (request.user.has_perm(WHOLE_PAYLOAD) if whole else self._may_see(request, payload)):
            raise PermissionDenied
        self._note(request, TrailAction.LOOKED_AT_ALL if whole else TrailAction.LOOKED, letter)
        text, is_cut = payloads.shortened(payload.pretty(whole=whole))
        kept, is_kept_cut = payloads.shortened(payload.kept(whole=whole))
        return self.page(
            request,
            "payload.html",
            f"Payload of dead letter {letter.pk}",
            letter=letter,
            payload=payload,
            whole=whole,
            text=text,
            is_cut=is_cut or is_kept_cut,
            kept=kept,
            key=payload.key(whole=whole),
            headers=payload.headers(whole=whole),
            bytes_as_text=payloads.shortened(payloads.text_of(letter.value))[0] if whole else "",
            bytes_as_hex=payloads.hex_of(letter.value) if whole else "",
            hex_bytes=payloads.HEX_BYTES,
            may_see_all=request.user.has_perm(WHOLE_PAYLOAD),
            links=self._links(request, letter),
        )

    def download_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Hand out the bytes as they were read, and write down who took them."""
        letter: DeadLetter = self.row(request, object_id)
        if not request.user.has_perm(WHOLE_PAYLOAD):
            raise PermissionDenied
        self._note(request, TrailAction.DOWNLOADED, letter)
        headers = {
            "Content-Disposition": f'attachment; filename="dead-letter-{letter.pk}.bin"',
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }
        return HttpResponse(bytes(letter.value or b""), content_type="application/octet-stream", headers=headers)

    def replay_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Replay one letter."""
        return self._repair_one(request, object_id, repair.replay, "replayed")

    def skip_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Skip one letter."""
        return self._repair_one(request, object_id, repair.skip, "skipped")

    def _repair_one(self, request: HttpRequest, object_id: str, act: Repair, what: str) -> HttpResponse:
        letter: DeadLetter = self.row(request, object_id)
        if not self.has_replay_permission(request):
            raise PermissionDenied
        self._tell(request, act(request, self.get_queryset(request).filter(pk=letter.pk)), what)
        self.log_change(request, letter, f"{what.capitalize()}: see its trail.")
        return HttpResponseRedirect(self.link("change", letter.pk, request=request))

    def _may_see(self, request: HttpRequest, payload: payloads.Payload) -> bool:
        """What cannot be redacted is for those who may see everything."""
        return payload.can_be_redacted and bool(request.user.has_perm(PAYLOAD))

    def _note(self, request: HttpRequest, action: TrailAction, letter: DeadLetter) -> None:
        using = self.database(request)
        entries = trail.begin(request, action, [letter], using)
        trail.end(entries, {str(letter.pk): "shown" if action != TrailAction.DOWNLOADED else "handed out"}, using)

    def _links(self, request: HttpRequest, letter: DeadLetter) -> dict[str, str]:
        pages = ("change", "payload", "download", "replay", "skip")
        return {page: self.link(page, letter.pk, request=request) for page in pages}
