"""The worker behind `manage.py run_consumer`: all declared consumers, in a group, until told to stop."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from logpipe_signals.conf import consumer_group
from logpipe_signals.consuming.consumer import Consumer, MultiConsumer
from logpipe_signals.consuming.feed import Start
from logpipe_signals.consuming.loop import Loop, LoopOptions, Tally
from logpipe_signals.consuming.stopping import Stop

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """
    What `run_consumer` was asked for.

    start:         Begin every partition at the beginning or the end, whatever its position.
    liveness_file: Touched at every turn of the loop: its age tells a probe whether the worker is alive.
    """

    group: str = ""
    batch_size: int | None = None
    until_caught_up: bool = False
    max_records: int = 0
    start: Start | None = None
    liveness_file: Path | None = None


def run_worker(consumers: list[Consumer], options: WorkerOptions, *, stop: Stop) -> Tally:
    """Consume until there is a reason to end, and leave the group cleanly."""
    multi = MultiConsumer(*consumers)
    group = options.group or consumer_group()
    restart = options.start is not None
    feed = multi.feed(group=group, start=options.start or "beginning", restart=restart)
    routes = multi.routes()
    logger.info("Consuming %s as group %r.", ", ".join(sorted(routes)), group)
    try:
        tally = Loop(feed, routes, _loop_options(options), stop=stop).run()
    finally:
        feed.close()
    logger.info("Ended after %d records: %d applied, %d failed.", tally.handled, tally.applied, tally.failed)
    return tally


def _loop_options(options: WorkerOptions) -> LoopOptions:
    file = options.liveness_file
    return LoopOptions(
        batch_size=options.batch_size,
        max_records=options.max_records,
        until_caught_up=options.until_caught_up,
        endure=True,
        beat=file.touch if file is not None else lambda: None,
    )
