"""Triggers: what they need, and what no trigger can do."""

from __future__ import annotations

from collections.abc import Iterator

from django.apps import apps
from django.core.checks import CheckMessage, Error

from logpipe_signals.publishing import trigger_sql
from logpipe_signals.registry import Publication


def check_triggers(publication: Publication) -> Iterator[CheckMessage]:
    """Return why a publication's triggers cannot be made, or would be carried by the wrong app."""
    try:
        trigger_sql.require_support(publication)
    except trigger_sql.Unsupported as error:
        yield Error(
            f"Publication {publication.name!r} cannot be captured by triggers: {error}.",
            hint="Use capture='signals', or a key and lookup fields that are plain columns.",
            obj=publication.model,
            id="logpipe_signals.E018",
        )
    if not apps.is_installed("pgtrigger"):
        yield Error(
            f"Publication {publication.name!r} is captured by triggers, which need django-pgtrigger.",
            hint="pip install 'logpipe_signals[postgres]', add 'pgtrigger' to INSTALLED_APPS, run makemigrations.",
            obj=publication.model,
            id="logpipe_signals.E019",
        )
    declaring = apps.get_containing_app_config(publication.declared_in)
    if declaring is not None and declaring.label != publication.model._meta.app_label:
        yield Error(
            f"{publication.declared_in} publishes {publication.model._meta.label} by triggers, which the migrations of "
            f"{publication.model._meta.app_label!r} would have to carry.",
            hint=f"Publish a proxy of {publication.model._meta.label} that {declaring.label!r} declares.",
            obj=publication.model,
            id="logpipe_signals.E020",
        )
