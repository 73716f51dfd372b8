"""What happens inside the transaction of a batch, once its position has moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from logpipe_signals.consuming import dead_letters, tracing
from logpipe_signals.consuming.audits.comparing import compare
from logpipe_signals.consuming.audits.mark import Marked
from logpipe_signals.consuming.batch import Batch, FoundInvalid
from logpipe_signals.consuming.bulk import apply_in_bulk
from logpipe_signals.consuming.incoming import Incoming, Refused, stored_identity
from logpipe_signals.consuming.kept_fields import asked_together
from logpipe_signals.consuming.positions import Positions
from logpipe_signals.consuming.reports import BatchReport
from logpipe_signals.consuming.saving import apply_record, names_its_own_row
from logpipe_signals.consuming.staleness import judge
from logpipe_signals.exceptions import ValidationError

Applied = list[tuple[Incoming, Any]]


def work(batch: Batch, positions: Positions) -> BatchReport:
    """
    Apply what is fresh, and keep what was refused.

    Raises:
        FoundInvalid: Serializers refused some; the transaction has to start again without them.
    """
    report = BatchReport(handled=len(batch.items))
    waiting = _in_line(batch, _blocked(batch, positions), report)
    judged = judge(waiting, group=positions.group, alias=positions.alias)
    report.stale = [each for each in waiting if id(each) in judged.stale]
    fresh = [each for each in waiting if id(each) not in judged.stale] if judged.stale else waiting
    report.applied = _apply(fresh, judged.moved_on, alone=len(batch.items) == 1)
    _audit(batch, report, positions)
    finish(batch, report, positions)
    return report


def _audit(batch: Batch, report: BatchReport, positions: Positions) -> None:
    """Compare with the marks of audits, once it is noted what was touched behind their first ones."""
    marks = [item.what for item in batch.items if isinstance(item.what, Marked)]
    compare([mark for mark in marks if mark.begins], positions)
    positions.touched.record(batch.partition, positions.generation(batch.partition), report.applied)
    compare([mark for mark in marks if not mark.begins], positions)


def finish(batch: Batch, report: BatchReport, positions: Positions) -> None:
    """Write what waits and what failed, and close the letters that what was applied makes superfluous."""
    group, alias, letters = positions.group, positions.alias, positions.letters
    if letters.may_be_waiting(batch.partition):
        report.superseded = letters.supersede([each for each, _ in report.applied])
    kept = dead_letters.keep(_still_open(batch, report), group=group, alias=alias)
    dead_letters.park(report.parked, group=group, alias=alias)
    report.kept = len(kept)
    if kept or report.parked:
        letters.added(batch.partition, positions.generation(batch.partition))


def _in_line(batch: Batch, blocked: set[str], report: BatchReport) -> list[Incoming]:
    """Return what is neither refused nor behind an earlier record of its identity that failed."""
    waiting: list[Incoming] = []
    for item in batch.items:
        what = item.what
        if isinstance(what, Marked):
            continue
        if isinstance(what, Refused):
            if what.policy == "raise":
                raise what.error
            report.failed.append(what)
            if what.policy == "dead_letter":
                blocked.add(stored_identity(what.identity))
        elif what.parks and what.identity and stored_identity(what.identity) in blocked:
            report.parked.append(what)
        else:
            waiting.append(what)
    return waiting


def _blocked(batch: Batch, positions: Positions) -> set[str]:
    def identities() -> set[str]:
        incoming = [item.what for item in batch.items if isinstance(item.what, Incoming)]
        return {stored_identity(each.identity) for each in incoming if each.identity}

    return positions.letters.lock(batch.partition, positions.generation(batch.partition), identities)


def _apply(fresh: Sequence[Incoming], moved_on: Mapping[int, str], *, alone: bool) -> Applied:
    """Apply in order; records of one serializer that stand together set-wise, where it opts in."""
    applied: Applied = []
    invalid: dict[int, Refused] = {}
    plans = {id(each.route): each.route for each in fresh}
    bulk = {key: route.bulk_plan for key, route in plans.items()}
    for plan, run in groupby(fresh, key=lambda each: bulk[id(each.route)]):
        if plan is None:
            applied += _one_by_one(list(run), moved_on, invalid)
        else:
            applied += apply_in_bulk(list(run), moved_on, invalid)
    if alone:
        for refused in invalid.values():
            raise refused.error
    if invalid:
        raise FoundInvalid(invalid)
    return applied


def _one_by_one(run: Sequence[Incoming], moved_on: Mapping[int, str], invalid: dict[int, Refused]) -> Applied:
    applied: Applied = []
    apply = tracing.traced(apply_record)
    with asked_together(run):
        for each in run:
            if names_its_own_row(each, moved_on.get(id(each))):
                applied.append((each, None))
                continue
            try:
                applied.append((each, apply(each)))
            except ValidationError as error:
                if each.policy == "raise":
                    raise
                invalid[id(each)] = Refused.of(each, error)
    return applied


def _still_open(batch: Batch, report: BatchReport) -> Sequence[Refused]:
    """Return what failed, without those that a later record of this very batch made superfluous."""
    if not report.failed or not report.applied:
        return report.failed
    place = {id(item.what): index for index, item in enumerate(batch.items)}
    last = {each.identity: each for each, _ in report.applied if each.identity and not each.parks}
    return [
        refused
        for refused in report.failed
        if (later := last.get(refused.identity)) is None
        or place[id(later)] < place[id(refused)]
        or not dead_letters.makes_superfluous(later, refused)
    ]
