"""Metrics: scraped over HTTP and read by real parsers, named as Prometheus names things, of few labels."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from django.test import Client
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from logpipe_signals import metrics, monitoring
from logpipe_signals.backend import dummy
from logpipe_signals.backend.base import Message
from logpipe_signals.consuming.consumer import Consumer
from logpipe_signals.heartbeat import Heartbeat
from logpipe_signals.metrics.catalogue import COUNTED, METRICS, SEEN
from logpipe_signals.metrics.collector import _samples
from logpipe_signals.models import DeadLetter
from logpipe_signals.monitoring import behind
from logpipe_signals.publishing.relay import drain
from testproject.mirror.serializers import PersonCopySerializer
from testproject.people.models import Person
from tests.unit.monitoring.conftest import PEOPLE, fill

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
Families = dict[str, Family]


@pytest.fixture(autouse=True)
def _no_recent_lag() -> None:
    behind._recent.answers.clear()


@pytest.fixture
def page(live_server) -> Callable[..., str]:
    """Return a function that fetches the page as a scraper does."""

    def fetch(accept: str = "text/plain") -> str:
        request = urllib.request.Request(f"{live_server.url}/logpipe/metrics", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.read().decode()

    return fetch


def families(text: str) -> Families:
    return {family.name: family for family in parse_text(text)}


def value(text: str, sample: str, **labels: str) -> float | None:
    """Return the value of the one sample with these labels; None where there is none."""
    for family in parse_text(text):
        for each in family.samples:
            if each.name == sample and labels.items() <= each.labels.items():
                return each.value
    return None


def save_and_apply() -> None:
    Person.objects.create(first_name="Joe", last_name="Schmoe", email="joe@example.com")
    drain("default")
    consumer = Consumer("people", consumer_timeout_ms=10)
    consumer.register(PersonCopySerializer)
    consumer.run()


def test_a_scraper_reads_what_was_sent_and_applied(page) -> None:
    metrics.install()
    names = {"sent": "logpipe_messages_sent_total", "applied": "logpipe_messages_applied_total"}
    labels = {"topic": "people", "type": "person"}
    before = {name: value(page(), sample, **labels) or 0 for name, sample in names.items()}
    save_and_apply()
    text = page()
    assert {name: value(text, sample, **labels) for name, sample in names.items()} == {
        name: number + 1 for name, number in before.items()
    }
    for histogram in ("publish_latency_seconds", "apply_latency_seconds", "apply_batch_records"):
        assert value(text, f"logpipe_{histogram}_count", topic="people")


def test_the_page_is_read_by_the_parser_of_openmetrics_too(page) -> None:
    save_and_apply()
    found = {family.name for family in parse_openmetrics(page(OPENMETRICS))}
    assert {metric.name for metric in METRICS} <= found


def test_a_scraper_reads_what_the_databases_say(page) -> None:
    save_and_apply()
    fill(3)
    fill(2, priority=1)
    Heartbeat("default", "relay", "me").beat()
    DeadLetter.objects.using("subscriber").create(side="consumer", topic="people", reason="E", error="")
    text = page()
    assert value(text, "logpipe_outbox_rows", publication=PEOPLE, priority="live") == 3
    assert value(text, "logpipe_outbox_rows", publication=PEOPLE, priority="backfill") == 2
    assert value(text, "logpipe_relays", database="default", state="running") == 1
    assert value(text, "logpipe_relays_expected", database="default") == 1
    assert value(text, "logpipe_topic_consumers", topic="people") == 0
    assert value(text, "logpipe_consumer_lag_records", group="logpipe", topic="people", partition="0") == 0
    assert value(text, "logpipe_dead_letters", database="subscriber", topic="people", state="open") == 1
    assert value(text, "logpipe_problems") == 0


def test_a_database_that_only_consumes_expects_no_relay() -> None:
    overview = monitoring.overview()
    seen = replace(overview, outbox=tuple(each for each in overview.outbox if each.using == "default"))
    assert {labels for name, labels, _ in _samples(seen) if name == "relays_expected"} == {("default",)}


def test_what_the_page_has_is_what_the_catalogue_says(page) -> None:
    save_and_apply()
    found = {name: family for name, family in families(page()).items() if name.startswith("logpipe_")}
    found = {name: family for name, family in found.items() if not name.endswith("_created")}
    assert set(found) == {metric.name for metric in METRICS}
    for metric in METRICS:
        family = found[metric.name]
        assert (family.type, family.documentation) == (metric.kind, metric.text)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels), sample


def test_names_follow_prometheus() -> None:
    for metric in METRICS:
        assert not metric.name.endswith(("_total", "_count", "_sum", "_bucket", "_info"))
        assert "milliseconds" not in metric.name
        assert metric.text.endswith(".")
        if "latency" in metric.name or "_age" in metric.name:
            assert metric.name.endswith("_seconds")


def test_a_type_that_only_a_message_names_makes_no_label(page) -> None:
    def types() -> set[str]:
        return {sample.labels["type"] for sample in families(page())["logpipe_messages_failed"].samples}

    metrics.install()
    # A process counts as long as it lives: what other tests counted is not this one's.
    before = types()
    for number in range(3):
        value_ = b'json:{"type":"person","version":%d,"message":{}}' % (90 + number)
        dummy.Producer().submit([Message(topic="people", key="k", value=value_)], timeout_seconds=1)
    consumer = Consumer("people", consumer_timeout_ms=10)
    consumer.register(PersonCopySerializer)
    consumer.run()
    assert types() - before <= {"person", "unknown"}


def test_a_scrape_does_not_fail_when_the_databases_do(page, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr("logpipe_signals.monitoring.overview", broken)
    assert value(page(), "logpipe_problems") == 1


def test_installing_twice_counts_once(page) -> None:
    metrics.install()
    metrics.install()
    sample, labels = "logpipe_messages_sent_total", {"topic": "people", "type": "person"}
    before = value(page(), sample, **labels) or 0
    save_and_apply()
    assert value(page(), sample, **labels) == before + 1


@pytest.fixture
def own_port() -> Iterator[int]:
    from logpipe_signals.testing.services.ports import free_port

    port = free_port()
    stop = metrics.serve(port, "127.0.0.1")
    yield port
    stop()


def test_a_port_of_its_own_serves_the_same_page(own_port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{own_port}/metrics", timeout=20) as response:
        text = response.read().decode()
    assert {metric.name for metric in SEEN} <= set(families(text))


def test_a_process_that_ends_gives_its_port_back(own_port: int) -> None:
    from logpipe_signals.testing.services.ports import free_port

    port = free_port()
    metrics.serve(port, "127.0.0.1")()
    metrics.serve(port, "127.0.0.1")()


def test_several_processes_are_added_up(tmp_path: Path) -> None:
    """Two processes count one message each, a third one renders what both counted."""
    count = (
        "import django; django.setup()\n"
        "from logpipe_signals import metrics, signals\n"
        "metrics.install()\n"
        "signals.announce(signals.send_failed, None, topic='people', permanent=True)\n"
    )
    show = "import django; django.setup()\nfrom logpipe_signals import metrics\nprint(metrics.render()[0].decode())"
    environment = {
        **os.environ,
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
        "TESTPROJECT_DATA_DIR": str(tmp_path / "data"),
        "LOGPIPE_BACKEND": "dummy",
        "DJANGO_SETTINGS_MODULE": "testproject.settings",
    }
    for code in (count, count):
        subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
    shown = subprocess.run(
        [sys.executable, "-c", show], env=environment, check=True, timeout=60, capture_output=True, text=True
    )
    assert value(shown.stdout, "logpipe_send_failures_total", topic="people", outcome="set_aside") == 2
    assert value(shown.stdout, "logpipe_problems") is not None


def test_without_prometheus_client_the_view_names_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(metrics, "events", raising=False)
    monkeypatch.setitem(sys.modules, "logpipe_signals.metrics.events", None)
    response = Client().get("/logpipe/metrics")
    assert response.status_code == 501
    assert "pip install 'logpipe_signals[prometheus]'" in response.content.decode()


def test_every_counted_metric_is_counted_somewhere() -> None:
    source = Path(metrics.__file__).with_name("events.py").read_text()
    for metric in COUNTED:
        assert f'"{metric.name.removeprefix("logpipe_")}"' in source
