"""A publisher of ours in a mixed fleet: `fleet UUID UUID UUID` saves people and deletes the last one."""

from __future__ import annotations

import os
import sys

import django

STATE = "100"


def main() -> None:
    """Save people in one state and delete the last one, each change a message."""
    django.setup()
    from logpipe_signals.publishing.relay import drain
    from logpipe_signals.registry import publications, publishes
    from testproject.people.models import Person
    from testproject.people.serializers import PersonSerializer

    for publication in list(publications):
        publications.forget(publication)
    publishes(os.environ["SCENARIO_TOPIC"], PersonSerializer)(Person)
    people = [Person.objects.create(uuid=uuid, first_name="ours", last_name=STATE) for uuid in sys.argv[1:]]
    drain("default")
    people[-1].delete()
    drain("default")


if __name__ == "__main__":
    main()
