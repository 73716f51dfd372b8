"""manage.py republish_all: send rows of some publications again, in the order of their primary keys."""

from __future__ import annotations

import getpass
import os
import socket
import sys
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from logpipe_signals.exceptions import BackfillError, DeclarationError
from logpipe_signals.management import backfill_arguments as arguments
from logpipe_signals.management import backfill_output as output
from logpipe_signals.management.interrupts import until_told
from logpipe_signals.models import Backfill
from logpipe_signals.models.backfills import BackfillOf, BackfillState
from logpipe_signals.publishing import backfills
from logpipe_signals.publishing.backfills.foreground import Foreground, Stuck
from logpipe_signals.publishing.backfills.listed import ListedRows, deleted_rows
from logpipe_signals.publishing.lanes import relay_id
from logpipe_signals.publishing.transactions import commit_each_statement

STOPPED, SET_ASIDE = 3, 4
MOST_LISTED = 50


class Command(BaseCommand):
    """Parses and calls."""

    help = (
        "Send rows of the named publications again, each as it is when its turn comes. Live changes overtake. "
        "Without a target: everything that is published."
    )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Say what the exit codes mean; `--version` is the message's here, not Django's."""
        return super().create_parser(
            prog_name, subcommand, epilog=arguments.EXIT_CODES, conflict_handler="resolve", **kwargs
        )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        arguments.declare(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what is asked: show, change, plan or run jobs."""
        for using in connections:
            commit_each_statement(using)
        try:
            self._handle(options)
        except (BackfillError, DeclarationError) as error:
            raise CommandError(str(error)) from error

    def _handle(self, options: dict[str, Any]) -> None:
        if options["list"]:
            self._list(options["database"])
        elif number := options["pause"] or options["cancel"]:
            self._change(number, options)
        elif options["resume"]:
            job = backfills.find(options["resume"], _only(options["database"]))
            self._run([_resumed(job)], relay_id(), options)
        else:
            self._start(options)

    # --- jobs ---------------------------------------------------------------------------------------------------

    def _list(self, databases: Sequence[str]) -> None:
        jobs = [
            job
            for using in databases or backfills.backfill_aliases()
            for job in Backfill.objects.using(using).order_by("-pk")[:MOST_LISTED]
        ]
        jobs.sort(key=lambda job: job.is_finished)
        self.stdout.write(output.table(jobs) if jobs else "No backfill was ever started.")
        for using in {job.using for job in jobs if job.state == BackfillState.WAITING}:
            if not backfills.runners(using):
                self.stdout.write(
                    f"No run_relay looks for jobs on {using!r}. Start one, or run a job here: --resume JOB."
                )

    def _change(self, number: int, options: dict[str, Any]) -> None:
        job = backfills.find(number, _only(options["database"]))
        if options["pause"]:
            backfills.pause(job)
        else:
            backfills.cancel(job)
        self.stdout.write(output.report(job))

    # --- starting -----------------------------------------------------------------------------------------------

    def _start(self, options: dict[str, Any]) -> None:
        targets = backfills.targets(options["target"], options["database"])
        if (options["keys"] or options["deleted"]) and len(targets) != 1:
            names = ", ".join(found.publication.name for found in targets)
            raise BackfillError(f"A list of keys is of one publication; this names several: {names}. Name one of them.")
        wanted = [(found, arguments.lookups(found, options)) for found in targets]
        if options["dry_run"]:
            for found, where in wanted:
                self._plan(found, where, options)
            return
        owner = "" if options["background"] else relay_id()
        jobs = [self._started(found, where, owner, options) for found, where in wanted]
        if options["background"]:
            self._left(jobs)
        else:
            self._run(jobs, owner, options)

    def _plan(self, found: backfills.Target, where: dict[str, Any], options: dict[str, Any]) -> None:
        _, listed = self._listed(found, options)
        rows = None if listed is None else sum(1 for _ in listed)
        plan = backfills.plan(found, where=where, chunk_rows=options["chunk_size"], rate=options["rate"], rows=rows)
        self.stdout.write(output.plan_text(plan))
        self._tell_missing(listed)

    def _started(self, found: backfills.Target, where: dict[str, Any], owner: str, options: dict[str, Any]) -> Backfill:
        rows_of, listed = self._listed(found, options)
        job = backfills.start(
            found.publication.name,
            using=found.using,
            where=where,
            rows_of=rows_of,
            listed=listed or (),
            versions=options["versions"],
            rate=options["rate"],
            chunk_rows=options["chunk_size"],
            requested_by=f"{_user()}@{socket.gethostname()}",
            owner=owner,
        )
        self._tell_missing(listed)
        return job

    def _listed(self, found: backfills.Target, options: dict[str, Any]) -> tuple[BackfillOf, Any]:
        if options["deleted"]:
            if options["versions"] or options["where"] or options["since"]:
                raise CommandError(
                    "--deleted is a list of rows that are gone; --where, --since, --version do not go with it."
                )
            return BackfillOf.DELETED, deleted_rows(found, arguments.lines(f"@{options['deleted']}"))
        if options["keys"]:
            return BackfillOf.PRIMARY_KEYS, ListedRows(found, arguments.lines(options["keys"]))
        return BackfillOf.ROWS, None

    def _tell_missing(self, listed: Any) -> None:
        if missing := getattr(listed, "missing", 0):
            named = ", ".join(listed.first_missing) + (", ..." if missing > len(listed.first_missing) else "")
            self.stderr.write(f"{missing:,} of the keys have no row: {named}. --deleted sends deletes for such.")

    def _left(self, jobs: Sequence[Backfill]) -> None:
        for job in jobs:
            self.stdout.write(f"Backfill {job.pk} of {job.publication} on {job.using!r} waits for a run_relay.")
            if not backfills.runners(job.using):
                self.stderr.write(f"None runs at the moment. To run it here: {output.resume_command(job)}")

    # --- running ------------------------------------------------------------------------------------------------

    def _run(self, jobs: Sequence[Backfill], owner: str, options: dict[str, Any]) -> None:
        screen = output.Screen(quiet=options["verbosity"] == 0, bars=not options["no_progress"])
        for job in jobs:
            screen.tell(output.heading(job))
        with until_told(lambda: screen.tell("Stopping after the batch in hand...")) as stop:
            work = Foreground(
                jobs,
                owner=owner,
                relaying=not options["no_drain"],
                watch=screen.watch,
                tell=screen.tell,
                stop=stop,
            )
            try:
                work.run()
            except Stuck as error:
                self.stderr.write(f"{error} Is the log there, and does a relay run?")
            finally:
                screen.close()
        for job in jobs:
            job.refresh_from_db(using=job.using)
            self.stdout.write(output.report(job))
        if code := _exit_code(jobs):
            sys.exit(code)


def _resumed(job: Backfill) -> Backfill:
    if job.state in (BackfillState.PAUSED, BackfillState.FAILED):
        backfills.resume(job)
    elif job.is_finished:
        raise BackfillError(f"Backfill {job.pk} is {job.state}. Start another.")
    elif job.state == BackfillState.RUNNING and (runner := backfills.runner_of(job)):
        host, pid = runner.split(":")[:2]
        raise BackfillError(
            f"Backfill {job.pk} is being run by process {pid} on {host}. If that is gone, try again when its lease has "
            "run out, in a few seconds."
        )
    backfills.target(job.publication, job.using)
    return job


def _only(databases: Sequence[str]) -> str | None:
    return databases[0] if databases else None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _exit_code(jobs: Sequence[Backfill]) -> int:
    states = {job.state for job in jobs}
    if BackfillState.FAILED in states:
        return 1
    if states - {BackfillState.DONE}:
        return STOPPED
    return SET_ASIDE if any(output.dead_letters_since(job) for job in jobs) else 0
