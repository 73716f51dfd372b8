"""The test project's settings, with tables of our own, and a third side that holds a deep backlog."""

from testproject.settings import *  # noqa: F403
from testproject.settings import DATABASES, INSTALLED_APPS, database

INSTALLED_APPS = [*INSTALLED_APPS, "pgtrigger", "benchmarks"]
DATABASES = {**DATABASES, "deep": database("_deep")}
DATABASE_ROUTERS = ["benchmarks.router.DeepRouter"]
