"""A real MariaDB, from the programs that Debian's mariadb-server installs; never the system's own service."""

import os
import pwd
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from logpipe_signals.testing.services.errors import ServiceFailed, ServiceUnavailable, missing_package
from logpipe_signals.testing.services.ports import free_port
from logpipe_signals.testing.services.process import ServiceProcess, run_to_end
from logpipe_signals.testing.services.service import Service

USER = PASSWORD = DATABASE = "logpipe"
_PLACES = ("/usr/sbin", "/usr/libexec", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin", "/opt/homebrew/sbin")
_ANY_HOST = "'127.0.0.1'"


class MariaDBServer(Service):
    """
    A MariaDB on 127.0.0.1, with a user and a database ``logpipe`` (password ``logpipe``), all in utf8mb4.

    Args:
        config: Any of the server's own options, ``{"max-connections": "50"}``; they win over what is set here.
        data_folder: Where it keeps its data, which then stays; without one, a temporary folder.
    """

    name = "MariaDB"
    ready_words = "ready for connections"

    def __init__(self, *, config: Mapping[str, str] | None = None, data_folder: Path | None = None) -> None:
        super().__init__(data_folder=data_folder)
        self._config = {
            "bind-address": "127.0.0.1",
            "character-set-server": "utf8mb4",
            "collation-server": "utf8mb4_unicode_ci",
            "max-connections": "200",
            # A commit survives kill() at 2, not a power cut.
            "innodb-flush-log-at-trx-commit": "2",
            "innodb-buffer-pool-size": "64M",
            # A lock that nobody gives up is an error soon, not after 50 s.
            "innodb-lock-wait-timeout": "10",
            "skip-name-resolve": "1",
            **(config or {}),
        }
        self._port: int | None = None

    # -- addresses -------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port that it listens on."""
        if self._port is None:
            raise ServiceFailed("MariaDB has no port before start().")
        return self._port

    @property
    def url(self) -> str:
        """The address of the database ``logpipe``."""
        return self.url_for(DATABASE)

    @property
    def ports(self) -> list[int]:
        return [self.port]

    def url_for(self, database: str, *, port: int | None = None) -> str:
        """The address of a database; ``port`` names a proxy's instead of its own."""
        return f"mysql://{USER}:{PASSWORD}@127.0.0.1:{port or self.port}/{database}"

    # -- databases -------------------------------------------------------------------------------------------

    def create_database(self, name: str) -> str:
        """Make a database and return its address."""
        self._execute(f"CREATE DATABASE `{_quoted(name)}` CHARACTER SET utf8mb4")
        return self.url_for(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, if it is there."""
        self._execute(f"DROP DATABASE IF EXISTS `{_quoted(name)}`")

    # -- what Service asks for -------------------------------------------------------------------------------

    def choose_ports(self) -> None:
        self._port = free_port()

    def prepare(self) -> None:
        if self._database_folder.exists():
            return
        program = _program("mariadb-install-db", "mysql_install_db")
        (self.data_folder / "init.sql").write_text(_first_statements())
        if self._user:
            user = pwd.getpwnam(self._user)
            os.chown(self.data_folder, user.pw_uid, user.pw_gid)
        options = ["--auth-root-authentication-method=normal", "--skip-test-db", *self._user_option]
        command: list[str | Path] = [program, "--no-defaults", f"--datadir={self._database_folder}", *options]
        run_to_end(command, folder=self.data_folder, failed="MariaDB's data folder could not be made.")

    def spawn(self) -> ServiceProcess:
        folder = self.data_folder
        settings = {
            **self._config,
            "port": str(self.port),
            "datadir": str(self._database_folder),
            "socket": str(folder / "s"),  # a socket's path has to be short
            "pid-file": str(folder / "pid"),
            "init-file": str(folder / "init.sql"),
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return ServiceProcess(
            [_program("mariadbd", "mysqld"), "--no-defaults", *self._user_option, *options],
            log_path=self.log_path,
            folder=folder,
        )

    # -- how -------------------------------------------------------------------------------------------------

    @property
    def _database_folder(self) -> Path:
        return self.data_folder / "data"

    @property
    def _user(self) -> str | None:
        """Root starts it as the user that Debian made for it."""
        return "mysql" if os.geteuid() == 0 else None

    @property
    def _user_option(self) -> list[str]:
        return [f"--user={self._user}"] if self._user else []

    @property
    def _connection_arguments(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD, "database": DATABASE}

    def _execute(self, statement: str) -> None:
        with _client().connect(**self._connection_arguments) as connection, connection.cursor() as cursor:
            cursor.execute(statement)


def _first_statements() -> str:
    """Run at every start, before the port opens: without effect when all is there. One statement a line."""
    return (
        f"CREATE DATABASE IF NOT EXISTS {DATABASE} CHARACTER SET utf8mb4;\n"
        f"CREATE USER IF NOT EXISTS '{USER}'@{_ANY_HOST} IDENTIFIED BY '{PASSWORD}';\n"
        f"GRANT ALL PRIVILEGES ON *.* TO '{USER}'@{_ANY_HOST};\n"
    )


def _quoted(name: str) -> str:
    return name.replace("`", "``")


def _client() -> Any:
    try:
        import pymysql  # type: ignore[import-untyped]
    except ImportError as error:
        raise missing_package("MariaDB", "PyMySQL") from error
    return pymysql


def _program(*names: str) -> Path:
    """The first of these programs that is installed."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *_PLACES])
    for name in names:
        if found := shutil.which(name, path=path):
            return Path(found)
    raise ServiceUnavailable(
        f"MariaDB cannot be started: {names[0]!r} is not installed. "
        "Install it with: apt-get install mariadb-server, or set DATABASE_URL to a server of your own."
    )
