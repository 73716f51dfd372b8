"""
Apache Kafka through kafka-python, the pure-Python client. 2.3 and 3 both work.

What a batch promises when its time is up: this process hands nothing of it to the network any more. The client that
still holds it is thrown away, its connections are reset with what they had not sent, and a gate in front of the network
compares every produce request with the deadlines of the batches in hand, by a clock that runs on while a machine
sleeps. So a process that was frozen with messages in its client's queue sends none of them when it wakes up. What had
left this machine before may still be appended by a broker that was itself held up: for that there is the sequence each
message carries, or `KAFKA_FENCING="transactions"`.
"""

from logpipe_signals.backend.kafka.consumer import Consumer
from logpipe_signals.backend.kafka.offsets import KafkaOffsetStore, ModelOffsetStore
from logpipe_signals.backend.kafka.producer import Producer

__all__ = ["Consumer", "KafkaOffsetStore", "ModelOffsetStore", "Producer"]
