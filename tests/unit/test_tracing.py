"""One trace from a save, through the outbox and the log, to the row it becomes; and no cost where nobody traces."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from logpipe_signals import formats, tracing
from logpipe_signals.backend import dummy
from logpipe_signals.backend.base import Delivered, Message, Sent
from logpipe_signals.consuming.consumer import Consumer
from logpipe_signals.exceptions import MessageRejected
from logpipe_signals.models import OutboxRow
from logpipe_signals.publishing.relay import drain
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from testproject.people.models import Person
from tests.conftest import ChangeSettings
from tests.zoo.models import Keeper

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

_exporter = InMemorySpanExporter()
_provider = TracerProvider()
_provider.add_span_processor(SimpleSpanProcessor(_exporter))
tracer = _provider.get_tracer("tests")


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Collect the spans of a test; only here is there a provider."""
    monkeypatch.setattr(trace, "get_tracer", _provider.get_tracer)
    _exporter.clear()
    yield _exporter
    _exporter.clear()


def use(logpipe_settings: ChangeSettings, backend: str, **others: Any) -> None:
    path = f"logpipe_signals.backend.{backend}"
    logpipe_settings(
        PRODUCER_BACKEND=f"{path}.Producer",
        CONSUMER_BACKEND=f"{path}.Consumer",
        OFFSET_BACKEND=f"{path}.ModelOffsetStore",
        RELAY="worker",
        **others,
    )


@pytest.fixture(autouse=True)
def log_in_memory(logpipe_settings: ChangeSettings) -> None:
    use(logpipe_settings, "dummy")
    dummy.create_topic("people", partitions=1)


def save(first_name: str = "Joe") -> Person:
    return Person.objects.create(first_name=first_name, last_name="Schmoe", email="joe@example.com")


def consume(count: int = 1, **options: Any) -> None:
    consumer = Consumer("people", consumer_timeout_ms=200, **options)
    consumer.register(PersonCopySerializer)
    consumer.run(iter_limit=count)
    consumer.close()


def by_name(spans: InMemorySpanExporter) -> dict[str, list[ReadableSpan]]:
    found: dict[str, list[ReadableSpan]] = {}
    for span in spans.get_finished_spans():
        found.setdefault(span.name, []).append(span)
    return found


def assert_one_tree(spans: InMemorySpanExporter) -> None:
    found = by_name(spans)
    (request,), (send,), (process,) = found["request"], found["send people"], found["process people"]
    assert send.parent is not None
    assert process.parent is not None
    assert (send.parent.span_id, process.parent.span_id) == (request.context.span_id, send.context.span_id)
    assert len({span.context.trace_id for span in (request, send, process)}) == 1
    assert (send.kind, process.kind) == (trace.SpanKind.PRODUCER, trace.SpanKind.CONSUMER)
    assert request.end_time < process.end_time


@pytest.mark.parametrize("backend", ["dummy", "database"])
def test_a_save_its_sending_and_its_applying_are_one_tree(
    backend: str, spans: InMemorySpanExporter, logpipe_settings: ChangeSettings
) -> None:
    use(logpipe_settings, backend)
    with tracer.start_as_current_span("request"):
        save()
    drain("default")
    consume()
    assert PersonCopy.objects.count() == 1
    assert_one_tree(spans)


@pytest.mark.parametrize("backend", ["kafka", "confluent"])
def test_a_trace_goes_through_kafka(
    backend: str, spans: InMemorySpanExporter, logpipe_settings: ChangeSettings, kafka_broker: str
) -> None:
    from confluent_kafka import KafkaException

    from tests.conformance.kafka_admin import KafkaAdmin

    with suppress(KafkaException):  # Another test of this session has made it.
        KafkaAdmin(kafka_broker).create_topic("people", 1)
    use(logpipe_settings, backend, KAFKA_BOOTSTRAP_SERVERS=[kafka_broker])
    with tracer.start_as_current_span("request"):
        joe = save()
    drain("default")
    consumer = Consumer("people", consumer_timeout_ms=10_000)
    consumer.register(PersonCopySerializer)
    while not PersonCopy.objects.filter(uuid=joe.uuid).exists():
        consumer.run(iter_limit=1)
    consumer.close()
    spans_of_joe = by_name(spans)["process people"][-1:]
    assert spans_of_joe[0].context.trace_id == by_name(spans)["request"][0].context.trace_id
    assert spans_of_joe[0].attributes["messaging.system"] == "kafka"


