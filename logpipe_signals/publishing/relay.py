"""
The relay: claims lanes, reads the rows' current state in batches, serialises, sends, retires.

    Relay("default").run(stop)       # for ever, as manage.py run_relay does
    drain("default")                 # everything that is pending now

While one batch is on its way to the log the next one is claimed, read and serialised, and in front of a backlog the one
before is retired, and the one after claimed, by a thread beside it (`aside`). A batch is retired only when all
of a row's messages were acknowledged. Nothing is sent without looking at the lease's deadline first, and the client
gives a message up before that deadline, so a relay that was held up cannot write over its successor's messages.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import suppress
from dataclasses import dataclass

from django.db import DatabaseError, InterfaceError
from django.db.models import Min
from django.utils import timezone

from logpipe_signals import signals
from logpipe_signals.backend import clock, get_producer_backend
from logpipe_signals.backend.base import Delivered, Delivery, Message, Sent
from logpipe_signals.conf import settings
from logpipe_signals.exceptions import LogPipeError
from logpipe_signals.models import OutboxRow
from logpipe_signals.publishing.aside import Aside, done
from logpipe_signals.publishing.claim import Claims
from logpipe_signals.publishing.claimed import ClaimedRow
from logpipe_signals.publishing.lanes import HeldLanes, relay_id
from logpipe_signals.publishing.messages import Batch, Outgoing
from logpipe_signals.publishing.outcomes import Outcomes, latencies_seconds, sent_by_type, sort_outcomes
from logpipe_signals.publishing.pace import Pace
from logpipe_signals.publishing.preparing import prepare
from logpipe_signals.publishing.settling import Settlement
from logpipe_signals.publishing.tracing import Spans, start_sending

logger = logging.getLogger(__name__)

PIPELINE_DEPTH = 2
RETIRING_DEPTH = 1
LEAST_PATIENCE_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class RelayReport:
    """What a relay did. `sent` counts messages, the others outbox rows."""

    claimed: int = 0
    sent: int = 0
    retired: int = 0
    put_off: int = 0
    set_aside: int = 0

    def __add__(self, other: RelayReport) -> RelayReport:
        return RelayReport(**{name: value + getattr(other, name) for name, value in vars(self).items()})


@dataclass(kw_only=True)
class _OnItsWay:
    """A batch between sending and settling."""

    rows: Sequence[ClaimedRow]
    batch: Batch
    delivery: Delivery
    deadline: float
    claimed_at: float
    sent: Sequence[Outgoing] = ()
    spans: Spans


@dataclass(kw_only=True)
class _Retiring:
    """A batch whose outcomes are known, while its rows are deleted."""

    work: _OnItsWay
    report: RelayReport
    retired: Future[int]
    started: float


class Relay:
    """
    Sends the pending changes of one database alias.

    Args:
        using: The alias whose outbox is relayed.
        owner: Names this relay among others; by default host, process and a random part.
        threaded: Whether a thread with a connection of its own may retire and claim beside it.
        kept_waiting: What a relay before this one says in its own attribute of this name.
    """

    def __init__(
        self,
        using: str = "default",
        *,
        owner: str | None = None,
        threaded: bool = False,
        kept_waiting: frozenset[str] = frozenset(),
    ) -> None:
        self.using = using
        self._aside = Aside(using, threaded=threaded)
        owner = owner or relay_id()
        self.producer = get_producer_backend()
        self._fencing = settings.KAFKA_FENCING == "transactions"
        if self._fencing:
            self.producer = self.producer.fenced(owner)
        self.lanes = HeldLanes(using, owner, fence=self.producer.fence if self._fencing else None)
        self.claims = Claims(using, self._aside)
        self.pace = Pace()
        self._settlement = Settlement(using, self.lanes)
        self._on_its_way: deque[_OnItsWay] = deque()
        self._retiring: deque[_Retiring] = deque()
        self._is_behind = False
        """Whether more waits than one batch."""
        self.kept_waiting = kept_waiting
        """Publications of which the log took nothing: perhaps their topic alone is away, and others come first."""
        self._more_came = False
        """Whether a batch enqueued rows of its own, which are to be claimed as well."""
        self.give_up_at: float | None = None
        """When (of `clock`) the log gets no more time for what was sent: somebody waits for this relay."""

    # --- public -------------------------------------------------------------------------------------------------

    def relay_batch(self, *, limit: int | None = None) -> RelayReport:
        """
        Claim the oldest pending changes of the held lanes and start sending them; settle batches that came back.

        Raises:
            BackendUnavailable: The log took nothing; every row stays pending.
            LeaseLost: The lanes may be another relay's; nothing more was sent.
        """
        limit = limit or self.pace.rows
        rows = self._claim(limit)
        self._is_behind = len(rows) >= limit
        if rows:
            self._submit(rows)
        report = RelayReport(claimed=len(rows))
        while self._on_its_way and (not rows or len(self._on_its_way) >= PIPELINE_DEPTH or self._oldest_is_done()):
            report += self._settle(self._on_its_way.popleft())
        return report if self._is_behind else report + self._retired_all()

    def drain(self, *, deadline: float | None = None, batches: int | None = None, thorough: bool = True) -> RelayReport:
        """
        Send until nothing is ready in the held lanes, or the deadline (of `clock`) or the number of batches is reached.

        Args:
            thorough: Look again after a batch that was not full. Who came later sends for itself.

        Raises:
            BackendUnavailable, LeaseLost: As `relay_batch`.
        """
        report, done = RelayReport(), 0
        while True:
            self.keep_lanes()
            full = self.pace.rows
            step = self.relay_batch(limit=full)
            report += step
            done += 1
            spent = (deadline is not None and clock.seconds() >= deadline) or (batches is not None and done >= batches)
            # What was settled may have let the next change of a row go.
            finished = not step.claimed and not step.retired
            more_came, self._more_came = self._more_came, False
            if spent or finished or (not thorough and step.claimed < full and not more_came):
                return report + self.settle_all()

    def settle_all(self) -> RelayReport:
        """Wait for every batch on its way."""
        report = RelayReport()
        while self._on_its_way:
            report += self._settle(self._on_its_way.popleft())
        return report + self._retired_all()

    def take_lanes(self, lanes: Collection[int] | None = None) -> bool:
        """Take these lanes (None: all) as far as they are free, and tell whether any is held now."""
        held = False
        try:
            self.producer.ready()
            held = self.lanes.take(lanes)
        finally:
            if not held and self._fencing:
                self.producer.close()  # Who got nothing is not stopped.
        return held

    def keep_lanes(self) -> None:
        """Renew the leases when it is time, and take or give back lanes as relays come and go."""
        self.producer.ready()
        if not self.lanes.want_keeping:
            return
        if self.lanes.keep(busy=self.claims.lanes_in_flight()):
            self.claims.look_at_everything()
            self._settlement.look_for_dead_letters()

    def stop(self) -> None:
        """Settle what is on its way and hand over the lanes at once."""
        try:
            self.settle_all()
        finally:
            self._aside.close()
            self.lanes.release()
            if self._fencing:
                self.producer.close()

    def recover(self) -> None:
        """After a failure: let go of what was on its way (none of it arrives later) and claim everything anew."""
        while self._on_its_way:
            work = self._on_its_way.popleft()
            with suppress(LogPipeError, DatabaseError, InterfaceError):
                self._settle(work)
        while self._retiring:
            with suppress(DatabaseError, InterfaceError):
                self._retired()
        self._aside.close()
        self.claims = Claims(self.using, self._aside)

    def _claim(self, limit: int) -> list[ClaimedRow]:
        """Claim what the log did not keep waiting a moment ago; when there is nothing else, that again."""
        if not self.kept_waiting:
            return self.claims.claim(self.lanes.numbers, limit=limit)
        rows = self.claims.claim(self.lanes.numbers, limit=limit, passing_over=self.kept_waiting)
        if not rows:
            self.kept_waiting = frozenset()
            self.claims.look_at_everything()
        return rows or self.claims.claim(self.lanes.numbers, limit=limit)

    # --- sending ------------------------------------------------------------------------------------------------

    def _submit(self, rows: list[ClaimedRow]) -> None:
        held = self.lanes.pairs({row.lane for row in rows})
        started = clock.seconds()
        try:
            traced, spans = start_sending(rows)
            batch = prepare(
                traced, self.using, headers_supported=self.producer.supports_headers, progressed=self.keep_lanes
            )
            self._more_came |= batch.enqueued
            self.lanes.require(held)
            timeout_seconds = min(settings.RELAY_SEND_TIMEOUT_SECONDS, self.lanes.seconds_left, self._patience_seconds)
            messages = [message for outgoing in batch.outgoing for message in outgoing.messages]
            message_bytes = sum(len(message.value or b"") for message in messages)
            self.pace.took(len(rows), message_bytes=message_bytes, seconds=clock.seconds() - started)
            delivery = self._start(messages, timeout_seconds)
        except BaseException:
            self.claims.settled(row.id for row in rows)
            self.claims.look_at_everything()
            raise
        deadline = clock.seconds() + timeout_seconds
        self._on_its_way.append(
            _OnItsWay(rows=rows, batch=batch, delivery=delivery, deadline=deadline, claimed_at=started, spans=spans)
        )

    @property
    def _patience_seconds(self) -> float:
        return math.inf if self.give_up_at is None else max(LEAST_PATIENCE_SECONDS, self.give_up_at - clock.seconds())

    def _start(self, messages: Sequence[Message], timeout_seconds: float) -> Delivery:
        if not messages:
            return Delivered([])
        return self.producer.submit(messages, timeout_seconds=timeout_seconds)

    def _oldest_is_done(self) -> bool:
        return self._on_its_way[0].delivery.done

    # --- settling -----------------------------------------------------------------------------------------------

    def _settle(self, work: _OnItsWay) -> RelayReport:
        started = clock.seconds()
        try:
            outcomes = work.delivery.wait(max(0.0, work.deadline - clock.seconds()))
            report, retired = self._settle_outcomes(work, outcomes)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                self._on_its_way.appendleft(work)  # It may still arrive: `stop` waits for it, and then hands over.
            self.claims.settled(row.id for row in work.rows)
            raise
        self._retiring.append(_Retiring(work=work, report=report, retired=retired, started=started))
        return self._retired(leave=RETIRING_DEPTH)

    def _retired(self, *, leave: int = 0) -> RelayReport:
        """Finish what is being deleted, but for the latest `leave` batches of it where they are not done yet."""
        report = RelayReport()
        while self._retiring and (len(self._retiring) > leave or self._retiring[0].retired.done()):
            report += self._finish(self._retiring.popleft())
        return report

    def _retired_all(self) -> RelayReport:
        """Finish what is being deleted, and be alone again."""
        report = self._retired()
        self._aside.close()
        return report

    def _finish(self, retiring: _Retiring) -> RelayReport:
        try:
            report = retiring.report + RelayReport(retired=retiring.retired.result())
        finally:
            self.claims.settled(row.id for row in retiring.work.rows)
        self._tell(retiring.work, report, retiring.started)
        return report

    def _tell(self, work: _OnItsWay, report: RelayReport, started: float) -> None:
        if not signals.batch_relayed.has_listeners():
            return
        now = clock.seconds()
        signals.announce(
            signals.batch_relayed,
            None,
            alias=self.using,
            sent=report.sent,
            failed=report.put_off + report.set_aside,
            retired=report.retired,
            seconds=now - started,
            sent_by_type=sent_by_type(work.sent),
            latencies_seconds=latencies_seconds(work.sent, now - work.claimed_at),
        )

    def _settle_outcomes(self, work: _OnItsWay, given: list[Sent]) -> tuple[RelayReport, Future[int]]:
        outcomes = sort_outcomes(work.batch, given, work.spans)
        work.sent = outcomes.sent
        retired = self._retire([*(row for outgoing in outcomes.sent for row in outgoing.rows), *work.batch.needless])
        try:
            return self._write(work.batch, outcomes), retired
        except BaseException:
            wait_for([retired])
            raise

    def _retire(self, rows: Sequence[ClaimedRow]) -> Future[int]:
        retiring = self._settlement.retiring(rows)
        return self._aside.run(retiring) if self._is_behind else done(retiring)

    def _write(self, batch: Batch, outcomes: Outcomes) -> RelayReport:
        self._settlement.write(batch, outcomes)
        if (away := outcomes.log_is_away) is not None:
            self.kept_waiting |= {outgoing.publication.name for outgoing, _ in outcomes.later}
            raise away
        return RelayReport(
            sent=sum(len(outgoing.messages) for outgoing in outcomes.sent),
            put_off=sum(len(outgoing.rows) for outgoing, _ in outcomes.later),
            set_aside=len(outcomes.never),
        )


def drain(using: str = "default", *, at_most_seconds: float | None = None) -> RelayReport:
    """
    Send everything that is pending on an alias and not in another relay's hands, and return when it is done.

    Args:
        at_most_seconds: Begin no further batch after this time; by default there is no such bound.

    Raises:
        BackendUnavailable: The log cannot be reached; what was not acknowledged stays pending.
    """
    return drain_by(Relay(using), at_most_seconds=at_most_seconds)


def drain_by(relay: Relay, *, at_most_seconds: float | None = None) -> RelayReport:
    """Do as `drain` says, by a relay that holds nothing before and after."""
    if not relay.take_lanes():
        return RelayReport()
    try:
        return relay.drain(deadline=None if at_most_seconds is None else clock.seconds() + at_most_seconds)
    finally:
        relay.stop()


def oldest_pending_seconds(using: str) -> float | None:
    """Return how old the oldest pending change is, by the database's clock; None when nothing is pending."""
    oldest = OutboxRow.objects.using(using).aggregate(oldest=Min("created_at"))["oldest"]
    return None if oldest is None else (timezone.now() - oldest).total_seconds()
