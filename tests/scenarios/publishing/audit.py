"""What was really committed, and which lanes were taken over: written by triggers, read afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.scenarios.checker import Change, canonical

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Table:
    """
    A table that is audited.

    name:  What its rows are called in identities: `person:5`.
    key:   The column that is the message key, or by which the row is known.
    state: What a message shows of a row's own columns.
    """

    name: str
    table: str
    key: str
    state: Callable[[Row], Row]

    def shown(self, row: Row) -> str:
        """Return the text of what a message shows of a row."""
        return canonical(self.state(row))


def columns(*names: str, **renamed: str) -> Callable[[Row], Row]:
    """Return a function that takes these columns of a row, some under another name."""
    return lambda row: {**{name: row[name] for name in names}, **{new: row[old] for new, old in renamed.items()}}


PEOPLE = Table(
    name="person", table="people_person", key="uuid", state=columns("uuid", "first_name", "last_name", "email")
)
ACCOUNTS = Table(name="account", table="publishing_scenarios_account", key="code", state=columns("id", "code", "note"))
BOOKS = Table(name="book", table="publishing_scenarios_book", key="id", state=columns("title", shelf="shelf_id"))
SHELVES = Table(name="shelf", table="publishing_scenarios_shelf", key="id", state=columns("name"))
TAGS = Table(name="tag", table="publishing_scenarios_tag", key="id", state=columns("name"))
PAGES = Table(name="page", table="publishing_scenarios_page", key="id", state=columns("text"))
LINKS = Table(name="link", table="publishing_scenarios_book_tags", key="id", state=columns("book_id", "tag_id"))
METERS = Table(name="meter", table="publishing_scenarios_meter", key="id", state=columns("id", "reading"))
AUDITED = (PEOPLE, ACCOUNTS, BOOKS, SHELVES, TAGS, PAGES, LINKS, METERS)

AUDIT = """
CREATE TRIGGER scenario_remember AFTER INSERT OR UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION scenario_remember();
CREATE TRIGGER scenario_truncated BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION scenario_truncated();
"""

INSTALL = """
CREATE TABLE scenario_history (
    number bigserial PRIMARY KEY, of_table text NOT NULL, transaction bigint NOT NULL, before jsonb, after jsonb
);
-- AFTER: the row's lock is held by now, so numbers of one row are drawn in the order of its states.
CREATE FUNCTION scenario_remember() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO scenario_history (of_table, transaction, before, after)
    VALUES (TG_TABLE_NAME, pg_current_xact_id()::text::bigint, to_jsonb(OLD), to_jsonb(NEW));
    RETURN NULL;
END $$;
CREATE FUNCTION scenario_truncated() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    EXECUTE format('INSERT INTO scenario_history (of_table, transaction, before) '
        'SELECT %L, pg_current_xact_id()::text::bigint, to_jsonb(gone) FROM %I AS gone', TG_TABLE_NAME, TG_TABLE_NAME);
    RETURN NULL;
END $$;

-- What capture intended, numbered along with the history: a report shows the two side by side.
CREATE TABLE scenario_intents (
    number bigint DEFAULT nextval('scenario_history_number_seq'), transaction bigint, id bigint, publication text,
    object_id text, key text, operation text, priority int
);
CREATE FUNCTION scenario_intend() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO scenario_intents (transaction, id, publication, object_id, key, operation, priority) VALUES
    (pg_current_xact_id()::text::bigint, NEW.id, NEW.publication, NEW.object_id, NEW.key, NEW.operation, NEW.priority);
    RETURN NULL;
END $$;
CREATE TRIGGER scenario_intend AFTER INSERT ON logpipe_signals_outboxrow
    FOR EACH ROW EXECUTE FUNCTION scenario_intend();

CREATE TABLE scenario_take_overs (name text NOT NULL, from_owner text NOT NULL, to_owner text NOT NULL);
CREATE FUNCTION scenario_taken_over() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO scenario_take_overs VALUES (OLD.name, OLD.owner, NEW.owner);
    RETURN NULL;
