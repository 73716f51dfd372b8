"""Between the processes and Kinesis: a way through on which calls are throttled, partly refused, broken and hung."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

HANG_SECONDS = 12.0
"""Longer than the package's own patience with a call."""
THROTTLED = "ProvisionedThroughputExceededException"


class FaultyKinesis:
    """
    Passes calls on, most of them.

    Args:
        endpoint_url: The Kinesis behind it.
        odds: How likely each fault is for a call that it can befall:
            `throttle`, `break` (500), `hang`, `expire` (reads), `partly` (puts), `forget` (done, and not told so).
    """

    def __init__(self, endpoint_url: str, *, seed: int, odds: dict[str, float]) -> None:
        self.behind = urlsplit(endpoint_url)
        self.odds = odds
        self.done: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def endpoint_url(self) -> str:
        """Return where processes find it."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FaultyKinesis:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def befalls(self, fault: str) -> bool:
        """Throw the dice for a call."""
        with self._lock:
            hit = self._chance.random() < self.odds.get(fault, 0.0)
            self.done[fault] += hit
            return hit

    def split(self, records: list[Any]) -> tuple[list[int], list[int]]:
        """Return which records of a put are passed on, and which are refused."""
        with self._lock:
            kept = [index for index in range(len(records)) if self._chance.random() < 0.6]
        return kept, [index for index in range(len(records)) if index not in kept]

    def pass_on(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """Ask the Kinesis behind it."""
        connection = http.client.HTTPConnection(self.behind.hostname or "", self.behind.port, timeout=30)
        try:
            connection.request("POST", "/", body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _handler_of(faulty: FaultyKinesis) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            status, answer = self._answer(operation, body)
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def _answer(self, operation: str, body: bytes) -> tuple[int, bytes]:
            if operation not in ("PutRecords", "PutRecord", "GetRecords"):
                return self._pass_on(body)
            if faulty.befalls("hang"):
                time.sleep(HANG_SECONDS)
                return 500, _error("InternalFailure")
            if faulty.befalls("throttle"):
                return 400, _error(THROTTLED)
            if faulty.befalls("break"):
                return 500, _error("InternalFailure")
            if operation == "GetRecords" and faulty.befalls("expire"):
                return 400, _error("ExpiredIteratorException")
            if operation == "PutRecords" and faulty.befalls("partly"):
                return self._partly(body)
            status, answer = self._pass_on(body)
            if operation.startswith("Put") and faulty.befalls("forget"):
                return 500, _error("InternalFailure")
            return status, answer

        def _partly(self, body: bytes) -> tuple[int, bytes]:
            asked = json.loads(body)
            kept, refused = faulty.split(asked["Records"])
            outcomes: dict[int, Any] = {i: {"ErrorCode": THROTTLED, "ErrorMessage": "slow down"} for i in refused}
            if kept:
                part = {**asked, "Records": [asked["Records"][index] for index in kept]}
                status, answer = self._pass_on(json.dumps(part).encode())
                if status != 200:
                    return status, answer
                outcomes |= dict(zip(kept, json.loads(answer)["Records"], strict=True))
            records = [outcomes[index] for index in range(len(asked["Records"]))]
            return 200, json.dumps({"FailedRecordCount": len(refused), "Records": records}).encode()

        def _pass_on(self, body: bytes) -> tuple[int, bytes]:
            hop = ("host", "content-length", "connection")
            headers = {name: value for name, value in self.headers.items() if name.lower() not in hop}
            return faulty.pass_on(headers, body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (http.server's name)
            """Say nothing."""

    return Handler


def _error(code: str) -> bytes:
    return json.dumps({"__type": code, "message": f"{code}, by the test"}).encode()
