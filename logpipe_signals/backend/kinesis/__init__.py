"""
AWS Kinesis through boto3, to the standard of KCL 3, without its JVM and its tables: all state is in the project's
database. Shards are shared by leases, positions are rows of `Offset`.

A topic is a stream, a partition is a shard. A position is the last sequence number read, or one of the marks that
`positions` knows. A shard that was made by a split or a merge is read when all its parents are finished.

What a batch promises when its time is up: nothing of it is handed to the network any more. What had left before may
still be appended, twice if it was tried again: for that there is the sequence that each message carries.
"""

from logpipe_signals.backend.kinesis.consumer import Consumer
from logpipe_signals.backend.kinesis.positions import ModelOffsetStore
from logpipe_signals.backend.kinesis.producer import Producer
from logpipe_signals.backend.kinesis.streams import create_stream

__all__ = ["Consumer", "ModelOffsetStore", "Producer", "create_stream"]
