"""The verdict over what writers write beside people: accounts, books with what they show, meters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tests.scenarios.checker import Entry, Violation, canonical, judge
from tests.scenarios.each_change import judge_each
from tests.scenarios.publishing import audit
from tests.scenarios.publishing.logs import Log
from tests.scenarios.shown import judge_shown

METERS = "publishing_scenarios.meter:meters"
POISON = "poison"


def violations(url: str, log: Log, *, strict: bool) -> list[Violation]:
    """Return every broken promise of the other models."""
    return [*accounts(url, log, strict=strict), *books(url, log, strict=strict), *meters(url, log, strict=strict)]


def accounts(url: str, log: Log, *, strict: bool) -> Iterator[Violation]:
    """Captured by triggers, they are held to what people are held to."""
    yield from judge(audit.read_changes(url, audit.ACCOUNTS), log.read("accounts"), strict=strict).violations


def books(url: str, log: Log, *, strict: bool) -> Iterator[Violation]:
    """A book's own columns are held to what people are, and what it shows to what was committed of that."""
    entries = log.read("books")
    own = [replace(entry, state=_own(entry)) for entry in entries]
    yield from judge(audit.read_changes(url, audit.BOOKS), own, strict=strict).violations
    tables = (audit.SHELVES, audit.TAGS, audit.PAGES)
    parts = [change for of in tables for change in audit.read_changes(url, of)]
    yield from judge_shown(parts, entries, shown_in, books_now(url), strict=strict)


def meters(url: str, log: Log, *, strict: bool) -> Iterator[Violation]:
    """Each committed save, but what is poison, and what waits behind it."""
    waiting: dict[str, int] = {}
    for _, pk, _, can_be_told in audit.read_letters(url, METERS):
        waiting[f"meter:{pk}"] = waiting.get(f"meter:{pk}", 0) + can_be_told
    changes = audit.read_changes(url, audit.METERS)
    yield from judge_each(changes, log.read("meters"), waiting=waiting, untold=is_poison, strict=strict)


def is_poison(state: str) -> bool:
    """Tell whether no message can be made of a state."""
    return str(json.loads(state)["reading"]).startswith(POISON)


def shown_in(body: Mapping[str, Any]) -> Mapping[str, str]:
    """Return what a book's message shows of other rows."""
    found = {f"tag:{pk}": canonical({"name": name}) for pk, name in body["tags"].items()}
    found |= {f"page:{pk}": canonical({"text": text}) for pk, text in body["pages"].items()}
    if body["shelf"] is not None:
        found[f"shelf:{body['shelf']}"] = canonical({"name": body["shelf_name"]})
    return found


def books_now(url: str) -> dict[str, Mapping[str, Any]]:
    """Return what the tables say in the end, as a message would."""
    tags, shelves = audit.read_rows(url, audit.TAGS), audit.read_rows(url, audit.SHELVES)
    links, pages = audit.read_rows(url, audit.LINKS).values(), audit.read_rows(url, audit.PAGES).values()
    return {
        f"book:{pk}": {
            "id": row["id"],
            "title": row["title"],
            "shelf": row["shelf_id"],
            "shelf_name": shelves[str(row["shelf_id"])]["name"] if row["shelf_id"] else None,
            "tags": {str(li["tag_id"]): tags[str(li["tag_id"])]["name"] for li in links if li["book_id"] == row["id"]},
            "pages": {str(page["id"]): page["text"] for page in pages if page["book_id"] == row["id"]},
        }
        for pk, row in audit.read_rows(url, audit.BOOKS).items()
    }


def _own(entry: Entry) -> str | None:
    if entry.state is None:
        return None
    body = json.loads(entry.state)
    return canonical({"title": body["title"], "shelf": body["shelf"]})