END $$;
-- A lane that is handed over is nobody's first: this one was taken from an owner who never gave it back.
CREATE TRIGGER scenario_taken_over AFTER UPDATE ON logpipe_signals_lease FOR EACH ROW
    WHEN (NEW.kind = 'lane' AND OLD.owner <> '' AND NEW.owner <> '' AND OLD.owner <> NEW.owner)
    EXECUTE FUNCTION scenario_taken_over();
"""


def install(url: str) -> None:
    """Make the triggers and their tables."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(INSTALL)
        for each in AUDITED:
            connection.execute(AUDIT.format(table=each.table).encode())


def read_changes(url: str, of: Table = PEOPLE) -> list[Change]:
    """Return every committed write of a table, each row's in order; a row with a new primary key is another row."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT number, transaction, before, after FROM scenario_history WHERE of_table = %s ORDER BY number",
            [of.table],
        ).fetchall()
    return [change for values in found for change in _changes(of, *values)]


def read_rows(url: str, of: Table) -> dict[str, Row]:
    """Return the table itself, by primary key."""
    with psycopg.connect(url) as connection:
        found = connection.execute(f"SELECT to_jsonb(t) FROM {of.table} t".encode()).fetchall()
    return {str(row["id"]): row for (row,) in found}


def read_letters(url: str, publication: str) -> list[tuple[int, str, str, bool]]:
    """Return a publication's dead letters that wait: number, primary key, state, and whether a message can be made."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            """SELECT id, object_id, state, convert_from(payload, 'UTF8') NOT LIKE '%%"!error"%%'
            FROM logpipe_signals_deadletter
            WHERE publication = %s AND state IN ('open', 'parked') ORDER BY id""",
            [publication],
        ).fetchall()


STORY = """
SELECT number, transaction, 'wrote ' || COALESCE(before ->> %(by)s, '-') || ' -> ' || COALESCE(after ->> %(by)s, '-')
FROM scenario_history
WHERE of_table = %(table)s
AND (COALESCE(after, before) ->> 'id' = %(row)s OR %(key)s IN (before ->> %(by)s, after ->> %(by)s))
UNION ALL
SELECT number, transaction, 'intended ' || operation || ' of ' || key || ' in outbox row ' || id
FROM scenario_intents WHERE publication LIKE '%%.' || %(name)s || ':%%' AND (object_id = %(row)s OR key = %(key)s)
ORDER BY 1
"""


def story(url: str, row: str, key: str) -> str:
    """Return what was written and intended for a row and a key, around those that mention the key."""
    name, _, pk = row.partition(">")[0].partition(":")
    of = next(each for each in AUDITED if each.name == name)
    about_it = {"row": pk, "key": key, "table": of.table, "by": of.key, "name": name}
    with psycopg.connect(url) as connection:
        lines = connection.execute(STORY, about_it).fetchall()
    about = [place for place, (_, _, text) in enumerate(lines) if key in text]
    near = sorted({place for hit in about for place in range(hit - 6, hit + 7) if 0 <= place < len(lines)})
    return "\n".join(f"  #{lines[p][0]} in transaction {lines[p][1]}: {lines[p][2]}" for p in near)


def count(url: str, query: str) -> int:
    """Return the number that a query gives."""
    with psycopg.connect(url, connect_timeout=5) as connection:
        found = connection.execute(query.encode()).fetchone()
    return int(found[0]) if found else 0


def take_overs(url: str) -> int:
    """Return how many lanes were taken from an owner whose lease had run out."""
    return count(url, "SELECT count(*) FROM scenario_take_overs")


def _changes(of: Table, number: int, transaction: int, before: Row | None, after: Row | None) -> list[Change]:
    if before and after and before["id"] != after["id"]:
        return [
            *_changes(of, number, transaction, before, None),
            *_changes(of, number, transaction, None, after),
        ]
    return [
        Change(
            number=number,
            row=f"{of.name}:{(after or before or {})['id']}",
            transaction=transaction,
            before=str(before[of.key]) if before else None,
            after=str(after[of.key]) if after else None,
            state=of.shown(after) if after else None,
        )
    ]
