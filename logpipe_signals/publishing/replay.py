"""
Replay of a publisher's dead letters, once the cause is mended: they go back into the outbox, and the relay sends them.

Of a publication of states that is one message, however many letters there are: the relay reads what the row is now.
Changes go back one by one, in their order, those parked behind the first one too; each to the place that it had, since
later changes of its row may stand in the outbox by now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from django.db import models, transaction

from logpipe_signals.models import DeadLetter
from logpipe_signals.models.dead_letters import WAITING, DeadLetterState, Side
from logpipe_signals.publishing import outbox
from logpipe_signals.publishing.settling import announce_closed
from logpipe_signals.registry import publications


def replay(letters: models.QuerySet[DeadLetter]) -> int:
    """
    Put the rows of these letters back into the outbox of their database, and return how many changes that were.

    Letters of a consumer, closed ones, and those of a publication that this release does not know are passed over.
    """
    using = letters.db
    with transaction.atomic(using=using):
        chosen = _waiting(letters).filter(publication__in=_known()).values_list("publication", "object_id").distinct()
        return sum(_replay_row(using, publication, object_id) for publication, object_id in list(chosen))


def skip(letters: models.QuerySet[DeadLetter]) -> int:
    """Close these letters without sending them; changes that were parked behind one go back into the outbox."""
    using = letters.db
    with transaction.atomic(using=using):
        rows = list(_waiting(letters).values_list("publication", "object_id").distinct())
        topics = Counter(_waiting(letters).values_list("topic", flat=True))
        skipped = _waiting(letters).update(state=DeadLetterState.SKIPPED)
        _announce_closed(using, topics, DeadLetterState.SKIPPED)
        for publication, object_id in rows:
            behind = _of_row(using, publication, object_id)
            if publication in _known() and not behind.filter(state=DeadLetterState.OPEN).exists():
                _replay_row(using, publication, object_id)
    return skipped


def _replay_row(using: str, publication: str, object_id: str) -> int:
    replayed = 0
    # A relay that parked one more while we waited for its lock has added to them.
    while letters := list(_of_row(using, publication, object_id).select_for_update().order_by("pk")):
        outbox.write(using, [_intent(letter) for letter in letters])
        DeadLetter.objects.using(using).filter(pk__in=[letter.pk for letter in letters]).update(
            state=DeadLetterState.REPLAYED
        )
        _announce_closed(using, Counter(letter.topic for letter in letters), DeadLetterState.REPLAYED)
        replayed += len(letters)
    return replayed


def _announce_closed(using: str, topics: Mapping[str, int], state: DeadLetterState) -> None:
    def committed() -> None:
        for topic, count in topics.items():
            announce_closed(topic, state, count)

    transaction.on_commit(committed, using=using, robust=True)


def _intent(letter: DeadLetter) -> outbox.Intent:
    publication = publications[letter.publication]
    return outbox.Intent(
        place=int(letter.offset) if letter.offset and publication.options.payload == "change" else None,
        publication=publication,
        object_id=letter.object_id,
        key=bytes(letter.key or b"").decode(),
        operation=letter.operation,
        payload=bytes(letter.payload) if letter.payload is not None else None,
    )


def _waiting(letters: models.QuerySet[DeadLetter]) -> models.QuerySet[DeadLetter]:
    return letters.filter(side=Side.PUBLISHER, state__in=WAITING)


def _of_row(using: str, publication: str, object_id: str) -> models.QuerySet[DeadLetter]:
    return _waiting(DeadLetter.objects.using(using)).filter(publication=publication, object_id=object_id)


def _known() -> Iterable[str]:
    return [publication.name for publication in publications]
