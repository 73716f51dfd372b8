"""`manage.py develop`: all services from packages, and the test project on them as it would run in production."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django.core.management.base import BaseCommand, CommandError, CommandParser

from testproject.services import ServiceUnavailable, provided_kafka, provided_kinesis, provided_postgres

DATABASE = "logpipe"
ADMINISTRATOR = {
    "DJANGO_SUPERUSER_USERNAME": "admin",
    "DJANGO_SUPERUSER_PASSWORD": "admin",
    "DJANGO_SUPERUSER_EMAIL": "admin@example.com",
}
LOGS = {
    "database": {},
    "kafka": {"KAFKA_BOOTSTRAP_SERVERS": provided_kafka},
    "confluent": {"KAFKA_BOOTSTRAP_SERVERS": provided_kafka},
    "kinesis": {"KINESIS_ENDPOINT_URL": provided_kinesis},
}
AWS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "eu-central-1"}


class Command(BaseCommand):
    """Everything ends with Ctrl-C, or when one of the processes does."""

    help = (
        "Start PostgreSQL and a log from packages, and on them the web server, a relay and a consumer; Ctrl-C ends all."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--backend", choices=sorted(LOGS), default="kafka", help="which log (kafka)")
        parser.add_argument("--port", type=int, default=8000, help="the web server's port (8000)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until somebody has enough: Ctrl-C or SIGTERM, also where a shell started this with SIGINT ignored."""
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.default_int_handler)
        try:
            with services(options["backend"]) as given:
                environment = {**os.environ, **given}
                self._prepare(environment)
                self._tell(given, options["port"])
                code = self._run(environment, options["port"])
        except ServiceUnavailable as error:
            raise CommandError(str(error)) from error
        sys.exit(code)

    def _prepare(self, environment: Mapping[str, str]) -> None:
        for alias in ("default", "subscriber"):
            _manage(environment, "migrate", "--database", alias, "--verbosity", "0").wait()
        _manage({**environment, **ADMINISTRATOR}, "createsuperuser", "--noinput", quiet=True).wait()

    def _tell(self, given: Mapping[str, str], port: int) -> None:
        self.stdout.write(f"\nhttp://127.0.0.1:{port}/admin/ (admin, admin)\n\nIn another terminal:\n\n")
        for name, value in sorted(given.items()):
            self.stdout.write(f"    export {name}='{value}'")
        self.stdout.write("    python manage.py logpipe_status --watch\n\nCtrl-C ends all of it.\n\n")
        self.stdout.flush()

    def _run(self, environment: Mapping[str, str], port: int) -> int:
        processes = [
            _manage(environment, "runserver", "--noreload", f"127.0.0.1:{port}"),
            _manage(environment, "run_relay"),
            _manage(environment, "run_consumer"),
        ]
        try:
            while all(process.poll() is None for process in processes):
                time.sleep(0.2)
            self.stderr.write("One of the processes ended, so the others end too.")
            return 1
        except KeyboardInterrupt:
            return 0
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()


@contextmanager
def services(backend: str) -> Iterator[dict[str, str]]:
    """Start what is asked for, and give the environment that names it; what the environment names already is used."""
    with ExitStack() as running:
        given = {"LOGPIPE_BACKEND": backend, "LOGPIPE_RELAY": "worker", "DEBUG": "1"}
        given |= {name: running.enter_context(start()) for name, start in LOGS[backend].items()}
        given |= AWS if backend == "kinesis" else {}
        named = "DATABASE_URL" in os.environ
        url = running.enter_context(provided_postgres())
        given["DATABASE_URL"] = url if named else _with_databases(url)
        yield given


def _with_databases(url: str) -> str:
    """Make both sides' databases, and return the address of the publisher's."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        for name in (DATABASE, f"{DATABASE}_subscriber"):
            connection.execute(f'CREATE DATABASE "{name}"')
    return urlunsplit(urlsplit(url)._replace(path=f"/{DATABASE}"))


def _manage(environment: Mapping[str, str], *arguments: str, quiet: bool = False) -> subprocess.Popen[bytes]:
    command = [sys.executable, "manage.py", *arguments]
    # A group of its own: Ctrl-C reaches this command, which ends the others in order.
    return subprocess.Popen(
        command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL if quiet else None
    )
