"""Dead letters are found, replayed and skipped by those who may, by POST alone, and each step leaves a trail."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from logpipe_signals.models import DeadLetter, OutboxRow, TrailEntry
from logpipe_signals.models.dead_letters import DeadLetterState, Side
from logpipe_signals.models.trail import TrailAction
from testproject.mirror.models import PersonCopy
from testproject.people.models import Person
from tests.unit.admin.conftest import SECRET, Somebody, letter, message, shown, url

pytestmark = pytest.mark.django_db(databases=["default", "subscriber"])
VIEW = "view_deadletter"


def run_action(client: Client, action: str, *letters: DeadLetter) -> Any:
    data = {"action": action, "_selected_action": [letter.pk for letter in letters]}
    return client.post(url("changelist"), data, follow=True)


def state_of(row: DeadLetter) -> str:
    row.refresh_from_db()
    return row.state


def trail() -> list[tuple[str, str, str]]:
    return list(TrailEntry.objects.order_by("pk").values_list("who", "action", "outcome"))


# --- finding ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("term", ["orders", "order:7", "no stock", "key-7", "StockError"])
def test_a_letter_is_found_by_topic_identity_error_reason_and_whole_key(admin: Client, term: str) -> None:
    wanted = letter(topic="orders", identity="order:7", error="no stock", key=b"key-7", reason="StockError")
    other = letter(identity="person:1")

    text = shown(admin, "changelist", q=term)

    assert url("change", wanted.pk) in text
    assert url("change", other.pk) not in text


# --- one letter -------------------------------------------------------------------------------------------------------


def test_a_letter_shows_its_error_and_place_but_not_its_payload(admin: Client) -> None:
    row = letter(value=message(), key=b"k\xff", partition="3", offset="17", group="g", traceback="Traceback (most rec")

    text = shown(admin, "change", row.pk)

    for part in ("no name", "3 @ 17", "k\\xff", "Traceback (most rec"):
        assert part in text
    assert "Schmoe" not in text
    assert 'name="_save"' not in text
    assert not TrailEntry.objects.exists()


def test_an_error_that_was_kept_before_a_field_was_called_sensitive_is_redacted_when_it_is_shown(admin: Client) -> None:
    row = letter(value=message(), error=f"{SECRET} is taken", traceback=f"ValueError: {SECRET}")
    text = shown(admin, "change", row.pk)
    assert SECRET not in text
    assert "[redacted] is taken" in text


def test_there_is_no_page_of_a_letter_that_is_not_there(admin: Client) -> None:
    assert admin.get(url("change", 999_999)).status_code == 404
    assert admin.get(url("change", "x")).status_code == 404


# --- replay and skip --------------------------------------------------------------------------------------------------


def test_replaying_a_publishers_letter_puts_its_row_back_into_the_outbox(admin: Client) -> None:
    joe = Person.objects.create(first_name="Joe", last_name="Schmoe")
    OutboxRow.objects.all().delete()
    row = letter(side=Side.PUBLISHER, publication="people.person:people", object_id=str(joe.pk), key=b"k")

    response = admin.post(url("replay", row.pk), follow=True)

    assert "1 replayed." in response.content.decode()
    assert OutboxRow.objects.get().object_id == str(joe.pk)
    assert trail() == [("admin", "replayed", "back in the outbox")]
    assert "back in the outbox" in response.content.decode()


def test_replaying_a_consumers_letter_applies_it_on_its_own_database(admin: Client) -> None:
    row = letter("subscriber", value=message(), group="g")

    response = admin.post(url("replay", row.pk) + "?database=subscriber", follow=True)

    assert PersonCopy.objects.get().email == SECRET
    assert response.redirect_chain == [(f"{url('change', row.pk)}?database=subscriber", 302)]
    entry = TrailEntry.objects.using("subscriber").get()
    assert (entry.who, entry.action, entry.outcome) == ("admin", "replayed", "applied")


def test_a_replay_that_fails_says_so_in_its_trail_without_the_value(admin: Client) -> None:
    row = letter("subscriber", value=message(uuid="none", email=SECRET), group="g")

    response = admin.post(url("replay", row.pk) + "?database=subscriber", follow=True)

    assert TrailEntry.objects.using("subscriber").get().outcome == "failed again: ValidationError"
    assert SECRET not in response.content.decode()


def test_a_letter_of_a_topic_nobody_reads_here_says_that_it_was_not_tried(admin: Client) -> None:
    row = letter(side=Side.PUBLISHER, publication="gone.model:gone", object_id="1")
    admin.post(url("replay", row.pk))
    assert trail()[0][2].startswith("not tried")


def test_many_are_replayed_or_skipped_at_once_each_with_a_trail(admin: Client) -> None:
    first, second, closed = letter(), letter(), letter(state=DeadLetterState.REPLAYED)

    text = run_action(admin, "skip_selected", first, second, closed).content.decode()

    assert "2 skipped." in text
    assert "1 closed before" in text
    assert [state_of(row) for row in (first, second, closed)] == ["skipped", "skipped", "replayed"]
    assert trail() == [("admin", "skipped", "closed unapplied")] * 2
    assert LogEntry.objects.count() == 2


def test_more_than_a_browser_waits_for_are_refused(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logpipe_signals.admin.repair.MOST_AT_ONCE", 1)
    first, second = letter(), letter()
    assert "too many" in run_action(admin, "skip_selected", first, second).content.decode()
    assert state_of(first) == DeadLetterState.OPEN


def test_a_step_that_dies_is_in_the_trail_without_an_outcome(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(letters: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("logpipe_signals.publishing.replay.skip", die)
    with pytest.raises(KeyboardInterrupt):
        admin.post(url("skip", letter().pk))
    assert trail() == [("admin", TrailAction.SKIPPED, "")]


# --- who may ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["replay", "skip"])
def test_who_may_only_look_can_neither_replay_nor_skip(somebody: Somebody, step: str) -> None:
    client, row = somebody(VIEW), letter()

    assert client.post(url(step, row.pk)).status_code == 403
    run_action(client, f"{step}_selected", row)

    assert state_of(row) == DeadLetterState.OPEN
    assert url(step, row.pk) not in shown(client, "change", row.pk)
    assert not TrailEntry.objects.exists()


@pytest.mark.parametrize("step", ["replay", "skip"])
def test_who_may_not_look_cannot_act_either(somebody: Somebody, step: str) -> None:
    row = letter()
    client = somebody("replay_deadletter")
    assert client.post(url(step, row.pk)).status_code == 403
    assert client.get(url("change", row.pk)).status_code == 403


@pytest.mark.parametrize("step", ["replay", "skip"])
def test_a_step_is_taken_by_post_with_a_csrf_token_only(admin_user: Any, step: str) -> None:
    client, row = Client(enforce_csrf_checks=True), letter()
    client.force_login(admin_user)

    assert client.get(url(step, row.pk)).status_code == 405
    assert client.post(url(step, row.pk)).status_code == 403
    assert state_of(row) == DeadLetterState.OPEN

    client.get(url("change", row.pk))
    token = {"csrfmiddlewaretoken": client.cookies["csrftoken"].value}
    client.post(url(step, row.pk), token)
    assert TrailEntry.objects.count() == 1


@pytest.mark.parametrize("step", ["change", "payload", "download", "replay", "skip"])
def test_who_is_not_logged_in_is_sent_to_the_login(client: Client, step: str) -> None:
    address = url(step, letter().pk)
    assert client.get(address)["Location"].startswith("/admin/login/")


def test_a_step_leads_back_to_the_letter_whatever_address_it_is_given(admin: Client) -> None:
    row = letter()
    query = "next=https://evil.example/&database=//evil.example"
    response = admin.post(f"{url('skip', row.pk)}?{query}", {"next": "https://evil.example/"})
    assert response["Location"] == url("change", row.pk)
