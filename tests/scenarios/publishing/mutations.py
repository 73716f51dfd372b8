"""
Promises taken out, one at a time, in a scenario's own processes: the checker has to notice each of them.

Chosen by LOGPIPE_MUTATION. Each also dawdles where its race is, so that it is lost within seconds and not within days.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def share_lanes() -> None:
    """Every relay works on every lane, whoever holds the lease."""
    from logpipe_signals.publishing import relay
    from logpipe_signals.publishing.lanes import HeldLanes, all_lanes
    from logpipe_signals.publishing.settling import Settlement

    def retiring(settlement: Any, rows: Any) -> Callable[[], int]:
        return lambda: settlement._outbox().retire([row.id for row in rows]) if rows else 0

    _replace(HeldLanes, "numbers", property(lambda held: list(all_lanes(held.using))))
    _replace(HeldLanes, "require", lambda held, *_: None)
    _replace(HeldLanes, "seconds_left", property(lambda held: 5.0))
    _replace(Settlement, "retiring", retiring)
    _dawdle_after(relay, "prepare")  # between the read and the send


def split_save() -> None:
    """A save in autocommit commits first, and its outbox row comes in a transaction of its own."""
    from logpipe_signals.publishing import capture
    from logpipe_signals.publishing.transactions import atomic_once

    @contextmanager
    def apart(using: str, save: Any) -> Iterator[None]:
        yield
        _dawdle()
        with atomic_once(using):
            save.look()
            save.capture()

    _replace(capture, "captured_in_transaction", apart)


def read_before_claim() -> None:
    """The rows' state is read first, and then the changes are claimed that it is to account for."""
    from logpipe_signals.publishing.relay import Relay
    from logpipe_signals.publishing.state import StateBatch
    from testproject.people.models import Person

    seen: dict[Any, Any] = {}
    relay_batch = Relay.relay_batch

    def read_then_claim(relay: Relay, **options: Any) -> Any:
        seen.clear()
        seen.update({person.pk: person for person in Person._base_manager.using(relay.using)})
        _dawdle()
        return relay_batch(relay, **options)

    _replace(Relay, "relay_batch", read_then_claim)
    _replace(StateBatch, "_read", lambda batch, pks: {pk: seen[pk] for pk in pks if pk in seen})


def retire_by_row() -> None:
    """What was acknowledged is retired by row, and so is what was committed since the claim."""
    from logpipe_signals.models.outbox import OutboxQuerySet
    from logpipe_signals.publishing import relay

    retire: Callable[..., int] = OutboxQuerySet.retire

    def retire_all(outbox: Any, ids: Any, **options: Any) -> int:
        rows = set(outbox.filter(pk__in=ids).values_list("object_id", flat=True))
        return retire(outbox, [*ids, *outbox.filter(object_id__in=rows).values_list("pk", flat=True)], **options)

    _replace(OutboxQuerySet, "retire", retire_all)
    _dawdle_after(relay, "prepare")


def oversleep() -> None:
    """
    A relay falls asleep with a send in hand, past its lease, at the worst moment: all deadlines have been looked at.

    No promise is taken out here: it is what a frozen machine does, and what sequence and fencing are for.
    """
    from logpipe_signals.conf import settings
    from logpipe_signals.publishing.relay import Relay

    start: Callable[..., Any] = Relay._start

    def late(relay: Relay, *args: Any, **kwargs: Any) -> Any:
        if random.random() < 0.2:
            time.sleep(settings.LEASE_SECONDS * 1.5)
        return start(relay, *args, **kwargs)

    _replace(Relay, "_start", late)


MUTATIONS: dict[str, Callable[[], None]] = {
    each.__name__: each for each in (share_lanes, split_save, read_before_claim, retire_by_row, oversleep)
}


def _replace(owner: Any, name: str, new: Any) -> None:
    """Put something else in a place; a place that is gone would take nothing out."""
    if not hasattr(owner, name):
        raise AttributeError(f"{owner} has no {name} any more: this mutation has to follow the code.")
    setattr(owner, name, new)


def _dawdle_after(owner: Any, name: str) -> None:
    original = getattr(owner, name)

    def slow(*args: Any, **kwargs: Any) -> Any:
        found = original(*args, **kwargs)
        _dawdle()
        return found

    _replace(owner, name, slow)


def _dawdle() -> None:
    time.sleep(random.uniform(0, 0.1))
