"""Views for probes and scrapers. They need no login and tell no secrets; keep them from the public all the same."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from logpipe_signals import health


@never_cache
@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """Answer: this process can. Asks no database, so that a restart is never the answer to a database's trouble."""
    return JsonResponse({"status": "live"})


@never_cache
@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """
    Answer 200 where the databases can be reached, else 503, with what was found.

    `?max_oldest_seconds=300&max_lag_records=10000` ask for these too.
    """
    try:
        bounds = {name: float(request.GET[name]) for name in BOUNDS if name in request.GET}
    except ValueError:
        return JsonResponse({"status": "unknown", "error": f"Give {' and '.join(BOUNDS)} as numbers."}, status=400)
    found = health.readiness(**bounds)
    body = {"status": "ready" if found.ready else "not ready", "checks": dict(found.checks)}
    return JsonResponse(body, status=200 if found.ready else 503)


BOUNDS = ("max_oldest_seconds", "max_lag_records")


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer a scraper; 501 where prometheus-client is not installed."""
    from django.core.exceptions import ImproperlyConfigured

    from logpipe_signals import metrics as prometheus

    try:
        page, content_type = prometheus.render(request.headers.get("Accept", ""))
    except ImproperlyConfigured as error:
        return HttpResponse(str(error), status=501, content_type="text/plain")
    return HttpResponse(page, content_type=content_type)
