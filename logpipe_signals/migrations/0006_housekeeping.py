from typing import Any

from django.db import migrations

# The outbox fills and empties all day. With PostgreSQL's own settings it would be vacuumed when a fifth of it is dead,
# which after a backlog of a million rows is late: every claim reads the dead rows again.
OPTIONS = {
    "autovacuum_vacuum_scale_factor": "0",
    "autovacuum_vacuum_threshold": "5000",
    "autovacuum_analyze_scale_factor": "0",
    "autovacuum_analyze_threshold": "5000",
    "autovacuum_vacuum_cost_delay": "0",
}
TABLE = "logpipe_signals_outboxrow"


def _alter(schema_editor: Any, change: str) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"ALTER TABLE {schema_editor.quote_name(TABLE)} {change}")


def tune(apps: Any, schema_editor: Any) -> None:
    _alter(schema_editor, "SET ({})".format(", ".join(f"{name} = {value}" for name, value in OPTIONS.items())))


def untune(apps: Any, schema_editor: Any) -> None:
    _alter(schema_editor, f"RESET ({', '.join(OPTIONS)})")


class Migration(migrations.Migration):
    dependencies = [("logpipe_signals", "0005_trail")]

    operations = [migrations.RunPython(tune, untune, hints={"model_name": "outboxrow"}, elidable=False)]
