"""The proxy passes on, cuts, hangs and restores, on one port throughout."""

import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from testproject.services import ServiceFailed, TcpProxy


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while chunk := self.request.recv(1024):
            self.request.sendall(chunk)


class EchoServer(socketserver.ThreadingTCPServer):
    daemon_threads = True


@pytest.fixture
def proxy() -> Iterator[TcpProxy]:
    with EchoServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        with TcpProxy("127.0.0.1", server.server_address[1]) as proxy:
            yield proxy
        server.shutdown()
        thread.join()


def connect(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), timeout=10)


def test_bytes_pass_both_ways(proxy: TcpProxy) -> None:
    with connect(proxy) as client:
        client.sendall(b"hello")
        assert client.recv(10) == b"hello"
        assert proxy.connection_count == 1


def test_a_cut_drops_open_connections_and_refuses_new_ones(proxy: TcpProxy) -> None:
    with connect(proxy) as client:
        client.sendall(b"hello")
        assert client.recv(10) == b"hello"
        proxy.cut()
        assert client.recv(10) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)


def test_a_restored_proxy_listens_on_the_same_port(proxy: TcpProxy) -> None:
    port = proxy.port
    proxy.cut()
    proxy.restore()
    assert proxy.port == port
    with connect(proxy) as client:
        client.sendall(b"hello")
        assert client.recv(10) == b"hello"


def test_what_hung_flows_on_when_restored(proxy: TcpProxy) -> None:
    with connect(proxy) as open_before:
        proxy.hang()
        with connect(proxy) as opened_while:
            for client in (open_before, opened_while):
                client.sendall(b"hello")
                client.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    client.recv(10)
            proxy.restore()
            for client in (open_before, opened_while):
                client.settimeout(10)
                assert client.recv(10) == b"hello"


def test_a_connection_to_a_dead_target_is_closed() -> None:
    with TcpProxy("127.0.0.1", 1) as proxy, connect(proxy) as client:
        assert client.recv(10) == b""


def test_a_proxy_that_was_not_started_has_no_port() -> None:
    with pytest.raises(ServiceFailed, match="start"):
        _ = TcpProxy().port
