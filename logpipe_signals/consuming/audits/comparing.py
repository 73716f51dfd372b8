"""Comparing a mark with the subscriber's rows, in the transaction that moves the position over it."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction

from logpipe_signals.auditing.marks import Mark, MarkedRow
from logpipe_signals.auditing.tokens import checksum, key_hash, same
from logpipe_signals.backend.base import Record
from logpipe_signals.consuming.audits.mark import Marked
from logpipe_signals.consuming.audits.own_rows import NotComparable, OwnRows
from logpipe_signals.consuming.audits.touched import LAPSED, identity_hash, touched
from logpipe_signals.consuming.incoming import Route
from logpipe_signals.consuming.positions import Positions
from logpipe_signals.consuming.staleness import RETRACT, digest_for
from logpipe_signals.consuming.transients import is_transient
from logpipe_signals.exceptions import LogPipeError
from logpipe_signals.models import AppliedSequence, Audit, AuditFinding, AuditRange
from logpipe_signals.models.audits import AuditState, FindingKind, FindingState

logger = logging.getLogger(__name__)

Difference = tuple[FindingKind, list[str]]


def compare(marked: Iterable[Marked], positions: Positions) -> None:
    """
    Take note of marks, and of the rows that differ from what they say.

    A mark that cannot be compared costs nobody else anything: what is wrong with it is kept with the audit.
    """
    for each in marked:
        if each.route is not None:
            _take(each, each.route, positions)


def _take(marked: Marked, route: Route, positions: Positions) -> None:
    try:
        with transaction.atomic(using=positions.alias):
            mark = Mark.from_message(marked.body)
            audit = _audit(mark, marked, route, positions)
            if _is_new(audit, mark, marked, positions):
                _compare(mark, audit, route, marked, positions)
    except Exception as error:  # Whatever the bytes are: the consumer goes on, and the audit stays incomplete.
        if is_transient(error):
            raise
        logger.exception("The mark of an audit at %s/%s@%s was passed over.", *marked.record[:3])


def _compare(mark: Mark, audit: Audit, route: Route, marked: Marked, positions: Positions) -> None:
    try:
        with transaction.atomic(using=positions.alias):
            _Comparison(mark, audit, route, marked.record, positions).run()
    except Exception as error:  # A serializer of the project may raise anything; the report says so.
        if is_transient(error):
            raise
        logger.exception("The mark of an audit at %s/%s@%s was not compared.", *marked.record[:3])
        problem = f"{type(error).__name__}: {error}" if isinstance(error, LogPipeError) else type(error).__name__
        _range(audit, mark, positions.alias).update(problem=problem)


def _audit(mark: Mark, marked: Marked, route: Route, positions: Positions) -> Audit:
    names = {
        "run": mark.audit[:32],
        "group": positions.group,
        "topic": marked.record.topic,
        "message_type": route.message_type,
        "version": route.version,
    }
    audits = Audit.objects.using(positions.alias)
    found = audits.filter(**names).first()
    if found is not None:
        return found
    made = Audit(**names, source=mark.source[:64], rounds=mark.rounds, lookup=mark.lookup)
    audits.bulk_create([made], ignore_conflicts=True)  # Another partition's consumer may make it at the same time.
    return audits.get(**names)


def _is_new(audit: Audit, mark: Mark, marked: Marked, positions: Positions) -> bool:
    """Keep that a mark arrived; one that is read again, from the beginning of the topic say, is compared once only."""
    alias = positions.alias
    if mark.begins:
        positions.touched.begun(marked.record.topic_partition)
    if audit.state == AuditState.DONE or _range(audit, mark, alias).exists():
        return False
    hashes = array("q", [key_hash(row.lookup) for row in mark.rows] + list(mark.leaving or ()))
    AuditRange.objects.using(alias).create(
        audit=audit,
        round=mark.round,
        number=mark.number,
        partition=marked.record.partition,
        sequence=mark.sequence,
        rows=len(mark.rows),
        keys=hashes.tobytes(),
        expected=mark.expected,
        begins=mark.begins,
        deletes=mark.deletes,
        cancelled=mark.cancelled,
    )
    return True


def _range(audit: Audit, mark: Mark, alias: str) -> Any:
    return AuditRange.objects.using(alias).filter(audit=audit, round=mark.round, number=mark.number)


class _Comparison:
    """One mark against the rows that it is about."""

    def __init__(self, mark: Mark, audit: Audit, route: Route, record: Record, positions: Positions) -> None:
        self.mark, self.audit, self.route, self.partition = mark, audit, route, record.topic_partition
        self._key = record.key_text
        self._group, self._alias = positions.group, positions.alias
        self._own = OwnRows(route)
        self._paths = [tuple(path.split(".")) for path in mark.paths]
        self._loosely = [self._own.loosely(path) if path[0] in self._own.fields else "" for path in self._paths]

    def run(self) -> None:
        """Compare what has not matched yet: everything in the first round, what was suspected in the others."""
        rows = {identity_hash(self.mark.source, self._identity(row)): row for row in self.mark.rows}
        if self.mark.round == 1:
            self._suspect(rows, self._differences(rows))
        else:
            self._look_again(rows)

    # --- the first round ----------------------------------------------------------------------------------------------

    def _suspect(self, rows: Mapping[int, MarkedRow], found: Mapping[int, Difference]) -> None:
        under_way = self._under_way({key: rows[key] for key in found})
        findings = [
            AuditFinding(
                audit=self.audit,
                key_hash=key,
                kind=kind,
                state=self._state(key in under_way),
                round=self.mark.round,
                pk_text=rows[key].pk,
                lookup=dict(zip(self.mark.lookup, rows[key].lookup, strict=True)),
                fields=fields,
            )
            for key, (kind, fields) in found.items()
        ]
        AuditFinding.objects.using(self._alias).bulk_create(findings, ignore_conflicts=True)

    def _state(self, under_way: bool) -> FindingState:
        if under_way:
            return FindingState.UNSETTLED
        is_last = self.mark.round >= self.mark.rounds
        return FindingState.CONFIRMED if is_last else FindingState.SUSPECTED

    # --- further rounds -----------------------------------------------------------------------------------------------

    def _look_again(self, rows: Mapping[int, MarkedRow]) -> None:
        suspected = {
            finding.key_hash: finding
            for finding in AuditFinding.objects.using(self._alias).filter(audit=self.audit, key_hash__in=list(rows))
        }
        again = {key: rows[key] for key in suspected}
        found = self._differences(again)
        under_way = self._under_way({key: again[key] for key in found})
        for key, (kind, fields) in found.items():
            finding = suspected[key]
            finding.kind, finding.fields = kind, fields
            finding.state, finding.round = self._state(key in under_way), self.mark.round
        findings = AuditFinding.objects.using(self._alias)
        findings.bulk_update([suspected[key] for key in found], ["kind", "fields", "state", "round"], batch_size=500)
        findings.filter(pk__in=[finding.pk for key, finding in suspected.items() if key not in found]).delete()

    # --- comparing ----------------------------------------------------------------------------------------------------

    def _differences(self, rows: Mapping[int, MarkedRow]) -> dict[int, Difference]:
        """Return what is wrong with these rows; those that are alike are left out."""
        lookups = [dict(zip(self.mark.lookup, row.lookup, strict=True)) for row in rows.values()]
        found = dict(zip(rows, self._own.find(lookups), strict=True)) if rows else {}
        there = [key for key, row in found.items() if row is not None]
        if self.mark.round == 1:
            self._remember_own_keys([found[key] for key in there])
        own = self._own.tokens([found[key] for key in there], self._paths) if there else []
        if len(there) == self.mark.count and checksum(map(" ".join, own)) == self.mark.checksum:
            return {}
        differences: dict[int, Difference] = {
            key: (FindingKind.MISSING, []) for key, row in found.items() if row is None
        }
        for key, tokens in zip(there, own, strict=True):
            if fields := self._different(rows[key].tokens.split(" "), tokens):
                differences[key] = (FindingKind.DIFFERENT, fields)
        return differences

    def _remember_own_keys(self, rows: Sequence[Any]) -> None:
        """Rows that were found, but show another key than was sent, are not extra."""
        told = {key_hash(row.lookup) for row in self.mark.rows}
        if own := self._own.hashes(rows, self.mark.lookup) - told:
            mine = _range(self.audit, self.mark, self._alias)
            keys = bytes(mine.values_list("keys", flat=True).get()) + array("q", own).tobytes()
            mine.update(keys=keys)

    def _different(self, sent: Sequence[str], own: Sequence[str]) -> list[str]:
        compared = zip(self.mark.paths, sent, own, self._loosely, strict=True)
        return [path for path, one, other, loosely in compared if not same(one, other, loosely)]

    def _under_way(self, rows: Mapping[int, MarkedRow]) -> set[int]:
        """Return which of these rows changed while they were read, sent or compared."""
        if not rows:
            return set()
        under_way = {key for key, row in rows.items() if row.under_way}
        here = {"partition": self.partition.partition, "round": self.mark.round}
        if self.audit.ranges.filter(begins=True, round=self.mark.round, problem=LAPSED).exists():
            return set(rows)
        if self.audit.ranges.filter(begins=True, **here).exists():
            here_touched = touched(self.audit, **here)
            under_way |= {key for key, row in rows.items() if key_hash(row.lookup) in here_touched}
            return under_way | self._elsewhere({key: row for key, row in rows.items() if key not in under_way})
        return under_way | self._overtaken(rows)

    def _elsewhere(self, rows: Mapping[int, MarkedRow]) -> set[int]:
        """Return the rows that got another key, of which another partition told already."""
        if not rows:
            return set()
        everywhere = touched(self.audit, round=self.mark.round)
        return {key for key in rows if key in everywhere}

    def _overtaken(self, rows: Mapping[int, MarkedRow]) -> set[int]:
        """Return the rows that were applied with a higher sequence, which stands in for what was touched."""
        if not self.route.options.guard:
            raise NotComparable(
                "The log does not tell where keys go; without the guard nothing tells what is under way."
            )
        digests = {digest: key for key, row in rows.items() for digest in self._digests(row)}
        newer = AppliedSequence.objects.using(self._alias).filter(
            digest__in=list(digests), sequence__gt=self.mark.sequence
        )
        return {digests[str(digest)] for digest in newer.values_list("digest", flat=True)}

    def _digests(self, row: MarkedRow) -> tuple[str, str]:
        """Of the row, and of its giving up its key, which is this mark's: its new one may be told elsewhere, later."""
        parts = (self._group, self.mark.source, self.partition.topic, self._identity(row))
        return digest_for(*parts), digest_for(*parts, RETRACT, self._key)

    def _identity(self, row: MarkedRow) -> str:
        return f"{self.route.message_type}:{row.pk}"
