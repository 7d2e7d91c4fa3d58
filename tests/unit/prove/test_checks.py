"""A small run that went well passes every check."""

import pytest

from schemas.codec import CODEC
from tests.prove.checks import judge, wire
from tests.unit.prove.sample import SETTINGS, went_well


def test_a_run_that_went_well() -> None:
    facts, story = went_well()
    rows = judge(facts, story, "UTC", SETTINGS)
    assert [row for row in rows if not row.ok] == []
    assert {row.invariant for row in rows} == {f"I{number}" for number in (*range(1, 12), 14)}
    assert not any("nothing looked at" in row.measured for row in rows if row.invariant != "I9")


def test_what_was_not_acknowledged_may_be_there_or_not() -> None:
    facts, story = went_well()
    entry = story.events.pop(("plain", "test", "p2"))
    del story.by_place[0, 1]
    story.unacked.append({"entry": entry})
    assert [row for row in judge(facts, story, "UTC", SETTINGS) if not row.ok] == []


@pytest.mark.parametrize("name", CODEC.names)
def test_schemas_are_read_as_the_product_reads_them(name: str) -> None:
    """Not the same code, the same fingerprint: the schema files are the contract between the two."""
    assert wire.fingerprint_of(name) == CODEC.fingerprint(name)
