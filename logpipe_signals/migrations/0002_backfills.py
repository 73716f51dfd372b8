import django.db.models.deletion
from django.db import migrations, models

import logpipe_signals.models.exact
import logpipe_signals.models.expressions


class Migration(migrations.Migration):
    dependencies = [
        ("logpipe_signals", "0001_initial"),
    ]

    operations = [
        migrations.AlterField(
            model_name="lease",
            name="kind",
            field=models.CharField(
                choices=[
                    ("lane", "lane"),
                    ("relay", "relay"),
                    ("shard", "shard"),
                    ("backfill", "backfill"),
                    ("runner", "runner"),
                    ("partition", "partition"),
                    ("consumer", "consumer"),
                ],
                max_length=16,
            ),
        ),
        migrations.CreateModel(
            name="Backfill",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("publication", logpipe_signals.models.exact.ExactCharField(max_length=200)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "waiting"),
                            ("running", "running"),
                            ("paused", "paused"),
                            ("cancelled", "cancelled"),
                            ("done", "done"),
                            ("failed", "failed"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                (
                    "rows_of",
                    models.CharField(
                        choices=[
                            ("rows", "all rows, or those that the lookups find"),
                            ("pks", "a list of primary keys"),
                            ("deleted", "a list of rows deleted long ago"),
                        ],
                        default="rows",
                        max_length=10,
                    ),
                ),
                ("where", models.JSONField(blank=True, default=dict)),
                ("versions", models.JSONField(blank=True, default=list)),
                ("rate", models.FloatField(blank=True, help_text="The most rows a second.", null=True)),
                ("chunk_rows", models.IntegerField(default=1000)),
                ("requested_by", models.CharField(blank=True, default="", max_length=200)),
                ("last_key", logpipe_signals.models.exact.ExactTextField(blank=True, null=True)),
                ("end_key", logpipe_signals.models.exact.ExactTextField(blank=True, null=True)),
                ("rows_total", models.BigIntegerField(blank=True, help_text="As estimated when it began.", null=True)),
                ("rows_done", models.BigIntegerField(default=0, help_text="Rows put into the outbox.")),
                ("chunks_done", models.BigIntegerField(default=0)),
                (
                    "seconds_run",
                    models.FloatField(default=0, help_text="Without the time it was paused or waited for a runner."),
                ),
                (
                    "last_outbox_id",
                    models.BigIntegerField(
                        blank=True,
                        help_text="Set when the last chunk is in the outbox: done when nothing up to it waits.",
                        null=True,
                    ),
                ),
                (
                    "token",
                    models.BigIntegerField(default=0, help_text="Of the lease of whoever runs it, or ran it last."),
                ),
                ("error", logpipe_signals.models.exact.ExactTextField(blank=True, default="")),
                ("created_at", models.DateTimeField(db_default=logpipe_signals.models.expressions.DatabaseNow())),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("updated_at", models.DateTimeField(db_default=logpipe_signals.models.expressions.DatabaseNow())),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "indexes": [models.Index(fields=["state", "id"], name="logpipe_backfill_state")],
            },
        ),
        migrations.CreateModel(
            name="BackfillKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.BigIntegerField()),
                ("key", logpipe_signals.models.exact.ExactTextField()),
                ("values", models.JSONField(null=True)),
                (
                    "backfill",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="listed",
                        to="logpipe_signals.backfill",
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("backfill", "number"), name="logpipe_backfill_key")],
            },
        ),
    ]
