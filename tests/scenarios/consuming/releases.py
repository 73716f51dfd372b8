"""
Two releases of both sides, told by the environment: `python -m tests.scenarios.consuming.releases publish|consume`.

SCENARIO_RELEASE=1 knows version 1 of a person, without the email address; 2 sends and reads version 2, with it, and
still reads version 1. It is the procedure of django-logpipe's documentation, "Dealing with Schema Changes".
"""

from __future__ import annotations

import os
import sys
from typing import Any

import django
from django.core.management import call_command

from logpipe_signals.testing.services.ports import wait_until

WITHOUT_EMAIL = ["uuid", "first_name", "last_name"]
RELEASE = os.environ["SCENARIO_RELEASE"]
NAME = f"people of release {RELEASE}"


def publish(first: int, count: int) -> None:
    """Save so many people; version 1 has no address to tell."""
    from logpipe_signals.registry import publications, publishes
    from testproject.people.models import Person
    from testproject.people.serializers import PersonSerializer
    from tests.scenarios.consuming.publisher import uuid_of

    class PersonV1(PersonSerializer):
        class Meta(PersonSerializer.Meta):
            fields = WITHOUT_EMAIL

    class PersonV2(PersonSerializer):
        VERSION = 2

    for declared in publications.for_model(Person):
        publications.forget(declared)
    # Under a name of its own, so that the relay of an older release leaves the newer one's rows to it.
    publishes(os.environ["SCENARIO_TOPIC"], {"1": PersonV1, "2": PersonV2}[RELEASE], name=NAME)(Person)
    for number in range(first, first + count):
        person = Person.objects.filter(uuid=uuid_of(number)).first() or Person(uuid=uuid_of(number))
        person.first_name, person.last_name = f"of release {RELEASE}", str(number)
        person.email = f"{number}@example.org" if RELEASE == "2" else person.email
        person.save()
    assert wait_until(_all_sent, timeout_seconds=30)


def _all_sent() -> bool:
    from logpipe_signals.models import OutboxRow
    from logpipe_signals.publishing.relay import drain

    drain("default")
    return not OutboxRow.objects.filter(publication=NAME).exists()


def consume(*arguments: str) -> None:
    """Run a command of the subscriber's with the serializers of the release."""
    from logpipe_signals.registry import subscriptions
    from testproject.mirror.models import PersonCopy
    from testproject.mirror.serializers import PersonCopySerializer

    class CopyV1(PersonCopySerializer):
        class Meta:
            model = PersonCopy
            fields = WITHOUT_EMAIL

    class CopyV2(PersonCopySerializer):
        VERSION = 2

    subscriptions.clear()
    for serializer_class in {"1": [CopyV1], "2": [CopyV1, CopyV2]}[RELEASE]:
        subscriptions.subscribe(os.environ["SCENARIO_TOPIC"], serializer_class)
    call_command(*arguments)


def main(what: str, *arguments: Any) -> None:
    """Do what the command line says."""
    django.setup()
    if what == "publish":
        publish(*map(int, arguments))
    else:
        consume(*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
