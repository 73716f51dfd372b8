"""Today's settings, with the people of the topic written into the table that is published to it."""

from testproject.settings import *  # noqa: F403
from testproject.settings import INSTALLED_APPS as TODAYS_APPS

INSTALLED_APPS = [*(app for app in TODAYS_APPS if app != "testproject.mirror"), "tests.acceptance.twoway"]
