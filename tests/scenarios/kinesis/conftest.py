"""A Kinesis of each scenario's own, and both sides' databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from testproject.services import KinesisMock, PostgresServer
from tests.kinesis import make_shards
from tests.scenarios.kinesis.crew import Crew, prepare
from tests.scenarios.kinesis.log import CREDENTIALS, REGION, KinesisLog
from tests.scenarios.publishing.conftest import database, make_world, postgres, seed, soak_seconds, started
from tests.scenarios.publishing.logs import TOPIC
from tests.scenarios.publishing.world import World, process_environment

__all__ = ["database", "make_world", "postgres", "seed", "soak_seconds", "started"]

SETTINGS = {
    "LEASE_SECONDS": 4.0,
    "RELAY_SEND_TIMEOUT_SECONDS": 3.5,
    "KINESIS_FETCH_LIMIT": 200,
    "CONSUMER_BATCH_SIZE": 25,
}
SUBSCRIBER = "_subscriber"


@pytest.fixture
def kinesis(
    started: Callable[[Any], Any], logpipe_settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KinesisMock]:
    """Return a stand-in with a stream of two shards."""
    mock: KinesisMock = started(KinesisMock(config={"SHARD_LIMIT": "1000"}))
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    logpipe_settings(KINESIS_ENDPOINT_URL=mock.endpoint_url, KINESIS_REGION=REGION)
    make_shards(TOPIC, 2)
    yield mock
    mock.stop()


@pytest.fixture
def subscriber(postgres: PostgresServer, database: str) -> Iterator[str]:
    """Return the address of the subscriber's database, which stands beside the publisher's."""
    name = database.rpartition("/")[2].partition("?")[0] + SUBSCRIBER
    url = postgres.create_database(name)
    prepare(url, process_environment(database))
    yield url
    postgres.drop_database(name)


@pytest.fixture
def make_crew(make_world: Callable[..., World], kinesis: KinesisMock, subscriber: str) -> Callable[..., Crew]:
    """Return a function that makes a world on Kinesis and its workers; all of them end with the test."""

    def make(*, through: str | None = None, **settings: Any) -> Crew:
        log = KinesisLog(kinesis.endpoint_url, through=through)
        # A row whose key changes has messages in several shards, and the guard drops those that are read too late:
        # with its key kept, every single record has to be applied.
        options = ["--pause-seconds", "0.25", "--rows", "24", "--keep-keys", "--style", "people"]
        world = make_world(log=log, relays=1, writers=2, writer_options=options, settings={**SETTINGS, **settings})
        return Crew(world, log, subscriber)

    return make
