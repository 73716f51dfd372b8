"""Keys go where Kafka's own clients put them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as kafkas_murmur2

from logpipe_signals.backend.partitioning import Partitioner, murmur2


@given(st.binary(max_size=40))
def test_murmur2_is_the_one_of_kafkas_clients(data: bytes) -> None:
    assert murmur2(data) == kafkas_murmur2(data)


# From the tests of Apache Kafka's Java client; its hashes are signed.
@pytest.mark.parametrize(
    ("key", "hashed"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536), (b"abc", 479470107)],
)
def test_murmur2_gives_what_the_java_client_gives(key: bytes, hashed: int) -> None:
    assert murmur2(key) == hashed % 2**32


def test_messages_without_a_key_take_turns() -> None:
    partitioner = Partitioner()
    assert [partitioner.choose(None, 3) for _ in range(4)] == [0, 1, 2, 0]
