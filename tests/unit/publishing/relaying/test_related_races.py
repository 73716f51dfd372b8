"""What is shown and who shows it change side by side, neither seeing the other: the log ends with both changes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.db.models.signals import m2m_changed

from logpipe_signals.models import OutboxRow
from logpipe_signals.publishing.relay import drain
from logpipe_signals.testing.services.ports import wait_until
from tests.unit.publishing.relaying.conftest import ScriptedProducer
from tests.zoo.models import Address, Label, Line, Order, Region

on_postgresql = [pytest.mark.postgres, pytest.mark.django_db(databases=["default"], transaction=True)]


def elsewhere(do: Callable[[], object]) -> None:
    """Do something in another session."""

    def run() -> None:
        do()
        connection.close()

    other = threading.Thread(target=run)
    other.start()
    other.join()


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def last_told(log: ScriptedProducer, order: Order) -> Any:
    return [body["message"] for body in log.bodies() if body["message"].get("number") == order.number][-1]


class TestSideBySide:
    pytestmark = on_postgresql

    @pytest.fixture
    def order(self) -> Order:
        return Order.objects.create(number="1")

    def side_by_side(self, change: Callable[[], object], link: Callable[[], object]) -> None:
        """Change what is shown in a transaction; meanwhile somebody begins to show it, and a relay sends that."""
        drain()
        with transaction.atomic():
            change()
            elsewhere(link)
            elsewhere(drain)
        drain()

    def test_a_row_that_is_pointed_to_meanwhile(self, log: ScriptedProducer, order: Order) -> None:
        address = Address.objects.create(street="old")

        self.side_by_side(
            lambda: Address(pk=address.pk, street="new").save(),
            lambda: Order.objects.filter(pk=order.pk).update(address=address),
        )

        assert last_told(log, order)["street"] == "new"

    def test_rows_that_are_updated_together(self, log: ScriptedProducer, order: Order) -> None:
        address = Address.objects.create(street="old")

        self.side_by_side(
            lambda: Address.objects.update(street="new"),
            lambda: Order.objects.filter(pk=order.pk).update(address=address),
        )

        assert last_told(log, order)["street"] == "new"

    def test_a_row_two_steps_away(self, log: ScriptedProducer, order: Order) -> None:
        region = Region.objects.create(name="old")
        address = Address.objects.create(street="a", region=region)

        self.side_by_side(
            lambda: Region(pk=region.pk, name="new").save(),
            lambda: Order.objects.filter(pk=order.pk).update(address=address),
        )

        assert last_told(log, order)["region"] == "new"

    def test_a_row_two_steps_away_that_goes(self, log: ScriptedProducer, order: Order) -> None:
        region = Region.objects.create(name="old")
        address = Address.objects.create(street="a", region=region)

        self.side_by_side(region.delete, lambda: Order.objects.filter(pk=order.pk).update(address=address))

        assert last_told(log, order)["region"] is None

    def test_a_row_that_is_linked_meanwhile(self, log: ScriptedProducer, order: Order) -> None:
        label = Label.objects.create(name="old")

        self.side_by_side(lambda: Label(pk=label.pk, name="new").save(), lambda: order.labels.add(label))

        assert last_told(log, order)["label_names"] == ["new"]

    def test_a_link_that_is_made_while_links_are_cleared(self, log: ScriptedProducer, order: Order) -> None:
        label = Label.objects.create(name="a")
        drain()

        def link() -> None:
            with connection.cursor() as cursor, suppress(OperationalError):
                cursor.execute("SET lock_timeout = '200ms'")
                order.labels.add(label)

        def linked_meanwhile(action: str, **_: Any) -> None:
            if action == "pre_clear":
                elsewhere(link)

        m2m_changed.connect(linked_meanwhile, sender=Order.labels.through)
        try:
            label.orders.clear()
        finally:
            m2m_changed.disconnect(linked_meanwhile, sender=Order.labels.through)

        assert OutboxRow.objects.count() == 0, "what was linked was cleared by who did not see it"

    @pytest.mark.parametrize("leave", [lambda line: line.delete(), lambda line: line.save()], ids=["deleted", "moved"])
    def test_a_row_that_leaves_where_it_was_moved_meanwhile(
        self, log: ScriptedProducer, order: Order, leave: Callable[[Line], object]
    ) -> None:
        line = Line.objects.create(order=Order.objects.create(number="first"), text="a")
        line.order = Order.objects.create(number="last")
        drain()

        def leaving() -> None:
            leave(line)
            connection.close()

        other = threading.Thread(target=leaving)
        with transaction.atomic():
            Line.objects.filter(pk=line.pk).update(order=order)
            other.start()
            assert wait_until(somebody_waits, timeout_seconds=10)
        other.join()

        told_of = OutboxRow.objects.filter(object_id=str(order.pk)).count()
        assert told_of == 2, "once by who moved the line there, and once by who took it away"
