import django.db.models.deletion
import django.utils.timezone
import model_utils.fields
from django.db import migrations, models

import logpipe_signals.models.exact
import logpipe_signals.models.expressions


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="AppliedSequence",
            fields=[
                ("digest", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("identity", logpipe_signals.models.exact.ExactCharField(max_length=255)),
                ("sequence", models.BigIntegerField()),
                ("deleted", models.BooleanField(default=False)),
                ("message_key", logpipe_signals.models.exact.ExactTextField(db_default="", default="")),
                ("applied_at", models.DateTimeField(auto_now=True)),
            ],
        ),
        migrations.CreateModel(
            name="Source",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=64)),
                ("lanes", models.SmallIntegerField()),
                ("sequence", models.BigIntegerField(default=0)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name="DeadLetter",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "created",
                    model_utils.fields.AutoCreatedField(
                        default=django.utils.timezone.now, editable=False, verbose_name="created"
                    ),
                ),
                (
                    "modified",
                    model_utils.fields.AutoLastModifiedField(
                        default=django.utils.timezone.now, editable=False, verbose_name="modified"
                    ),
                ),
                (
                    "side",
                    models.CharField(choices=[("publisher", "publisher"), ("consumer", "consumer")], max_length=10),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "open"),
                            ("parked", "parked"),
                            ("replayed", "replayed"),
                            ("superseded", "superseded"),
                            ("skipped", "skipped"),
                        ],
                        default="open",
                        max_length=10,
                    ),
                ),
                ("topic", logpipe_signals.models.exact.ExactCharField(max_length=255)),
                ("partition", logpipe_signals.models.exact.ExactCharField(blank=True, default="", max_length=128)),
                ("offset", logpipe_signals.models.exact.ExactCharField(blank=True, default="", max_length=128)),
                ("group", logpipe_signals.models.exact.ExactCharField(blank=True, default="", max_length=200)),
                ("publication", logpipe_signals.models.exact.ExactCharField(blank=True, default="", max_length=200)),
                ("object_id", logpipe_signals.models.exact.ExactTextField(blank=True, default="")),
                ("identity", logpipe_signals.models.exact.ExactCharField(blank=True, default="", max_length=255)),
                ("message_type", logpipe_signals.models.exact.ExactCharField(blank=True, default="", max_length=200)),
                ("version", models.IntegerField(blank=True, null=True)),
                ("source", logpipe_signals.models.exact.ExactCharField(blank=True, default="", max_length=64)),
                ("sequence", models.BigIntegerField(blank=True, null=True)),
                ("key", models.BinaryField(null=True)),
                ("value", models.BinaryField(null=True)),
                (
                    "operation",
                    models.CharField(
                        blank=True, default="", help_text="A publisher's: as in the outbox.", max_length=8
                    ),
                ),
                ("payload", models.BinaryField(help_text="A publisher's: as in the outbox.", null=True)),
                ("headers", models.JSONField(default=list)),
                ("reason", models.CharField(help_text="The error's class name.", max_length=64)),
                ("error", logpipe_signals.models.exact.ExactTextField()),
                ("traceback", logpipe_signals.models.exact.ExactTextField(blank=True, default="")),
                ("attempts", models.IntegerField(default=1)),
            ],
            options={
                "verbose_name": "dead letter",
                "indexes": [
                    models.Index(fields=["state", "side", "created"], name="logpipe_dead_letter_state"),
                    models.Index(fields=["identity", "state"], name="logpipe_dead_letter_identity"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Lease",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("lane", "lane"),
                            ("relay", "relay"),
                            ("shard", "shard"),
                            ("backfill", "backfill"),
                            ("partition", "partition"),
                            ("consumer", "consumer"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "name",
                    logpipe_signals.models.exact.ExactCharField(
                        help_text="A lane's number, a relay's id, a shard, a backfill's id.", max_length=200
                    ),
                ),
                ("number", models.IntegerField(help_text="The lane's number.", null=True)),
                ("owner", models.CharField(blank=True, default="", help_text="Empty: nobody.", max_length=200)),
                ("token", models.BigIntegerField(default=0)),
                ("acquired_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(null=True)),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("kind", "name"), name="logpipe_lease_name")],
            },
        ),
        migrations.CreateModel(
            name="LogPartition",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("topic", logpipe_signals.models.exact.ExactCharField(max_length=255)),
                ("number", models.IntegerField()),
                ("next_offset", models.BigIntegerField(default=0)),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("topic", "number"), name="logpipe_log_partition")],
            },
        ),
        migrations.CreateModel(
            name="Offset",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("log", models.CharField(help_text="kafka, database, or kinesis and its region.", max_length=64)),
                ("group", logpipe_signals.models.exact.ExactCharField(max_length=200)),
                ("topic", logpipe_signals.models.exact.ExactCharField(max_length=255)),
                ("partition", logpipe_signals.models.exact.ExactCharField(max_length=128)),
                ("position", models.CharField(max_length=128, null=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("log", "group", "topic", "partition"), name="logpipe_offset_partition"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="OutboxRow",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("publication", logpipe_signals.models.exact.ExactCharField(max_length=200)),
                ("object_id", logpipe_signals.models.exact.ExactTextField()),
                ("key", logpipe_signals.models.exact.ExactTextField()),
                ("lane", models.SmallIntegerField()),
                (
                    "operation",
                    models.CharField(
                        choices=[("upsert", "Upsert"), ("delete", "Delete"), ("retract", "Retract")],
                        default="upsert",
                        max_length=8,
                    ),
                ),
                (
                    "priority",
                    models.SmallIntegerField(db_default=0, help_text="0: live changes; higher: later, as backfills."),
                ),
                ("payload", models.BinaryField(null=True)),
                ("headers", models.JSONField(null=True)),
                ("created_at", models.DateTimeField(db_default=logpipe_signals.models.expressions.DatabaseNow())),
                ("attempts", models.SmallIntegerField(db_default=0)),
                ("retry_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "outbox row",
                "indexes": [models.Index(fields=["lane", "priority", "id"], name="logpipe_outbox_lane")],
            },
        ),
        migrations.CreateModel(
            name="LogRecord",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("offset", models.BigIntegerField()),
                ("key", models.BinaryField(null=True)),
                ("value", models.BinaryField(null=True)),
                ("headers", models.JSONField(default=list)),
                ("created_at", models.DateTimeField(db_default=logpipe_signals.models.expressions.DatabaseNow())),
                (
                    "partition",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="records",
                        to="logpipe_signals.logpartition",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("partition", "offset"), name="logpipe_log_record_offset")
                ],
            },
        ),
    ]