def test_a_trace_goes_through_a_log_without_headers(
    spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dummy.Producer, "supports_headers", False)
    with tracer.start_as_current_span("request"):
        save()
    drain("default")
    (record,) = dummy._log.topics["people"][0]
    assert record.headers == ()
    assert set(formats.parse(record.value)["meta"]["headers"]) == {"traceparent"}
    consume()
    assert_one_tree(spans)


def test_a_message_carries_the_w3c_trace_context_of_its_sending(spans: InMemorySpanExporter) -> None:
    with tracer.start_as_current_span("request"):
        save()
    drain("default")
    (send,) = by_name(spans)["send people"]
    headers = dict(dummy._log.topics["people"][0][0].headers)
    version, trace_id, span_id, _ = headers["traceparent"].decode().split("-")
    assert (version, int(trace_id, 16), int(span_id, 16)) == ("00", send.context.trace_id, send.context.span_id)


def test_spans_are_named_as_messaging_names_them(spans: InMemorySpanExporter) -> None:
    with tracer.start_as_current_span("request"):
        joe = save()
    drain("default")
    consume()
    (send,), (process,) = by_name(spans)["send people"], by_name(spans)["process people"]
    common = {"messaging.system": "dummy", "messaging.destination.name": "people"}
    place = {"messaging.destination.partition.id": "0", "messaging.message.offset": "0"}
    operation = {"messaging.operation.name": "send", "messaging.operation.type": "send"}
    assert dict(send.attributes) == {**common, **place, **operation}
    operation = {"messaging.operation.name": "process", "messaging.operation.type": "process"}
    assert dict(process.attributes) == {**common, **place, **operation, "messaging.consumer.group.name": "logpipe"}
    assert str(joe.uuid) not in str(send.attributes) + str(process.attributes)


def test_of_several_changes_the_latest_one_is_the_parent_and_the_others_are_links(spans: InMemorySpanExporter) -> None:
    with tracer.start_as_current_span("first"):
        joe = save()
    with tracer.start_as_current_span("second"):
        joe.save()
    drain("default")
    found = by_name(spans)
    (send,) = found["send people"]
    assert send.parent.span_id == found["second"][0].context.span_id
    assert [link.context.span_id for link in send.links] == [found["first"][0].context.span_id]


def test_rows_of_other_traces_do_not_mix(spans: InMemorySpanExporter) -> None:
    for name in ("one", "two"):
        with tracer.start_as_current_span(name):
            save(name)
    save("without")
    drain("default")
    consume(3)
    found = by_name(spans)
    assert len(found["send people"]) == len(found["process people"]) == 2
    for name in ("one", "two"):
        trace_id = found[name][0].context.trace_id
        assert [each.context.trace_id for each in found["process people"]].count(trace_id) == 1


def test_a_delete_and_a_set_wise_update_are_traced_too(spans: InMemorySpanExporter) -> None:
    joe = save()
    drain("default")
    with tracer.start_as_current_span("update"):
        joe.uuid = "00000000-0000-4000-8000-000000000001"
        joe.save()
    drain("default")
    with tracer.start_as_current_span("delete"):
        joe.delete()
    drain("default")
    found = by_name(spans)
    parents = {span.parent.span_id for span in found["send people"]}
    assert parents == {found["update"][0].context.span_id, found["delete"][0].context.span_id}


def test_set_wise_capture_keeps_the_trace(spans: InMemorySpanExporter) -> None:
    from logpipe_signals.publishing import setwise
    from logpipe_signals.registry import publications

    joe = save()
    OutboxRow.objects.all().delete()
    with tracer.start_as_current_span("request"):
        setwise.publish(publications["people.person:people"], "default", pk=joe.pk)
    row = OutboxRow.objects.get()
    assert set(row.headers) == {"traceparent"}
    assert row.payload is None


def test_an_update_of_many_rows_keeps_the_trace() -> None:
    Keeper.objects.bulk_create([Keeper(name="Ada"), Keeper(name="Bob")])
    OutboxRow.objects.all().delete()
    with tracer.start_as_current_span("request") as request:
        Keeper.objects.update(name="Cyd")
    rows = OutboxRow.objects.all()
    assert rows.count() == 2
    trace_ids = {row.headers["traceparent"].split("-")[1] for row in rows}
    assert trace_ids == {trace.format_trace_id(request.get_span_context().trace_id)}


