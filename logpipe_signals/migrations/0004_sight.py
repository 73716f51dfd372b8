from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("logpipe_signals", "0003_audits")]

    operations = []
