"""A real MariaDB: it answers over TCP, and keeps what was committed through its own death."""

from collections.abc import Callable
from typing import Any, cast

import pymysql
import pytest

from logpipe_signals.testing.services.service import Service
from testproject.services import MariaDBServer

pytestmark = pytest.mark.mariadb


@pytest.fixture(scope="module")
def server(start: Callable[[Service], Service]) -> MariaDBServer:
    return cast("MariaDBServer", start(MariaDBServer()))


def execute(server: MariaDBServer, statement: str) -> Any:
    connection = pymysql.connect(
        host="127.0.0.1",
        port=server.port,
        user="logpipe",
        password="logpipe",
        database="logpipe",
        autocommit=True,
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def test_a_commit_survives_the_servers_death_in_any_script(server: MariaDBServer) -> None:
    execute(server, "CREATE TABLE names (name varchar(20))")
    execute(server, "INSERT INTO names VALUES ('Kraków 東京 🎉')")
    server.kill()
    server.restart()
    assert execute(server, "SELECT name FROM names") == (("Kraków 東京 🎉",),)


def test_databases_are_made_and_dropped(server: MariaDBServer) -> None:
    assert server.create_database("passing").endswith("/passing")
    assert ("passing",) in execute(server, "SHOW DATABASES")
    server.drop_database("passing")
    assert ("passing",) not in execute(server, "SHOW DATABASES")
