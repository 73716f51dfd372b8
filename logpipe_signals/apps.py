"""Ready: find publishers.py and consumers.py, connect capture, register checks."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class LogpipeSignalsConfig(AppConfig):
    """The app `logpipe_signals`."""

    name = "logpipe_signals"
    verbose_name = "Logpipe"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect everything once all models are known."""
        from logpipe_signals import checks  # noqa: F401  (registers itself)
        from logpipe_signals.publishing import capture

        autodiscover_modules("publishers", "consumers")
        capture.connect()
