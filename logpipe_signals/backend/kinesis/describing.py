"""What Kinesis tells of its streams."""

from __future__ import annotations

from collections.abc import Collection

from logpipe_signals.backend.bounded import within
from logpipe_signals.backend.facts import TopicFacts
from logpipe_signals.backend.kinesis.client import shared_client
from logpipe_signals.backend.kinesis.errors import SERVICE_ERRORS, is_missing, unavailable


def describe(topics: Collection[str], *, timeout_seconds: float) -> dict[str, TopicFacts]:
    """
    Return what the service says of each of these streams.

    Raises:
        BackendUnavailable: It did not answer in time, or refuses to.
    """
    return within(timeout_seconds, lambda: {each: _facts(each) for each in sorted(topics)}, "what its streams are like")


def _facts(stream: str) -> TopicFacts:
    creation = f"aws kinesis create-stream --stream-name {stream} --shard-count 4"
    try:
        summary = shared_client().describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    except SERVICE_ERRORS as error:
        if is_missing(error):
            return TopicFacts(partitions=0, creation=creation)
        raise unavailable(f"the description of stream {stream!r}", error) from error
    return TopicFacts(
        partitions=int(summary["OpenShardCount"]),
        creation=creation,
        retention_seconds=3600.0 * summary["RetentionPeriodHours"],
        compacts=False,
        deletes=True,
    )
