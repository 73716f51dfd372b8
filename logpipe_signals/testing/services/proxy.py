"""A TCP proxy that can cut, hang and delay: the network's faults, on demand."""

import socket
import threading
import time
from contextlib import suppress
from typing import Self

from logpipe_signals.testing.services.errors import ServiceFailed
from logpipe_signals.testing.services.ports import free_port

_CHUNK_BYTES = 65_536
_BIND_ATTEMPTS = 20


class TcpProxy:
    """
    Passes connections on to a target, until told otherwise.

    Args:
        target_host: Where connections are passed on to.
        target_port: Its port; may be set later by ``proxy.target = (host, port)``.
        delay_seconds: Waited before each chunk is passed on, in both directions; settable while it runs.
    """

    host = "127.0.0.1"

    def __init__(
        self, target_host: str = "127.0.0.1", target_port: int | None = None, *, delay_seconds: float = 0.0
    ) -> None:
        self.delay_seconds = delay_seconds
        self.target: tuple[str, int | None] = (target_host, target_port)
        self._port: int | None = None
        self._listener: socket.socket | None = None
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._flowing = threading.Event()
        self._flowing.set()

    # -- addresses -------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port to connect to; it stays the same through cut() and restore()."""
        if self._port is None:
            raise ServiceFailed("The proxy has no port before start().")
        return self._port

    @property
    def address(self) -> str:
        """Host and port to connect to."""
        return f"{self.host}:{self.port}"

    @property
    def connection_count(self) -> int:
        """How many connections are open through it."""
        with self._lock:
            return len(self._sockets) // 2

    # -- orders ----------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen; does nothing when it listens already."""
        if self._listener is None:
            self._listen()
        return self

    def stop(self) -> None:
        """Drop every connection and listen no more."""
        self.cut()
        self._flowing.set()
        self._port = None

    def cut(self) -> None:
        """Drop every connection and refuse new ones."""
        with self._lock:
            listener, self._listener = self._listener, None
            open_sockets, self._sockets = self._sockets, set()
        for each in (listener, *open_sockets):
            if each is not None:
                _close(each)

    def hang(self) -> None:
        """Accept connections, keep those that are open, and pass nothing on."""
        self._flowing.clear()

    def restore(self) -> None:
        """End cut() and hang(): listen again, and let flow what hung."""
        self._flowing.set()
        if self._port is not None:
            self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    # -- how -------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        listener = self._bound_socket()
        listener.listen(128)
        self._port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name="proxy-accept", daemon=True).start()

    def _bound_socket(self) -> socket.socket:
        for _attempt in range(_BIND_ATTEMPTS):
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((self.host, self._port or free_port()))
            except OSError:
                listener.close()
                time.sleep(0.05)
            else:
                return listener
        raise ServiceFailed(f"The proxy found no port to listen on (last tried: {self._port or 'any'}).")

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _address = listener.accept()
            except OSError:
                return  # cut() or stop()
            threading.Thread(target=self._connect, args=(listener, client), name="proxy", daemon=True).start()

    def _connect(self, listener: socket.socket, client: socket.socket) -> None:
        self._flowing.wait()
        try:
            upstream = socket.create_connection(self.target)
        except OSError:
            _close(client)
            return
        with self._lock:
            if self._listener is not listener:  # cut in the meantime
                _close(client)
                _close(upstream)
                return
            self._sockets |= {client, upstream}
        for source, sink in ((client, upstream), (upstream, client)):
            threading.Thread(target=self._pump, args=(source, sink), name="proxy-pump", daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(_CHUNK_BYTES):
                self._flowing.wait()
                if self.delay_seconds:
                    time.sleep(self.delay_seconds)
                sink.sendall(chunk)
        with self._lock:
            self._sockets -= {source, sink}
        _close(source)
        _close(sink)


def _close(each: socket.socket) -> None:
    # shutdown() wakes a thread that waits in accept() or recv(); close() alone does not.
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
