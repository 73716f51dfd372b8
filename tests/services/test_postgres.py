"""A real PostgreSQL: it answers over TCP, and keeps what was committed through its own death."""

from collections.abc import Callable
from typing import cast

import psycopg
import pytest

from logpipe_signals.testing.services.service import Service
from testproject.services import PostgresServer, TcpProxy

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def server(start: Callable[[Service], Service]) -> PostgresServer:
    return cast("PostgresServer", start(PostgresServer()))


def ask(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[call-overload]
        return row[0]


def test_it_is_set_up_as_asked(server: PostgresServer) -> None:
    assert ask(server.url, "SHOW max_connections") == "200"
    assert ask(server.url, "SHOW fsync") == "off"
    assert ask(server.url, "SHOW server_encoding") == "UTF8"


def test_a_commit_survives_the_postmasters_death(server: PostgresServer) -> None:
    url = server.create_database("lasting")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE rows (x int)")
        connection.execute("INSERT INTO rows VALUES (42)")
        server.kill()
    server.restart()
    assert ask(url, "SELECT x FROM rows") == 42


def test_a_database_is_dropped_though_a_session_is_left_in_it(server: PostgresServer) -> None:
    left_open = psycopg.connect(server.create_database("left-open"))
    server.drop_database("left-open")
    assert ask(server.url, "SELECT count(*) FROM pg_database WHERE datname = 'left-open'") == 0
    left_open.close()


def test_a_cut_proxy_ends_the_session_and_a_restored_one_lets_a_new_one_in(server: PostgresServer) -> None:
    with TcpProxy("127.0.0.1", server.port) as proxy:
        url = server.url_for("postgres", port=proxy.port)
        session = psycopg.connect(url)
        proxy.cut()
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)
        proxy.restore()
        assert ask(url, "SELECT 1") == 1
        session.close()
