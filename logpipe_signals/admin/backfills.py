"""Backfills: started by publication and lookups, watched, paused, resumed, cancelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminTextareaWidget, AdminTextInputWidget
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from logpipe_signals.admin import trail
from logpipe_signals.admin.databases import DatabaseFilter, aliases_of
from logpipe_signals.admin.figures import duration, number
from logpipe_signals.admin.looking import LookOnlyAdmin, moment
from logpipe_signals.exceptions import BackfillError, DeclarationError
from logpipe_signals.models import Backfill
from logpipe_signals.models.backfills import RUNNABLE, BackfillState
from logpipe_signals.models.trail import TrailAction
from logpipe_signals.publishing import backfills
from logpipe_signals.registry import publications

CONTROL = "logpipe_signals.control_backfill"
STEPS: dict[str, tuple[Callable[[Backfill], None], TrailAction]] = {
    "pause": (backfills.pause, TrailAction.PAUSED),
    "resume": (backfills.resume, TrailAction.RESUMED),
    "cancel": (backfills.cancel, TrailAction.CANCELLED),
}


class StartForm(forms.Form):
    """Which rows of which publication, and how fast."""

    publication = forms.ChoiceField()
    database = forms.ChoiceField(required=False, help_text="Whose rows.")
    where = forms.CharField(
        required=False,
        widget=AdminTextareaWidget(attrs={"rows": 3}),
        help_text="One lookup a line, all of which a row has to meet: country=DE, population__gte=100000. Empty: all.",
    )
    rate = forms.FloatField(
        required=False,
        min_value=0.01,
        widget=AdminTextInputWidget(),
        help_text="The most rows a second. Empty: no bound.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = sorted(publication.name for publication in publications if publication.loads)
        self.fields["publication"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]
        aliases = aliases_of(Backfill)
        choices = [("", "where the model is written"), *((alias, alias) for alias in aliases)]
        self.fields["database"].choices = choices  # type: ignore[attr-defined]
        if len(aliases) < 2:
            del self.fields["database"]

    def clean(self) -> dict[str, Any]:
        """Read the lookups, and let the database be asked for them."""
        data = super().clean() or {}
        if "publication" in data:
            try:
                self.target = backfills.target(data["publication"], data.get("database") or None)
                lines = [line.strip() for line in data.get("where", "").splitlines() if line.strip()]
                self.lookups = backfills.parse_lookups(self.target.publication.model, lines)
                self.plan = backfills.plan(self.target, where=self.lookups, rate=data.get("rate"))
            except (BackfillError, DeclarationError) as error:
                self.add_error("where" if isinstance(error, BackfillError) else "publication", str(error))
        return data


class BackfillAdmin(LookOnlyAdmin):
    """The jobs, the newest first."""

    list_display = ["id", "publication", "state_shown", "progress_shown", "requested_by", moment("created_at")]
    list_filter = [DatabaseFilter, "state", "publication"]
    ordering = ["-id"]

    def has_control_permission(self, request: HttpRequest) -> bool:
        """Tell whether somebody may start, pause, resume and cancel."""
        return bool(request.user.has_perm(CONTROL))

    def get_urls(self) -> list[URLPattern]:
        """Add the form and the steps."""
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        view = self.admin_site.admin_view
        steps = [
            path(f"<path:object_id>/{step}/", view(require_POST(self.step_view)), {"step": step}, name=f"{name}_{step}")
            for step in STEPS
        ]
        return [path("start/", view(self.start_view), name=f"{name}_start"), *steps, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the way to the form above the jobs."""
        panel = {
            "title": "Backfills",
            "panel_template": "logpipe_signals/admin/backfills_panel.html",
            "start_address": self.link("start") if self.has_control_permission(request) else "",
            "has_runner": bool(backfills.runners(self.database(request))),
        }
        return super().changelist_view(request, panel | (extra_context or {}))

    @admin.display(description="state", ordering="state")
    def state_shown(self, job: Backfill) -> str:
        """Return the state as a badge."""
        return format_html(
            '<span class="logpipe-state logpipe-state-{}">{}</span>', job.state, BackfillState(job.state).label
        )

    @admin.display(description="progress")
    def progress_shown(self, job: Backfill) -> str:
        """Return how many rows are in the outbox or sent."""
        if job.rows_total is None:
            return f"{number(job.rows_done)} rows"
        bar = '<progress class="logpipe-done" value="{}" max="{}"></progress> {} of {}'
        done, total = job.rows_done, max(1, job.rows_total)
        return format_html(bar, str(min(done, total)), str(total), number(done), number(job.rows_total))

    # --- one job ------------------------------------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show how far a job is, with the steps that its state allows."""
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        job: Backfill = self.row(request, object_id)
        using = self.database(request)
        return self.page(
            request,
            "backfill.html",
            f"Backfill {job.pk}",
            job=job,
            row=progress_row(job),
            steps=self._steps(job, request) if self.has_control_permission(request) else (),
            needs_runner=job.state in RUNNABLE and not backfills.runner_of(job) and not backfills.runners(using),
            refresh_seconds=2 if job.state in RUNNABLE else None,
            trail=trail.of(job, using),
        )

    def step_view(self, request: HttpRequest, object_id: str, step: str) -> HttpResponse:
        """Pause, resume or cancel."""
        job: Backfill = self.row(request, object_id)
        if not self.has_control_permission(request):
            raise PermissionDenied
        act, action = STEPS[step]
        entries = trail.begin(request, action, [job], job.using)
        try:
            act(job)
        except BackfillError as error:
            outcome = str(error)
            self.message_user(request, outcome, messages.ERROR)
        else:
            outcome = f"it is {BackfillState(job.state).label}"
            self.log_change(request, job, f"{TrailAction(action).label.capitalize()}.")
            self.message_user(request, f"Backfill {job.pk}: {outcome}.", messages.SUCCESS)
        trail.end(entries, {str(job.pk): outcome}, job.using)
        return HttpResponseRedirect(self.link("change", job.pk, using=job.using))

    def start_view(self, request: HttpRequest) -> HttpResponse:
        """Show the form; with `plan` what the job would be; with `start` start it."""
        if not (self.has_view_permission(request) and self.has_control_permission(request)):
            raise PermissionDenied
        form = StartForm(request.POST or None, initial={"publication": request.GET.get("publication", "")})
        is_valid = request.method == "POST" and form.is_valid()
        if is_valid and "start" in request.POST:
            job = self._start(request, form)
            return HttpResponseRedirect(self.link("change", job.pk, using=job.using))
        plan = form.plan if is_valid else None
        context = {"form": form, "plan": plan, "plan_seconds": duration(plan.seconds) if plan else ""}
        context["plan_rows"] = number(plan.rows) if plan else ""
        return self.page(request, "backfill_start.html", "Start a backfill", **context)

    def _start(self, request: HttpRequest, form: StartForm) -> Backfill:
        job = backfills.start(
            form.target.publication.name,
            using=form.target.using,
            where=form.lookups,
            rate=form.cleaned_data["rate"],
            requested_by=request.user.get_username(),
        )
        entries = trail.begin(request, TrailAction.STARTED, [job], job.using)
        trail.end(entries, {str(job.pk): "it waits for a runner"}, job.using)
        self.log_addition(request, job, "Started.")
        self.message_user(request, f"Backfill {job.pk} is started.", messages.SUCCESS)
        return job

    def _steps(self, job: Backfill, request: HttpRequest) -> list[tuple[str, str]]:
        allowed = {
            BackfillState.WAITING: ("pause", "cancel"),
            BackfillState.RUNNING: ("pause", "cancel"),
            BackfillState.PAUSED: ("resume", "cancel"),
            BackfillState.FAILED: ("resume", "cancel"),
        }
        steps = allowed.get(BackfillState(job.state), ())
        return [(step.capitalize(), self.link(step, job.pk, using=job.using)) for step in steps]


def progress_row(job: Backfill) -> dict[str, Any]:
    """Return what pages show of a job's progress."""
    found = backfills.progress(job)
    return {
        "job": job,
        "percent": None if found.share is None else str(round(100 * found.share)),
        "sent": number(found.rows_sent),
        "total": number(found.rows_total),
        "waiting": number(found.rows_waiting),
        "pace": number(found.rows_per_second) if found.rows_per_second else "",
        "left": duration(found.seconds_left) if job.state in RUNNABLE else "",
        "runner": found.runner,
        "is_known": found.is_known,
        "where": [f"{lookup}={value}" for lookup, value in job.where.items()],
    }


def unfinished(using: str) -> list[dict[str, Any]]:
    """Return the jobs of a database that wait, run or are paused."""
    jobs = Backfill.objects.using(using).unfinished().order_by("pk")[:50]
    return [progress_row(job) for job in jobs]
