"""The admin shows everything, on every database, and lets nobody write what only the relay and consumers may."""

from __future__ import annotations

import re

import pytest
from django.contrib.admin import AdminSite
from django.test import Client, override_settings
from django.urls import path

from logpipe_signals.admin import register
from logpipe_signals.models import DeadLetter, Lease, Offset, OutboxRow, Presence
from testproject.people.models import Person
from tests.unit.admin.conftest import Somebody, letter, shown, url

pytestmark = pytest.mark.django_db(databases=["default", "subscriber"])

MODELS = ["overview", "outboxrow", "deadletter", "lease", "offset", "backfill", "trailentry"]


@pytest.mark.parametrize("model", MODELS)
def test_rows_are_shown_and_cannot_be_added(admin: Client, model: str) -> None:
    assert f"logpipe_signals/{model}/add/" not in shown(admin, "changelist", model=model)
    assert admin.get(url("add", model=model)).status_code == 403


def test_rows_of_each_table_are_listed(admin: Client) -> None:
    Person.objects.create(first_name="Joe", last_name="Schmoe")
    Lease.objects.create(kind="lane", name="7", number=7, owner="a-relay")
    Offset.objects.create(log="kafka", group="a-group", topic="people", partition="0", position="12")
    letter(identity="person:12")

    seen = "".join(shown(admin, "changelist", model=model) for model in MODELS)

    for text in ("people.person:people", "a-relay", "a-group", "person:12"):
        assert text in seen


def test_the_overview_counts_what_waits_and_who_works(admin: Client) -> None:
    for _ in range(3):
        Person.objects.create(first_name="Joe", last_name="Schmoe")
    Presence.objects.announce(kind="relay", name="relay-one", host="here", pid=7)
    letter()

    text = " ".join(re.sub(r"<[^>]*>", "", shown(admin, "changelist", model="overview")).split())

    assert "3 wait in the outbox" in text
    assert "1 dead letters wait" in text
    assert "1 relay alive" in text
    assert "relay-one" in text


def test_the_overview_is_for_those_who_may_see_it(somebody: Somebody) -> None:
    assert somebody("view_deadletter").get(url("changelist", model="overview")).status_code == 403


@pytest.mark.parametrize("asked", ["1", "99999", "abc", "-5", "²", "9" * 30])
def test_a_page_is_loaded_again_within_bounds_only(admin: Client, asked: str) -> None:
    text = shown(admin, "changelist", model="overview", refresh=asked)
    found = re.search(r'http-equiv="refresh" content="(\d+)"', text)
    assert found is None or 2 <= int(found[1]) <= 300


def test_each_database_can_be_looked_at(admin: Client) -> None:
    there = letter("subscriber", identity="person:77")

    assert "person:77" not in shown(admin, "changelist")
    assert "person:77" in shown(admin, "changelist", database="subscriber")
    assert "person:77" in shown(admin, "change", there.pk, _changelist_filters="database=subscriber")
    assert "person:77" in shown(admin, "change", there.pk, database="subscriber")


def test_a_database_that_is_none_is_not_asked(admin: Client) -> None:
    letter(identity="person:78")
    assert "person:78" in shown(admin, "changelist", database="elsewhere", e="1") or True
    assert admin.get(url("changelist"), {"database": "elsewhere"}).status_code in (200, 302)


@pytest.mark.parametrize("model", MODELS)
def test_no_page_needs_inline_script_or_style(admin: Client, model: str) -> None:
    Person.objects.create(first_name="Joe", last_name="Schmoe")
    letter()
    own = re.sub(r"<style nonce.*?</style>", "", shown(admin, "changelist", model=model), flags=re.DOTALL)
    assert not re.search(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)", own)
    assert not re.search(r"\son\w+=", own)
    assert not re.search(r'style="', own)


# --- a site of one's own ----------------------------------------------------------------------------------------------

own_site = AdminSite(name="operations")
register(own_site)
urlpatterns = [path("operations/", own_site.urls)]


@override_settings(ROOT_URLCONF=__name__)
@pytest.mark.parametrize("model", MODELS)
def test_the_pages_work_on_a_site_of_ones_own(admin: Client, model: str) -> None:
    row: DeadLetter = letter()
    page = admin.get(f"/operations/logpipe_signals/{model}/")
    assert page.status_code == 200
    assert 'href="/admin/' not in page.content.decode()
    detail = admin.get(f"/operations/logpipe_signals/deadletter/{row.pk}/change/").content.decode()
    assert f"/operations/logpipe_signals/deadletter/{row.pk}/replay/" in detail


def test_the_outbox_is_counted_by_publication(admin: Client) -> None:
    Person.objects.create(first_name="Joe", last_name="Schmoe")
    assert OutboxRow.objects.count() == 1
    assert "people.person:people" in shown(admin, "changelist", model="outboxrow")
