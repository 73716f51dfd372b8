"""
Addresses for probes and scrapers: `path("logpipe/", include("logpipe_signals.urls"))`.

    logpipe/live       this process answers
    logpipe/ready      its databases do too; age and lag where asked
    logpipe/metrics    Prometheus
"""

from __future__ import annotations

from contextlib import suppress

from django.core.exceptions import ImproperlyConfigured
from django.urls import path

from logpipe_signals import metrics, views

app_name = "logpipe_signals"
urlpatterns = [
    path("live", views.live, name="live"),
    path("ready", views.ready, name="ready"),
    path("metrics", views.metrics, name="metrics"),
]

with suppress(ImproperlyConfigured):  # Without prometheus-client there is nothing to count with; the view says so.
    metrics.install()
