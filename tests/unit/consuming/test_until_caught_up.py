"""A run until caught up, and one that starts over: nothing is passed over, and it does not end early."""

from __future__ import annotations

from typing import Any

import pytest

from logpipe_signals.backend.base import TopicPartition
from logpipe_signals.backend.dummy import Consumer
from logpipe_signals.consuming.feed import Feed, FeedOptions
from logpipe_signals.consuming.loop import Loop, LoopOptions
from logpipe_signals.consuming.stopping import Stop
from logpipe_signals.exceptions import BackendUnavailable
from testproject.mirror.models import PersonCopy
from tests.unit.consuming.conftest import consumer_of, names, person, put_message

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def test_records_in_hand_survive_a_log_that_is_away_when_it_is_asked_for_its_ends(monkeypatch: pytest.MonkeyPatch):
    for number in range(4):
        put_message(person(number, f"n{number}"))
    real, calls = Consumer.end_positions, []

    def away_once(self: Consumer, partitions: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise BackendUnavailable("away")
        return real(self, partitions)

    monkeypatch.setattr(Consumer, "end_positions", away_once)
    made = consumer_of()
    loop = Loop(made._feed, {"people": made.routes}, LoopOptions(until_caught_up=True, endure=True), stop=Stop())
    loop._pace._size = 2
    loop.run()
    assert names() == ["n0", "n1", "n2", "n3"]


def test_a_restart_is_not_caught_up_before_it_has_read_anything(monkeypatch: pytest.MonkeyPatch):
    for number in range(3):
        put_message(person(number))
    made = consumer_of()
    made.run()
    PersonCopy.objects.all().delete()
    real, polls = Consumer.poll, []

    def empty_at_first(self: Consumer, **options: Any) -> Any:
        polls.append(1)
        if len(polls) > 1:
            return real(self, **options)
        self.assignment()
        real(self, max_records=0, timeout_seconds=0)
        return []

    monkeypatch.setattr(Consumer, "poll", empty_at_first)
    feed = Feed(FeedOptions(topics=("people",), group="logpipe", restart=True), made._positions)
    Loop(feed, {"people": made.routes}, LoopOptions(until_caught_up=True), stop=Stop()).run()
    assert len(names()) == 3


def test_a_restart_at_the_beginning_survives_a_rebalance_before_the_first_batch():
    for number in range(3):
        put_message(person(number))
    consumer_of().run()
    PersonCopy.objects.all().delete()
    made = consumer_of()
    feed = Feed(FeedOptions(topics=("people",), group="logpipe", restart=True), made._positions)
    partition = TopicPartition("people", "0")
    first = feed._read_positions([partition])
    feed._assigned([partition])
    feed._revoked([partition])
    second = feed._read_positions([partition])
    assert (first, second) == ({partition: None}, {partition: None})
