"""
Capturing what a block would publish, without a broker: the outbox's new rows become messages, and go no further.

    with capture_published() as published:
        joe.save()
    published.assert_one(type="person", fields={"first_name": "Joe"})

It works in a TestCase, whose transaction never commits, and in a TransactionTestCase. What on_commit hooks do belongs
to the block: where the test's transaction keeps them waiting they are run at its end, as Django's own
`captureOnCommitCallbacks(execute=True)` runs them. What is rolled back, savepoints included, is not published.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager

from django.db import transaction
from django.test import TestCase, override_settings
from django.test.testcases import DatabaseOperationForbidden  # type: ignore[attr-defined]

from logpipe_signals.exceptions import LogPipeError
from logpipe_signals.models import OutboxRow
from logpipe_signals.publishing.claimed import ClaimedRow
from logpipe_signals.publishing.inline import sweeper
from logpipe_signals.publishing.messages import Batch
from logpipe_signals.publishing.preparing import prepare
from logpipe_signals.publishing.worker import published_aliases
from logpipe_signals.testing.published import Published, PublishedMessage
from logpipe_signals.testing.settings import with_logpipe

COLUMNS = ("id", "publication", "object_id", "key", "lane", "operation", "payload", "headers", "attempts")
MOST_ROUNDS = 20
"""Rows move to the lane of another key once or twice; more often is a publication that cannot decide."""


class NotPublishable(LogPipeError):
    """A row of the block has no message: its serializer, or a provider of headers, raised. The cause is chained."""


@contextmanager
def capture_published(
    using: str | Collection[str] | None = None, *, raise_errors: bool = True, run_on_commit: bool = True
) -> Iterator[Published]:
    """
    Collect what the block would publish. The messages are there when the block is over.

    Args:
        using: The database alias, or aliases; by default all that the test may use and a published model may be in.
        raise_errors: Raise for a row that cannot be sent; if not, `published.errors` has the errors.
        run_on_commit: Run the on_commit hooks that the test's own transaction holds back.

    Raises:
        NotPublishable: See `raise_errors`.
    """
    published = Published()
    with ExitStack() as stack:
        stack.enter_context(override_settings(LOGPIPE=with_logpipe(RELAY="worker")))
        sweeper.stop()  # It would send what it finds; the next inline send starts it again.
        before = {alias: _ids(alias) for alias in _aliases(using)}
        with ExitStack() as hooks:
            for alias in before if run_on_commit else ():
                hooks.enter_context(TestCase.captureOnCommitCallbacks(using=alias, execute=True))
            yield published
        for alias, ids in before.items():
            _take(alias, ids, published)
    if published.errors and raise_errors:
        error = published.errors[0]
        raise NotPublishable(f"A row cannot be published: {type(error).__name__}: {error}") from error


def _aliases(using: str | Collection[str] | None) -> list[str]:
    if using is not None:
        return [using] if isinstance(using, str) else list(using)
    return [alias for alias in published_aliases() if _may_be_used(alias)]


def _may_be_used(alias: str) -> bool:
    """Tell whether the test declared the database (`databases = {...}`)."""
    try:
        OutboxRow.objects.using(alias).exists()
    except DatabaseOperationForbidden:
        return False
    return True


def _ids(alias: str) -> frozenset[int]:
    return frozenset(OutboxRow.objects.using(alias).values_list("pk", flat=True))


# --- from rows to messages --------------------------------------------------------------------------------------------


def _take(alias: str, before: frozenset[int], published: Published) -> None:
    """Make the messages of the rows that came since, and remove the rows: they count as sent."""
    for _ in range(MOST_ROUNDS):
        rows = _new_rows(alias, before)
        if not rows:
            return
        with transaction.atomic(using=alias):
            batch = prepare(rows, alias, headers_supported=True)
            # Together with what its row's other changes say, once they stand under the key that the row has now.
            moved = _move(alias, batch)
            if not moved:
                OutboxRow.objects.using(alias).filter(pk__in=[row.id for row in rows]).delete()
        if not moved:
            _collect(batch, published)
    raise NotPublishable("Rows move from key to key without end. Does KEY_FIELD give the same text at each read?")


def _move(alias: str, batch: Batch) -> bool:
    for row, key, lane in batch.moved:
        OutboxRow.objects.using(alias).filter(pk=row.id).update(key=key, lane=lane)
    return bool(batch.moved)


def _new_rows(alias: str, before: frozenset[int]) -> list[ClaimedRow]:
    rows = OutboxRow.objects.using(alias).exclude(pk__in=before).order_by("pk")
    return [ClaimedRow(**values) for values in rows.values(*COLUMNS)]


def _collect(batch: Batch, published: Published) -> None:
    for outgoing in itertools.chain(batch.outgoing, batch.parked):
        if outgoing.error is not None:
            published.errors.append(outgoing.error)
        for message in outgoing.messages:
            published.add(PublishedMessage.of(message))
