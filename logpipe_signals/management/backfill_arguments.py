"""The options of `republish_all`, and what they say."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from logpipe_signals.exceptions import BackfillError
from logpipe_signals.models.backfills import DEFAULT_CHUNK_ROWS
from logpipe_signals.publishing import backfills

EXIT_CODES = """
exit codes: 0 all rows were sent; 1 a wrong argument, or a job failed; 3 stopped before the end (Ctrl-C, paused or
cancelled from elsewhere, the log away for a minute): go on with --resume; 4 sent, but rows were set aside as dead
letters.
"""


def declare(parser: CommandParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "target", nargs="*", metavar="TARGET", help="A model (app.Model), a publication's name, or a topic."
    )
    _which(parser.add_argument_group("which rows"))
    _how(parser.add_argument_group("how"))
    _jobs(parser.add_argument_group("jobs").add_mutually_exclusive_group())


def lookups(found: backfills.Target, options: dict[str, Any]) -> dict[str, Any]:
    """Return the lookups that rows of a target have to meet."""
    model = found.publication.model
    where = backfills.parse_lookups(model, options["where"])
    if options["since"]:
        lookup, value = backfills.since(model, options["since"])
        where[lookup] = value
    return where


def lines(argument: str) -> Iterator[str]:
    """Return the lines of `@FILE` or of standard input (`-`), or the parts between commas."""
    if argument in ("-", "@-"):
        yield from sys.stdin
    elif argument.startswith("@"):
        try:
            with Path(argument[1:]).open(encoding="utf-8", newline="") as file:
                yield from file
        except OSError as error:
            raise BackfillError(f"The list {argument[1:]!r} cannot be read: {error.strerror}.") from error
    else:
        yield from argument.split(",")


def _which(group: Any) -> None:
    group.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="LOOKUP=VALUE",
        help="Only rows that meet this ORM lookup: country=DE, population__gte=100000. Several: all of them.",
    )
    group.add_argument(
        "--since",
        metavar="[FIELD=]TIME",
        help="Only rows whose field is at or after this time; without FIELD, the only one with auto_now.",
    )
    group.add_argument(
        "--keys",
        metavar="LIST",
        help="Only rows with these message keys: 17,18, or @FILE with one a line, or - for standard input.",
    )
    group.add_argument(
        "--deleted",
        metavar="FILE",
        help="Send deletes for rows that are gone: a file (- for standard input) of primary keys, or CSV or JSON lines "
        "with pk and the lookup fields.",
    )
    group.add_argument(
        "--database",
        action="append",
        default=[],
        metavar="ALIAS",
        help="Rows of this alias; may be given several times.",
    )


def _how(group: Any) -> None:
    group.add_argument(
        "--version",
        dest="versions",
        action="append",
        type=int,
        default=[],
        metavar="N",
        help="Send only this version of the message; may be given several times.",
    )
    group.add_argument(
        "--chunk-size",
        type=int,
        default=DEFAULT_CHUNK_ROWS,
        metavar="ROWS",
        help=f"Rows that go into the outbox in one transaction (default: {DEFAULT_CHUNK_ROWS:,}).",
    )
    group.add_argument("--rate", type=float, metavar="ROWS", help="The most rows a second.")
    group.add_argument("--dry-run", action="store_true", help="Only tell how many rows, chunks and how long.")
    group.add_argument(
        "--background", action="store_true", help="Only start the jobs; a run_relay that is there runs them."
    )
    group.add_argument("--no-drain", action="store_true", help="Fill the outbox only; another relay sends it.")
    group.add_argument("--no-progress", action="store_true", help="Show no bar; a line every ten seconds instead.")


def _jobs(jobs: Any) -> None:
    jobs.add_argument("--list", action="store_true", help="Show the jobs there are, the unfinished ones first.")
    for verb, meaning in (
        ("resume", "Go on with a job that was paused, that failed, or whose runner died, here."),
        ("pause", "Let a job stop after the chunk in hand, wherever it runs."),
        ("cancel", "End a job for good. What it has in the outbox is still sent."),
    ):
        jobs.add_argument(f"--{verb}", type=int, metavar="JOB", help=meaning)
