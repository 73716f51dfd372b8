"""Leases: who may work on a lane, a shard or a backfill, until when, by the database's clock."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import F, Q

from logpipe_signals.models.exact import ExactCharField
from logpipe_signals.models.expressions import DatabaseNow, SecondsFromNow

if TYPE_CHECKING:
    from typing import Self


class LeaseKind(models.TextChoices):
    """What a lease is for."""

    LANE = "lane", "lane"
    RELAY = "relay", "relay"
    SHARD = "shard", "shard"
    BACKFILL = "backfill", "backfill"
    RUNNER = "runner", "runner"
    PARTITION = "partition", "partition"
    CONSUMER = "consumer", "consumer"


class LeaseQuerySet(models.QuerySet["Lease"]):
    """The verbs of a lease. Each is one statement, so that two processes never both succeed."""

    def of_kind(self, kind: str) -> Self:
        """Keep the leases of one kind."""
        return self.filter(kind=kind)

    def free(self) -> Self:
        """Keep the leases nobody holds: never taken, released, or run out."""
        return self.filter(Q(owner="") | Q(expires_at__lte=DatabaseNow()))

    def held(self) -> Self:
        """Keep the leases somebody holds now."""
        return self.exclude(owner="").filter(expires_at__gt=DatabaseNow())

    def ensure(self, kind: str, names: Iterable[str]) -> None:
        """Make the leases that are not there yet."""
        numbered = kind == LeaseKind.LANE
        leases = [self.model(kind=kind, name=name, number=int(name) if numbered else None) for name in names]
        self.bulk_create(leases, ignore_conflicts=True)

    def take(self, kind: str, names: Collection[str], *, owner: str, lease_seconds: float) -> dict[str, int]:
        """
        Take those that are free, and return the token of each one taken.

        The token grows with every take-over, so that a late owner's writes can be told apart.
        """
        self.of_kind(kind).filter(name__in=names).free().update(
            owner=owner, token=F("token") + 1, acquired_at=DatabaseNow(), expires_at=SecondsFromNow(lease_seconds)
        )
        return dict(self.of_kind(kind).filter(name__in=names, owner=owner).held().values_list("name", "token"))

    def renew(self, kind: str, *, owner: str, lease_seconds: float) -> dict[str, int]:
        """Renew what this owner still holds, and return its names and tokens; what ran out stays lost."""
        self.of_kind(kind).filter(owner=owner).held().update(expires_at=SecondsFromNow(lease_seconds))
        return dict(self.of_kind(kind).filter(owner=owner).held().values_list("name", "token"))

    def release(self, kind: str, *, owner: str, names: Collection[str] | None = None) -> int:
        """Give leases back at once."""
        mine = self.of_kind(kind).filter(owner=owner)
        return (mine if names is None else mine.filter(name__in=names)).update(owner="", expires_at=None)

    def lanes_with_tokens(self, tokens: Sequence[tuple[int, int]]) -> models.QuerySet[Lease, int]:
        """Return the numbers of the lanes that still have these tokens, for use as a subquery."""
        pairs = reduce(or_, (Q(number=lane, token=token) for lane, token in tokens), Q(pk__in=[]))
        return self.of_kind(LeaseKind.LANE).filter(pairs).values_list("number", flat=True)


class Lease(models.Model):
    """The right to work on one thing, for a while."""

    kind = models.CharField(max_length=16, choices=LeaseKind)
    name = ExactCharField(max_length=200, help_text="A lane's number, a relay's id, a shard, a backfill's id.")
    number = models.IntegerField(null=True, help_text="The lane's number.")
    owner = models.CharField(max_length=200, blank=True, default="", help_text="Empty: nobody.")
    token = models.BigIntegerField(default=0)
    acquired_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)

    objects = LeaseQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "relays and leases"
        constraints = [models.UniqueConstraint(fields=["kind", "name"], name="logpipe_lease_name")]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.owner or 'free'}"
