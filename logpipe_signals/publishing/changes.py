"""
Each save as its own message: what capture serialised in the transaction, in order.

The next change of a row is sent only after the one before was acknowledged. A change that can never be sent parks the
later ones of its row behind it, in order, until it is replayed or skipped; all other rows go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from logpipe_signals.keys import decode_pk
from logpipe_signals.models import DeadLetter
from logpipe_signals.models.dead_letters import WAITING, Side
from logpipe_signals.publishing.claimed import ClaimedRow
from logpipe_signals.publishing.messages import Batch, MessageMaker
from logpipe_signals.publishing.wire import Wire
from logpipe_signals.registry import Publication


class ChangeBatch:
    """The claimed changes of one publication; claims give the oldest of each row only."""

    def __init__(self, publication: Publication, using: str, wire: Wire) -> None:
        self.publication = publication
        self.using = using
        self.make = MessageMaker(publication, using, replace(wire, payload="change"))

    def prepare(self, intents: Sequence[ClaimedRow], batch: Batch, progressed: Callable[[], None]) -> None:
        """Make one message a change, or park it."""
        stuck = self._behind_a_dead_letter(intents)
        for intent in intents:
            pk = decode_pk(self.publication.model, intent.object_id, self.using)
            outgoing = self.make.sent(pk, [intent], intent.key, self.make.kept(pk, intent))
            (batch.parked if intent.object_id in stuck else batch.outgoing).append(outgoing)
        progressed()

    def _behind_a_dead_letter(self, intents: Sequence[ClaimedRow]) -> frozenset[str]:
        letters = DeadLetter.objects.using(self.using).filter(
            side=Side.PUBLISHER,
            state__in=WAITING,
            publication=self.publication.name,
            object_id__in=[intent.object_id for intent in intents],
        )
        return frozenset(letters.values_list("object_id", flat=True))
