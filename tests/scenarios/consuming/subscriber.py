"""A subscriber process: `python -m tests.scenarios.consuming.subscriber [arguments of run_consumer]`."""

from __future__ import annotations

import os
import sys
from typing import Any

import django
from django.core.management import call_command
from django.db import connections


def main() -> None:
    """Subscribe a serializer that counts, and run the consumer."""
    django.setup()
    from logpipe_signals.registry import subscriptions
    from testproject.mirror.serializers import PersonCopySerializer
    from tests.scenarios.consuming import faults

    class Counted(PersonCopySerializer):
        """Its user code notes each message in a table of its own."""

        def save(self, **kwargs: Any) -> Any:
            faults.reach("inside")
            data = self.validated_data
            with connections["subscriber"].cursor() as cursor:
                cursor.execute("INSERT INTO applied VALUES (%s, %s)", [str(data["uuid"]), int(data["last_name"])])
            return super().save(**kwargs)

    subscriptions.clear()
    subscriptions.subscribe(os.environ["SCENARIO_TOPIC"], Counted)
    faults.install()
    call_command("run_consumer", *sys.argv[1:])


if __name__ == "__main__":
    main()
