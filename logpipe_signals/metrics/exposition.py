"""The page for a scraper: for Django's own urls, and on a port of its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django.db import connections
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import ThreadingWSGIServer, choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

from logpipe_signals.metrics.collector import SightCollector

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"


def registry() -> CollectorRegistry:
    """Return what to render: this process's metrics, or those of all processes where a folder gathers them."""
    if not os.environ.get(MULTIPROCESS):
        return REGISTRY
    gathered = CollectorRegistry()
    MultiProcessCollector(gathered)  # type: ignore[no-untyped-call]
    gathered.register(SightCollector())
    return gathered


def render(accept: str) -> tuple[bytes, str]:
    """Return the page and its content type."""
    encoder, content_type = choose_encoder(accept)
    return encoder(registry()), content_type


def serve(port: int, address: str) -> Callable[[], None]:
    """Serve the page in a daemon thread; return what stops it."""
    server: WSGIServer = make_server(address, port, _application, ThreadingWSGIServer, handler_class=_Silent)
    thread = threading.Thread(target=server.serve_forever, name="logpipe-metrics", daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


def _application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    if environ["PATH_INFO"] not in ("/", "/metrics"):
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"/metrics\n"]
    try:
        page, content_type = render(environ.get("HTTP_ACCEPT", ""))
    finally:
        connections.close_all()  # Each request has a thread, and so connections, of its own.
    start_response("200 OK", [("Content-Type", content_type)])
    return [page]


class _Silent(WSGIRequestHandler):
    """Writes no line for each scrape."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class's own name)
        """Say nothing."""
