"""What a fork inherits of librdkafka is not touched in the child: its threads are not there."""

from __future__ import annotations

import subprocess
import sys

CHILD = """
import gc, os
import confluent_kafka
from logpipe_signals.backend.confluent import client

gc.disable()
for make in (confluent_kafka.Producer, confluent_kafka.Consumer):
    garbage = [make({"bootstrap.servers": "127.0.0.1:1", "group.id": "any", "log_level": 0})]
    garbage.append(garbage)  # only the collector finds it
del garbage

child = os.fork()
if not child:
    gc.collect()
    os._exit(0)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0x7F)
"""


def test_garbage_of_the_parent_is_not_collected_in_a_child() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD],
        env={"DJANGO_SETTINGS_MODULE": "testproject.settings", "PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
