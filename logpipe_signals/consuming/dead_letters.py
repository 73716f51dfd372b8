"""
Dead letters: what could not be applied is kept with its bytes, headers, position and error.

A later good record of the same identity supersedes it: a state makes an earlier state superfluous. Where messages are
changes instead (`park=True`), later records of the identity park behind it, in order, until it is replayed or skipped.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from django.db import models
from django.utils import timezone

from logpipe_signals.backend.base import Record, TopicPartition
from logpipe_signals.consuming.incoming import Incoming, Refused, storable, stored_identity
from logpipe_signals.exceptions import Parked, UnknownMessageVersionError
from logpipe_signals.models.dead_letters import WAITING, DeadLetter, DeadLetterState, Side
from logpipe_signals.redaction import Secrets, text_of, traceback_of, without

LARGEST_VERSION = 2**31 - 1
LONGEST_TEXT = 20_000


class OpenLetters:
    """
    Knows whether a topic has letters that wait, so that a topic without any costs no statement.

    Asked anew whenever the positions of a partition are read: from then on only this process adds letters to it.
    """

    def __init__(self, *, group: str, alias: str) -> None:
        self._group = group
        self._alias = alias
        self._known: dict[TopicPartition, tuple[int, bool]] = {}

    def lock(self, partition: TopicPartition, generation: int, identities: Callable[[], Collection[str]]) -> set[str]:
        """
        Return which identities have letters that wait, and lock those letters until the transaction ends.

        A replay locks the letter it applies. So whoever comes second, the consumer or the replay, waits for the other
        where both work on one identity, and nowhere else. SQLite has one writer at a time anyway.

        Args:
            identities: Tells those of the batch; asked only where the topic has letters at all.
        """
        known = self._known.get(partition)
        if known is None or known[0] != generation:
            known = self._known[partition] = (generation, self._waiting(partition.topic).exists())
        if not known[1] or not (wanted := identities()):
            return set()
        rows = self._waiting(partition.topic).filter(identity__in=wanted)
        return set(rows.select_for_update().order_by("pk").values_list("identity", flat=True))

    def may_be_waiting(self, partition: TopicPartition) -> bool:
        """Tell whether the partition's topic has letters that wait."""
        return self._known.get(partition, (0, True))[1]

    def added(self, partition: TopicPartition, generation: int) -> None:
        """Take note that there is one now."""
        self._known[partition] = (generation, True)

    def supersede(self, applied: Iterable[Incoming]) -> int:
        """Close the letters that these records make superfluous, and return how many there were."""
        newest = {stored_identity(each.identity): each for each in applied if each.identity and not each.parks}
        topics = {each.record.topic for each in newest.values()}
        letters = [
            letter.pk
            for topic in topics
            for letter in self._waiting(topic).filter(identity__in=newest).only(*_SUPERSEDING)
            if _supersedes(newest[letter.identity], letter)
        ]
        if letters:
            now = timezone.now()
            rows = DeadLetter.objects.using(self._alias).filter(pk__in=letters)
            rows.update(state=DeadLetterState.SUPERSEDED, modified=now)
        return len(letters)

    def _waiting(self, topic: str) -> models.QuerySet[DeadLetter]:
        rows = DeadLetter.objects.using(self._alias)
        return rows.filter(side=Side.CONSUMER, group=self._group, topic=topic, state__in=WAITING)


_SUPERSEDING = ("pk", "identity", "reason", "version", "source", "sequence")


def _supersedes(applied: Incoming, letter: DeadLetter) -> bool:
    """A letter of a version nobody read yet waits for that version, unless the row is gone."""
    meta = applied.meta
    if letter.sequence and letter.source == meta.source and letter.sequence > meta.sequence:
        return False
    if applied.is_delete or letter.version == applied.route.version:
        return True
    if letter.reason == UnknownMessageVersionError.__name__:
        return False
    # Versions of one state leave together, and one does not say what the other one does.
    return not (letter.sequence and letter.source == meta.source and letter.sequence == meta.sequence)


def makes_superfluous(applied: Incoming, refused: Refused) -> bool:
    """Tell whether a record that was applied makes an earlier one of its identity, which failed, superfluous."""
    return _supersedes(applied, letter_of(refused, group=""))


def keep(refused: Sequence[Refused], *, group: str, alias: str) -> list[DeadLetter]:
    """Write the dead letters of those whose policy asks for one, in one statement."""
    letters = [letter_of(item, group=group) for item in refused if item.policy == "dead_letter"]
    if letters:
        DeadLetter.objects.using(alias).bulk_create(letters)
    return letters


def park(parked: Sequence[Incoming], *, group: str, alias: str) -> None:
    """Write the letters of records that wait behind an earlier one of their identity."""
    behind = [Refused.of(each, Parked("It waits behind an earlier record of its identity.")) for each in parked]
    letters = [letter_of(each, group=group, state=DeadLetterState.PARKED) for each in behind]
    if letters:
        DeadLetter.objects.using(alias).bulk_create(letters)


def letter_of(refused: Refused, *, group: str, state: DeadLetterState = DeadLetterState.OPEN) -> DeadLetter:
    """Return the dead letter of a record that was refused, in text that every database takes."""
    error, meta, secrets = refused.error, refused.meta, refused.secrets()
    return DeadLetter(
        side=Side.CONSUMER,
        state=state,
        group=group,
        identity=stored_identity(refused.identity),
        message_type=storable(refused.message_type)[:200],
        version=refused.version if refused.version is not None and abs(refused.version) <= LARGEST_VERSION else None,
        source=storable(meta.source)[:64],
        sequence=meta.sequence or None,
        **error_texts(error, secrets),
        **_bytes_of(refused.record),
    )


def error_texts(error: Exception, secrets: Secrets) -> dict[str, str]:
    """Return what a letter keeps of an error: without sensitive values, in text that every database takes."""
    return {
        "reason": type(error).__name__[:64],
        "error": storable(without(text_of(error), secrets))[:LONGEST_TEXT],
        "traceback": storable(traceback_of(error, secrets))[-LONGEST_TEXT:],
    }


def _bytes_of(record: Record) -> dict[str, Any]:
    return {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "key": record.key.encode() if isinstance(record.key, str) else record.key,
        "value": record.value.encode() if isinstance(record.value, str) else record.value,
        "headers": [[storable(name), base64.b64encode(value or b"").decode()] for name, value in record.headers],
    }
