"""A dead letter is found, looked at and replayed, with the mouse and with the keyboard."""

from __future__ import annotations

import re
from typing import Any

import pytest

from logpipe_signals.models import DeadLetter, TrailEntry
from logpipe_signals.models.dead_letters import DeadLetterState
from testproject.mirror.models import PersonCopy
from tests.unit.admin.conftest import SECRET, letter, message

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)
LIST = "/admin/logpipe_signals/deadletter/?database=subscriber"


def test_a_dead_letter_is_found_looked_at_and_replayed(open_page: Any, boss: Any) -> None:
    wanted = letter("subscriber", value=message(), group="town", identity="person:12", error=f"{SECRET} is taken")
    letter("subscriber", identity="person:13")
    page = open_page(boss)

    page.goto(LIST)
    page.locator("#searchbar").fill("person:12")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name=str(wanted.pk), exact=True).click()

    assert "[redacted] is taken" in page.content()
    page.get_by_role("link", name="Look at the payload", exact=True).click()
    shown = page.locator("pre[aria-label=Message]").inner_text()
    assert '"last_name": "Schmoe"' in shown
    assert SECRET not in page.content()

    page.get_by_role("link", name=f"Dead letter {wanted.pk}").click()
    page.get_by_role("button", name="Replay").click()
    page.get_by_text("1 replayed.").wait_for()

    assert PersonCopy.objects.get().email == SECRET
    assert DeadLetter.objects.using("subscriber").get(pk=wanted.pk).state == DeadLetterState.REPLAYED
    told = page.locator("section[aria-labelledby=trail]").inner_text()
    assert re.search(r"ann\s+replayed\s+applied", told)
    assert re.search(r"ann\s+looked at the payload", told)


def test_several_are_skipped_from_the_list(open_page: Any, boss: Any) -> None:
    rows = [letter("subscriber"), letter("subscriber")]
    page = open_page(boss)

    page.goto(LIST)
    page.locator("#action-toggle").check()
    page.get_by_label("Action:").select_option("skip_selected")
    page.get_by_role("button", name="Run" if page.get_by_role("button", name="Run").count() else "Go").click()
    page.get_by_text("2 skipped.").wait_for()

    assert TrailEntry.objects.using("subscriber").filter(outcome="closed unapplied").count() == len(rows)


def test_a_letter_is_skipped_with_the_keyboard_alone(open_page: Any, boss: Any) -> None:
    row = letter("subscriber")
    page = open_page(boss)
    page.goto(f"/admin/logpipe_signals/deadletter/{row.pk}/change/?database=subscriber")

    skip = page.get_by_role("button", name="Skip")
    for _ in range(60):
        page.keyboard.press("Tab")
        if skip.evaluate("button => button === document.activeElement"):
            break
    page.keyboard.press("Enter")
    page.get_by_text("1 skipped.").wait_for()


def test_script_in_a_letter_does_not_run(open_page: Any, boss: Any) -> None:
    script = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
    row = letter("subscriber", value=message(first_name=script), error=script, identity=script, traceback=script)
    page = open_page(boss)
    for address in ("", f"{row.pk}/change/", f"{row.pk}/payload/"):
        page.goto(f"/admin/logpipe_signals/deadletter/{address}?database=subscriber")
        assert "taken" not in page.title()
