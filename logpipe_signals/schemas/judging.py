"""
Judging: the code against its own lock file, and a consumer's code against its publisher's.

A finding that fails is drift: a shape changed under a version that others already know, a version that went away while
somebody may read it, a version nobody locked. What does not fail is worth a line all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from logpipe_signals.schemas.compatibility import Change, Compatibility, compare
from logpipe_signals.schemas.containment import problems
from logpipe_signals.schemas.contract import Contract, Entry, Label

WRITE_IT = "Run `manage.py publication_schema` and commit the lock file."


@dataclass(frozen=True, kw_only=True)
class Finding:
    """
    One thing to say about one message.

    label:   Which message; None: about the file.
    text:    What is found.
    hint:    The cure, where there is one.
    details: A line a field.
    fails:   Whether `--check` fails for it.
    """

    label: Label | None
    text: str
    hint: str = ""
    details: tuple[str, ...] = ()
    fails: bool = True

    def __str__(self) -> str:
        lines = [self.text, *(f"    {line}" for line in self.details), *([f"    {self.hint}"] if self.hint else [])]
        return "\n".join(lines)


# --- the code against its own lock ------------------------------------------------------------------------------------


def judge(locked: Contract, code: Contract, wanted: Compatibility = Compatibility.NONE) -> list[Finding]:
    """
    Return what the code does otherwise than the lock says.

    Args:
        wanted: What a new version of a type owes to the one before it, or (transitive) to all before it.
    """
    findings = [finding for label, entry in code for finding in _of_code(label, entry, locked, wanted)]
    return [*findings, *(_gone(label, code) for label, _ in locked if label not in code.entries)]


def _of_code(label: Label, entry: Entry, locked: Contract, wanted: Compatibility) -> Iterator[Finding]:
    known = locked.entries.get(label)
    if known is None:
        yield Finding(label=label, text=f"{label} is not in the lock file yet.", hint=WRITE_IT)
        yield from _against_earlier(label, entry, locked, wanted)
    elif known != entry:
        yield _drifted(label, known, entry)


def _drifted(label: Label, known: Entry, entry: Entry) -> Finding:
    changes, compatibility = changes_of(label, known, entry)
    return Finding(
        label=label,
        text=f"{label} changed its shape without a new VERSION. Compatibility: {compatibility}.",
        details=tuple(str(change) for change in changes),
        hint=f"Give the new shape VERSION = {label.version + 1} beside the old one, or undo the change.",
    )


def changes_of(label: Label, known: Entry, entry: Entry) -> tuple[tuple[Change, ...], Compatibility]:
    """Return what changed between two entries of a type, and the verdict."""
    if known.schema is None or entry.schema is None:
        text = "is read through an upcaster now" if entry.schema is None else "is read without an upcaster now"
        return (Change(path="", text=text),), Compatibility.NONE
    comparison = compare(known.schema, entry.schema, label.direction)
    changes = comparison.changes
    if known.key != entry.key:
        text = f"has the key {entry.key or 'primary key'!r}, and had {known.key or 'primary key'!r}"
        reason = "a row's messages before and after may stand in two partitions, whose order nobody keeps"
        changes = (*changes, Change(path="", text=text, backward=reason, forward=reason))
        return changes, Compatibility.NONE
    return changes, comparison.compatibility


def _against_earlier(label: Label, entry: Entry, locked: Contract, wanted: Compatibility) -> Iterator[Finding]:
    earlier = [version for version in locked.versions(label) if version < label.version]
    for version in earlier if wanted.is_transitive else earlier[-1:]:
        known = locked.entries[label._replace(version=version)]
        changes, compatibility = changes_of(label, known, entry)
        missing = not wanted.allows(compatibility)
        yield Finding(
            label=label,
            text=f"{label} against version {version}: {compatibility}"
            + (f", and LOGPIPE['SCHEMA_COMPATIBILITY'] asks for {wanted}." if missing else "."),
            details=tuple(str(change) for change in changes),
            fails=missing,
        )


def _gone(label: Label, code: Contract) -> Finding:
    if label.direction == "accepted":
        return Finding(label=label, text=f"{label} is in the lock file, and is accepted no longer.", hint=WRITE_IT)
    readers = [reader for reader, _ in code.only("accepted") if reader[1:] == label[1:]]
    left = code.versions(label)
    text = f"{label} is in the lock file, and is sent no longer"
    text += f" (version {_listed(left)} is)." if left else "."
    if readers:
        text += " This project itself still reads it."
    return Finding(
        label=label,
        text=text,
        hint=f"Who reads only this version gets nothing any more. When none does: {WRITE_IT}",
    )


# --- a consumer against its publisher ---------------------------------------------------------------------------------


def judge_against(publisher: Contract, code: Contract) -> list[Finding]:
    """Return what the publisher sends and the code cannot read, and what the code waits for in vain."""
    topics = {label.topic for label, _ in publisher.only("sent")}
    return [
        finding
        for label, entry in code.only("accepted")
        if label.topic in topics
        for finding in _of_reader(label, entry, publisher, code)
    ] + [finding for label, _ in publisher.only("sent") for finding in _not_read(label, code)]


def _not_read(label: Label, code: Contract) -> Iterator[Finding]:
    here = label._replace(direction="accepted")
    read = code.versions(here)
    if read and label.version > read[-1]:
        yield Finding(
            label=here,
            text=f"{here} is sent by the publisher, and not read here (version {_listed(read)} is).",
            fails=False,
        )


def _of_reader(label: Label, entry: Entry, publisher: Contract, code: Contract) -> Iterator[Finding]:
    sent = publisher.get("sent", label.topic, label.type, label.version)
    versions = publisher.versions(label._replace(direction="sent"))
    if not versions:
        if not label.type.endswith(".deleted"):
            yield Finding(
                label=label,
                text=f"{label} is read here, and the publisher sends no {label.type!r} on {label.topic!r}.",
                hint="Ask the publisher for its present lock file, or remove the subscription.",
            )
        return
    if sent is None:
        read = code.versions(label)
        nothing = not set(read) & set(versions)
        yield Finding(
            label=label,
            text=f"{label} is read here, and the publisher sends version {_listed(versions)} only.",
            hint=f"Add a serializer with VERSION = {versions[-1]}." if nothing else "",
            fails=nothing,
        )
        return
    if entry.schema is None or sent.schema is None:
        return
    found = problems(sent.schema, entry.schema)
    if found:
        yield Finding(
            label=label,
            text=f"{label} is read here by another shape than the publisher sends.",
            details=tuple(f"field {each.path!r}: {each.text}" for each in found),
            hint="Let the serializer take what is sent, or ask the publisher for a version that fits.",
        )


def _listed(versions: list[int]) -> str:
    return ", ".join(map(str, versions))
