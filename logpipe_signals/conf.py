"""
Every `LOGPIPE` setting with its default, unit and meaning, read on each access.

    from logpipe_signals.conf import settings
    settings.RELAY

The names of django-logpipe 1.6 keep their names, meanings and defaults. A dotted path into django-logpipe's backends
(`logpipe.backend.kafka.Producer`) is read as the same path in this package, so a project's settings move unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_type_hints

from django.conf import settings as django_settings

PREDECESSOR = "logpipe.backend."
PACKAGE_BACKENDS = "logpipe_signals.backend."


class LogpipeSettings:
    """One annotated attribute a setting. Reading one looks in `settings.LOGPIPE` first, then here."""

    # --- where things go (django-logpipe's names) -------------------------------------------------------------------
    PRODUCER_BACKEND: str = "logpipe_signals.backend.kafka.Producer"
    """Dotted path of the class that writes to the log: `backend.kafka|confluent|kinesis|database|dummy`."""
    CONSUMER_BACKEND: str = "logpipe_signals.backend.kafka.Consumer"
    """Dotted path of the class that reads from the log."""
    OFFSET_BACKEND: str = "logpipe_signals.backend.kafka.ModelOffsetStore"
    """Dotted path of the class that keeps positions."""
    DEFAULT_FORMAT: str = "json"
    """The format of what is sent: `json`, `msgpack` (extra `[msgpack]`), `pickle`, or one that was registered."""
    FORMATS: Mapping[str, tuple[str, str]] = {}
    """Further formats: `{code: (renderer, parser)}`, dotted paths of classes as Django REST Framework has them."""
    COMPRESSION: Literal["", "gzip", "zstd"] = ""
    """What large messages are compressed by: `gzip`, or `zstd` (extra `[zstd]`). Readers need it too."""
    COMPRESSION_MIN_BYTES: int = 4096
    """The smallest message that is compressed."""
    ALLOW_INCOMING_PICKLE: bool = False
    """Whether pickles are read from the wire. A pickle runs code of whoever wrote it: leave it off."""
    PRODUCER_ID: str = ""
    """Sent as the envelope's `producer` member when it is not empty."""
    MIN_MESSAGE_LAG_MS: int = 0
    """Milliseconds a record has to be old before it is applied."""

    # --- Kafka (django-logpipe's names) -----------------------------------------------------------------------------
    KAFKA_BOOTSTRAP_SERVERS: list[str] | str = ["localhost:9092"]
    """`host:port` of some brokers, a list or a comma-separated string."""
    KAFKA_KWARGS: Mapping[str, Any] = {}
    """Passed to every Kafka client: TLS, SASL, client ids."""
    KAFKA_CONSUMER_KWARGS: Mapping[str, Any] = {}
    """Passed to Kafka consumers only; `group_id` names the consumer group."""
    KAFKA_PRODUCER_KWARGS: Mapping[str, Any] = {}
    """Passed to Kafka producers only."""
    KAFKA_SEND_TIMEOUT: int = 10
    """Seconds `Producer.send` waits for the acknowledgement of one message."""
    KAFKA_MAX_SEND_RETRIES: int = 0
    """Retries of one send inside the client for `Producer.send` by hand; the relay retries by its own rules."""
    KAFKA_FENCING: Literal["sequence", "transactions"] = "sequence"
    """What refuses a relay frozen past its lease: consumers, by `sequence`, or the broker, by `transactions`."""

    # --- Kinesis (django-logpipe's names) ---------------------------------------------------------------------------
    KINESIS_REGION: str = ""
    """AWS region; empty: what boto3's own chain says, else `us-east-1`."""
    KINESIS_ENDPOINT_URL: str = ""
    """Another endpoint than AWS's own: a mock, a VPC endpoint."""
    KINESIS_FETCH_LIMIT: int = 25
    """
    Records a `GetRecords` call asks for, at most 10,000. There are at most 5 such calls a second and shard: with
    django-logpipe's default a shard gives 125 records a second; say more where more is written.
    """
    KINESIS_SEQ_NUM_CACHE_SIZE: int = 1000
    """How many keys' last sequence numbers are remembered for `SequenceNumberForOrdering`."""
    KINESIS_SHARD_ITERATOR_TYPE: str = "TRIM_HORIZON"
    """Where a shard without a checkpoint is read from: `TRIM_HORIZON` or `LATEST`."""

    # --- publishing -------------------------------------------------------------------------------------------------
    RELAY: Literal["inline", "worker"] = "inline"
    """Who sends: `inline`, the process that saved, after its commit; `worker`, `manage.py run_relay`."""
    RELAY_BATCH_SIZE: int = 2000
    """The most outbox rows a relay claims at once; fewer where messages are large or slow to make."""
    RELAY_POLL_SECONDS: float = 1.0
    """How often an idle relay looks at the outbox when nothing wakes it."""
    RELAY_SEND_TIMEOUT_SECONDS: float = 10.0
    """How long a relay waits for a batch's acknowledgements; it always ends before the lease does."""
    RELAY_RETRY_SECONDS: float = 1.0
    """First pause of a row the broker refused for now; doubles with jitter at each try."""
    RELAY_MAX_RETRY_SECONDS: float = 60.0
    """Longest pause between two tries of one row."""
    INLINE_WAIT_SECONDS: float = 2.0
    """The most time an inline send may add to the caller after its commit."""
    INLINE_BATCHES: int = 4
    """The most batches an inline send drains before it leaves the rest to the sweeper."""
    BREAKER_SECONDS: float = 30.0
    """For how long inline sends are left to the sweeper after the broker was found away."""
    SWEEP_SECONDS: float = 2.0
    """How often the inline relay's sweeper thread looks for what was left behind."""
    LANES: int = 64
    """Lanes of a new database. Kept there from then on; changing the setting later changes nothing, a check says so."""
    LEASE_SECONDS: float = 15.0
    """How long a relay that died keeps others from its lanes; renewed at every third of it."""
    SOURCE: str = ""
    """Names the publisher's database in messages; empty: a random name made once and kept in the database."""

    BACKFILL_OUTBOX_ROWS: int = 10_000
    """The most rows that backfills let wait in a database's outbox; at half of it they go on."""

    # --- the embedded log -------------------------------------------------------------------------------------------
    DATABASE_LOG_ALIAS: str = "default"
    """The database alias that holds the embedded log's topics."""
    DATABASE_LOG_PARTITIONS: int = 4
    """Partitions of a topic made on the embedded log."""
    DATABASE_LOG_POLL_SECONDS: float = 0.25
    """How often a waiting reader of the embedded log looks again."""

    # --- schemas (extra `[schema]`) ---------------------------------------------------------------------------------
    SCHEMA_LOCK: str = ""
    """The lock file of this project's messages; empty: `logpipe-schema.lock.json` in BASE_DIR."""
    SCHEMA_COMPATIBILITY: str = "NONE"
    """
    What a new version of a message owes to the one before it: `BACKWARD`, `FORWARD`, `FULL`, or the same with
    `_TRANSITIVE`, to all before it. Versions are routed apart, so `NONE` loses nothing; `publication_schema --check`.
    """
    SCHEMA_PUBLISHERS: list[str] = []
    """Lock files of the publishers this project reads from; its serializers are checked against them."""
    SCHEMA_VALIDATION: Literal["", "sent", "received", "both"] = ""
    """Which messages are held to their JSON Schema while they pass; what does not fit becomes a dead letter."""

    # --- consuming --------------------------------------------------------------------------------------------------
    CONSUMER_GROUP: str = ""
    """The consumer group's name; empty: `group_id` of `KAFKA_CONSUMER_KWARGS`, else `logpipe`."""
    CONSUMER_DATABASE: str = ""
    """The alias that keeps positions and applied rows; empty: what the router says for positions."""
    CONSUMER_BATCH_SIZE: int = 500
    """Records a consumer polls and applies at once."""

    # --- sight ------------------------------------------------------------------------------------------------------
    HEARTBEAT_SECONDS: float = 10.0
    """How often a running relay or consumer notes in the database that it lives; after three missed ones it is gone."""

    # --- housekeeping -----------------------------------------------------------------------------------------------
    RETENTION_DAYS: Mapping[str, float | None] = {}
    """
    Days that `manage.py prune_logpipe` keeps what is done with, by kind, None for ever: `{"dead_letters": 60}`. Kinds
    and defaults: `dead_letters` 30, `guard` 90, `deletes` 365, `trail` 365, `audits` 90, `backfills` 90, `presences` 1,
    `log` 7 (the embedded log's records).
    """
    LONGEST_OUTAGE_SECONDS: float = 259_200.0
    """The longest a consumer may be away, three days: `check --deploy` wants topics to keep records for longer."""

    def __getattribute__(self, name: str) -> Any:
        if not name.isupper():
            return object.__getattribute__(self, name)
        declared = getattr(django_settings, "LOGPIPE", {})
        value = declared[name] if name in declared else object.__getattribute__(self, name)
        if isinstance(value, str) and value.startswith(PREDECESSOR):
            return PACKAGE_BACKENDS + value.removeprefix(PREDECESSOR)
        return value

    @classmethod
    def names(cls) -> frozenset[str]:
        """Return the name of every setting there is."""
        return frozenset(name for name in get_type_hints(cls) if name.isupper())


settings = LogpipeSettings()


def consumer_group() -> str:
    """Return the consumer group's name, wherever it was set."""
    return str(settings.CONSUMER_GROUP or settings.KAFKA_CONSUMER_KWARGS.get("group_id") or "logpipe")
