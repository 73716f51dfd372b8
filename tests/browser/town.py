"""A town's data for pictures: real cities and people, a backlog, lag, letters that really failed, processes at work."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import F
from django.utils import timezone
from rest_framework import serializers

from logpipe_signals import Consumer
from logpipe_signals.models import Backfill, DeadLetter, Lease, Presence
from logpipe_signals.models.backfills import BackfillState
from logpipe_signals.models.leases import LeaseKind
from logpipe_signals.publishing.relay import Relay
from testproject.geonames import load
from testproject.mirror.serializers import CityCopySerializer, PersonCopySerializer
from testproject.people.models import Person
from testproject.places.models import City

CITIES = 1500
PEOPLE = ("Ada Lovelace", "Grace Hopper", "Alan Turing", "Zoë Müller", "Joe Schmoe", "Jane Roe", "Mary Ann", "Li Wei")
FAILED_DAYS_AGO = (12, 11, 8, 7, 4, 4, 4, 4, 2, 1, 1, 0, 0, 0)
RELAYS = {"relay-1.town.example": range(32), "relay-2.town.example": range(32, 64)}


class Choosy(PersonCopySerializer):
    """Refuses an address that is there already, and quotes it."""

    def validate_email(self, value: str) -> str:
        if value.startswith(("joe", "jane")):
            raise serializers.ValidationError(f"{value} belongs to somebody else.")
        return value


def settle() -> None:
    """Fill both sides."""
    load(CITIES)
    _send_some()
    _apply_some()
    _leave_a_backlog()
    _spread_letters()
    _put_people_to_work()
    _begin_backfills()


def _send_some() -> None:
    for round_number in range(3):
        for name in PEOPLE:
            first, last = name.split()
            address = f"{first}.{round_number}@town.example".lower().replace("ë", "e")
            Person.objects.create(first_name=first, last_name=last, email=address)
    for city in City.objects.order_by("-population")[:400]:
        city.save()
    relay = Relay("default")
    relay.drain()
    relay.stop()


def _apply_some() -> None:
    people = Consumer("people", consumer_timeout_ms=200)
    people.register(Choosy)
    people.run()
    cities = Consumer("cities", consumer_timeout_ms=200)
    cities.register(CityCopySerializer)
    cities.run(iter_limit=250)


def _leave_a_backlog() -> None:
    for city in City.objects.order_by("-population")[400:820]:
        city.save()
    for person in Person.objects.all()[:35]:
        person.save()


def _spread_letters() -> None:
    """Let the letters be of several days, and some of them closed by now."""
    model: Any = DeadLetter
    first = model.objects.using("subscriber").first()
    letters = [*model.objects.using("subscriber").all()]
    for _ in range(len(FAILED_DAYS_AGO) - len(letters)):
        first.pk = None
        first.save(using="subscriber", force_insert=True)
    for number, letter in enumerate(model.objects.using("subscriber").order_by("pk")):
        days = FAILED_DAYS_AGO[number % len(FAILED_DAYS_AGO)]
        state = "open" if days < 2 else ("superseded", "replayed")[number % 2]
        moment = timezone.now() - timedelta(days=days, minutes=7 * (len(FAILED_DAYS_AGO) - number))
        model.objects.using("subscriber").filter(pk=letter.pk).update(created=moment, modified=moment, state=state)


def _put_people_to_work() -> None:
    for number, (host, lanes) in enumerate(RELAYS.items(), start=1):
        owner = f"{host}:{300 + number}:9f2c"
        Presence.objects.announce(kind="relay", name=owner, host=host, pid=300 + number)
        Lease.objects.ensure(LeaseKind.LANE, [str(lane) for lane in lanes])
        Lease.objects.take(LeaseKind.LANE, [str(lane) for lane in lanes], owner=owner, lease_seconds=3600)
    Lease.objects.ensure(LeaseKind.RUNNER, ["relay-1.town.example:301:9f2c"])
    Lease.objects.take(
        LeaseKind.RUNNER, ["relay-1.town.example:301:9f2c"], owner="relay-1.town.example:301:9f2c", lease_seconds=3600
    )
    for number, topic in enumerate(("people", "cities"), start=1):
        Presence.objects.using("subscriber").announce(
            kind="consumer",
            name=f"worker-{number}.town.example:{40 + number}:77aa",
            host=f"worker-{number}.town.example",
            pid=40 + number,
            group="logpipe",
            serves={"topics": [topic], "partitions": [[topic, str(partition)] for partition in range(4)]},
        )


def _begin_backfills() -> None:
    Backfill.objects.create(
        publication="places.city:cities",
        state=BackfillState.RUNNING,
        where={"population__gte": 100000},
        rows_total=234_908,
        rows_done=145_700,
        seconds_run=16.2,
        requested_by="ann",
        started_at=timezone.now(),
    )
    Backfill.objects.create(
        publication="people.person:people",
        state=BackfillState.PAUSED,
        rows_total=24,
        rows_done=9,
        seconds_run=0.1,
        requested_by="ben",
    )
    done = Backfill.objects.create(
        publication="places.country:countries",
        state=BackfillState.DONE,
        rows_total=252,
        rows_done=252,
        requested_by="ann",
    )
    Backfill.objects.filter(pk=done.pk).update(finished_at=F("created_at"))
