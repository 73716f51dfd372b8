"""Settling: what the outbox and the dead letters say after a batch's outcomes are known."""

from __future__ import annotations

import base64
import logging
import random
from collections.abc import Callable, Collection, Sequence
from functools import partial

from django.db import models, transaction
from django.db.models import F

from logpipe_signals import signals
from logpipe_signals.conf import settings
from logpipe_signals.exceptions import Parked
from logpipe_signals.models import DeadLetter, OutboxRow
from logpipe_signals.models.dead_letters import WAITING, DeadLetterState, Side
from logpipe_signals.models.expressions import SecondsFromNow
from logpipe_signals.models.outbox import Operation, OutboxQuerySet
from logpipe_signals.publishing.claimed import ClaimedRow
from logpipe_signals.publishing.lanes import HeldLanes
from logpipe_signals.publishing.messages import Batch, Outgoing
from logpipe_signals.publishing.outcomes import Outcomes, announce_failed, is_permanent
from logpipe_signals.publishing.secrets import secrets_of
from logpipe_signals.redaction import Secrets, traceback_of, without

logger = logging.getLogger(__name__)


class Settlement:
    """Writes outcomes into one alias's outbox, under the tokens of the lanes they were claimed with."""

    def __init__(self, using: str, lanes: HeldLanes) -> None:
        self.using = using
        self.lanes = lanes
        self.has_dead_letters: bool | None = None
        """None: not looked yet."""

    def look_for_dead_letters(self) -> None:
        """Ask once in a while, instead of at each batch, whether there is anything to supersede."""
        self.has_dead_letters = self._open_dead_letters().exists()

    def retire(self, rows: Collection[ClaimedRow]) -> int:
        """Delete exactly these rows, as far as their lanes are still ours."""
        return self.retiring(rows)()

    def retiring(self, rows: Collection[ClaimedRow]) -> Callable[[], int]:
        """Return what deletes these rows under the tokens of this moment, in whichever thread it is called."""
        if not rows:
            return lambda: 0
        tokens = self.lanes.pairs({row.lane for row in rows})
        return partial(self._outbox().retire, [row.id for row in rows], tokens=tokens)

    def write(self, batch: Batch, outcomes: Outcomes) -> None:
        """
        Write down what became of a batch, all but the rows that were sent (see `retiring`), and announce what failed.

        Where the log is away nothing is put off: the rows stay as they are until it is back.
        """
        self.supersede(outcomes.sent)
        self.move(batch.moved)
        if outcomes.later and outcomes.log_is_away is None:
            self.put_off([row for outgoing, _ in outcomes.later for row in outgoing.rows], outcomes.later[0][1])
        for outgoing, error in outcomes.never:
            self.set_aside(outgoing, error)
        for outgoing in batch.parked:
            self.park(outgoing)
        for outgoing, error in [*outcomes.later, *outcomes.never]:
            announce_failed(outgoing, error, permanent=is_permanent(outgoing, error))

    def supersede(self, sent: Sequence[Outgoing]) -> None:
        """Close the dead letters of rows that were sent since."""
        if sent and self.has_dead_letters is None:
            self.look_for_dead_letters()
        if not sent or not self.has_dead_letters:
            return
        by_publication: dict[str, list[Outgoing]] = {}
        for outgoing in sent:
            if outgoing.publication.options.payload == "change" or not outgoing.is_whole:
                continue  # A later change makes no earlier one superfluous, nor does one version the others.
            by_publication.setdefault(outgoing.publication.name, []).append(outgoing)
        for name, some in by_publication.items():
            letters = self._open_dead_letters().filter(publication=name)
            letters = letters.filter(object_id__in=[each.object_id for each in some])
            # That the row is on the log under another key takes its old one back from nobody.
            keys = [each.key.encode() for each in some]
            letters = letters.filter(models.Q(operation=Operation.UPSERT) | models.Q(key__in=keys))
            closed = letters.update(state=DeadLetterState.SUPERSEDED)
            announce_closed(some[0].publication.topic, DeadLetterState.SUPERSEDED, closed)
        self.look_for_dead_letters()

    def put_off(self, rows: Sequence[ClaimedRow], error: Exception) -> None:
        """Leave these rows for a later try, the later the more there were; all other rows go on."""
        for attempts, ids in _ids_by_attempts(rows).items():
            seconds = backoff_seconds(attempts)
            self._outbox().filter(pk__in=ids).update(attempts=F("attempts") + 1, retry_at=SecondsFromNow(seconds))
        logger.warning("%d outbox rows were put off: %s", len(rows), type(error).__name__)

    def move(self, moved: Sequence[tuple[ClaimedRow, str, int]]) -> None:
        """Move intents to the lane of the key that their row has by now."""
        for row, key, lane in moved:
            self._outbox().filter(pk=row.id).update(key=key, lane=lane)

    def set_aside(self, outgoing: Outgoing, error: Exception) -> None:
        """Keep what can never be sent as a dead letter, and retire its rows, in one transaction."""
        if not self._bury(outgoing, error, DeadLetterState.OPEN):
            return
        self.has_dead_letters = True
        logger.error(
            "A change of %s was set aside as a dead letter: %s. Mend the cause and replay it; %s.",
            outgoing.identity,
            type(error).__name__,
            "the row's next change supersedes it"
            if outgoing.publication.options.payload == "state"
            else "later changes of the row wait behind it",
        )

    def park(self, outgoing: Outgoing) -> None:
        """Keep a change behind the dead letters of its row; if they were replayed meanwhile it stays where it is."""
        with transaction.atomic(using=self.using):
            behind = DeadLetter.objects.using(self.using).filter(
                side=Side.PUBLISHER,
                state__in=WAITING,
                publication=outgoing.publication.name,
                object_id=outgoing.object_id,
            )
            if list(behind.select_for_update().values_list("pk", flat=True)):
                self._bury(outgoing, Parked("An earlier change of this row is a dead letter."), DeadLetterState.PARKED)

    def _bury(self, outgoing: Outgoing, error: Exception, state: DeadLetterState) -> bool:
        secrets = secrets_of(outgoing, self.using)
        with transaction.atomic(using=self.using):
            if not self.retire(outgoing.rows):
                return False
            _letter(outgoing, error, state, secrets).save(using=self.using)
        signals.announce(
            signals.dead_letters_added,
            None,
            side=Side.PUBLISHER.value,
            topic=outgoing.publication.topic,
            state=state.value,
            count=1,
        )
        return True

    def _outbox(self) -> OutboxQuerySet:
        return OutboxRow.objects.using(self.using)

    def _open_dead_letters(self) -> models.QuerySet[DeadLetter]:
        return DeadLetter.objects.using(self.using).filter(side=Side.PUBLISHER, state=DeadLetterState.OPEN)


