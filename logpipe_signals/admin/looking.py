"""What all pages have in common: they show rows of one database, and change none by a form."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import models, router
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html

from logpipe_signals.admin.databases import DATABASE, DatabaseFilter, chosen_database


def moment(field: str) -> Any:
    """Return a column that shows a time in little room."""

    @admin.display(description=field.removesuffix("_at").replace("_", " "), ordering=field)
    def shown(row: models.Model) -> str:
        value = getattr(row, field)
        if value is None:
            return "-"
        text = date_format(timezone.localtime(value) if timezone.is_aware(value) else value, "Y-m-d H:i")
        return format_html('<span class="logpipe-moment">{}</span>', text)

    return shown


class LookOnlyAdmin(admin.ModelAdmin):
    """Shows, changes nothing."""

    show_full_result_count = False  # The outbox may hold millions.
    list_per_page = 50
    list_filter = [DatabaseFilter]
    change_list_template = "logpipe_signals/admin/change_list.html"

    class Media:
        css = {"all": ["logpipe_signals/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the rows of the chosen database."""
        return super().get_queryset(request).using(self.database(request))

    def database(self, request: HttpRequest) -> str:
        """Return the alias a request looks at; by default the one that is written, never a replica."""
        return chosen_database(request, self.model) or router.db_for_write(self.model)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Say no."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False

    def row(self, request: HttpRequest, object_id: str) -> Any:
        """
        Return the row that a page of its own is about.

        Raises:
            PermissionDenied: This user may not look at these rows.
            Http404: It is not there, or not on this database.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = self.get_object(request, object_id)
        if found is None:
            raise Http404(f"There is no {self.opts.verbose_name} {object_id} on {self.database(request)!r}.")
        return found

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """Show the row's own page instead: what was done to it stands there."""
        return HttpResponseRedirect(self.link("change", object_id, request=request))

    def link(self, page: str, *arguments: Any, request: HttpRequest | None = None, using: str | None = None) -> str:
        """Return the address of one of this model's pages, on the database that the request looks at."""
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_{page}"
        address = reverse(name, args=arguments, current_app=self.admin_site.name)
        chosen = using or (chosen_database(request, self.model) if request is not None else None)
        return f"{address}?{urlencode({DATABASE: chosen})}" if chosen else address

    def page(self, request: HttpRequest, template: str, title: str, **context: Any) -> TemplateResponse:
        """Return a page of this site."""
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]
        whole = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "media": self.media,
            "list_address": self.link("changelist", request=request),
            **context,
        }
        return TemplateResponse(request, f"logpipe_signals/admin/{template}", whole)
