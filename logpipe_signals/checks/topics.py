"""The log itself: reachable, with the topics that are written and read, and these keep what is promised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, Error

from logpipe_signals import backend
from logpipe_signals.backend.facts import TopicFacts
from logpipe_signals.checks.subscriptions import topics_read
from logpipe_signals.conf import settings
from logpipe_signals.exceptions import BackendUnavailable, DeclarationError, LogPipeError
from logpipe_signals.registry import Publication, publications

ANSWER_SECONDS = 10.0
"""How long a log may take to answer, whatever its client would wait."""


def check_topics(**_: Any) -> list[CheckMessage]:
    """Ask the log about every declared topic."""
    written = {publication.topic for publication in publications}
    read = topics_read() - written
    return [
        *_asked(backend.producer_class, "PRODUCER_BACKEND", written),
        *_asked(backend.consumer_class, "CONSUMER_BACKEND", read),
    ]


def _asked(load: Any, setting: str, topics: set[str]) -> list[CheckMessage]:
    try:
        describe = getattr(load(), "describe", None) if topics else None
        told = describe(topics, timeout_seconds=ANSWER_SECONDS) if describe is not None else {}
    except BackendUnavailable as error:
        return [_unreachable(setting, error)]
    except DeclarationError as error:
        return [] if "does not import" in str(error) else [_unreachable(setting, error)]
    return [message for topic, facts in sorted(told.items()) for message in judge(topic, facts)]


def judge(topic: str, facts: TopicFacts) -> Iterator[CheckMessage]:
    """Return what is wrong with a topic."""
    if not facts.partitions:
        yield _missing(topic, facts)
        return
    yield from _retention(topic, facts)
    yield from _compaction(topic, facts)
    yield from _copies(topic, facts)
    yield from _sizes(topic, facts)


def _unreachable(setting: str, error: LogPipeError) -> CheckMessage:
    return Error(
        f"The log of LOGPIPE[{setting!r}] cannot be asked about its topics: {error}",
        hint="See that it runs, that this host may reach it, and that its settings hold the right address and "
        "credentials.",
        id="logpipe_signals.E060",
    )


def _missing(topic: str, facts: TopicFacts) -> CheckMessage:
    if facts.makes_topics:
        return checks.Warning(
            f"Topic {topic!r} is not there. The first message makes it, with the partitions and copies that the "
            "brokers have for default.",
            hint=f"Make it with numbers of your own: {facts.creation}",
            id="logpipe_signals.W061",
        )
    return Error(
        f"Topic {topic!r} is not there, and the log makes none by itself: nothing can be sent or read.",
        hint=f"Make it: {facts.creation}",
        id="logpipe_signals.E061",
    )


def _retention(topic: str, facts: TopicFacts) -> Iterator[CheckMessage]:
    kept, outage = facts.retention_seconds, settings.LONGEST_OUTAGE_SECONDS
    if kept is not None and kept < outage:
        yield checks.Warning(
            f"Topic {topic!r} keeps records for {kept / 3600:g} h, and a consumer may be away for {outage / 3600:g} h "
            "(LONGEST_OUTAGE_SECONDS): what it did not read by then is gone.",
            hint="Raise the topic's retention (retention.ms on Kafka, the retention period of a Kinesis stream), or "
            "lower LOGPIPE['LONGEST_OUTAGE_SECONDS'] if nobody is ever away for so long.",
            id="logpipe_signals.W062",
        )


def _compaction(topic: str, facts: TopicFacts) -> Iterator[CheckMessage]:
    here = [publication for publication in publications if publication.topic == topic]
    if facts.compacts is False and any(each.options.delete in ("tombstone", "both") for each in here):
        yield checks.Warning(
            f"Tombstones are sent to topic {topic!r}, which is not compacted: there they remove nothing.",
            hint=f"Set cleanup.policy=compact on {topic!r}, or use delete='message'.",
            id="logpipe_signals.W063",
        )
    if facts.compacts and (reason := _many_of_a_key(here)):
        yield Error(
            f"Topic {topic!r} is compacted, which keeps the newest record of a key, and {reason}: the others are lost "
            "to whoever reads the topic from its beginning.",
            hint=f"Set cleanup.policy=delete on {topic!r}, or send to it one version of one model by a unique key.",
            id="logpipe_signals.E063",
        )


def _many_of_a_key(here: list[Publication]) -> str:
    for publication in here:
        column = publication.key_column
        if column is None or not column.unique:
            return f"several rows of {publication.model._meta.label} may share a key"
        if len(publication.serializer_classes) > 1:
            return f"publication {publication.name!r} sends several versions of a row"
        if publication.options.payload == "change":
            return f"publication {publication.name!r} sends each change as a message of its own"
    return "several publications send to it" if len(here) > 1 else ""


def _copies(topic: str, facts: TopicFacts) -> Iterator[CheckMessage]:
    copies, least = facts.replicas, facts.least_in_sync
    if copies is None or least is None:
        return
    if least > copies:
        yield Error(
            f"Topic {topic!r} has {copies} copies, and min.insync.replicas asks for {least}: nothing can be sent.",
            hint="Lower min.insync.replicas, or give the topic more replicas.",
            id="logpipe_signals.E064",
        )
    elif least < 2:
        yield checks.Warning(
            f"Topic {topic!r} acknowledges what is on {least} broker (copies: {copies}, min.insync.replicas: {least}): "
            "what it acknowledged may be lost with that broker, after it left the outbox.",
            hint="Give it three replicas and min.insync.replicas=2.",
            id="logpipe_signals.W064",
        )


def _sizes(topic: str, facts: TopicFacts) -> Iterator[CheckMessage]:
    if facts.largest_bytes is not None and facts.sent_bytes is not None and facts.largest_bytes < facts.sent_bytes:
        yield checks.Warning(
            f"Topic {topic!r} takes {facts.largest_bytes} bytes at most, and the producer sends up to "
            f"{facts.sent_bytes}: what is in between becomes a dead letter after the brokers refused it.",
            hint=f"Raise max.message.bytes of {topic!r}, or lower max_request_size in KAFKA_PRODUCER_KWARGS.",
            id="logpipe_signals.W065",
        )
