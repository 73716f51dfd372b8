"""
What a writer does beside people, from the same seed.

    ACCOUNTS  captured by triggers: SQL of its own, another program's connection, TRUNCATE, cascades, and Django
    BOOKS     what a row shows changes: links, rows it points to, rows that point to it and move
    METERS    each save a message: several in one transaction, undone ones, and now and then one that no message tells
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
from django.db import connection, transaction

from tests.scenarios.publishing.models import Account, Book, Meter, Owner, Page, Shelf, Tag
from tests.scenarios.publishing.serializers import POISON
from tests.scenarios.publishing.undo import ChangedMindError

if TYPE_CHECKING:
    from tests.scenarios.publishing.writer import Action, Writer

FEW = 8
VERY_FEW = 3


def few(w: Writer, most: int = FEW) -> int:
    return w.chance.randint(1, most)


# --- accounts: written past Django ----------------------------------------------------------------------------------


def run_sql(sql: str, parameters: list[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.replace("account ", f"{Account._meta.db_table} ", 1), parameters)


def code(w: Writer) -> str:
    return f"c{w.chance.randint(1, 2 * FEW)}"


def account_by_upsert(w: Writer) -> None:
    run_sql(
        "INSERT INTO account (id, code, note) VALUES (%s, %s, %s), (%s, %s, %s) "
        "ON CONFLICT (id) DO UPDATE SET note = EXCLUDED.note, code = EXCLUDED.code",
        [FEW + 1, f"x{few(w)}", w.text(), few(w), code(w), w.text()],
    )


def accounts_by_update(w: Writer) -> None:
    run_sql("UPDATE account SET note = %s || id::text WHERE id = ANY(%s)", [w.text(), [few(w), few(w)]])


def account_by_another_program(w: Writer) -> None:
    """No Django, no logpipe_signals: a connection of its own."""
    with psycopg.connect(w.url, autocommit=True) as other:
        table = Account._meta.db_table
        if w.chance.random() < 0.3:
            other.execute(f"DELETE FROM {table} WHERE id = %s".encode(), [few(w)])
        else:
            other.execute(
                f"UPDATE {table} SET code = %s, note = %s WHERE id = %s".encode(), [code(w), w.text(), few(w)]
            )


def account_gets_another_primary_key(w: Writer) -> None:
    run_sql("UPDATE account SET id = %s, note = %s WHERE id = %s", [few(w), w.text(), few(w)])


def account_passes_its_code_on(w: Writer) -> None:
    with transaction.atomic():
        accounts = list(Account.objects.select_for_update().order_by("pk")[:2])
        if len(accounts) < 2:
            return
        giver, taker = accounts
        run_sql("UPDATE account SET code = %s, note = %s WHERE id = %s", [code(w) + "+", w.text(), giver.pk])
        run_sql("UPDATE account SET code = %s, note = %s WHERE id = %s", [giver.code, w.text(), taker.pk])


def accounts_truncated(w: Writer) -> None:
    run_sql("TRUNCATE account ", [])


def account_undone(w: Writer) -> None:
    with transaction.atomic():
        accounts_by_update(w)
        if w.chance.random() < 0.3:
            accounts_truncated(w)
        raise ChangedMindError


def account_by_django(w: Writer) -> None:
    account = Account(pk=few(w), code=code(w), note=w.text(), owner_id=w.chance.choice([None, few(w, VERY_FEW)]))
    if account.owner_id:
        Owner.objects.get_or_create(pk=account.owner_id, defaults={"name": "o"})
    account.save()


def accounts_by_django(w: Writer) -> None:
    match few(w, 3):
        case 1:
            Account.objects.filter(pk__in=[few(w), few(w)]).update(note=w.text())
        case 2:
            Account.objects.bulk_create([Account(pk=few(w), code=code(w), note=w.text())], ignore_conflicts=True)
        case _:
            Account.objects.get(pk=few(w)).delete()


def owner_goes_with_accounts(w: Writer) -> None:
    Owner.objects.filter(pk=few(w, VERY_FEW)).delete()


def account_slowly(w: Writer) -> None:
    with transaction.atomic():
        account_by_upsert(w)
        time.sleep(w.chance.uniform(0.02, 0.3))


# --- books: what they show ------------------------------------------------------------------------------------------


MANY = 60
"""So many that the last word on most of them is spoken long before the end: nobody comes by and mends it."""
SOME = 12


def shelf(w: Writer) -> Shelf:
    """Return a shelf, made where it is not there."""
    return Shelf.objects.get_or_create(pk=few(w, SOME), defaults={"name": w.text()})[0]


def tag(w: Writer) -> Tag:
    return Tag.objects.get_or_create(pk=few(w, SOME), defaults={"name": w.text()})[0]


def book(w: Writer) -> Book:
    return Book.objects.get_or_create(pk=few(w, MANY), defaults={"title": w.text()})[0]


def book_saved(w: Writer) -> None:
    found = book(w)
    found.title = w.text()
    found.shelf = w.chance.choice([found.shelf, None, shelf(w), shelf(w)])
    found.save()


def shelf_renamed(w: Writer) -> None:
    Shelf(pk=shelf(w).pk, name=w.text()).save()


def shelves_renamed(w: Writer) -> None:
    Shelf.objects.filter(pk__in=[few(w, SOME), few(w, SOME)]).update(name=w.text())


def tag_renamed(w: Writer) -> None:
    Tag(pk=tag(w).pk, name=w.text()).save()


def links_changed(w: Writer) -> None:
    links: Any = book(w).tags if w.chance.random() < 0.6 else tag(w).books
    other = tag if links.model is Tag else book
    match few(w, 5):
        case 1:
            links.set([other(w), other(w)])
        case 2:
            links.remove(other(w))
        case 3 if w.chance.random() < 0.3:
            links.clear()
        case _:
            links.add(other(w))


def page_written(w: Writer) -> None:
    """Made, changed, moved: always with a new text."""
    Page(pk=few(w, MANY), book=book(w), text=w.text()).save()


def pages_written(w: Writer) -> None:
    match few(w, 3):
        case 1:
            Page.objects.filter(book_id=few(w, MANY)).update(text=w.text())
        case 2:
            Page.objects.filter(pk=few(w, MANY)).update(book=book(w), text=w.text())
        case _:
            Page.objects.filter(pk=few(w, MANY)).delete()


def shown_row_deleted(w: Writer) -> None:
    model: Any = w.chance.choice([Shelf, Tag, Book])
    model.objects.filter(pk=few(w, SOME)).delete()


def book_slowly(w: Writer) -> None:
    """What is shown and who shows it change side by side, each unseen by the other until it commits."""
    with transaction.atomic():
        w.chance.choice([book_saved, shelf_renamed, tag_renamed, links_changed, page_written])(w)
        time.sleep(w.chance.uniform(0.02, 0.3))


def book_undone(w: Writer) -> None:
    with transaction.atomic():
        shelf_renamed(w)
        links_changed(w)
        raise ChangedMindError


# --- meters: each save ----------------------------------------------------------------------------------------------


def meter_saved(w: Writer) -> None:
    Meter(pk=few(w), reading=w.text()).save()


def meter_updated(w: Writer) -> None:
    meter = Meter.objects.get(pk=few(w))
    meter.reading = w.text()
    meter.save(update_fields=["reading"])


def meter_saved_twice_at_once(w: Writer) -> None:
    with transaction.atomic():
        pk = few(w)
        Meter(pk=pk, reading=w.text()).save()
        Meter(pk=pk, reading=w.text()).save()
        time.sleep(w.chance.uniform(0, 0.1))


def meter_half_undone(w: Writer) -> None:
    with transaction.atomic():
        pk = few(w)
        Meter(pk=pk, reading=w.text()).save()
        try:
            with transaction.atomic():
                Meter(pk=pk, reading=w.text()).save()
                raise ChangedMindError
        except ChangedMindError:
            pass


def meter_undone(w: Writer) -> None:
    with transaction.atomic():
        meter_saved(w)
        raise ChangedMindError


def meter_deleted(w: Writer) -> None:
    Meter.objects.get(pk=few(w)).delete()


def meter_poisoned(w: Writer) -> None:
    """Of one row, no message can be made now and then: it alone has to wait."""
    Meter(pk=1, reading=f"{POISON} {w.text()}").save()


ACCOUNTS: list[Action] = [
    (account_by_upsert, 8),
    (accounts_by_update, 4),
    (account_by_another_program, 2),
    (account_gets_another_primary_key, 2),
    (account_passes_its_code_on, 3),
    (accounts_truncated, 1),
    (account_undone, 2),
    (account_by_django, 6),
    (accounts_by_django, 4),
    (owner_goes_with_accounts, 2),
    (account_slowly, 2),
]
BOOKS: list[Action] = [
    (book_saved, 8),
    (shelf_renamed, 4),
    (shelves_renamed, 2),
    (tag_renamed, 4),
    (links_changed, 8),
    (page_written, 6),
    (pages_written, 4),
    (shown_row_deleted, 2),
    (book_slowly, 5),
    (book_undone, 2),
]
METERS: list[Action] = [
    (meter_saved, 10),
    (meter_updated, 5),
    (meter_saved_twice_at_once, 3),
    (meter_half_undone, 3),
    (meter_undone, 2),
    (meter_deleted, 3),
]
POISONED: list[Action] = [(meter_poisoned, 4)]
