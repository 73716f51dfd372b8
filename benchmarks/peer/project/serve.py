"""
Does what is asked for on standard input, a JSON object a line, and answers with rows a second.

    {"do": "send", "topic": "people", "first": 1, "rows": 500}
    {"do": "consume", "topic": "people", "rows": 500}
"""

import json
import os
import sys
import time
from functools import cache

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"


def serve():
    """Answer until the input ends."""
    django.setup()
    from django.core.management import call_command

    call_command("migrate", "logpipe", verbosity=0)
    for line in sys.stdin:
        asked = json.loads(line)
        seconds = {"send": send, "consume": consume}[asked.pop("do")](**asked)
        print(json.dumps({"rows_per_second": asked["rows"] / seconds}), flush=True)


def send(topic, first, rows):
    """Send rows by primary key: what a post_save handler or a management command does."""
    from people.models import Person

    people = list(Person.objects.filter(pk__gte=first).order_by("pk")[:rows])
    producer = _producer(topic)
    if hasattr(producer.client.client, "partitions_for"):
        producer.client.client.partitions_for(topic)  # Connecting is no part of the rate.
    started = time.perf_counter()
    for person in people:
        producer.send(person)
    return time.perf_counter() - started


def consume(topic, rows):
    """Apply so many records."""
    consumer = _consumer(topic)
    started = time.perf_counter()
    consumer.run(iter_limit=rows)
    return time.perf_counter() - started


@cache
def _producer(topic):
    from logpipe import Producer
    from people.serializers import PersonSerializer

    return Producer(topic, PersonSerializer)


@cache
def _consumer(topic):
    from logpipe import Consumer
    from people.serializers import PersonCopySerializer

    consumer = Consumer(topic, consumer_timeout_ms=30_000)
    consumer.register(PersonCopySerializer)
    return consumer


if __name__ == "__main__":
    serve()
