"""
Replay: dead letters are applied again, in their order, once the cause is mended.

Each has a transaction of its own, which locks the letter first. A running consumer locks the letters that wait for the
identities of its batch before it applies anything (`OpenLetters.lock`): so no two ever work on one identity at once,
and work on another one waits for nobody. Both lock the guard's row of the identity besides. What is stale by now is
refused and closed.
"""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from django.db import connections, models, transaction
from django.utils import timezone

from logpipe_signals.backend.base import Record, TopicPartition
from logpipe_signals.consuming.audits.touched import TouchedKeys
from logpipe_signals.consuming.dead_letters import error_texts
from logpipe_signals.consuming.incoming import Incoming, Refused
from logpipe_signals.consuming.reports import announce_closed
from logpipe_signals.consuming.routing import Routes
from logpipe_signals.consuming.saving import apply_record, names_its_own_row
from logpipe_signals.consuming.staleness import judge
from logpipe_signals.consuming.transients import repeating
from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.models import DeadLetter
from logpipe_signals.models.dead_letters import WAITING, DeadLetterState, Side
from logpipe_signals.redaction import NO_SECRETS, Secrets

Outcome = Literal["replayed", "stale", "failed", "waiting", "closed"]
CHUNK = 100


@dataclass(kw_only=True)
class ReplayReport:
    """
    What became of each letter, by its primary key.

    stale:   Refused, because something newer was applied; closed as superseded.
    waiting: Behind an earlier letter of their identity that still fails.
    closed:  Somebody else closed it meanwhile.
    """

    replayed: list[int] = field(default_factory=list)
    stale: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)

    def add(self, pk: int, outcome: Outcome) -> None:
        """Note what became of one."""
        getattr(self, outcome).append(pk)


def replay(letters: models.QuerySet[DeadLetter], routes: Mapping[str, Routes]) -> ReplayReport:
    """
    Apply a consumer's letters again, oldest first.

    Args:
        letters: On the alias that keeps them; those of a publisher, and those that are closed, are passed over.
        routes: The serializers of each topic.
    """
    report = ReplayReport()
    for letter in _waiting(letters):
        try:
            outcome = _retried(letters.db, partial(_replay_one, letter, letters.db, routes))
        except Exception as error:  # noqa: BLE001  (user code raises what it likes; the letter stays, with the new error)
            _note_failure(letter, letters.db, error, routes)
            outcome = "failed"
        else:
            _announce(letter, outcome)
        report.add(letter.pk, outcome)
    return report


def _waiting(letters: models.QuerySet[DeadLetter]) -> Iterator[DeadLetter]:
    """Yield what waits, oldest first; what parks behind one meanwhile is yielded too."""
    last = 0
    while chunk := list(letters.filter(side=Side.CONSUMER, state__in=WAITING, pk__gt=last).order_by("pk")[:CHUNK]):
        yield from chunk
        last = chunk[-1].pk


def _retried(alias: str, replay_one: Callable[[], Outcome]) -> Outcome:
    """Try again what another transaction was in the way of, unless the caller has a transaction open."""
    if connections[alias].in_atomic_block:
        return replay_one()
    return repeating(stopped=lambda: False, pause=time.sleep)(replay_one)


def _announce(letter: DeadLetter, outcome: Outcome) -> None:
    if outcome in ("replayed", "stale"):
        announce_closed(letter.topic, DeadLetterState(letter.state), 1)


def _replay_one(letter: DeadLetter, alias: str, routes: Mapping[str, Routes]) -> Outcome:
    with transaction.atomic(using=alias):
        return _replay_locked(letter, alias, routes)


