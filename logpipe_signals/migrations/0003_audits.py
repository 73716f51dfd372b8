import django.db.models.deletion
from django.db import migrations, models

import logpipe_signals.models.exact


class Migration(migrations.Migration):
    dependencies = [
        ("logpipe_signals", "0002_backfills"),
    ]

    operations = [
        migrations.CreateModel(
            name="Audit",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("run", models.CharField(help_text="The audit's name, given by the publisher.", max_length=32)),
                ("group", logpipe_signals.models.exact.ExactCharField(max_length=200)),
                ("topic", logpipe_signals.models.exact.ExactCharField(max_length=255)),
                ("message_type", logpipe_signals.models.exact.ExactCharField(max_length=200)),
                ("version", models.IntegerField()),
                ("source", models.CharField(max_length=64)),
                ("rounds", models.SmallIntegerField()),
                (
                    "lookup",
                    models.JSONField(default=list, help_text="The members of the message by which a row is found."),
                ),
                ("fields", models.JSONField(default=list, help_text="The members of the message that are compared.")),
                ("state", models.CharField(choices=[("open", "open"), ("done", "done")], default="open", max_length=8)),
                ("problem", models.TextField(blank=True, default="", help_text="Why something was not compared.")),
                ("created", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("run", "group", "topic", "message_type", "version"), name="logpipe_audit_run"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AuditTouch",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("round", models.SmallIntegerField()),
                ("partition", logpipe_signals.models.exact.ExactCharField(max_length=128)),
                ("keys", models.BinaryField()),
                (
                    "audit",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="touches", to="logpipe_signals.audit"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "audit touches",
            },
        ),
        migrations.CreateModel(
            name="AuditFinding",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key_hash", models.BigIntegerField()),
                (
                    "kind",
                    models.CharField(
                        choices=[("missing", "missing"), ("extra", "extra"), ("different", "different")], max_length=9
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("suspected", "suspected"), ("unsettled", "unsettled"), ("confirmed", "confirmed")],
                        max_length=9,
                    ),
                ),
                ("round", models.SmallIntegerField()),
                (
                    "pk_text",
                    logpipe_signals.models.exact.ExactTextField(
                        default="", help_text="The publisher's primary key; empty of an extra row."
                    ),
                ),
                (
                    "key",
                    logpipe_signals.models.exact.ExactTextField(
                        default="", help_text="The message key of an extra row."
                    ),
                ),
                ("lookup", models.JSONField(default=dict)),
                ("fields", models.JSONField(default=list)),
                (
                    "audit",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="findings", to="logpipe_signals.audit"
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("audit", "key_hash"), name="logpipe_audit_finding")],
            },
        ),
        migrations.CreateModel(
            name="AuditRange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("round", models.SmallIntegerField()),
                ("number", models.IntegerField()),
                ("partition", logpipe_signals.models.exact.ExactCharField(max_length=128)),
                ("sequence", models.BigIntegerField()),
                ("rows", models.IntegerField(default=0)),
                ("keys", models.BinaryField(default=b"")),
                (
                    "begins",
                    models.BooleanField(default=False, help_text="A first mark: behind it stands what was read later."),
                ),
                (
                    "expected",
                    models.JSONField(help_text="Of a last mark: the number of marks in each partition.", null=True),
                ),
                ("deletes", models.BooleanField(default=False, help_text="Of a last mark: extra rows are drift.")),
                ("cancelled", models.BooleanField(default=False)),
                ("problem", models.TextField(blank=True, default="")),
                ("created", models.DateTimeField(auto_now_add=True)),
                (
                    "audit",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="ranges", to="logpipe_signals.audit"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("audit", "round", "number"), name="logpipe_audit_range")
                ],
            },
        ),
    ]
