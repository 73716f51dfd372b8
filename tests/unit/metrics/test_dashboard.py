"""The dashboard and the alerts ask for metrics that there are, with labels that they have."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from logpipe_signals import metrics
from logpipe_signals.metrics.catalogue import METRICS

FOLDER = Path(metrics.__file__).parent
SAMPLES = {sample: metric for metric in METRICS for sample in metric.samples}
PANELS: list[Any] = json.loads((FOLDER / "grafana.json").read_text())["panels"]
RULES: list[Any] = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"][0]["rules"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]] + [
    (rule["alert"], rule["expr"]) for rule in RULES
]
OF_THE_SCRAPE = {"instance", "job", "le"}


def metrics_of(query: str) -> list[str]:
    return re.findall(r"\blogpipe_\w+", query)


@pytest.mark.parametrize(("title", "query"), QUERIES)
def test_a_query_asks_for_metrics_that_exist(title: str, query: str) -> None:
    assert metrics_of(query)
    assert set(metrics_of(query)) <= set(SAMPLES)


@pytest.mark.parametrize(("title", "query"), QUERIES)
def test_a_query_groups_by_labels_that_its_metrics_have(title: str, query: str) -> None:
    known = {label for name in metrics_of(query) for label in SAMPLES[name].labels} | OF_THE_SCRAPE
    grouped = {label.strip() for group in re.findall(r"(?:by|on) \(([^)]*)\)", query) for label in group.split(",")}
    matched = set(re.findall(r'(\w+)="', query))
    assert grouped | matched <= known


@pytest.mark.parametrize(("title", "query"), QUERIES)
def test_a_query_closes_what_it_opens(title: str, query: str) -> None:
    assert query.count("(") == query.count(")")
    assert query.count("[") == query.count("]")


def test_every_metric_has_a_place_on_the_dashboard() -> None:
    asked = {
        SAMPLES[name].name for panel in PANELS for target in panel["targets"] for name in metrics_of(target["expr"])
    }
    assert {metric.name for metric in METRICS} - asked <= {"logpipe_relays_expected"}


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in PANELS):
        columns, rows = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        cells = set(product(columns, rows))
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_legends_name_labels_that_are_there() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            known = {label for name in metrics_of(target["expr"]) for label in SAMPLES[name].labels} | OF_THE_SCRAPE
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= known


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule["annotations"]) == {"summary", "description"}
    assert rule["labels"]["severity"] in ("warning", "critical")


def test_what_the_one_on_call_has_to_know_is_an_alert() -> None:
    asked = {name for rule in RULES for name in metrics_of(rule["expr"])}
    assert asked >= {
        "logpipe_outbox_oldest_change_age_seconds",
        "logpipe_consumer_lag_records",
        "logpipe_dead_letters",
        "logpipe_relays",
        "logpipe_topic_consumers",
    }
