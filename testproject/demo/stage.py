"""
The stage: a folder with fresh databases, a log, and the environment that points the test project at both.

Nothing here needs Django: the play runs in a process of its own, whose settings come from this environment.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from testproject.services import provided_kafka, provided_kinesis

NAMED_BROKER = "KAFKA_BOOTSTRAP_SERVERS"
NAMED_KINESIS = "KINESIS_ENDPOINT_URL"
ANY_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "eu-central-1"}


class NotFresh(Exception):
    """The folder holds databases of an earlier run."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the demo was asked for."""

    backend: str = "database"
    cities: int = 5000
    data_dir: Path | None = None
    keep: bool = False


@contextmanager
def stage(options: Options) -> Iterator[dict[str, str]]:
    """
    Yield the environment of the play; what was started or made for it goes when the play is over.

    Raises:
        NotFresh: `data_dir` holds databases already.
        ServiceUnavailable: Kafka or Kinesis was asked for, none is named, and a part that it needs is missing.
    """
    with ExitStack() as stack:
        folder = _folder(options, stack)
        environment = dict(os.environ)
        environment.pop("DATABASE_URL", None)
        environment.setdefault("LOGPIPE_LOG_LEVEL", "WARNING")
        # kafka-python calls a topic that is about to be made an error.
        environment.setdefault("KAFKA_LOG_LEVEL", "CRITICAL")
        environment |= {
            "DJANGO_SETTINGS_MODULE": "testproject.settings",
            "TESTPROJECT_DATA_DIR": str(folder),
            "LOGPIPE_BACKEND": options.backend,
            "LOGPIPE_RELAY": "inline",
        }
        if options.backend == "kafka":
            environment[NAMED_BROKER] = _kafka(stack)
        if options.backend == "kinesis":
            environment |= _kinesis(stack)
        yield environment


def _folder(options: Options, stack: ExitStack) -> Path:
    if options.data_dir is not None:
        options.data_dir.mkdir(parents=True, exist_ok=True)
        if found := sorted(options.data_dir.glob("*.sqlite3")):
            raise NotFresh(f"{found[0]} is there already. The demo begins with empty databases: name another folder.")
        return options.data_dir.resolve()
    if options.keep:
        return Path(tempfile.mkdtemp(prefix="logpipe-demo-"))
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="logpipe-demo-", ignore_cleanup_errors=True)))


def _kafka(stack: ExitStack) -> str:
    if NAMED_BROKER not in os.environ:
        print("Starting Apache Kafka from packages; the first time it is downloaded ...", file=sys.stderr, flush=True)
    return stack.enter_context(provided_kafka(num_partitions=3))


def _kinesis(stack: ExitStack) -> dict[str, str]:
    if NAMED_KINESIS in os.environ:
        return {NAMED_KINESIS: os.environ[NAMED_KINESIS]}
    print("Starting kinesis-mock from packages; the first time it is downloaded ...", file=sys.stderr, flush=True)
    return {**ANY_CREDENTIALS, NAMED_KINESIS: stack.enter_context(provided_kinesis())}
