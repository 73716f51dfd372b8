"""What the databases and the log say when a scraper asks."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from logpipe_signals import monitoring
from logpipe_signals.conf import settings
from logpipe_signals.metrics.catalogue import SEEN
from logpipe_signals.registry import subscriptions

logger = logging.getLogger(__name__)

Samples = Iterator[tuple[str, tuple[str, ...], float]]
"""Name without prefix, label values, value."""


class SightCollector(Collector):
    """Reads `monitoring` at each scrape, which never fails for its sake: `logpipe_problems` counts what it missed."""

    def describe(self) -> Iterable[Any]:
        """Say nothing beforehand: registering must not ask a database."""
        return []

    def collect(self) -> Iterable[Any]:
        """Return the gauges of now."""
        families = {each.name: GaugeMetricFamily(each.name, each.text, labels=each.labels) for each in SEEN}
        try:
            seen = monitoring.overview(recent=True)
        except Exception:  # Whatever is wrong, what this process counted is still told.
            logger.exception("The metrics of the databases could not be read.")
            families["logpipe_problems"].add_metric((), 1)
            return families.values()
        for name, labels, value in _samples(seen):
            families[f"logpipe_{name}"].add_metric(labels, value)
        return families.values()


def _samples(seen: monitoring.Overview) -> Samples:
    yield from _outbox(seen)
    yield from _relays(seen)
    yield from _consumers(seen)
    yield from _lag(seen)
    for letters in seen.dead_letters:
        yield "dead_letters", (letters.using, letters.side, letters.topic, letters.state), letters.count
    yield from _backfills(seen)
    yield from _audits(seen)
    yield "problems", (), len(seen.problems)


def _outbox(seen: monitoring.Overview) -> Samples:
    for each in seen.outbox:
        place = (each.using, each.publication)
        yield "outbox_rows", (*place, "live"), each.rows - each.backfill_rows
        yield "outbox_rows", (*place, "backfill"), each.backfill_rows
        yield "outbox_retrying_rows", place, each.retrying_rows
        yield "outbox_oldest_change_age_seconds", place, each.oldest_seconds or 0.0


def _relays(seen: monitoring.Overview) -> Samples:
    publishing = {each.using for each in seen.outbox}
    for cover in seen.lanes:
        using = cover.using
        relays = [relay for relay in seen.relays if relay.using == using]
        if using not in publishing and not relays:
            continue
        gone = sum(relay.is_gone for relay in relays)
        yield "lanes", (using,), cover.lanes
        yield "lanes_held", (using,), cover.held
        yield "relays", (using, "running"), len(relays) - gone
        yield "relays", (using, "gone"), gone
        yield "relays_expected", (using,), int(settings.RELAY == "worker" and using in publishing)


def _consumers(seen: monitoring.Overview) -> Samples:
    for group in sorted({each.group for each in seen.consumers}):
        own = [each for each in seen.consumers if each.group == group]
        gone = sum(each.is_gone for each in own)
        yield "consumers", (group, "running"), len(own) - gone
        yield "consumers", (group, "gone"), gone
    running = Counter(topic for each in seen.consumers if not each.is_gone for topic in each.topics)
    for topic in sorted({*subscriptions.by_topic(), *running}):
        yield "topic_consumers", (topic,), running[topic]


def _lag(seen: monitoring.Overview) -> Samples:
    for each in seen.lag.partitions:
        place = (each.group, each.topic, each.partition)
        if each.records is not None:
            yield "consumer_lag_records", place, each.records
        if each.behind_seconds is not None:
            yield "consumer_lag_seconds", place, each.behind_seconds
        yield "consumer_position_age_seconds", place, each.moved_seconds_ago


def _backfills(seen: monitoring.Overview) -> Samples:
    for (using, state), count in sorted(Counter((each.using, each.state) for each in seen.backfills).items()):
        yield "backfills", (using, state), count
    left: Counter[tuple[str, str]] = Counter()
    for each in seen.backfills:
        if each.state == "running" and each.rows_total is not None:
            left[each.using, each.publication] += max(0, each.rows_total - each.rows_done)
    for place, rows in sorted(left.items()):
        yield "backfill_rows_left", place, rows


def _audits(seen: monitoring.Overview) -> Samples:
    found: Counter[tuple[str, str, str]] = Counter()
    for each in seen.audits:
        for kind, rows in (("missing", each.missing), ("extra", each.extra), ("different", each.different)):
            found[each.group, each.topic, kind] += rows
    for place, rows in sorted(found.items()):
        yield "audit_findings", place, rows
