"""
What MariaDB does differently: its clock's zone, its comparisons, its locks, its lost connections.

Runs under `--database=mariadb`; everything else of the suite runs there as well.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, InterfaceError, OperationalError, connection, connections, transaction
from django.utils import timezone

from logpipe_signals import Consumer
from logpipe_signals.backend import database
from logpipe_signals.backend.base import Message, Subscription, TopicPartition
from logpipe_signals.consuming.transients import is_contention, lost_connection
from logpipe_signals.exceptions import MessageRejected, PositionConflict
from logpipe_signals.models import DeadLetter, Lease, Offset, OutboxRow, Source
from logpipe_signals.models.dead_letters import Side
from logpipe_signals.models.expressions import DatabaseNow, SecondsFromNow
from logpipe_signals.publishing import backfills, setwise
from logpipe_signals.publishing.backfills.chunks import write_rows
from logpipe_signals.registry import publications
from logpipe_signals.testing.services.ports import wait_until
from testproject.mirror.models import PersonCopy
from testproject.mirror.serializers import PersonCopySerializer
from testproject.people.models import Person
from tests.conftest import ChangeSettings
from tests.unit.consuming.conftest import BACKEND, person, put_message
from tests.zoo.models import Keyed

pytestmark = [pytest.mark.mariadb, pytest.mark.django_db(databases=["default", "subscriber"], transaction=True)]

LOOK_ALIKES = ["people", "People", "people ", "péople", "people\u00ad"]
PEOPLE = "people.person:people"


@pytest.fixture(autouse=True)
def _worker(logpipe_settings: ChangeSettings) -> None:
    logpipe_settings(RELAY="worker")


def execute(sql: str, *parameters: Any, using: str = "default") -> Any:
    with connections[using].cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


# --- comparisons ------------------------------------------------------------------------------------------------------


def test_positions_of_look_alike_topics_groups_and_partitions_are_apart() -> None:
    store = database.ModelOffsetStore()
    for name in LOOK_ALIKES:
        for group, partition in ((name, TopicPartition("t", "0")), ("g", TopicPartition(name, "0"))):
            store.read(group, [partition])
            store.advance(group, partition, expected=None, position=len(name))
        store.read("g", [TopicPartition("t", name)])
    assert Offset.objects.using("subscriber").count() == 3 * len(LOOK_ALIKES)


def test_leases_of_look_alike_names_are_apart() -> None:
    Lease.objects.ensure("backfill", LOOK_ALIKES)
    taken = Lease.objects.take("backfill", ["People"], owner="me", lease_seconds=5)
    assert taken == {"People": 1}
    assert Lease.objects.of_kind("backfill").free().count() == len(LOOK_ALIKES) - 1


def test_records_of_look_alike_topics_are_apart() -> None:
    for topic in ("people", "People"):
        database.Producer().submit([Message(topic=topic, key="k", value=topic.encode())], timeout_seconds=5).wait(5)
    consumer = database.Consumer(Subscription(topics=("People",)))
    try:
        assert [record.value for record in consumer.poll(max_records=10, timeout_seconds=5)] == [b"People"]
    finally:
        consumer.close()


def test_dead_letters_of_look_alike_identities_are_apart() -> None:
    for text in LOOK_ALIKES:
        DeadLetter.objects.create(side=Side.CONSUMER, topic=text, identity=text, object_id=text, group=text)
    for name in ("topic", "identity", "object_id", "group"):
        assert DeadLetter.objects.filter(**{name: "people"}).count() == 1, name


def test_a_relay_takes_only_the_publications_it_knows_to_the_letter() -> None:
    OutboxRow.objects.create(publication=PEOPLE.upper(), object_id="1", key="k", lane=0)
    assert not OutboxRow.objects.filter(publication=PEOPLE).exists()


def test_keys_and_errors_in_any_script_fit_into_a_database_made_in_latin1() -> None:
    odd = "東京 🎉"
    execute("CREATE TABLE odd (id int) CHARACTER SET latin1")
    try:
        field = OutboxRow._meta.get_field("key")
        parameters: dict[str, Any] = field.db_parameters(connection)
        execute(f"ALTER TABLE odd ADD COLUMN name {parameters['type']} COLLATE {parameters['collation']}")
        execute("INSERT INTO odd VALUES (1, %s)", odd)
        assert execute("SELECT name FROM odd") == ((odd,),)
    finally:
        execute("DROP TABLE odd")


@pytest.mark.parametrize("word", ["", " ", "\u00ad", "\u200b", "a ", "A", "東京 🎉", "é"])
def test_a_key_has_one_lane_whoever_captures_it(word: str) -> None:
    """To MariaDB ' ' is '', and so is what its collation ignores; a row whose key is empty goes by its primary key."""
    keyed = Keyed.objects.create(word=word)
    saved = lanes_of(keyed)
    OutboxRow.objects.all().delete()
    Keyed.objects.update(number=0)
    assert lanes_of(keyed) == saved
    OutboxRow.objects.all().delete()
    setwise.publish(publications["zoo.keyed:keyed_by_word"], "default", pk=keyed.pk)
    assert lanes_of(keyed) <= saved
    OutboxRow.objects.all().delete()
    for target in backfills.targets(["zoo.Keyed"]):
        write_rows(target, target.rows())
    assert lanes_of(keyed) == saved


def lanes_of(keyed: Keyed) -> set[tuple[str, str, int]]:
    rows = OutboxRow.objects.filter(object_id=str(keyed.pk), operation="upsert")
    return set(rows.values_list("publication", "key", "lane"))


# --- the clock --------------------------------------------------------------------------------------------------------


@pytest.fixture
def _elsewhere() -> Iterator[None]:
    execute("SET SESSION time_zone = '+05:30'")
    yield
    connection.close()


@pytest.mark.usefixtures("_elsewhere")
def test_the_databases_clock_is_read_in_utc_wherever_the_server_stands() -> None:
    OutboxRow.objects.create(publication=PEOPLE, object_id="1", key="k", lane=0)
    made, now, later = OutboxRow.objects.values_list("created_at", DatabaseNow(), SecondsFromNow(0.25)).get()
    assert abs(made - timezone.now()) < timedelta(minutes=5)
    assert abs(now - timezone.now()) < timedelta(minutes=5)
    assert later - now == timedelta(seconds=0.25)


def test_a_lease_taken_in_one_zone_is_held_in_another() -> None:
    Lease.objects.ensure("backfill", ["it"])
    Lease.objects.take("backfill", ["it"], owner="me", lease_seconds=60)
    for zone in ("-11:00", "+13:00"):
        execute(f"SET SESSION time_zone = '{zone}'")
        assert Lease.objects.of_kind("backfill").held().count() == 1, zone
    connection.close()


# --- sequence and state -----------------------------------------------------------------------------------------------


def test_no_two_draw_the_same_sequence() -> None:
    Source.objects.current("default")
    drawn: list[int] = []

    def draw() -> None:
        drawn.extend(Source.objects.draw_sequence("default")[1] for _ in range(25))
        connection.close()

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert max(Counter(drawn).values()) == 1
    assert max(drawn) - min(drawn) == 99


def test_the_sequences_lock_is_not_kept() -> None:
    with transaction.atomic(using="default"):
        Person.objects.count()
    with _another_session() as other, other.cursor() as cursor:
        Source.objects.draw_sequence("default")
        cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
        cursor.execute(f"UPDATE {Source._meta.db_table} SET sequence = sequence + 1")


def test_a_conflict_in_any_unique_key_is_captured() -> None:
    """A new primary key, and a uuid that another row has: MariaDB updates that row."""
    old = Person.objects.create(first_name="Joe", last_name="Schmoe")
    OutboxRow.objects.all().delete()
    Person.objects.bulk_create(
        [Person(pk=old.pk + 1000, uuid=old.uuid, first_name="Jim", last_name="Schmoe")],
        update_conflicts=True,
        update_fields=["first_name"],
    )
    assert Person.objects.get().first_name == "Jim"
    assert {row.object_id for row in OutboxRow.objects.all()} == {str(old.pk)}


def test_a_backfill_does_not_wait_for_open_writes() -> None:
    Person.objects.create(first_name="Joe", last_name="Schmoe")
    written, enqueued = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Person.objects.filter().update(first_name="Jim")
            Person.objects.create(first_name="Jane", last_name="Schmoe")
            written.set()
            enqueued.wait(10)
        connection.close()

    writer = threading.Thread(target=hold)
    writer.start()
    try:
        assert written.wait(10)
        execute("SET SESSION innodb_lock_wait_timeout = 1")
        (target,) = backfills.targets(["people.Person"])
        assert write_rows(target, target.rows()) == 1
    finally:
        enqueued.set()
        writer.join()
        connection.close()


# --- locks: a deadlock ends the whole transaction, a lock that is waited for too long only the statement --------------


class Contender(PersonCopySerializer):
    """Writes a second row in another order than a rival session does, once."""

    meet: Callable[[], None]

    def save(self, **kwargs: Any) -> Any:
        saved = super().save(**kwargs)
        type(self).meet()
        return saved


@pytest.fixture
def rows(logpipe_settings: ChangeSettings) -> None:
    """Two rows to contend for, a log in memory, and one more record to apply."""
    from logpipe_signals.backend.dummy import create_topic

    logpipe_settings(
        PRODUCER_BACKEND=f"{BACKEND}.Producer",
        CONSUMER_BACKEND=f"{BACKEND}.Consumer",
        OFFSET_BACKEND=f"{BACKEND}.ModelOffsetStore",
    )
    create_topic("people")
    for number in (1, 2):
        PersonCopy.objects.using("subscriber").create(**person(number, "old"))
    put_message(person(3, "Joe"))


def copy_named(number: int) -> Any:
    return PersonCopy.objects.using("subscriber").filter(uuid=person(number)["uuid"])


def applied_once(monkeypatch: pytest.MonkeyPatch, meet: Callable[[], None]) -> int:
    """Apply the record while something goes wrong in the first try, and return how many tries it took."""
    tries = []

    def meeting() -> None:
        tries.append(1)
        if len(tries) == 1:
            meet()

    monkeypatch.setattr(Contender, "meet", staticmethod(meeting), raising=False)
    consumer = Consumer("people", consumer_timeout_ms=10)
    consumer.register(Contender)
    tally = consumer.run()
    assert (tally.applied, tally.failed) == (1, 0)
    assert copy_named(3).get().first_name == "Joe"
    assert Offset.objects.using("subscriber").get().position == "1"
    return len(tries)


@contextmanager
def rival(*steps: Callable[[], None]) -> Iterator[None]:
    """Run steps in one transaction of another session, in a thread."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            with transaction.atomic(using="subscriber"):
                for step in steps:
                    step()
        except BaseException as error:
            failures.append(error)
        connections["subscriber"].close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(30)
    assert not failures


