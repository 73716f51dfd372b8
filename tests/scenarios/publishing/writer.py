"""
A writer: does to people what applications do, from a seed, until it is told to stop.

    python -m tests.scenarios.publishing.writer --seed 7 --name w1 --rows 40

Several of them write the same rows. Every write puts a new text into `email`, so that no two states of a row are equal.
What it does to the scenarios' other models stands in `others`.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import threading
import time
from collections.abc import Callable

import django
import psycopg
from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, IntegrityError, InterfaceError, connection, transaction

from tests.scenarios.publishing.undo import ChangedMindError


class Writer:
    """
    One process's share of the traffic.

    Args:
        name: Part of every text it writes.
        seed: What it does; when others come in between is not in its hands.
        rows: How many primary keys there are; few of them make a crowd.
        keys: How many message keys there are: few change hands, of many each is given up for good.
        pause_seconds: The longest pause between two writes.
        style: `mixed`; `people`, the same without the other models; `plain`, nothing but saves in autocommit; `keys`,
            above all keys that change hands.
        poison: Now and then a meter gets what no message can be made of.
        keep_keys: Every row has one key for ever.
    """

    def __init__(
        self,
        *,
        name: str,
        seed: int,
        rows: int,
        keys: int,
        pause_seconds: float,
        style: str,
        keep_keys: bool,
        poison: bool,
    ) -> None:
        from testproject.people.models import Person

        self.model = Person
        self.name = name
        self.chance = random.Random(seed)
        self.rows = rows
        self.keys = keys
        self.pause_seconds = pause_seconds
        self.keep_keys = keep_keys
        self.poison = poison
        self.url = os.environ["DATABASE_URL"]
        self.written = 0
        self._actions, self._weights = zip(*self._choice(style), strict=True)

    def run(self, stop: threading.Event) -> None:
        """Write until told to stop; what the database refuses is dropped, as a user's request would be."""
        while not stop.wait(self.chance.uniform(0, self.pause_seconds)):
            action: Callable[[Writer], None] = self.chance.choices(self._actions, self._weights)[0]
            try:
                action(self)
            except (IntegrityError, ChangedMindError, ObjectDoesNotExist, psycopg.IntegrityError):
                continue
            except (DatabaseError, InterfaceError, psycopg.Error):
                connection.close()
                time.sleep(0.1)

    def _choice(self, style: str) -> list[Action]:
        if style in ("plain", "keys"):
            return {"plain": PLAIN, "keys": KEYS}[style]
        people = [*ACTIONS, *([] if self.keep_keys else CHANGES_OF_KEYS), (bulk, 8)]
        if style == "people":
            return people
        from tests.scenarios.publishing import others

        if style in ("accounts", "books", "meters"):
            return list(getattr(others, style.upper()))
        poisoned = others.POISONED if self.poison else []
        return [*people, *others.ACCOUNTS, *others.BOOKS, *others.METERS, *poisoned]

    # --- what the actions are made of ---------------------------------------------------------------------------

    def row_id(self) -> int:
        """Choose a row; the first few are chosen more often."""
        return self.chance.choice([self.chance.randint(1, self.rows), self.chance.randint(1, max(1, self.rows // 8))])

    def row_ids(self) -> list[int]:
        """Choose a few rows."""
        return sorted({self.row_id() for _ in range(self.chance.randint(2, 6))})

    def key(self, row_id: int) -> str:
        """Choose a uuid."""
        number = row_id if self.keep_keys else self.chance.randint(1, self.keys)
        return f"00000000-0000-4000-8000-{number:012d}"

    def text(self) -> str:
        """Return a text that nobody wrote before."""
        self.written += 1
        return f"{self.name}.{os.getpid()}.{self.written}@example.org"

    def word(self) -> str:
        """Return one of a few words."""
        return self.chance.choice(["Ada", "Zoë", "名前", "O'Neil", 'a "quoted" one', "\u2028", ""])

    def values(self) -> dict[str, str]:
        """Return new values of everything but the key."""
        return {"first_name": self.word(), "last_name": self.word(), "email": self.text()}

    def save(self, row_id: int) -> None:
        """Save a row whole, from what was read a moment ago; make it where it is not there."""
        person = self.model.objects.filter(pk=row_id).first() or self.model(pk=row_id, uuid=self.key(row_id))
        for name, value in self.values().items():
            setattr(person, name, value)
        person.save()


# --- actions ------------------------------------------------------------------------------------------------------


def save(w: Writer) -> None:
    w.save(w.row_id())


def save_one_field(w: Writer) -> None:
    person = w.model.objects.get(pk=w.row_id())
    person.email = w.text()
    person.save(update_fields=["email"])


def update_or_create(w: Writer) -> None:
    row_id = w.row_id()
    created = {**w.values(), "uuid": w.key(row_id)}
    w.model.objects.update_or_create(pk=row_id, defaults=w.values(), create_defaults=created)


def delete(w: Writer) -> None:
    w.model.objects.get(pk=w.row_id()).delete()


def delete_some(w: Writer) -> None:
    w.model.objects.filter(pk__in=w.row_ids()[:3]).delete()


def create_again(w: Writer) -> None:
    row_id = w.row_id()
    w.model(pk=row_id, uuid=w.key(row_id), **w.values()).save(force_insert=True)


def delete_and_create_at_once(w: Writer) -> None:
    with transaction.atomic():
        person = w.model.objects.select_for_update().get(pk=w.row_id())
        row_id = person.pk
        person.delete()
        w.model.objects.create(pk=row_id, uuid=w.chance.choice([person.uuid, w.key(row_id)]), **w.values())


def create_and_delete_at_once(w: Writer) -> None:
    row_id = w.row_id()
    with transaction.atomic():
        w.model.objects.create(pk=row_id, uuid=w.key(row_id), **w.values()).delete()


def change_key(w: Writer) -> None:
    person = w.model.objects.get(pk=w.row_id())
    person.uuid, person.email = w.key(person.pk), w.text()
    person.save()


def change_key_slowly(w: Writer) -> None:
    """Another writer may delete and create the row while this one waits for it, and a relay sends before it commits."""
    with transaction.atomic():
        change_key(w)
        time.sleep(w.chance.uniform(0.02, 0.3))


def pass_key_on(w: Writer) -> None:
    """One row takes the key that another gives up, in one transaction."""
    with transaction.atomic():
        people = list(w.model.objects.select_for_update().filter(pk__in=w.row_ids()).order_by("pk")[:2])
        if len(people) < 2:
            return
        giver, taker = people
        given, giver.uuid, giver.email = giver.uuid, w.key(giver.pk), w.text()
        giver.save()
        taker.uuid, taker.email = given, w.text()
        taker.save()


def roll_back(w: Writer) -> None:
    with transaction.atomic():
        for row_id in w.row_ids():
            w.save(row_id)
        raise ChangedMindError


def roll_back_a_savepoint(w: Writer) -> None:
    with transaction.atomic():
        first, *others = w.row_ids()
        w.save(first)
        try:
            with transaction.atomic():
                for row_id in [first, *others]:
                    w.save(row_id)
                raise ChangedMindError
        except ChangedMindError:
            pass
        if others and w.chance.random() < 0.5:
            w.save(others[0])


def save_several(w: Writer) -> None:
    with transaction.atomic():
        for row_id in w.row_ids():
            w.save(row_id)
            w.save(row_id)


def save_slowly(w: Writer) -> None:
    """Commits long after its outbox row got its id: others with higher ids are committed, and sent, before."""
    with transaction.atomic():
        w.save(w.row_id())
        time.sleep(w.chance.uniform(0.02, 0.5))


def bulk(w: Writer) -> None:
    """Set-wise writes, in transactions of their own."""
    ids = w.row_ids()
    match w.chance.randint(1, 3):
        case 1:
            w.model.objects.filter(pk__in=ids).update(email=w.text())
        case 2:
            people = list(w.model.objects.filter(pk__in=ids).order_by("pk"))
            for person in people:
                person.email = w.text()
            w.model.objects.bulk_update(people, ["email"])
        case _:
            people = [w.model(pk=row_id, uuid=w.key(row_id), **w.values()) for row_id in ids]
            w.model.objects.bulk_create(people, ignore_conflicts=True)


Action = tuple[Callable[[Writer], None], int]
"""What it does, and how often against the others."""

PLAIN: list[Action] = [(save, 1)]
ACTIONS: list[Action] = [
    (save, 30),
    (save_one_field, 12),
    (update_or_create, 8),
    (delete, 6),
    (delete_some, 2),
    (create_again, 8),
    (delete_and_create_at_once, 4),
    (create_and_delete_at_once, 2),
    (roll_back, 4),
    (roll_back_a_savepoint, 5),
    (save_several, 6),
    (save_slowly, 5),
]
CHANGES_OF_KEYS: list[Action] = [(change_key, 6), (pass_key_on, 4)]
KEYS: list[Action] = [
    *CHANGES_OF_KEYS,
    (save, 2),
    (delete, 4),
    (create_again, 4),
    (delete_and_create_at_once, 4),
    (update_or_create, 2),
    (save_slowly, 1),
    (change_key_slowly, 3),
]


def main() -> None:
    """Parse and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--keys", type=int, default=80)
    parser.add_argument("--pause-seconds", type=float, default=0.02)
    parser.add_argument(
        "--style", choices=["mixed", "people", "plain", "keys", "accounts", "books", "meters"], default="mixed"
    )
    parser.add_argument("--keep-keys", action="store_true")
    parser.add_argument("--poison", action="store_true")
    given = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    django.setup()
    writer = Writer(
        name=given.name,
        seed=given.seed,
        rows=given.rows,
        keys=given.keys,
        pause_seconds=given.pause_seconds,
        style=given.style,
        keep_keys=given.keep_keys,
        poison=given.poison,
    )
    writer.run(stop)


if __name__ == "__main__":
    main()
