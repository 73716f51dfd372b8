"""Records sent and applied a second through Kinesis, against django-logpipe 1.6, both on the same kinesis-mock."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

from benchmarks.backends import through
from benchmarks.figures import Figure, per_second
from benchmarks.pairs import Side, in_turns
from benchmarks.stage import Stage
from testproject.services import provided_kinesis

AT_LEAST = 10
SHARDS = 3
MOST_ROWS = 2_500
"""A put takes kinesis-mock the longer the more a stream holds: from some thousands of records on it measures that."""
FETCH_LIMIT = 1000
"""The same for both: django-logpipe's default of 25 would make it slower still."""
REGION = "us-east-1"
BATCH = 500
PATIENCE_SECONDS = 60.0


def sent(stage: Stage) -> Iterator[Figure]:
    """A relay drains a backlog, against `Producer.send` of the same rows."""
    from benchmarks.publishing.backlog import TOPIC, have_people
    from benchmarks.publishing.ours import relay

    rows, peer_rows = _rows(stage), stage.options.peer_rows // 4
    have_people(rows)
    with _kinesis(stage) as peer, relay(rows, "kinesis") as ours:
        found = in_turns(
            lambda: _on_a_new(TOPIC, ours),
            lambda: _on_a_new(TOPIC, lambda: peer.rows_per_second("send", topic=TOPIC, first=1, rows=peer_rows)),
            rounds=stage.options.pairs,
        )
    yield Figure(
        issue=6,
        what="sent by one relay, kinesis-mock: against django-logpipe's Producer.send",
        ours=per_second(found.ours),
        peer=per_second(found.peer),
        value=found.ratio,
        bound=AT_LEAST,
    )


def applied(stage: Stage) -> Iterator[Figure]:
    """A consumer applies set-wise what stands on a stream, against `Consumer.run` with the same serializer."""
    from benchmarks.consuming import ours

    rows, peer_rows, rounds = _rows(stage), stage.options.peer_rows // 4, stage.options.pairs
    with _kinesis(stage, subscriber=True) as peer, through("kinesis", **_settings()):
        stream = _filled(rows)
        peer_stream = _filled(peer_rows * (rounds + 1))  # It reads on where it ended.
        found = in_turns(
            lambda: ours.applied_per_second(stream, rows, bulk=True, backend="kinesis"),
            lambda: peer.rows_per_second("consume", topic=peer_stream, rows=peer_rows),
            rounds=rounds,
        )
    yield Figure(
        issue=6,
        what="applied, bulk apply, guard on, kinesis-mock: against django-logpipe's Consumer.run",
        ours=per_second(found.ours),
        peer=per_second(found.peer),
        value=found.ratio,
        bound=AT_LEAST,
    )


@contextmanager
def _kinesis(stage: Stage, *, subscriber: bool = False) -> Iterator[Any]:
    """Start a Kinesis, point this process and those of ours at it, and yield django-logpipe over it."""
    from benchmarks.peer.process import DjangoLogpipe

    url = stage.subscriber_url if subscriber else stage.database_url
    before = dict(os.environ)
    with provided_kinesis() as endpoint_url:
        os.environ |= {
            "KINESIS_ENDPOINT_URL": endpoint_url,
            "AWS_ENDPOINT_URL_KINESIS": endpoint_url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": os.environ.get("AWS_ACCESS_KEY_ID", "any"),
            "AWS_SECRET_ACCESS_KEY": os.environ.get("AWS_SECRET_ACCESS_KEY", "any"),
        }
        try:
            with DjangoLogpipe("", url, backend="kinesis") as peer, through("kinesis", **_settings()):
                yield peer
        finally:
            os.environ.clear()
            os.environ.update(before)


def _settings() -> Mapping[str, Any]:
    return {
        "KINESIS_ENDPOINT_URL": os.environ["KINESIS_ENDPOINT_URL"],
        "KINESIS_REGION": REGION,
        "KINESIS_FETCH_LIMIT": FETCH_LIMIT,
    }


def _rows(stage: Stage) -> int:
    return min(stage.options.rows, MOST_ROWS)


def _on_a_new(name: str, side: Side) -> float:
    """Run a side on a stream of its own."""
    from logpipe_signals.backend.kinesis.client import shared_client

    client = shared_client()
    if name in client.list_streams()["StreamNames"]:
        client.delete_stream(StreamName=name)
        client.get_waiter("stream_not_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
    _stream(name, SHARDS)
    return side()


def _stream(name: str, shards: int) -> None:
    from logpipe_signals.backend import kinesis

    kinesis.create_stream(name, shards)


def _filled(rows: int) -> str:
    """Make a stream with a record for each of so many people, and return its name."""
    from logpipe_signals.backend import kinesis
    from logpipe_signals.backend.base import Message

    stream = f"people-{uuid4().hex[:8]}"
    _stream(stream, 1)
    messages = [Message(topic=stream, key=str(UUID(int=n)), value=_value(n)) for n in range(rows)]
    for start in range(0, rows, BATCH):
        batch = messages[start : start + BATCH]
        delivery = kinesis.Producer().submit(batch, timeout_seconds=PATIENCE_SECONDS)
        errors = [outcome.error for outcome in delivery.wait(PATIENCE_SECONDS) if outcome.error is not None]
        assert not errors, errors[0]
    return stream


def _value(number: int) -> bytes:
    from logpipe_signals.envelope import Envelope, Meta

    key = str(UUID(int=number))
    message = {
        "uuid": key,
        "first_name": f"Joséphine {number}",
        "last_name": f"Schmoe-{key}",
        "email": f"{number}@example.org",
    }
    meta = Meta(identity=f"person:{number}", source="benchmark", sequence=number + 1, operation="upsert")
    return Envelope(type="person", version=1, message=message, meta=meta).render("json", meta_in_body=True)