@pytest.mark.usefixtures("rows")
def test_a_deadlock_repeats_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    has_first, may_go_on = threading.Event(), threading.Event()

    def heavy() -> None:
        # The one that wrote less is the victim.
        PersonCopy.objects.using("subscriber").bulk_create([PersonCopy(**person(n)) for n in range(100, 160)])
        copy_named(1).update(first_name="rival")
        has_first.set()

    def cross() -> None:
        may_go_on.wait(10)
        copy_named(2).update(first_name="rival")

    def deadlock() -> None:
        assert has_first.wait(10)
        copy_named(2).update(first_name="mine")
        may_go_on.set()
        assert wait_until(_somebody_waits, timeout_seconds=10)
        with pytest.raises(OperationalError) as raised:
            copy_named(1).update(first_name="mine")
        assert (raised.value.args[0], is_contention(raised.value)) == (1213, True)
        raise raised.value

    with rival(heavy, cross):
        assert applied_once(monkeypatch, deadlock) == 2
    assert {copy_named(1).get().first_name, copy_named(2).get().first_name} == {"rival"}


@pytest.mark.usefixtures("rows")
def test_a_lock_that_is_waited_for_too_long_repeats_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    has_it, give_up = threading.Event(), threading.Event()

    def take() -> None:
        copy_named(1).update(first_name="rival")
        has_it.set()
        give_up.wait(10)

    def wait_in_vain() -> None:
        assert has_it.wait(10)
        execute("SET SESSION innodb_lock_wait_timeout = 0", using="subscriber")
        with pytest.raises(OperationalError) as raised:
            copy_named(1).update(first_name="mine")
        give_up.set()
        assert (raised.value.args[0], is_contention(raised.value)) == (1205, True)
        raise raised.value

    with rival(take):
        assert applied_once(monkeypatch, wait_in_vain) == 2


