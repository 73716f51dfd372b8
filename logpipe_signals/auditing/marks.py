"""Marks: what an audit puts on the topic, and what is read of it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from logpipe_signals.exceptions import LogPipeError

AUDIT_SUFFIX = ".audit"


class MalformedMark(LogPipeError):
    """A message of type `<type>.audit` that is no mark of this package."""


class MarkedRow(NamedTuple):
    """
    What a mark says of a row.

    pk:        The text of the publisher's primary key: with the type it is the row's identity.
    lookup:    What the subscriber finds its row by.
    tokens:    One a path, with a blank between.
    under_way: Whether a change of it was in the outbox still.
    """

    pk: str
    lookup: list[Any]
    tokens: str
    under_way: int = 0


@dataclass(frozen=True, kw_only=True)
class Mark:
    """
    One mark: of a range of rows of one partition, or the first or the last one of a partition in a round.

    audit:      Names the audit.
    round:      1, 2, ...: each row is looked at in each round; what differs in the last one as well is drift.
    number:     Of the mark, within its round.
    source:     Names the publisher's database, and `sequence` was drawn from it before any of these rows was read: what
                was applied for a row with a higher one changed after the reading.
    paths:      What the tokens are of.
    count, checksum: Of the rows, and of their tokens in this order.
    begins:     Whether it is a first mark: nothing was read for this round when it was sent.
    leaving:    Hashes of keys whose deletes are in the outbox still.
    expected:   Of a last mark: how many marks of this round there are in each partition.
    deletes:    Of a last mark: whether rows that the publisher does not have should not be at the subscriber's.
    cancelled:  Of a last mark: nothing more comes.
    """

    audit: str
    round: int
    rounds: int
    number: int
    source: str
    sequence: int
    lookup: list[str]
    paths: list[str]
    rows: list[MarkedRow]
    count: int = 0
    checksum: str = ""
    begins: bool = False
    leaving: list[int] | None = None
    expected: dict[str, int] | None = None
    deletes: bool = False
    cancelled: bool = False

    def as_message(self) -> dict[str, Any]:
        """Return the mark as a message's body."""
        return {name: value for name in self.__dataclass_fields__ if (value := getattr(self, name)) is not None}

    @classmethod
    def from_message(cls, message: Any) -> Mark:
        """
        Read a mark.

        Raises:
            MalformedMark: It is none, or another release's.
        """
        if not isinstance(message, Mapping):
            raise MalformedMark(f"A mark is an object, not a {type(message).__name__}.")
        try:
            known = {name: message[name] for name in cls.__dataclass_fields__ if name in message}
            mark = cls(**{**known, "rows": [MarkedRow(*row) for row in message["rows"]]})
            fits = mark.count == len(mark.rows) and isinstance(mark.round, int) and isinstance(mark.audit, str)
        except (KeyError, TypeError) as error:
            raise MalformedMark(f"The mark of an audit lacks something: {error}.") from error
        if not fits:
            raise MalformedMark("The mark of an audit does not hold what it says it holds.")
        return mark
