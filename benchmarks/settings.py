"""The test project's settings, with models of our own beside its, and a worker that nobody but a benchmark starts."""

from testproject.settings import *  # noqa: F403
from testproject.settings import INSTALLED_APPS, LOGPIPE

INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks"]
LOGPIPE = {**LOGPIPE, "RELAY": "worker"}
