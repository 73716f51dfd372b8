from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("logpipe_signals", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="appliedsequence",
            name="message_key",
            field=models.TextField(db_default="", default=""),
        ),
    ]
