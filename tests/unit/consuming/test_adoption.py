"""`manage.py adopt_logpipe`: a project that moves over goes on where it stood."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connections

from logpipe_signals.models import Offset

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

TABLES = {
    "logpipe_kafkaoffset": "(topic varchar(200), {partition} integer, {offset} integer)",
    "logpipe_kinesisoffset": "(region varchar(20), stream varchar(200), shard varchar(200), sequence_number text)",
}


@pytest.fixture
def stored() -> Iterator[None]:
    """Make django-logpipe's tables as it leaves them."""
    connection = connections["default"]
    words = {word: connection.ops.quote_name(word) for word in ("partition", "offset")}
    with connection.cursor() as cursor:
        for name, columns in TABLES.items():
            cursor.execute(f"CREATE TABLE {name} {columns.format(**words)}")
        cursor.execute("INSERT INTO logpipe_kafkaoffset VALUES ('people', 0, 42), ('people', 1, 7)")
        cursor.execute("INSERT INTO logpipe_kinesisoffset VALUES ('eu-west-1', 'people', 'shardId-0', '4959')")
    yield
    with connection.cursor() as cursor:
        for name in TABLES:
            cursor.execute(f"DROP TABLE {name}")


def adopt(*args: str) -> str:
    out = StringIO()
    call_command("adopt_logpipe", *args, stdout=out)
    return out.getvalue()


def positions() -> set[tuple[str, ...]]:
    rows = Offset.objects.using("subscriber").values_list("log", "group", "topic", "partition", "position")
    return set(rows)


@pytest.mark.usefixtures("stored")
def test_the_positions_of_kafka_and_kinesis_are_taken_over():
    assert "3 of 3 positions adopted by 'mine'" in adopt("--group", "mine")
    assert positions() == {
        ("kafka", "mine", "people", "0", "42"),
        ("kafka", "mine", "people", "1", "7"),
        ("kinesis:eu-west-1", "mine", "people", "shardId-0", "4959"),
    }


@pytest.mark.usefixtures("stored")
def test_a_position_that_moved_since_is_kept():
    adopt("--group", "mine")
    Offset.objects.using("subscriber").filter(log="kafka", partition="0").update(position="50")
    assert "0 of 3" in adopt("--group", "mine")
    assert ("kafka", "mine", "people", "0", "50") in positions()


@pytest.mark.usefixtures("stored")
def test_positions_are_given_back_to_where_django_logpipe_reads_them():
    adopt("--group", "mine")
    ours = Offset.objects.using("subscriber")
    ours.filter(log="kafka", partition="0").update(position="50")
    ours.create(log="kafka", group="mine", topic="new", partition="0", position="3")
    ours.create(log="kafka", group="mine", topic="large", partition="0", position=str(2**31))
    ours.create(log="kafka", group="another's", topic="people", partition="1", position="9")

    out = adopt("--group", "mine", "--back")

    assert "kafka large/0 at 2147483648: kept: django-logpipe has no place for it" in out
    assert "4 of 5 positions given back by 'mine'." in out
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT * FROM logpipe_kafkaoffset ORDER BY 1, 2")
        assert list(map(tuple, cursor.fetchall())) == [("new", 0, 3), ("people", 0, 50), ("people", 1, 7)]
        cursor.execute("SELECT * FROM logpipe_kinesisoffset")
        assert list(map(tuple, cursor.fetchall())) == [("eu-west-1", "people", "shardId-0", "4959")]


def test_a_project_that_never_had_django_logpipe_adopts_nothing():
    assert "0 of 0" in adopt()
