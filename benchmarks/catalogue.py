"""Everything that is measured, by name, in the order of the tables."""

from __future__ import annotations

from importlib import import_module

from benchmarks.figures import Measure

CATALOGUE = {
    "drain-confluent": "publishing.against_django_logpipe.confluent",
    "drain-kafka": "publishing.against_django_logpipe.kafka_python",
    "drain-loop": "publishing.against_loop.measure",
    "drain-deep": "publishing.deep_backlog.measure",
    "relay-memory": "publishing.memory.measure",
    "save": "publishing.save.statements",
    "save-time": "publishing.save.seconds",
    "update": "publishing.update.measure",
    "acknowledged": "publishing.latency.measure",
    "apply-bulk": "consuming.against_django_logpipe.bulk",
    "apply-save": "consuming.against_django_logpipe.one_by_one",
    "apply-loop": "consuming.against_loop.measure",
    "statements": "consuming.statements.measure",
    "arrived": "consuming.latency.measure",
    "consumer-memory": "consuming.memory.measure",
    "kinesis-sent": "kinesis.sent",
    "kinesis-applied": "kinesis.applied",
    "backfill": "publishing.backfill.measure",
    "backfill-killed": "publishing.backfill_killed.measure",
    "backfill-overtaken": "publishing.backfill.overtaken",
    "growth": "growth.measure",
}


def measure(name: str) -> Measure:
    """Return what measures a name. Django has to be set up by now."""
    module, _, function = CATALOGUE[name].rpartition(".")
    found: Measure = getattr(import_module(f"benchmarks.{module}"), function)
    return found
