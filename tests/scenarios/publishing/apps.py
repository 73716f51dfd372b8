"""Takes a promise out of a scenario's processes, where LOGPIPE_MUTATION names one."""

from __future__ import annotations

import os

from django.apps import AppConfig


class ScenarioConfig(AppConfig):
    """Has no models, only patches."""

    name = "tests.scenarios.publishing"
    label = "publishing_scenarios"

    def ready(self) -> None:
        """Take out what is named."""
        from tests.scenarios.publishing import mutations

        if name := os.environ.get("LOGPIPE_MUTATION"):
            mutations.MUTATIONS[name]()
