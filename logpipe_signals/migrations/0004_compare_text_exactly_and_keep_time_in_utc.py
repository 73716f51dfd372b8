from django.db import migrations, models

import logpipe_signals.models.exact
import logpipe_signals.models.expressions


class Migration(migrations.Migration):
    dependencies = [
        ("logpipe_signals", "0003_dead_letters_keep_what_the_outbox_held"),
    ]

    operations = [
        migrations.AlterField(
            model_name="appliedsequence",
            name="identity",
            field=logpipe_signals.models.exact.ExactCharField(max_length=255),
        ),
        migrations.AlterField(
            model_name="appliedsequence",
            name="message_key",
            field=logpipe_signals.models.exact.ExactTextField(db_default="", default=""),
        ),
        migrations.AlterField(
            model_name="deadletter",
            name="error",
            field=logpipe_signals.models.exact.ExactTextField(),
        ),
        migrations.AlterField(
            model_name="deadletter",
            name="group",
            field=logpipe_signals.models.exact.ExactCharField(blank=True, default="", max_length=200),
        ),
        migrations.AlterField(
            model_name="deadletter",
            name="identity",
            field=logpipe_signals.models.exact.ExactCharField(blank=True, default="", max_length=255),
        ),
        migrations.AlterField(
            model_name="deadletter",
            name="message_type",
            field=logpipe_signals.models.exact.ExactCharField(blank=True, default="", max_length=200),
        ),
        migrations.AlterField(
            model_name="deadletter",
            name="object_id",
            field=logpipe_signals.models.exact.ExactTextField(blank=True, default=""),
        ),
        migrations.AlterField(
            model_name="deadletter",
            name="offset",
            field=logpipe_signals.models.exact.ExactCharField(blank=True, default="", max_length=128),
        ),
        migrations.AlterField(
            model_name="deadletter",
            name="partition",
            field=logpipe_signals.models.exact.ExactCharField(blank=True, default="", max_length=128),
        ),
        migrations.AlterField(
            model_name="deadletter",
            name="publication",
            field=logpipe_signals.models.exact.ExactCharField(blank=True, default="", max_length=200),
        ),
        migrations.AlterField(
            model_name="deadletter",
            name="source",
            field=logpipe_signals.models.exact.ExactCharField(blank=True, default="", max_length=64),
        ),
        migrations.AlterField(
            model_name="deadletter",
            name="topic",
            field=logpipe_signals.models.exact.ExactCharField(max_length=255),
        ),
        migrations.AlterField(
            model_name="deadletter",
            name="traceback",
            field=logpipe_signals.models.exact.ExactTextField(blank=True, default=""),
        ),
        migrations.AlterField(
            model_name="lease",
            name="name",
            field=logpipe_signals.models.exact.ExactCharField(
                help_text="A lane's number, a relay's id, a shard, a backfill's id.", max_length=200
            ),
        ),
        migrations.AlterField(
            model_name="logpartition",
            name="topic",
            field=logpipe_signals.models.exact.ExactCharField(max_length=255),
        ),
        migrations.AlterField(
            model_name="logrecord",
            name="created_at",
            field=models.DateTimeField(db_default=logpipe_signals.models.expressions.DatabaseNow()),
        ),
        migrations.AlterField(
            model_name="offset",
            name="group",
            field=logpipe_signals.models.exact.ExactCharField(max_length=200),
        ),
        migrations.AlterField(
            model_name="offset",
            name="partition",
            field=logpipe_signals.models.exact.ExactCharField(max_length=128),
        ),
        migrations.AlterField(
            model_name="offset",
            name="topic",
            field=logpipe_signals.models.exact.ExactCharField(max_length=255),
        ),
        migrations.AlterField(
            model_name="outboxrow",
            name="created_at",
            field=models.DateTimeField(db_default=logpipe_signals.models.expressions.DatabaseNow()),
        ),
        migrations.AlterField(
            model_name="outboxrow",
            name="key",
            field=logpipe_signals.models.exact.ExactTextField(),
        ),
        migrations.AlterField(
            model_name="outboxrow",
            name="object_id",
            field=logpipe_signals.models.exact.ExactTextField(),
        ),
        migrations.AlterField(
            model_name="outboxrow",
            name="publication",
            field=logpipe_signals.models.exact.ExactCharField(max_length=200),
        ),
    ]
