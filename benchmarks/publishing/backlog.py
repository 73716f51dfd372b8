"""People, and changes of them that wait in the outbox."""

from __future__ import annotations

from django.db import connections

PUBLICATION = "people.person:people"
TOPIC = "people"


def have_people(rows: int, *, table: str = "people_person", using: str = "default") -> None:
    """Make a table hold at least so many people."""
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {table}")
        (there,) = cursor.fetchone()
        if there >= rows:
            return
        cursor.execute(
            f"""
            INSERT INTO {table} (uuid, first_name, last_name, email)
            SELECT gen_random_uuid(), 'Joséphine ' || n, 'Schmoe-' || md5(n::text), n || '@example.org'
            FROM generate_series(%s, %s) AS n""",
            [there + 1, rows],
        )
        cursor.execute(f"VACUUM ANALYZE {table}")


def wait_in_outbox(rows: int, *, using: str = "default") -> None:
    """Empty the outbox and let so many people have a live change in it, as triggers or bulk writes leave them."""
    have_people(rows, using=using)
    with connections[using].cursor() as cursor:
        cursor.execute("TRUNCATE logpipe_signals_outboxrow")
        cursor.execute(
            """
            INSERT INTO logpipe_signals_outboxrow (publication, object_id, key, lane, operation)
            SELECT %s, id, uuid, MOD(('x' || LEFT(MD5(%s || uuid), 8))::bit(32)::bigint, 64), 'upsert'
            FROM people_person ORDER BY id LIMIT %s""",
            [PUBLICATION, f"{TOPIC}:", rows],
        )
        cursor.execute("VACUUM ANALYZE logpipe_signals_outboxrow")
