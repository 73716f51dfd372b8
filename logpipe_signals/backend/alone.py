"""Sending the members of a refused record batch again, each by itself, to find the one that was at fault."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from logpipe_signals.backend.base import Message, Sent


def send_alone(
    messages: Sequence[Message], outcomes: list[Sent], suspects: Collection[int], send: Callable[[int], Sent]
) -> None:
    """
    Replace the outcomes of the suspects by what became of them alone, in their order.

    One that a later message of its key has overtaken is not sent: the caller tries it again with a newer state.
    """
    for index in _not_overtaken(messages, outcomes, suspects):
        outcomes[index] = send(index)


def _not_overtaken(messages: Sequence[Message], outcomes: Sequence[Sent], suspects: Collection[int]) -> list[int]:
    arrived: set[tuple[str, str | None]] = set()
    alone = []
    for index in reversed(range(len(outcomes) if suspects else 0)):
        key = (messages[index].topic, messages[index].key)
        if outcomes[index].metadata is not None:
            arrived.add(key)
        elif index in suspects and key not in arrived:
            alone.append(index)
    return alone[::-1]
