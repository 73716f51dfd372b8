"""
Every page stands up in a browser: in light and dark, on a narrow screen, under a strict content security policy.

`pytest --screenshots docs/images tests/browser/test_pages.py` writes the pictures that the documentation shows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from logpipe_signals.models import Backfill, DeadLetter
from tests.browser import town
from tests.browser.conftest import WIDTH

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)
ADMIN = "/admin/logpipe_signals"
TALLEST = 1300
Picture = Callable[[Any, str], None]


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Picture:
    """Return a function that writes a picture where pictures are asked for."""
    folder = request.config.getoption("--screenshots")

    def take(page: Any, name: str) -> None:
        if folder:
            height = min(TALLEST, page.evaluate("document.documentElement.scrollHeight"))
            clip = {"x": 0, "y": 0, "width": WIDTH, "height": height}
            page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True, clip=clip)

    return take


def fits(page: Any) -> bool:
    """Tell whether nothing sticks out at the side."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1"))


def test_every_page_shows_the_town_in_a_browser(open_page: Any, boss: Any, picture: Picture) -> None:
    town.settle()
    letter = DeadLetter.objects.using("subscriber").filter(state="open").earliest("pk")
    job = Backfill.objects.earliest("pk")
    page = open_page(boss)
    words = {
        "overview": (f"{ADMIN}/overview/", "wait in the outbox"),
        "outbox": (f"{ADMIN}/outboxrow/", "Waiting, by publication"),
        "relays": (f"{ADMIN}/lease/", "64 of 64 are held"),
        "consumers": (f"{ADMIN}/offset/?database=subscriber", "Lag, by topic and group"),
        "dead-letters": (f"{ADMIN}/deadletter/?database=subscriber", "ValidationError"),
        "payload": (f"{ADMIN}/deadletter/{letter.pk}/payload/?database=subscriber", "[redacted]"),
        "dead-letter": (f"{ADMIN}/deadletter/{letter.pk}/change/?database=subscriber", "belongs to somebody else"),
        "backfills": (f"{ADMIN}/backfill/", "places.city:cities"),
        "backfill": (f"{ADMIN}/backfill/{job.pk}/change/", "rows a second"),
        "backfill-start": (f"{ADMIN}/backfill/start/", "One lookup a line"),
        "trail": (f"{ADMIN}/trailentry/?database=subscriber", "looked at the payload"),
    }
    for name, (address, expected) in words.items():
        page.goto(address)
        assert expected in page.content(), name
        picture(page, name)
    dark = open_page(boss, colours="dark")
    for name in ("overview", "dead-letter"):
        dark.goto(words[name][0])
        picture(dark, f"{name}-dark")


def test_no_page_is_wider_than_a_telephone(open_page: Any, boss: Any) -> None:
    page = open_page(boss)
    page.set_viewport_size({"width": 390, "height": 800})
    for model in ("overview", "outboxrow", "lease", "offset", "deadletter", "backfill"):
        page.goto(f"{ADMIN}/{model}/")
        assert fits(page), model
