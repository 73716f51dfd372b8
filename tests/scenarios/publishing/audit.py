"""What was really committed, and which lanes were taken over: written by triggers, read afterwards."""

from __future__ import annotations

from typing import Any

import psycopg

from tests.scenarios.checker import Change, canonical

FIELDS = ("uuid", "first_name", "last_name", "email")
"""What a message shows of a row, beside which its state is held."""

INSTALL = """
CREATE TABLE scenario_history (
    number bigserial PRIMARY KEY, row_id bigint NOT NULL, transaction bigint NOT NULL, before jsonb, after jsonb
);
-- AFTER: the row's lock is held by now, so numbers of one row are drawn in the order of its states.
CREATE FUNCTION scenario_remember() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO scenario_history (row_id, transaction, before, after)
    VALUES (COALESCE(NEW.id, OLD.id), pg_current_xact_id()::text::bigint, to_jsonb(OLD), to_jsonb(NEW));
    RETURN NULL;
END $$;
CREATE TRIGGER scenario_remember AFTER INSERT OR UPDATE OR DELETE ON people_person
    FOR EACH ROW EXECUTE FUNCTION scenario_remember();

-- What capture intended, numbered along with the history: a report shows the two side by side.
CREATE TABLE scenario_intents (
    number bigint DEFAULT nextval('scenario_history_number_seq'), transaction bigint, id bigint,
    object_id text, key text, operation text, priority int
);
CREATE FUNCTION scenario_intend() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO scenario_intents (transaction, id, object_id, key, operation, priority) VALUES
    (pg_current_xact_id()::text::bigint, NEW.id, NEW.object_id, NEW.key, NEW.operation, NEW.priority);
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


def read_changes(url: str) -> list[Change]:
    """Return every committed write of a person, each row's in order."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT number, row_id, transaction, before, after FROM scenario_history ORDER BY number"
        ).fetchall()
    return [_change(*values) for values in found]


def read_table(url: str) -> dict[str, str]:
    """Return the table itself: the state of each row that is there."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT id, to_jsonb(p) FROM people_person p").fetchall()
    return {f"person:{row_id}": shown(row) for row_id, row in found}


STORY = """
SELECT number, transaction, 'wrote ' || COALESCE(before ->> 'uuid', '-') || ' -> ' || COALESCE(after ->> 'uuid', '-')
FROM scenario_history WHERE row_id::text = %(row)s OR %(key)s IN (before ->> 'uuid', after ->> 'uuid')
UNION ALL
SELECT number, transaction, 'intended ' || operation || ' of ' || key || ' in outbox row ' || id
FROM scenario_intents WHERE object_id = %(row)s OR key = %(key)s
ORDER BY 1
"""


def story(url: str, row: str, key: str) -> str:
    """Return what was written and intended for a row and a key, around those that mention the key."""
    with psycopg.connect(url) as connection:
        lines = connection.execute(STORY, {"row": row.partition(":")[2], "key": key}).fetchall()
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


def shown(row: dict[str, Any]) -> str:
    """Return what a message shows of a row."""
    return canonical({name: row[name] for name in FIELDS})


def _change(number: int, row_id: int, transaction: int, before: Any, after: Any) -> Change:
    return Change(
        number=number,
        row=f"person:{row_id}",
        transaction=transaction,
        before=before["uuid"] if before else None,
        after=after["uuid"] if after else None,
        state=shown(after) if after else None,
    )
