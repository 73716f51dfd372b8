"""The partitions of a group shared by leases in a database, among any processes that reach it."""

from __future__ import annotations

import hashlib
import os
import socket
import uuid
from collections.abc import Callable, Collection, Sequence
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, ClassVar

from django.db.models import Q

from logpipe_signals.backend import clock
from logpipe_signals.backend.base import TopicPartition
from logpipe_signals.backend.database_log import reachable
from logpipe_signals.backend.sharing import Change, Claims, fair_share, surplus_of, wanted_of
from logpipe_signals.conf import settings

if TYPE_CHECKING:
    from logpipe_signals.models.leases import LeaseQuerySet

LONGEST_LABEL = 100
LOOKS_A_LEASE = 3
FORGET_MEMBERS_AFTER_LEASES = 10


class LeaseClaims(Claims):
    """
    One member of a group. It has a `CONSUMER` lease a topic, and a `PARTITION` lease for each partition it reads.

    Leases are renewed while the consumer polls. One that is not polled for `LEASE_SECONDS` loses its partitions; the
    compare-and-set of positions then refuses what it still had in hand.
    """

    kind: ClassVar[str] = "partition"
    """The kind of the leases on what is read; logs whose partitions are called otherwise name their own."""

    def __init__(self, using: str, group: str, topics: Sequence[str], handed_over: Callable[[], None]) -> None:
        super().__init__()
        self.member = f"{socket.gethostname()[:40]}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self._using = using
        self._labels = {topic: _label(group, topic) for topic in topics}
        self._handed_over = handed_over
        self._shares: dict[str, int] = {}
        self._known: set[str] = set()
        self._next_look = clock.seconds()

    def due(self) -> bool:
        return clock.seconds() >= self._next_look

    def look(self, partitions: Collection[TopicPartition]) -> Change:
        started = clock.seconds()
        with reachable(self._using):
            self._live()
            renewed = self._leases().renew(self.kind, owner=self.member, lease_seconds=settings.LEASE_SECONDS)
            self._shares = self._fair_shares(partitions)
        lost = frozenset(partition for partition in self.held if self._name(partition) not in renewed)
        self.held -= lost
        self._next_look = started + settings.LEASE_SECONDS / LOOKS_A_LEASE
        return Change(lost, surplus_of(self.held, partitions, self._shares))

    def release(self, partitions: Collection[TopicPartition]) -> None:
        if not partitions:
            return
        names = [self._name(partition) for partition in partitions]
        with reachable(self._using):
            self._leases().release(self.kind, owner=self.member, names=names)
        self.held -= frozenset(partitions)
        self._handed_over()

    def take(self, partitions: Collection[TopicPartition]) -> frozenset[TopicPartition]:
        others = {self._name(partition): partition for partition in partitions if partition not in self.held}
        missing = sum(self._shares.values()) - len(self.held)
        if not others or missing <= 0:
            return frozenset()
        taken = self._take_free(others)
        self.held |= taken
        if len(taken) < missing:
            self._look_soon()
        return taken

    def leave(self) -> None:
        self.release(self.held)
        with reachable(self._using):
            self._leases().of_kind("consumer").filter(owner=self.member).delete()
        self._handed_over()

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Delete the leases of partitions that are no more, where nobody holds them."""
        names = [self._name(partition) for partition in partitions]
        with reachable(self._using):
            self._leases().of_kind(self.kind).filter(name__in=names).free().delete()
        self._known.difference_update(names)

    # --- members ------------------------------------------------------------------------------------------------

    def _live(self) -> None:
        names = {self._member_name(topic, self.member) for topic in self._labels}
        renewed = self._leases().renew("consumer", owner=self.member, lease_seconds=settings.LEASE_SECONDS)
        if names <= renewed.keys():
            return
        self._leases().ensure("consumer", names)
        self._leases().take("consumer", names, owner=self.member, lease_seconds=settings.LEASE_SECONDS)
        self._forget_the_dead()

    def _fair_shares(self, partitions: Collection[TopicPartition]) -> dict[str, int]:
        members = self._members()
        return {
            topic: fair_share(topic, sum(each.topic == topic for each in partitions), members[topic], self.member)
            for topic in self._labels
        }

    def _members(self) -> dict[str, set[str]]:
        rows = set(self._of_this_group().held().values_list("name", "owner"))
        members = {topic: {self.member} for topic in self._labels}
        for topic, owners in members.items():
            owners.update(owner for name, owner in rows if name == self._member_name(topic, owner))
        return members

    def _forget_the_dead(self) -> None:
        from logpipe_signals.models.expressions import SecondsFromNow

        long_ago = SecondsFromNow(-FORGET_MEMBERS_AFTER_LEASES * settings.LEASE_SECONDS)
        self._of_this_group().filter(expires_at__lt=long_ago).delete()

    def _of_this_group(self) -> LeaseQuerySet:
        mine = reduce(or_, (Q(name__startswith=f"{label}:") for label in self._labels.values()))
        return self._leases().of_kind("consumer").filter(mine)

    def _member_name(self, topic: str, member: str) -> str:
        return f"{self._labels[topic]}:{member}"

    # --- partitions ---------------------------------------------------------------------------------------------

    def _take_free(self, others: dict[str, TopicPartition]) -> frozenset[TopicPartition]:
        with reachable(self._using):
            self._ensure(others.keys())
            free = self._leases().of_kind(self.kind).filter(name__in=others).free().values_list("name", flat=True)
            wanted = wanted_of(self.held, [others[name] for name in free], self._shares)
            if not wanted:
                return frozenset()
            names = [self._name(partition) for partition in wanted]
            taken = self._leases().take(self.kind, names, owner=self.member, lease_seconds=settings.LEASE_SECONDS)
        return frozenset(others[name] for name in taken)

    def _ensure(self, names: Collection[str]) -> None:
        if new := sorted(set(names) - self._known):
            self._leases().ensure(self.kind, new)
            self._known.update(new)

    def _look_soon(self) -> None:
        """Somebody has to hand something over first: do not wait for the next heartbeat."""
        soon = clock.seconds() + settings.DATABASE_LOG_POLL_SECONDS
        self._next_look = min(self._next_look, soon)

    def _name(self, partition: TopicPartition) -> str:
        return f"{self._labels[partition.topic]}:{partition.partition}"

    def _leases(self) -> LeaseQuerySet:
        from logpipe_signals.models import Lease

        return Lease.objects.using(self._using)


def _label(group: str, topic: str) -> str:
    text = f"{group}:{topic}"
    if len(text) <= LONGEST_LABEL:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    return f"{text[: LONGEST_LABEL - 33]}~{digest}"