def _replay_locked(letter: DeadLetter, alias: str, routes: Mapping[str, Routes]) -> Outcome:
    if not _lock(letter, alias):
        return "closed"
    if letter.state == DeadLetterState.PARKED and _is_behind_another(letter, alias):
        return "waiting"
    incoming = _incoming(letter, routes)
    if incoming.parks and _is_behind_another(letter, alias):
        return "waiting"  # It is open because nobody could read it; by now it can be read.
    judged = judge([incoming], group=letter.group, alias=alias)
    if judged.stale or names_its_own_row(incoming, judged.moved_on.get(id(incoming))):
        _close(letter, DeadLetterState.SUPERSEDED)
        return "stale"
    apply_record(incoming)
    _tell_audits(letter, incoming, alias)
    _close(letter, DeadLetterState.REPLAYED)
    return "replayed"


def _tell_audits(letter: DeadLetter, incoming: Incoming, alias: str) -> None:
    """What is replayed while an audit is open was touched, as if a consumer had applied it."""
    partition = TopicPartition(letter.topic, letter.partition)
    TouchedKeys(group=letter.group, alias=alias).record(partition, 0, [(incoming, None)])


def _lock(letter: DeadLetter, alias: str) -> bool:
    """Keep running consumers off the letter's identity, and tell whether the letter still waits then."""
    # By a write, which SQLite takes its lock for: it fails where a transaction writes only after it has read.
    waiting = DeadLetter.objects.using(alias).filter(pk=letter.pk, state__in=WAITING)
    return bool(waiting.update(attempts=models.F("attempts") + 1, modified=timezone.now()))


def _is_behind_another(letter: DeadLetter, alias: str) -> bool:
    """Tell whether an earlier letter of the same identity waits."""
    if not letter.identity:
        return False
    before = DeadLetter.objects.using(alias).filter(
        side=Side.CONSUMER, group=letter.group, topic=letter.topic, identity=letter.identity
    )
    return before.filter(pk__lt=letter.pk, state__in=WAITING).exists()


def record_of(letter: DeadLetter) -> Record:
    """Return the record as it was read."""
    return Record(
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        timestamp=letter.created.timestamp() * 1000,
        key=bytes(letter.key) if letter.key is not None else None,
        value=bytes(letter.value) if letter.value is not None else None,
        headers=tuple((name, base64.b64decode(value)) for name, value in letter.headers),
    )


def _incoming(letter: DeadLetter, routes: Mapping[str, Routes]) -> Incoming:
    if letter.topic not in routes:
        known = ", ".join(sorted(routes)) or "none"
        raise DeclarationError(f"No consumer is declared for topic {letter.topic!r}. Declared: {known}.")
    what = routes[letter.topic].decode(record_of(letter))
    if isinstance(what, Refused):
        raise what.error
    return what


def _close(letter: DeadLetter, state: DeadLetterState) -> None:
    letter.state = state
    letter.save(update_fields=["state", "modified"])


def _note_failure(letter: DeadLetter, alias: str, error: Exception, routes: Mapping[str, Routes]) -> None:
    texts = error_texts(error, _secrets_of(letter, routes))
    DeadLetter.objects.using(alias).filter(pk=letter.pk).update(
        attempts=models.F("attempts") + 1, modified=timezone.now(), **texts
    )


def _secrets_of(letter: DeadLetter, routes: Mapping[str, Routes]) -> Secrets:
    """Return the sensitive values of a letter's message, as it was sent and as an upcaster made it."""
    if letter.topic not in routes:
        return NO_SECRETS
    what = routes[letter.topic].decode(record_of(letter))
    refused = what if isinstance(what, Refused) else Refused.of(what, Exception())
    return refused.secrets()


def skip(letters: models.QuerySet[DeadLetter]) -> int:
    """Close letters without applying them, and return how many; what is parked behind them may be replayed."""
    waiting = letters.filter(side=Side.CONSUMER, state__in=WAITING)
    topics = Counter(waiting.values_list("topic", flat=True))
    skipped = waiting.update(state=DeadLetterState.SKIPPED, modified=timezone.now())
    for topic, count in topics.items():
        announce_closed(topic, DeadLetterState.SKIPPED, count)
    return skipped
