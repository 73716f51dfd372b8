"""Today's settings, and tomorrow's app."""

from testproject.settings import *  # noqa: F403
from testproject.settings import INSTALLED_APPS as TODAYS_APPS

INSTALLED_APPS = [*TODAYS_APPS, "tests.acceptance.tomorrow"]
