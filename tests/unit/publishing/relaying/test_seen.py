"""What a probe and a scraper see of `run_relay`."""

from __future__ import annotations

import socket
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from logpipe_signals.publishing.worker import RelayWorker
from logpipe_signals.testing.services.ports import free_port
from tests.unit.publishing.relaying.conftest import ScriptedProducer

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def test_the_relay_touches_its_liveness_file_at_every_turn(log: ScriptedProducer, tmp_path: Path) -> None:
    file = tmp_path / "alive"
    call_command("run_relay", "--drain", "--database", "default", "--liveness-file", str(file), verbosity=0)
    assert not file.exists()  # Nothing was pending: no turn.
    worker = RelayWorker(["default"], beat=file.touch)
    worker._step()
    assert file.exists()


def test_the_relay_serves_metrics_while_it_runs(
    log: ScriptedProducer, monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., None]
) -> None:
    port, worker = free_port(), RelayWorker(["default"])
    monkeypatch.setattr("logpipe_signals.management.commands.run_relay.RelayWorker", lambda *_, **__: worker)
    monkeypatch.setattr("signal.signal", lambda *_: None)  # They are for the main thread.

    def run() -> None:
        call_command("run_relay", "--metrics-port", str(port), verbosity=0)
        connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    pages: list[str] = []

    def fetched() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
                pages.append(response.read().decode())
        except OSError:
            return False
        return 'logpipe_relays{database="default",state="running"} 1.0' in pages[-1]

    try:
        wait_until(fetched)
    finally:
        worker.stop()
        thread.join(20)
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10)


def test_a_port_that_is_taken_is_said_so() -> None:
    with socket.create_server(("", 0)) as taken, pytest.raises(CommandError, match="--metrics-port"):
        call_command("run_relay", "--metrics-port", str(taken.getsockname()[1]), verbosity=0)


def test_metrics_without_their_package_name_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    from logpipe_signals import metrics

    monkeypatch.delattr(metrics, "events", raising=False)
    monkeypatch.setitem(sys.modules, "logpipe_signals.metrics.events", None)
    with pytest.raises(CommandError, match=r"logpipe_signals\[prometheus\]"):
        call_command("run_relay", "--metrics-port", "1", verbosity=0)
