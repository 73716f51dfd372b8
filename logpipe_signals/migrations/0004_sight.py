from django.db import migrations, models

import logpipe_signals.models.exact
import logpipe_signals.models.expressions


class Migration(migrations.Migration):
    dependencies = [("logpipe_signals", "0003_audits")]

    operations = [
        migrations.CreateModel(
            name="Presence",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(choices=[("relay", "relay"), ("consumer", "consumer")], max_length=10)),
                (
                    "name",
                    logpipe_signals.models.exact.ExactCharField(
                        help_text="A relay's: the owner of its leases.", max_length=200
                    ),
                ),
                ("host", models.CharField(max_length=255)),
                ("pid", models.IntegerField()),
                (
                    "group",
                    logpipe_signals.models.exact.ExactCharField(
                        blank=True, default="", help_text="A consumer's.", max_length=200
                    ),
                ),
                ("serves", models.JSONField(default=dict)),
                ("started_at", models.DateTimeField(db_default=logpipe_signals.models.expressions.DatabaseNow())),
                ("seen_at", models.DateTimeField(db_default=logpipe_signals.models.expressions.DatabaseNow())),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=["kind", "name"], name="logpipe_presence_name")],
            },
        ),
    ]
