"""The admin, and what probes and scrapers ask."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("admin/", admin.site.urls), path("logpipe/", include("logpipe_signals.urls"))]
