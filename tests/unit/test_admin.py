"""The admin shows everything, on every database, and lets nobody write what only the relay and consumers may."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from logpipe_signals.models import DeadLetter, Lease, Offset, OutboxRow
from logpipe_signals.models.dead_letters import DeadLetterState, Side
from testproject.people.models import Person

pytestmark = [pytest.mark.django_db(databases=["default", "subscriber"]), pytest.mark.usefixtures("no_relay")]

MODELS = ["outboxrow", "deadletter", "lease", "offset"]


@pytest.fixture
def no_relay(logpipe_settings: Any) -> None:
    logpipe_settings(RELAY="worker")


@pytest.fixture
def admin(admin_user: User, client: Client) -> Client:
    client.force_login(admin_user)
    return client


def page(admin: Client, model: str, **query: str) -> str:
    response = admin.get(reverse(f"admin:logpipe_signals_{model}_changelist"), query)
    assert response.status_code == 200
    return response.content.decode()


def letter(using: str = "default", **values: Any) -> DeadLetter:
    return DeadLetter.objects.using(using).create(
        **{"side": Side.CONSUMER, "topic": "people", "reason": "ValidationError", "error": "no name", **values}
    )


@pytest.mark.parametrize("model", MODELS)
def test_rows_are_shown_and_cannot_be_added(admin: Client, model: str) -> None:
    assert f"logpipe_signals/{model}/add/" not in page(admin, model)
    assert admin.get(reverse(f"admin:logpipe_signals_{model}_add")).status_code == 403


def test_rows_of_each_table_are_listed(admin: Client) -> None:
    Person.objects.create(first_name="Joe", last_name="Schmoe")
    Lease.objects.create(kind="lane", name="7", number=7, owner="a-relay")
    Offset.objects.create(log="kafka", group="a-group", topic="people", partition="0", position="12")
    letter(identity="person:12")

    seen = "".join(page(admin, model) for model in MODELS)

    for text in ("people.person:people", "a-relay", "a-group", "person:12"):
        assert text in seen


def test_a_dead_letter_shows_its_bytes_and_headers(admin: Client) -> None:
    headers = [["logpipe-identity", base64.b64encode(b"person:12").decode()]]
    shown = letter(key=b"k\xff", value=b'json:{"type":"person"', headers=headers, traceback="Traceback (most recent")

    text = admin.get(reverse("admin:logpipe_signals_deadletter_change", args=[shown.pk])).content.decode()

    assert "json:{&quot;type&quot;:&quot;person&quot;" in text
    assert "k\\xff" in text
    assert "logpipe-identity: person:12" in text
    assert "Traceback (most recent" in text
    assert 'name="_save"' not in text


def test_each_database_can_be_looked_at(admin: Client) -> None:
    there = letter("subscriber", identity="person:77")

    assert "person:77" not in page(admin, "deadletter")
    assert "person:77" in page(admin, "deadletter", database="subscriber")
    detail = reverse("admin:logpipe_signals_deadletter_change", args=[there.pk])
    assert "person:77" in admin.get(detail, {"_changelist_filters": "database=subscriber"}).content.decode()


def run_action(client: Client, action: str, *letters: DeadLetter) -> Any:
    data = {"action": action, "_selected_action": [letter.pk for letter in letters]}
    return client.post(reverse("admin:logpipe_signals_deadletter_changelist"), data, follow=True)


def test_letters_can_be_skipped(admin: Client) -> None:
    shown = letter()
    assert "1 skipped." in run_action(admin, "skip_selected", shown).content.decode()

    shown.refresh_from_db()
    assert shown.state == DeadLetterState.SKIPPED


def test_replaying_a_publishers_letter_puts_its_row_back_into_the_outbox(admin: Client) -> None:
    joe = Person.objects.create(first_name="Joe", last_name="Schmoe")
    OutboxRow.objects.all().delete()
    shown = letter(side=Side.PUBLISHER, publication="people.person:people", object_id=str(joe.pk), key=b"k")

    assert "1 back in the outbox" in run_action(admin, "replay_selected", shown).content.decode()
    assert OutboxRow.objects.get().object_id == str(joe.pk)


def test_who_may_only_look_cannot_replay(client: Client) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_deadletter"))
    client.force_login(viewer)
    shown = letter()

    run_action(client, "skip_selected", shown)

    shown.refresh_from_db()
    assert shown.state == DeadLetterState.OPEN