def _somebody_waits() -> bool:
    waits = "SELECT variable_value + 0 FROM information_schema.global_status WHERE variable_name = %s"
    return bool(execute(waits, "INNODB_ROW_LOCK_CURRENT_WAITS", using="default")[0][0])


# --- lost connections -------------------------------------------------------------------------------------------------


@contextmanager
def _another_session(using: str = "default") -> Iterator[Any]:
    other = connections.create_connection(using)
    try:
        yield other
    finally:
        other.close()


def cut(using: str) -> None:
    """End this thread's session, from another one, as an administrator or a proxy would."""
    ((session,),) = execute("SELECT CONNECTION_ID()", using=using)
    with _another_session(using) as other, other.cursor() as cursor:
        cursor.execute(f"KILL {session}")


def test_a_connection_that_was_cut_is_known_as_lost() -> None:
    cut("default")
    for kind in (OperationalError, InterfaceError):  # the first time, and until it is opened anew
        with pytest.raises(kind) as raised:
            execute("SELECT 1")
        assert lost_connection(raised.value), raised.value
    connection.close()


@pytest.mark.usefixtures("rows")
def test_a_consumer_whose_connection_is_cut_applies_the_record_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose_it() -> None:
        cut("subscriber")
        execute("SELECT 1", using="subscriber")

    assert applied_once(monkeypatch, lose_it) == 2


