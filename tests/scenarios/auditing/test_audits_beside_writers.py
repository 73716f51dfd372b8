"""
An audit names exactly the rows that drifted, while writers, relays and consumers work; repair mends exactly those.

The writers make, update and delete their own rows, one by one and in bulk. What drifts is among people who rest, so
that it is known.
"""

from __future__ import annotations

import pytest

from tests.scenarios.auditing.both import Both

pytestmark = [pytest.mark.scenario, pytest.mark.postgres]


def test_what_was_done_behind_the_subscribers_back_is_named_and_mended_and_nothing_else(both: Both) -> None:
    both.start()
    for _ in range(2):
        before = both.audit("--pause", "0.5")
        assert (before.code, before.findings) == (0, frozenset()), before.printed
    hurt = both.hurt()
    found = both.audit("--pause", "0.5")
    assert (found.code, found.findings) == (1, hurt), found.printed

    applied = both.applied()
    repaired = both.audit("--pause", "0.5", "--repair")
    assert (repaired.code, repaired.findings) == (0, hurt), repaired.printed
    both.field.wait_for(lambda: both.resting() == 300 and both.audit("--pause", "0").code == 0, "the repair")

    touched = {identity for identity, sequence in both.applied().items() if sequence != applied[identity]}
    assert touched == {f"person:{pk}" for kind, pk in hurt if kind != "extra"}
    for writer in both.writers:
        writer.stop()
    both.field.wait_for(both.are_alike, "both sides alike")


def test_an_audit_survives_its_consumers(both: Both) -> None:
    """They are killed in mid-audit, behind by hundreds of changes: the report waits, and names what drifted."""
    crew = both.start(writers=1)
    hurt = both.hurt()
    for consumer in crew:
        consumer.freeze()
    unknown = both.audit("--pause", "0", "--wait", "0.5")
    assert unknown.code == 2, unknown.printed
    for number, consumer in enumerate(crew):
        consumer.resume()
        consumer.kill() if number else None
        consumer.start()
    reports = []

    def reported() -> bool:
        reports.append(both.report())
        return reports[-1].code == 1

    both.field.wait_for(reported, "the report")
    assert reports[-1].findings == hurt, [r.printed for r in reports]