def backoff_seconds(attempts: int) -> float:
    """Return how long a row waits after this many tries: doubling, bounded, with jitter."""
    longest = min(settings.RELAY_RETRY_SECONDS * 2.0 ** min(attempts, 30), settings.RELAY_MAX_RETRY_SECONDS)
    return float(longest * random.uniform(0.5, 1.0))  # noqa: S311  (jitter, no secret)


def announce_closed(topic: str, state: DeadLetterState, count: int) -> None:
    """Tell the receivers of `dead_letters_closed` about a publisher's letters."""
    if count:
        side = Side.PUBLISHER.value
        signals.announce(signals.dead_letters_closed, None, side=side, topic=topic, state=state.value, count=count)


def storable(text: str) -> str:
    """Return text that every database takes: no NUL, no lone surrogate."""
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def _ids_by_attempts(rows: Sequence[ClaimedRow]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for row in rows:
        found.setdefault(row.attempts, []).append(row.id)
    return found


def _kept_of(rows: Sequence[ClaimedRow]) -> bytes | None:
    """Return what a replay needs: of upserts together, that some versions alone are meant only where all say so."""
    last = rows[-1]
    if last.operation == Operation.UPSERT and any(row.payload is None for row in rows):
        return None
    return last.payload


def _letter(outgoing: Outgoing, error: Exception, state: DeadLetterState, secrets: Secrets) -> DeadLetter:
    """Return one letter a change; its bytes are those of the first version, complete, its texts without secrets."""
    last = outgoing.rows[-1]
    message = outgoing.messages[0] if outgoing.messages else None
    return DeadLetter(
        side=Side.PUBLISHER,
        state=state,
        topic=outgoing.publication.topic,
        publication=outgoing.publication.name,
        offset=str(last.id),
        object_id=outgoing.object_id,
        identity=outgoing.identity[:255],
        sequence=outgoing.sequence,
        operation=last.operation,
        payload=_kept_of(outgoing.rows),
        key=outgoing.key.encode(),
        value=message.value if message else None,
        headers=[[name, base64.b64encode(value).decode()] for name, value in message.headers] if message else [],
        reason=type(error).__name__[:64],
        error=storable(without(str(error), secrets)),
        traceback=storable(traceback_of(error, secrets)),
        attempts=last.attempts + 1,
    )
