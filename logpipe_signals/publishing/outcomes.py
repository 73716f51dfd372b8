"""Outcomes: which rows of a batch the log took, which it may take later, which never, and who is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db import DatabaseError, InterfaceError

from logpipe_signals import signals
from logpipe_signals.backend.base import Sent
from logpipe_signals.exceptions import BackendUnavailable, MessageRejected
from logpipe_signals.publishing.messages import Batch, Outgoing
from logpipe_signals.publishing.tracing import Spans, end_sending
from logpipe_signals.registry import Publication

MOST_DATABASE_TRIES = 10
"""How often a row is tried again whose serializer met a database error, before it is set aside."""


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What became of a batch's messages, row by row: sent, to be sent later, or never."""

    sent: list[Outgoing] = field(default_factory=list)
    later: list[tuple[Outgoing, Exception]] = field(default_factory=list)
    never: list[tuple[Outgoing, Exception]] = field(default_factory=list)

    @property
    def log_is_away(self) -> Exception | None:
        """Return the error when nothing at all arrived: then the log, not these rows, has to be waited for."""
        errors = [error for _, error in self.later]
        away = errors and not self.sent and all(isinstance(error, BackendUnavailable) for error in errors)
        return errors[0] if away else None


def sort_outcomes(batch: Batch, given: Iterable[Sent], spans: Spans) -> Outcomes:
    """
    Tell for each row of a batch what became of it, and announce what was sent.

    Args:
        given: The outcomes of the batch's messages, in their order.
    """
    found = Outcomes()
    outcomes = iter(given)
    somebody_listens = bool(signals.message_sent.receivers)
    for outgoing in batch.outgoing:
        own = [next(outcomes) for _ in outgoing.messages]
        error = failure_of(outgoing, own)
        if spans:
            end_sending(spans, outgoing, own, error)
        if error is None:
            found.sent.append(outgoing)
            if somebody_listens:
                announce_sent(outgoing, own)
        else:
            (found.never if is_permanent(outgoing, error) else found.later).append((outgoing, error))
    return found


def failure_of(outgoing: Outgoing, outcomes: Sequence[Sent]) -> Exception | None:
    """Return the first error of a row's messages, None when all arrived."""
    if outgoing.error is not None:
        return outgoing.error
    for outcome in outcomes:  # Asked of each row: a generator would cost twice as much.
        if outcome.error is not None:
            return outcome.error
    return None


def is_permanent(outgoing: Outgoing, error: Exception) -> bool:
    """Tell whether trying again cannot help; a database that failed in a serializer mostly comes back."""
    if isinstance(error, DatabaseError | InterfaceError):
        return max(row.attempts for row in outgoing.rows) >= MOST_DATABASE_TRIES
    return outgoing.error is not None or isinstance(error, MessageRejected)


def announce_sent(outgoing: Outgoing, outcomes: Sequence[Sent]) -> None:
    """Tell the receivers of `message_sent`."""
    if not signals.message_sent.has_listeners(outgoing.publication):
        return
    for outcome in outcomes:
        topic, partition, offset = outcome.metadata or (outgoing.publication.topic, "", "")
        signals.announce(
            signals.message_sent,
            outgoing.publication,
            topic=topic,
            partition=partition,
            offset=offset,
            key=outgoing.key,
            identity=outgoing.identity,
            sequence=outgoing.sequence,
        )


def announce_failed(outgoing: Outgoing, error: Exception, *, permanent: bool) -> None:
    """Tell the receivers of `send_failed`."""
    signals.announce(
        signals.send_failed,
        outgoing.publication,
        topic=outgoing.publication.topic,
        key=outgoing.key,
        identity=outgoing.identity,
        error=error,
        permanent=permanent,
    )


def sent_by_type(sent: Sequence[Outgoing]) -> dict[tuple[str, str], int]:
    """Return how many messages of each topic and type were sent."""
    by_publication: Counter[Publication] = Counter()
    for outgoing in sent:
        by_publication[outgoing.publication] += len(outgoing.messages)
    counts: Counter[tuple[str, str]] = Counter()
    for publication, messages in by_publication.items():
        counts[publication.topic, publication.serializer_classes[0].MESSAGE_TYPE] += messages
    return dict(counts)


def latencies_seconds(sent: Sequence[Outgoing], since_claim_seconds: float) -> dict[str, list[float]]:
    """Return, by topic, how long each change waited before it was claimed, and from then to the acknowledgement."""
    found: dict[str, list[float]] = {}
    for outgoing in sent:
        latencies = found.setdefault(outgoing.publication.topic, [])
        latencies += [row.age_seconds + since_claim_seconds for row in outgoing.rows if row.age_seconds is not None]
    return found
