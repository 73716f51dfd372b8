"""
A process of either side, on a topic of the scenario's own: `python -m tests.scenarios.auditing.side COMMAND ...`.

COMMAND is one of manage.py's, or `write`, the publishing scenarios' writer.
"""

from __future__ import annotations

import os
import sys

import django
from django.core.management import execute_from_command_line

AS_WRITTEN = {"trim_whitespace": False, "allow_blank": True}


def main() -> None:
    """Publish and subscribe people on the scenario's topic, and run a command."""
    django.setup()
    from logpipe_signals.registry import publications, publishes, subscriptions
    from testproject.mirror.serializers import PersonCopySerializer
    from testproject.people.models import Person
    from testproject.people.serializers import PersonSerializer

    class AsSent(PersonCopySerializer):
        """Takes what the writers write: a text may be empty."""

        class Meta(PersonCopySerializer.Meta):
            extra_kwargs = {"first_name": AS_WRITTEN, "last_name": AS_WRITTEN}

    topic = os.environ["SCENARIO_TOPIC"]
    publications.forget(publications["people.person:people"])
    publishes(topic, PersonSerializer)(Person)
    subscriptions.clear()
    subscriptions.subscribe(topic, AsSent)
    if sys.argv[1] == "write":
        from tests.scenarios.publishing import writer

        del sys.argv[1]
        writer.main()
    elif sys.argv[1] == "seed":
        people = range(int(sys.argv[2]), int(sys.argv[3]))
        Person.objects.bulk_create([Person(pk=pk, first_name=f"Still {pk}", last_name="Schmoe") for pk in people])
    else:
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
