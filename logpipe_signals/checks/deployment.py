"""What production needs and development does not: who sends, on which log, and that somebody does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, Error
from django.db import DatabaseError, InterfaceError

from logpipe_signals import monitoring
from logpipe_signals.checks.databases import held_by
from logpipe_signals.checks.subscriptions import topics_read
from logpipe_signals.conf import consumer_group, settings
from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.registry import publications


def check_deployment(**_: Any) -> list[CheckMessage]:
    """Return what production needs and development does not."""
    return [*_dummy(), *_pickle(), *_sending()]


def check_running(**_: Any) -> list[CheckMessage]:
    """Return the relays and consumers that should be running and are not."""
    return [*_relays(), *_consumers()]


def _dummy() -> Iterator[CheckMessage]:
    used = {"PRODUCER_BACKEND": len(publications), "CONSUMER_BACKEND": len(topics_read())}
    for setting, count in used.items():
        path = getattr(settings, setting)
        if count and path.startswith("logpipe_signals.backend.dummy."):
            yield Error(
                f"LOGPIPE[{setting!r}] is {path!r}, a log in the memory of one process: what is sent there is lost.",
                hint="Name the backend of a log: kafka, confluent, kinesis or database.",
                id="logpipe_signals.E029",
            )


def _pickle() -> Iterator[CheckMessage]:
    if settings.ALLOW_INCOMING_PICKLE:
        yield checks.Warning(
            "LOGPIPE['ALLOW_INCOMING_PICKLE'] is on: whoever can write to a topic can run code here.",
            hint="Let the publishers send json, and switch it off.",
            id="logpipe_signals.W016",
        )


def _sending() -> Iterator[CheckMessage]:
    if settings.RELAY != "inline" or not len(publications):
        return
    yield checks.Warning(
        "LOGPIPE['RELAY'] is 'inline': the processes that save also send, each with a client and a sweeper thread of "
        "its own, and what they leave behind waits for their sweeper.",
        hint="Set LOGPIPE['RELAY'] = 'worker' and keep `manage.py run_relay` running beside the web processes.",
        id="logpipe_signals.W004",
    )
    if _without_threads():
        yield Error(
            "LOGPIPE['RELAY'] is 'inline', and uWSGI runs this process without threads: no sweeper can run, so what a "
            "kill or an outage of the broker leaves behind is not sent.",
            hint="Start uWSGI with --enable-threads, or set LOGPIPE['RELAY'] = 'worker' and run `manage.py run_relay`.",
            id="logpipe_signals.E031",
        )


def _without_threads() -> bool:
    """uWSGI gives the processes that it starts a module of this name, which holds its options."""
    options = getattr(sys.modules.get("uwsgi"), "opt", None)
    return options is not None and not {"enable-threads", "threads"} & {_text(name) for name in options}


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _relays() -> Iterator[CheckMessage]:
    if settings.RELAY != "worker":
        return
    for alias, held in held_by().items():
        try:
            running = [relay for relay in monitoring.relays(alias) if not relay.is_gone]
        except (DatabaseError, InterfaceError):
            continue  # check_tables says so
        if held and not running:
            yield checks.Warning(
                f"LOGPIPE['RELAY'] is 'worker', and no relay gave a sign of life on database {alias!r}: "
                "nothing is sent.",
                hint="Keep `manage.py run_relay` running; `manage.py logpipe_status` shows who does.",
                id="logpipe_signals.W017",
            )


def _consumers() -> Iterator[CheckMessage]:
    if not (wanted := topics_read()):
        return
    try:
        running = [each for each in monitoring.consumers() if not each.is_gone and each.group == consumer_group()]
    except (DatabaseError, InterfaceError, DeclarationError):
        return  # check_tables, check_settings say so
    unread = sorted(wanted - {topic for consumer in running for topic in consumer.topics})
    if unread:
        yield checks.Warning(
            f"No consumer of group {consumer_group()!r} gave a sign of life for topic {', '.join(map(repr, unread))}: "
            "nothing of it is applied.",
            hint="Keep `manage.py run_consumer` running; `manage.py logpipe_status` shows who does.",
            id="logpipe_signals.W018",
        )
