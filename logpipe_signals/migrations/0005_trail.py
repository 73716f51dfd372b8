from django.db import migrations, models

import logpipe_signals.models.exact


class Migration(migrations.Migration):
    dependencies = [("logpipe_signals", "0004_sight")]

    operations = [
        migrations.CreateModel(
            name="Overview",
            fields=[],
            options={
                "verbose_name": "overview",
                "verbose_name_plural": "overview",
                "proxy": True,
                "default_permissions": ("view",),
                "indexes": [],
                "constraints": [],
            },
            bases=("logpipe_signals.source",),
        ),
        migrations.AlterModelOptions(
            name="deadletter",
            options={
                "permissions": [
                    ("view_payload", "Can look at payloads, sensitive fields redacted"),
                    ("view_unredacted_payload", "Can look at and download whole payloads"),
                    ("replay_deadletter", "Can replay and skip dead letters"),
                ],
                "verbose_name": "dead letter",
            },
        ),
        migrations.AlterModelOptions(
            name="backfill",
            options={"permissions": [("control_backfill", "Can start, pause, resume and cancel backfills")]},
        ),
        migrations.AlterModelOptions(name="lease", options={"verbose_name_plural": "relays and leases"}),
        migrations.AlterModelOptions(
            name="offset", options={"verbose_name": "position", "verbose_name_plural": "consumers and positions"}
        ),
        migrations.AlterModelOptions(
            name="outboxrow", options={"verbose_name": "outbox row", "verbose_name_plural": "outbox"}
        ),
        migrations.CreateModel(
            name="TrailEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(auto_now_add=True, db_index=True)),
                ("who", logpipe_signals.models.exact.ExactCharField(help_text="The user's name.", max_length=255)),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("looked", "looked at the payload"),
                            ("looked_at_all", "looked at the payload, nothing redacted"),
                            ("downloaded", "downloaded the payload"),
                            ("replayed", "replayed"),
                            ("skipped", "skipped"),
                            ("started", "started"),
                            ("paused", "paused"),
                            ("resumed", "resumed"),
                            ("cancelled", "cancelled"),
                        ],
                        max_length=16,
                    ),
                ),
                ("target", models.CharField(help_text="What was acted on: deadletter, backfill.", max_length=32)),
                ("target_id", logpipe_signals.models.exact.ExactCharField(max_length=64)),
                (
                    "about",
                    logpipe_signals.models.exact.ExactCharField(
                        blank=True, default="", help_text="What that was, in words.", max_length=255
                    ),
                ),
                (
                    "outcome",
                    logpipe_signals.models.exact.ExactCharField(blank=True, default="", max_length=255),
                ),
            ],
            options={
                "verbose_name": "trail entry",
                "verbose_name_plural": "trail",
                "default_permissions": ("view",),
                "indexes": [models.Index(fields=["target", "target_id"], name="logpipe_trail_target")],
            },
        ),
    ]
