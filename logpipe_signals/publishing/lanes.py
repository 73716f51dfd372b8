"""
Lanes held by lease: which part of the outbox is this relay's alone, and for how long.

Every lane is one `Lease` row of kind LANE, every live relay one of kind RELAY. A relay holds its fair share: all lanes
when it is alone, half of them when there are two. It gives lanes back when others came, at once when it stops, and
takes those that became free. What a dead relay held is free when its lease runs out, by the database's clock.

The deadline a relay itself goes by is counted on this machine's clock from *before* the renewal was asked for, so it
always ends before the database's does.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Collection, Sequence

from logpipe_signals.backend import clock
from logpipe_signals.conf import settings
from logpipe_signals.exceptions import LeaseLost
from logpipe_signals.models import Lease
from logpipe_signals.models.expressions import DatabaseNow
from logpipe_signals.models.leases import LeaseKind, LeaseQuerySet
from logpipe_signals.publishing.outbox import lane_count

SAFETY_FACTOR = 0.1


def relay_id() -> str:
    """Return a name no other relay has, that tells a person where it runs."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class HeldLanes:
    """
    The lanes one relay holds on one database alias.

    Args:
        fence: Called for each owner whose lease ran out, before anything is sent in the lanes taken from it.
    """

    def __init__(self, using: str, owner: str, *, fence: Callable[[str], None] | None = None) -> None:
        self.using = using
        self.owner = owner
        self._fence = fence
        self.tokens: dict[int, int] = {}
        self._leaving: set[int] = set()
        self._announced = False
        self._deadline = 0.0
        self._renew_at = 0.0

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def numbers(self) -> list[int]:
        """Return the lanes to claim from, in order: those held, less those about to be given back."""
        return sorted(set(self.tokens) - self._leaving)

    @property
    def seconds_left(self) -> float:
        """Return how long the leases surely last, less a margin for the clocks."""
        return self._deadline - clock.seconds()

    def require(self, held: Collection[tuple[int, int]]) -> None:
        """
        Make sure that the leases still hold, before something is sent under them.

        Args:
            held: (lane, token) as when the rows were claimed. A lane that was lost and taken again has another token,
                and another relay may have sent a newer state meanwhile.

        Raises:
            LeaseLost: They may have run out: another relay may hold the lanes by now.
        """
        if self.seconds_left <= 0 or any(self.tokens.get(lane) != token for lane, token in held):
            self.tokens.clear()
            raise LeaseLost(
                f"Relay {self.owner} was held up past its lease of {settings.LEASE_SECONDS} s; its lanes may be "
                "another's now. It starts over. If this happens often, raise LOGPIPE['LEASE_SECONDS']."
            )

    def take(self, lanes: Collection[int] | None = None) -> bool:
        """Take these lanes as far as they are free (None: all), and tell whether any lane is held now."""
        asked_at = clock.seconds()
        names = [str(lane) for lane in (lanes if lanes is not None else all_lanes(self.using))]
        self._hold(self._take(names), asked_at)
        return bool(self.tokens)

    @property
    def want_keeping(self) -> bool:
        """Tell whether `keep` has something to do: it is asked for every few hundred rows."""
        return bool(self._leaving) or clock.seconds() >= self._renew_at

    def keep(self, *, busy: Collection[int] = ()) -> bool:
        """
        Renew when a third of the lease has passed, and come nearer to the fair share.

        Args:
            busy: Lanes with messages in flight. They are not given back before these have settled.

        Returns:
            Whether new lanes came, which have to be read from their start.
        """
        self._give_back(self._leaving - set(busy))
        if clock.seconds() < self._renew_at:
            return False
        asked_at = clock.seconds()
        before = set(self.tokens)
        self._renew_relay()
        renewed = self._leases.renew(LeaseKind.LANE, owner=self.owner, lease_seconds=settings.LEASE_SECONDS)
        share = self._fair_share()
        if len(renewed) < share:
            wanted = [str(lane) for lane in all_lanes(self.using) if str(lane) not in renewed]
            renewed = self._take([*renewed, *self._free(wanted)[: share - len(renewed)]])
        self._hold(renewed, asked_at)
        self._leaving = set(self.numbers[share:])
        self._give_back(self._leaving - set(busy))
        return bool(set(self.tokens) - before)

    def release(self) -> None:
        """Give everything back at once."""
        self._leases.release(LeaseKind.LANE, owner=self.owner)
        if self._announced:
            self._leases.of_kind(LeaseKind.RELAY).filter(name=self.owner).delete()
            self._announced = False
        self.tokens.clear()

    def pairs(self, lanes: Collection[int]) -> Sequence[tuple[int, int]]:
        """Return (lane, token) for those of these lanes that are held."""
        return [(lane, self.tokens[lane]) for lane in lanes if lane in self.tokens]

    @property
    def _leases(self) -> LeaseQuerySet:
        return Lease.objects.using(self.using)

    def _take(self, names: Collection[str]) -> dict[str, int]:
        late = self._late_owners(names)
        taken = self._leases.take(LeaseKind.LANE, names, owner=self.owner, lease_seconds=settings.LEASE_SECONDS)
        self._fence_off(late)
        if taken or self._leases.of_kind(LeaseKind.LANE).exists():
            return taken
        self._leases.ensure(LeaseKind.LANE, [str(lane) for lane in all_lanes(self.using)])
        return self._take(names)

    def _late_owners(self, names: Collection[str]) -> dict[str, list[str]]:
        """Return who held which of these lanes until the lease ran out; who hands over has nothing in hand."""
        late: dict[str, list[str]] = {}
        if self._fence is not None:
            leases = self._leases.of_kind(LeaseKind.LANE).filter(name__in=names).free().exclude(owner="")
            for owner, name in leases.exclude(owner=self.owner).values_list("owner", "name"):
                late.setdefault(owner, []).append(name)
        return late

    def _fence_off(self, late: dict[str, list[str]]) -> None:
        for owner, names in late.items():
            try:
                if self._fence is not None:
                    self._fence(owner)
            except Exception:
                # Nothing may be sent in these lanes before their late owner is fenced: they go back to its name.
                mine = self._leases.of_kind(LeaseKind.LANE).filter(owner=self.owner, name__in=names)
                mine.update(owner=owner, expires_at=DatabaseNow())
                raise

    def _hold(self, leases: dict[str, int], asked_at: float) -> None:
        seconds = settings.LEASE_SECONDS
        self.tokens = {int(name): token for name, token in leases.items()}
        self._leaving.clear()
        self._deadline = asked_at + seconds * (1 - SAFETY_FACTOR)
        self._renew_at = asked_at + seconds / 3

    def _free(self, wanted: Collection[str]) -> list[str]:
        lanes = self._leases.of_kind(LeaseKind.LANE)
        if not lanes.exists():
            return list(wanted)
        return list(lanes.filter(name__in=wanted).free().values_list("name", flat=True))

    def _renew_relay(self) -> None:
        self._announced = True
        relays = self._leases.of_kind(LeaseKind.RELAY)
        relays.free().delete()
        self._leases.ensure(LeaseKind.RELAY, [self.owner])
        if not self._leases.renew(LeaseKind.RELAY, owner=self.owner, lease_seconds=settings.LEASE_SECONDS):
            self._leases.take(LeaseKind.RELAY, [self.owner], owner=self.owner, lease_seconds=settings.LEASE_SECONDS)

    def _fair_share(self) -> int:
        relays = self._leases.of_kind(LeaseKind.RELAY).held().count() or 1
        return -(-len(all_lanes(self.using)) // relays)

    def _give_back(self, lanes: Collection[int]) -> None:
        if not lanes:
            return
        self._leases.release(LeaseKind.LANE, owner=self.owner, names=[str(lane) for lane in lanes])
        self._leaving.difference_update(lanes)
        for lane in lanes:
            self.tokens.pop(lane, None)


def all_lanes(using: str) -> range:
    """Return the lanes of a database: as many as were stored when it was first used, whatever the setting says now."""
    return range(lane_count(using))