def test_a_worker_whose_connection_is_cut_goes_on(logpipe_settings: ChangeSettings) -> None:
    from logpipe_signals.publishing.worker import RelayWorker

    logpipe_settings(PRODUCER_BACKEND=f"{BACKEND}.Producer")
    Person.objects.create(first_name="Joe", last_name="Schmoe")
    worker = RelayWorker(["default"])

    def run_cut() -> None:
        cut("default")
        worker.run()
        connection.close()

    running = threading.Thread(target=run_cut)
    running.start()
    try:
        assert wait_until(lambda: not OutboxRow.objects.exists(), timeout_seconds=10)
    finally:
        worker.stop()
        running.join(10)


def test_a_save_whose_connection_is_cut_leaves_neither_row_nor_intent() -> None:
    def save_two() -> None:
        with transaction.atomic():
            Person.objects.create(first_name="Joe", last_name="Schmoe")
            cut("default")
            Person.objects.create(first_name="Jane", last_name="Schmoe")

    with pytest.raises(DatabaseError):
        save_two()
    connection.close()
    assert (Person.objects.count(), OutboxRow.objects.count()) == (0, 0)


# --- the largest statement --------------------------------------------------------------------------------------------


def test_a_message_beyond_max_allowed_packet_is_rejected_and_its_neighbours_arrive() -> None:
    """PyMySQL writes bytes in hex: 8 MB make a statement of 16 MB, which this MariaDB never takes."""
    values = [b"before", b"x" * database.LARGEST_VALUE_BYTES, b"after"]
    messages = [Message(topic="people", key="k", value=value) for value in values]
    outcomes = database.Producer().submit(messages, timeout_seconds=30).wait(30)
    assert [type(outcome.error) for outcome in outcomes] == [type(None), MessageRejected, type(None)]


# --- isolation --------------------------------------------------------------------------------------------------------


@pytest.fixture
def _repeatable_read() -> Iterator[None]:
    """MariaDB's own default, which a project may keep by `isolation_level: None`."""
    for using in ("default", "subscriber"):
        execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", using=using)
    yield
    connections.close_all()


@pytest.mark.usefixtures("_repeatable_read")
def test_a_relay_reads_what_was_committed_after_its_claim(logpipe_settings: ChangeSettings) -> None:
    from logpipe_signals.backend.dummy import Consumer as DummyConsumer
    from logpipe_signals.publishing.relay import Relay

    logpipe_settings(PRODUCER_BACKEND=f"{BACKEND}.Producer")
    joe = Person.objects.create(first_name="Joe", last_name="Schmoe")
    relay = Relay("default")
    relay.keep_lanes()
    original = relay.claims.claim

    def claim_and_change(*args: Any, **kwargs: Any) -> Any:
        rows = original(*args, **kwargs)
        with _another_session() as other, other.cursor() as cursor:
            cursor.execute(f"UPDATE {Person._meta.db_table} SET first_name = 'Jim' WHERE id = %s", [joe.pk])
        return rows

    relay.claims.claim = claim_and_change  # type: ignore[method-assign]
    relay.relay_batch()
    relay.stop()
    consumer = DummyConsumer(Subscription(topics=("people",)))
    (record,) = consumer.poll(max_records=5, timeout_seconds=1)
    assert b'"first_name":"Jim"' in (record.value or b"")
    consumer.close()


@pytest.mark.usefixtures("_repeatable_read")
def test_who_waited_for_a_position_and_lost_it_is_refused() -> None:
    store, partition = database.ModelOffsetStore(), TopicPartition("people", "0")
    store.read("g", [partition])
    moved = threading.Event()

    def move_first() -> None:
        store.advance("g", partition, expected=None, position=7)
        moved.set()
        assert wait_until(_somebody_waits, timeout_seconds=10)

    with rival(move_first):
        assert moved.wait(10)
        with pytest.raises(PositionConflict), transaction.atomic(using="subscriber"):
            store.advance("g", partition, expected=None, position=3)
    assert Offset.objects.using("subscriber").get().position == "7"
