"""Gaps: records that the log dropped before this group read them are reported, and a policy decides."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from logpipe_signals import signals
from logpipe_signals.backend.base import Gap
from logpipe_signals.consuming.routing import Routes
from logpipe_signals.exceptions import GapFound

logger = logging.getLogger(__name__)


def gap_policy(routes: Mapping[str, Routes]) -> Callable[[Gap], None]:
    """Return what a feed calls when it finds a gap."""

    def found(gap: Gap) -> None:
        partition = gap.topic_partition
        text = (
            f"The log no longer has the records of {partition.topic}/{partition.partition} from {gap.expected} up to "
            f"{gap.found}: they were dropped before this group read them. Backfill them with manage.py republish_all "
            "on the publisher's side, and keep the log's records longer than a consumer may be away."
        )
        place = {"topic": partition.topic, "partition": partition.partition}
        signals.announce(signals.gap_found, None, **place, expected=gap.expected, found=gap.found)
        logger.error(text, extra=place)
        if routes[partition.topic].options.on_gap == "raise":
            raise GapFound(text, gap)

    return found
