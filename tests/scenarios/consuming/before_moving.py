"""
A project on django-logpipe, as it is before it moves over.

    python before_moving.py consume TOPIC DATABASE RECORDS
    python before_moving.py send TOPIC DATABASE UUID STATE [UUID STATE ...]

Runs in the environment that has django-logpipe, on an SQLite file, and imports nothing of ours. Its user code notes
each message that it applies, as that of `subscriber.py` does.
"""

import os
import sys

import django
from django.conf import settings
from django.core.management import call_command

do, topic, database, *arguments = sys.argv[1:]
settings.configure(
    INSTALLED_APPS=["logpipe"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database}},
    LOGPIPE={
        "OFFSET_BACKEND": "logpipe.backend.kafka.ModelOffsetStore",
        "CONSUMER_BACKEND": "logpipe.backend.kafka.Consumer",
        "PRODUCER_BACKEND": "logpipe.backend.kafka.Producer",
        "KAFKA_BOOTSTRAP_SERVERS": os.environ["KAFKA_BOOTSTRAP_SERVERS"].split(","),
        "KAFKA_CONSUMER_KWARGS": {"group_id": "django-logpipe"},
        "KAFKA_MAX_SEND_RETRIES": 10,  # a new topic has no leader for a moment
    },
)
django.setup()

from django.db import connection, models  # noqa: E402
from logpipe import Consumer, Producer  # noqa: E402
from rest_framework import serializers  # noqa: E402


class PersonCopy(models.Model):  # noqa: DJ008  (nobody prints it)
    uuid = models.UUIDField(unique=True)
    first_name = models.CharField(max_length=200)
    last_name = models.CharField(max_length=200)
    email = models.EmailField(max_length=200, blank=True)

    class Meta:
        app_label = "mirror"
        managed = False


class PersonCopySerializer(serializers.ModelSerializer):
    MESSAGE_TYPE = "person"
    VERSION = 1
    KEY_FIELD = "uuid"

    class Meta:
        model = PersonCopy
        fields = ["uuid", "first_name", "last_name", "email"]

    @classmethod
    def lookup_instance(cls, uuid, **kwargs):
        return PersonCopy.objects.filter(uuid=uuid).first()

    def save(self, **kwargs):
        data = self.validated_data
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO applied VALUES (%s, %s)", [str(data["uuid"]), int(data["last_name"])])
        return super().save(**kwargs)


def consume(records):
    consumer = Consumer(topic, consumer_timeout_ms=30_000)
    consumer.register(PersonCopySerializer)
    consumer.run(iter_limit=int(records))


def send(*uuids_and_states):
    producer = Producer(topic, PersonCopySerializer)
    pairs = iter(uuids_and_states)
    for uuid, state in zip(pairs, pairs, strict=True):
        producer.send(PersonCopy(uuid=uuid, first_name="theirs", last_name=state))


call_command("migrate", "logpipe", verbosity=0)
{"consume": consume, "send": send}[do](*arguments)
