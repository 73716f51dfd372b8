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
    from logpipe_signals.publishing import relay, settling
    from logpipe_signals.publishing.lanes import HeldLanes, all_lanes

    HeldLanes.numbers = property(lambda held: list(all_lanes(held.using)))  # type: ignore[assignment]
    HeldLanes.require = lambda held, *_: None  # type: ignore[method-assign]
    HeldLanes.seconds_left = property(lambda held: 5.0)  # type: ignore[assignment]
    settling.Settlement.retire = (  # type: ignore[method-assign]
        lambda settlement, rows: settlement._outbox().retire([row.id for row in rows]) if rows else 0
    )
    relay.prepare = _after(relay.prepare, _dawdle)  # between the read and the send


def split_save() -> None:
    """A save in autocommit commits first, and its outbox row comes in a transaction of its own."""
    from logpipe_signals.publishing import capture

    @contextmanager
    def apart(using: str, save: Any) -> Iterator[None]:
        yield
        _dawdle()
        with capture.atomic_once(using):
            save.look()
            save.capture()

    capture.captured_in_transaction = apart


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

    Relay.relay_batch = read_then_claim  # type: ignore[method-assign]
    StateBatch._read = lambda batch, pks: {pk: seen[pk] for pk in pks if pk in seen}  # type: ignore[method-assign]


def retire_by_row() -> None:
    """What was acknowledged is retired by row, and so is what was committed since the claim."""
    from logpipe_signals.models.outbox import OutboxQuerySet
    from logpipe_signals.publishing import relay

    retire = OutboxQuerySet.retire

    def retire_all(outbox: Any, ids: Any, **options: Any) -> int:
        rows = set(outbox.filter(pk__in=ids).values_list("publication", "object_id"))
        same = outbox.filter(object_id__in=[object_id for _, object_id in rows]).values_list("pk", flat=True)
        return retire(outbox, [*ids, *same], **options)

    OutboxQuerySet.retire = retire_all  # type: ignore[method-assign]
    relay.prepare = _after(relay.prepare, _dawdle)


def oversleep() -> None:
    """
    A relay falls asleep with a send in hand, past its lease, at the worst moment: all deadlines have been looked at.

    No promise is taken out here: it is what a frozen machine does, and what the sequence is for.
    """
    from logpipe_signals.conf import settings
    from logpipe_signals.publishing.relay import Relay

    start = Relay._start

    def late(relay: Relay, *args: Any) -> Any:
        if random.random() < 0.2:
            time.sleep(settings.LEASE_SECONDS * 1.5)
        return start(relay, *args)

    Relay._start = late  # type: ignore[method-assign]


MUTATIONS: dict[str, Callable[[], None]] = {
    each.__name__: each for each in (share_lanes, split_save, read_before_claim, retire_by_row, oversleep)
}


def _after(function: Callable[..., Any], then: Callable[[], None]) -> Callable[..., Any]:
    def both(*args: Any, **kwargs: Any) -> Any:
        found = function(*args, **kwargs)
        then()
        return found

    return both


def _dawdle() -> None:
    time.sleep(random.uniform(0, 0.1))
