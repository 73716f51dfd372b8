"""The test project's settings, with leases of seconds and with whatever LOGPIPE_SETTINGS (JSON) says."""

from __future__ import annotations

import json
import os

from testproject.settings import *  # noqa: F403
from testproject.settings import INSTALLED_APPS, LOGPIPE

INSTALLED_APPS = [*INSTALLED_APPS, "pgtrigger", "tests.scenarios.publishing"]

# Made by `makemigrations` for each run, so that what carries the triggers is what a project would have.
MIGRATION_MODULES = {"publishing_scenarios": "scenario_migrations"}

LOGPIPE = {
    **LOGPIPE,
    "SOURCE": "scenario",
    "LANES": 16,
    "LEASE_SECONDS": 2.0,
    "RELAY_BATCH_SIZE": 25,
    "RELAY_POLL_SECONDS": 0.25,
    "RELAY_SEND_TIMEOUT_SECONDS": 1.5,
    "RELAY_RETRY_SECONDS": 0.1,
    "RELAY_MAX_RETRY_SECONDS": 1.0,
    **json.loads(os.environ.get("LOGPIPE_SETTINGS", "{}")),
}
