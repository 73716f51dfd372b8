"""A model without a table of its own, for what is about all tables."""

from __future__ import annotations

from logpipe_signals.models.source import Source


class Overview(Source):
    """The overview page's place in the admin's list, and its permission."""

    class Meta:
        proxy = True
        verbose_name = "overview"
        verbose_name_plural = "overview"
        default_permissions = ("view",)
