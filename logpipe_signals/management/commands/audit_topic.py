"""`manage.py audit_topic`: does the subscriber have what the publisher has? Which rows not? Mend those."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from logpipe_signals.backend import get_offset_backend
from logpipe_signals.consuming.audits.reports import AuditReport, as_lines, latest, report_on
from logpipe_signals.consuming.audits.waiting import wait_for
from logpipe_signals.consuming.consumer import MultiConsumer
from logpipe_signals.consuming.declared import declared_consumers
from logpipe_signals.consuming.routing import Routes
from logpipe_signals.exceptions import BackendUnavailable, DeclarationError
from logpipe_signals.management.audit_text import as_json, as_text
from logpipe_signals.management.interrupts import until_told
from logpipe_signals.publishing.audits.repairing import Finding, repair
from logpipe_signals.publishing.audits.running import AuditOptions, AuditRun, AuditSent
from logpipe_signals.publishing.audits.sending import AuditFailed
from logpipe_signals.publishing.backfills.targets import Target, targets
from logpipe_signals.registry import subscriptions

LATEST = "latest"
DRIFT, INCOMPLETE = 1, 2


class Command(BaseCommand):
    """On the publisher it starts an audit and repairs; on the subscriber it reports. One project may be both."""

    help = (
        "Compare the subscriber's rows with the publisher's, through the topic, while both change. "
        "Ends with 1 when rows differ, with 2 when not everything could be compared."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("label", nargs="*", help="A model (app.Model), a publication's name, or a topic.")
        parser.add_argument("--database", action="append", default=[], help="Take the rows of this alias.")
        parser.add_argument("--keys", help="Only these primary keys: 1,2,3, or @FILE with one a line.")
        parser.add_argument("--rounds", type=int, default=2, help="How often each row is looked at (default: 2).")
        parser.add_argument("--pause", type=float, default=2.0, help="Seconds between two rounds (default: 2).")
        parser.add_argument("--rate", type=float, default=0.0, help="Read at most so many rows a second.")
        parser.add_argument(
            "--wait", type=float, default=60.0, help="Wait for marks until none came for so many seconds (default: 60)."
        )
        parser.add_argument("--no-wait", action="store_true", help="Put the marks on the topic, and end.")
        parser.add_argument(
            "--repair", nargs="?", const="", metavar="@FILE", help="Publish again what differs, or what a file names."
        )
        parser.add_argument("--report", nargs="?", const=LATEST, metavar="AUDIT", help="Report on what arrived here.")
        parser.add_argument("--group", default="", help="With --report: only of this consumer group.")
        parser.add_argument("--json", action="store_true", help="Report as JSON.")
        parser.add_argument(
            "--keys-file", type=Path, metavar="FILE", help="Write what differs to a file, for --repair @FILE."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Report, repair, or audit."""
        try:
            if options["report"] is not None:
                self._report(options)
            elif options["repair"]:
                self._repair_from_file(options)
            else:
                self._audit(options)
        except (DeclarationError, BackendUnavailable, AuditFailed) as error:
            raise CommandError(str(error)) from error

    # --- reporting ----------------------------------------------------------------------------------------------------

    def _report(self, options: dict[str, Any]) -> None:
        routes = MultiConsumer(*declared_consumers()).routes()
        run = "" if options["report"] == LATEST else options["report"]
        topic = options["label"][0] if options["label"] else ""
        audits = latest(get_offset_backend().alias(), run=run, topic=topic, group=options["group"])
        newest = audits.first()
        if newest is None:
            raise CommandError("No such audit has arrived here. Where the topic is published: audit_topic TOPIC.")
        reports = [report_on(audit, routes) for audit in audits.filter(run=newest.run)]
        self._tell(reports, options)
        _leave(reports)

    def _tell(self, reports: Sequence[AuditReport], options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps([as_json(report) for report in reports], indent=2))
        else:
            for report in reports:
                self.stdout.write(as_text(report, style=self.style))
        if path := options["keys_file"]:
            lines = [json.dumps(line, ensure_ascii=False) for report in reports for line in as_lines(report)]
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            self.stderr.write(f"{len(lines):,} keys written. On the publisher: audit_topic TOPIC --repair @{path}")

    # --- auditing -----------------------------------------------------------------------------------------------------

    def _audit(self, options: dict[str, Any]) -> None:
        reports: list[AuditReport] = []
        for target in _targets(options):
            found = self._audit_one(target, options)
            self._tell(found, options)
            if options["repair"] is None:
                reports += found
            elif findings := [finding for report in found for finding in _findings(report)]:
                self._repair(target, findings)
        _leave(reports)

    def _audit_one(self, target: Target, options: dict[str, Any]) -> list[AuditReport]:
        with until_told() as stop:
            sent = self._run(target, options, stop)
            routes = {} if options["no_wait"] or sent.cancelled else _routes(target)
            if not routes:
                self.stdout.write(f"The subscriber tells what came of it: audit_topic --report {sent.audit[:8]}")
                return []
            return self._wait(sent, routes, options, stop)

    def _run(self, target: Target, options: dict[str, Any], stop: threading.Event) -> AuditSent:
        asked = AuditOptions(
            rounds=options["rounds"],
            pause_seconds=options["pause"],
            rows_per_second=options["rate"],
            pks=_keys(options["keys"]),
        )
        rows = 0 if asked.pks is not None else target.rows().count()
        with _bar(options, total=rows * asked.rounds or None, desc=f"Reading {target.publication.topic}") as bar:
            run = AuditRun(target, asked, progress=lambda _, rows: bar.update(rows), stop=stop)
            sent = run.run()
        self.stdout.write(
            f"{target.publication.name} on {target.using!r}: {sent.rows:,} rows told of in {sent.marks:,} marks, "
            f"{_size(sent.sent_bytes)}, audit {sent.audit[:8]}{', cancelled' if sent.cancelled else ''}."
        )
        if sent.unreadable:
            self.stderr.write(f"{sent.unreadable:,} rows do not serialise and were not audited: see the log.")
        return sent

    def _wait(
        self, sent: AuditSent, routes: Mapping[str, Routes], options: dict[str, Any], stop: threading.Event
    ) -> list[AuditReport]:
        kinds = _kinds(sent.target, routes)
        if not kinds:
            raise CommandError("No subscription here compares a version that is published.", returncode=INCOMPLETE)
        with _bar(options, total=sent.marks, desc="Comparing", unit=" marks") as bar:
            reports = wait_for(
                sent.audit,
                kinds,
                routes,
                using=get_offset_backend().alias(),
                patience_seconds=options["wait"],
                stop=stop,
                progress=lambda there: bar.update(there - bar.n),
            )
        for message_type, version in kinds - {(r.audit.message_type, r.audit.version) for r in reports}:
            raise CommandError(
                f"No mark of {message_type}/{version} has arrived: nothing is known. Is run_consumer running? "
                f"Later: audit_topic --report {sent.audit[:8]}",
                returncode=INCOMPLETE,
            )
        return reports

    # --- repairing ----------------------------------------------------------------------------------------------------

    def _repair_from_file(self, options: dict[str, Any]) -> None:
        path = Path(options["repair"].removeprefix("@"))
        if not options["repair"].startswith("@") or not path.exists():
            raise CommandError(f"--repair {options['repair']}: say @FILE, a file that --report --keys-file wrote.")
        named = _targets(options)
        if len(named) > 1:
            raise CommandError("Several publications have that name. Say one by its own name (app.model:topic).")
        findings = [_finding(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        self._repair(named[0], findings)

    def _repair(self, target: Target, findings: Sequence[Finding]) -> None:
        done = repair(target, list({_identity(each): each for each in findings}.values()))
        gone = f", {done.gone:,} are gone by now" if done.gone else ""
        self.stdout.write(
            f"{target.publication.name} on {target.using!r}: {done.republished:,} rows and {done.deleted:,} deletes "
            f"are in the outbox{gone}. The relay sends them; audit again to see."
        )


# --- parts ------------------------------------------------------------------------------------------------------------


def _targets(options: dict[str, Any]) -> list[Target]:
    if not options["label"]:
        raise CommandError("Say what: a topic, a publication or a model. On the subscriber: audit_topic --report.")
    return targets(options["label"], options["database"])


def _routes(target: Target) -> dict[str, Routes]:
    """Return the routes of the topic, where this project subscribes to what it publishes."""
    if not list(subscriptions) and not subscriptions.factories():
        return {}
    routes = MultiConsumer(*declared_consumers()).routes()
    topic = target.publication.topic
    return {topic: routes[topic]} if topic in routes else {}


def _kinds(target: Target, routes: Mapping[str, Routes]) -> set[tuple[str, int]]:
    sent = {(cls.MESSAGE_TYPE, cls.VERSION) for cls in target.publication.serializer_classes}
    here = [route for route in routes[target.publication.topic] if route.options.audit and route.upcast is None]
    return sent & {(route.message_type, route.version) for route in here}


def _keys(text: str | None) -> list[str] | None:
    if text is None:
        return None
    if text.startswith("@"):
        text = Path(text[1:]).read_text(encoding="utf-8").replace("\n", ",")
    return [key.strip() for key in text.split(",") if key.strip()]


def _findings(report: AuditReport) -> Iterator[Finding]:
    for line in as_lines(report):
        yield Finding(kind=line["kind"], pk=line["pk"], key=line["key"], lookup=line["lookup"])


def _finding(line: str) -> Finding:
    try:
        values = json.loads(line)
        return Finding(kind=values["kind"], pk=values["pk"], key=values["key"], lookup=values["lookup"])
    except (ValueError, TypeError, KeyError) as error:
        raise CommandError(f"The file has a line that --keys-file did not write: {line[:80]!r}.") from error


def _identity(finding: Finding) -> tuple[str, str]:
    return finding.pk, "" if finding.pk else json.dumps(finding.lookup, sort_keys=True)


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} KB"


def _bar(options: dict[str, Any], *, total: int | None, desc: str, unit: str = " rows") -> Any:
    hidden = options["verbosity"] == 0 or options["json"]
    return tqdm(total=total, unit=unit, desc=desc, disable=True if hidden else None, leave=False)


def _leave(reports: Sequence[AuditReport]) -> None:
    """End with what a script has to know."""
    drift = sum(report.drift for report in reports)
    if any(report.verdict in ("incomplete", "cancelled") for report in reports):
        so_far = f" {drift:,} rows differ so far." if drift else ""
        raise CommandError(
            f"Not everything could be compared: nothing is known of the rest.{so_far}", returncode=INCOMPLETE
        )
    if drift:
        raise CommandError(f"{drift:,} rows differ.", returncode=DRIFT)