def test_applying_runs_under_its_span(spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    active: list[int] = []

    def note(self: Any, values: Any) -> Any:
        active.append(trace.get_current_span().get_span_context().span_id)
        return values

    monkeypatch.setattr(PersonCopySerializer, "validate", note, raising=False)
    with tracer.start_as_current_span("request"):
        save()
    drain("default")
    consume()
    assert active == [by_name(spans)["process people"][0].context.span_id]


def test_what_is_applied_in_bulk_is_traced(spans: InMemorySpanExporter) -> None:
    with tracer.start_as_current_span("request"):
        save()
    drain("default")
    consume(bulk=True)
    assert_one_tree(spans)


def test_a_rolled_back_try_is_not_told(spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of two records fails, so both are applied again, alone: each has one span."""
    with tracer.start_as_current_span("request"):
        save("Joe")
        save("Bad")

    def refuse(self: Any, values: Any) -> Any:
        if values["first_name"] == "Bad":
            raise RuntimeError("secret: 1234")
        return values

    monkeypatch.setattr(PersonCopySerializer, "validate", refuse, raising=False)
    drain("default")
    consume(2)
    processed = by_name(spans)["process people"]
    assert sorted(span.status.status_code.name for span in processed) == ["ERROR", "UNSET"]
    (failed,) = [span for span in processed if span.status.status_code.name == "ERROR"]
    assert failed.attributes["error.type"] == "RuntimeError"
    assert "secret" not in failed.to_json()


def test_what_the_log_refuses_is_an_error_of_its_span(
    spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, messages: Any, **kwargs: object) -> Delivered:
        return Delivered([Sent(error=MessageRejected("too large"))] * len(messages))

    monkeypatch.setattr(dummy.Producer, "submit", refuse)
    with tracer.start_as_current_span("request"):
        save()
    drain("default")
    (send,) = by_name(spans)["send people"]
    assert (send.status.status_code.name, send.attributes["error.type"]) == ("ERROR", "MessageRejected")


def test_a_relay_without_an_sdk_passes_the_trace_on() -> None:
    with tracer.start_as_current_span("request") as request:
        save()
    drain("default")
    headers = dict(dummy._log.topics["people"][0][0].headers)
    assert headers["traceparent"].decode().split("-")[2] == f"{request.get_span_context().span_id:016x}"


@pytest.mark.parametrize("value", [b"", b"nonsense", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01", b"\xff"])
def test_a_context_that_is_none_hurts_nothing(value: bytes, spans: InMemorySpanExporter) -> None:
    message = {"uuid": "00000000-0000-4000-8000-000000000001", "first_name": "Joe", "last_name": "S", "email": ""}
    body = b"json:" + json.dumps({"type": "person", "version": 1, "message": message}).encode()
    dummy.Producer().submit(
        [Message(topic="people", key="k", value=body, headers=(("traceparent", value),))], timeout_seconds=1
    )
    consume()
    assert PersonCopy.objects.count() == 1


def statements_of_a_save() -> list[str]:
    joe = save()
    with CaptureQueriesContext(connection) as queries:
        joe.save()
    return [query["sql"] for query in queries]


def test_tracing_costs_no_statement() -> None:
    without = statements_of_a_save()
    with tracer.start_as_current_span("request"):
        traced = statements_of_a_save()
    assert len(traced) == len(without)
    assert not any("traceparent" in sql for sql in without)


def test_relaying_and_applying_cost_no_statement(spans: InMemorySpanExporter) -> None:
    def cost() -> tuple[int, int]:
        with CaptureQueriesContext(connections["default"]) as relayed:
            drain("default")
        with CaptureQueriesContext(connections["subscriber"]) as applied:
            consume()
        return len(relayed), len(applied)

    save()
    cost()
    save()
    without = cost()
    with tracer.start_as_current_span("request"):
        save()
    assert cost() == without


def test_nothing_imports_opentelemetry_where_nobody_traces() -> None:
    code = (
        "import django, sys; django.setup()\n"
        "from logpipe_signals import tracing\n"
        "import logpipe_signals.publishing.worker, logpipe_signals.consuming.worker, logpipe_signals.urls\n"
        "assert tracing.current() is None\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_outside_of_a_span_nothing_is_kept() -> None:
    assert tracing.current() is None
    save()
    assert OutboxRow.objects.get().headers is None
