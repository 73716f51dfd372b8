"""The worker behind `manage.py run_consumer`: all declared consumers, in a group, until told to stop."""

from __future__ import annotations

import logging
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from logpipe_signals import signals
from logpipe_signals.conf import consumer_group
from logpipe_signals.consuming.aliases import warn_of_rows_apart
from logpipe_signals.consuming.consumer import Consumer, MultiConsumer
from logpipe_signals.consuming.feed import Feed, Start
from logpipe_signals.consuming.loop import Loop, LoopOptions, Tally
from logpipe_signals.consuming.rehearsal import Rehearsal
from logpipe_signals.consuming.stopping import BrokenOff, Stop
from logpipe_signals.exceptions import BackendUnavailable
from logpipe_signals.garbage import few_collections
from logpipe_signals.heartbeat import Heartbeat
from logpipe_signals.models.presence import PresenceKind

logger = logging.getLogger(__name__)

MOST_PARTITIONS_TOLD = 1000


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """
    What `run_consumer` was asked for.

    start:         Begin every partition at the beginning or the end, whatever its position.
    not_before:    Begin every partition at this time, in seconds since 1970, and pass over what is older there.
    dry_run:       Look up and validate, as a process outside of the group; write nothing, move no position.
    liveness_file: Touched at every turn of the loop: its age tells a probe whether the worker is alive.
    """

    group: str = ""
    batch_size: int | None = None
    until_caught_up: bool = False
    max_records: int = 0
    start: Start | None = None
    not_before: float = 0.0
    dry_run: bool = False
    liveness_file: Path | None = None


def run_worker(consumers: list[Consumer], options: WorkerOptions, *, stop: Stop) -> Tally:
    """Consume until there is a reason to end, and leave the group cleanly."""
    multi = MultiConsumer(*consumers)
    group = options.group or consumer_group()
    restart = options.start is not None
    begin = {"start": options.start or "beginning", "restart": restart, "restart_at": options.not_before}
    feed = multi.feed(group, shared=not options.dry_run, **begin)
    rehearsal = Rehearsal(feed.positions.alias) if options.dry_run else None
    routes = multi.routes()
    warn_of_rows_apart({route.serializer_class for of_topic in routes.values() for route in of_topic})
    logger.info("Consuming %s as group %r.", ", ".join(sorted(routes)), group)
    told = {"group": group, "topics": sorted(routes)}
    loop = Loop(feed, routes, _loop_options(options, heartbeat := _heartbeat(feed)), stop=stop, applier=rehearsal)
    signals.announce(signals.consumer_started, None, **told)
    try:
        _run(loop, feed, heartbeat)
    except BrokenOff:
        logger.warning("The work in hand did not end after the stop: it is broken off, and read again by the next one.")
    finally:
        signals.announce(signals.consumer_stopped, None, **told)
    tally = loop.tally
    logger.info("Ended after %d records: %d applied, %d failed.", tally.handled, tally.applied, tally.failed)
    return tally


def _run(loop: Loop, feed: Feed, heartbeat: Heartbeat) -> None:
    try:
        with few_collections():
            loop.run()
    finally:
        heartbeat.stop()
        feed.close()


def _heartbeat(feed: Feed) -> Heartbeat:
    def serves() -> dict[str, Any]:
        try:
            partitions = sorted(feed.client.assignment())
        except BackendUnavailable:  # The first thing that is asked of the client; the loop waits for its log.
            partitions = []
        return {"topics": sorted(feed.options.topics), "partitions": partitions[:MOST_PARTITIONS_TOLD]}

    name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    return Heartbeat(feed.positions.alias, PresenceKind.CONSUMER, name, group=feed.positions.group, serves=serves)


def _loop_options(options: WorkerOptions, heartbeat: Heartbeat) -> LoopOptions:
    file = options.liveness_file

    def beat() -> None:
        if not options.dry_run:
            heartbeat.beat()
        if file is not None:
            file.touch()

    return LoopOptions(
        batch_size=options.batch_size,
        max_records=options.max_records,
        not_before=options.not_before,
        until_caught_up=options.until_caught_up or options.dry_run,
        endure=True,
        beat=beat,
    )
