"""Rows proved from their records, by hand: originals, a void, a re-rate across days."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest

from ledger.core.against_ledger_legs import Leg, negation_differences
from ledger.core.against_ledger_rows import Closing, Found, LedgerRow, RowProof, RowTools
from ledger.core.findings import Findings
from ledger.core.model import RatedRecord
from ledger.core.recomputed import Recomputed
from ledger.core.rollups import Place, Rollups, SumsKey, default_dimensions
from schemas.codec import decode
from schemas.errors import WireError
from tests.ledger_rows import Made, Written, line, usd

DAY_1, DAY_2 = "2026-11-18T00:00:00Z", "2026-11-19T00:00:00Z"
NOVEMBER_END_US = 1_796_083_200_000_000  # 2026-12-01
JANUARY_US = 1_798_761_600_000_000  # 2027-01-01


def some() -> list[Written]:
    """Customer a: two calls, the first voided the day after. Customer b: a call, reversed and replaced."""
    made = Made()
    lines = [line("cost", "input_tokens", "1000", "0.002"), line("price", "input_tokens", "1000", "0.003")]
    first, second, third = (
        made.rated({"customer_id": customer, "at": DAY_1}, usd("0.002"), usd("0.003"), lines)
        for customer in ("a", "a", "b")
    )
    void = made.reversal(first, posted=DAY_2)
    taken_back = made.reversal(third, posted=DAY_2)
    instead = made.replacement(third, usd("0.004"), usd("0.006"), posted=DAY_2)
    return [first, second, void, third, taken_back, instead]


@dataclass
class World:
    """Rows as a ledger has them, with the roll-ups of the sound ones."""

    written: list[Written] = field(default_factory=some)
    rows: list[LedgerRow] = field(default_factory=list)
    closings: Mapping[str, Sequence[Closing]] = field(default_factory=dict)
    held: Callable[[int, int], bool | None] = lambda _partition, _offset: True
    detached: frozenset[date] = frozenset()
    again: list[int] = field(default_factory=list)
    """Offsets of what was computed again."""

    def __post_init__(self) -> None:
        self.rollups = Rollups(default_dimensions)
        for item in self.written:
            self.rollups.add(item.row, item.record)
            self.rows.append(LedgerRow(item.row, self._append_ms(item)))

    def _append_ms(self, item: Written) -> int:
        return 1_795_392_000_000 + (item.row.posted_day - date(2026, 11, 23)).days * 86_400_000

    def spoil(self, index: int, **columns: Any) -> "World":
        row, append_ms, _ = self.rows[index]
        self.rows[index] = LedgerRow(row._replace(**columns), append_ms)
        return self

    def sums(self, customer: str) -> tuple[Mapping[Place, Found], Mapping[Place, Found]]:
        return tuple(  # type: ignore[return-value]  # of two
            {
                place: (item.events, item.quantity, item.cost, item.price)
                for place, item in table.items()
                if place[0] == customer
            }
            for table in (self.rollups.sums, self.rollups.meters)
        )

    def legs(self, wanted: Sequence[Leg]) -> dict[Leg, tuple[int, bytes]]:
        rows = {
            (row.customer_id, row.source, row.event_id, row.revision, row.leg): (row.customer_seq, row.record)
            for row, *_ in self.rows
        }
        return {leg: rows[leg] for leg in wanted if leg in rows}

    def keys(self, digests: Sequence[bytes]) -> dict[bytes, SumsKey]:
        return {
            digest: key._replace(dimensions=tuple(sorted(key.dimensions)))
            for key, digest in self.rollups.keys.items()
            if digest in digests
        }

    def recompute(self, record: RatedRecord) -> Recomputed:
        self.again.append(record.offset)
        return Recomputed(record.rating, ())

    def found(self) -> dict[str, int]:
        self.findings = Findings()
        tools = RowTools(
            decoded, self.held, self.legs, self.sums, self.keys, self.recompute, default_dimensions
        )
        proof = RowProof(tools, self.findings, self.closings, self.detached)
        for row in self.rows:
            proof.follow(row)
        proof.finish()
        assert proof.proved == len(self.rows)
        return dict(self.findings.counts)

    @property
    def details(self) -> list[str]:
        return [finding.detail for finding in self.findings.kept]


def decoded(value: bytes) -> Mapping[str, Any] | None:
    try:
        return decode("RatedUsage", value)
    except WireError:
        return None


def test_sound_rows_have_no_finding_and_replacements_are_computed_again() -> None:
    world = World()
    assert world.found() == {}
    assert world.again == [world.rows[5].row.kafka_offset]


def test_what_the_broker_has_no_more_is_computed_again_and_what_it_never_had_is_too_much() -> None:
    world = World(held=lambda _partition, _offset: None)
    assert world.found() == {}
    assert len(world.again) == 4  # three originals and the replacement; reversals are negated, not rated
    assert World(held=lambda _partition, _offset: False).found() == {"ledger_extra": 6}


@pytest.mark.parametrize(
    ("column", "value"),
    [("provider", "x"), ("cost", "0.0021"), ("price", None), ("customer_seq", 1), ("record", b"x")],
)
def test_a_column_that_contradicts_the_record_is_named_with_both_values(column: str, value: Any) -> None:
    world = World().spoil(1, **{column: value})
    assert "ledger_row" in world.found()
    if column == "provider":
        assert world.details[0] == (
            "customer 'a' sequence 2 event 'test' 'event-3' revision 0 original column provider:"
            " the ledger has x, expected acme"
        )


def test_an_amount_is_the_same_with_other_zeros() -> None:
    assert World().spoil(1, cost="0.0020", price="0.003000").found() == {}


def test_a_missing_row_and_one_that_stands_twice_break_the_sequence() -> None:
    world = World()
    del world.rows[1]
    assert world.found()["ledger_sequences"] == 1
    world = World()
    world.rows.insert(1, world.rows[0])
    assert world.found()["ledger_sequences"] == 1
    assert "stands twice" in world.details[0]


@pytest.mark.parametrize(
    ("index", "missing"), [(0, "original"), (4, "reversal")], ids=["of a void", "of a replacement"]
)
def test_what_a_correction_follows_must_be_there_unless_days_were_detached(index: int, missing: str) -> None:
    world = World()
    del world.rows[index]
    assert world.found()["ledger_reversal"] == 1
    assert any(missing in detail and "is not there" in detail for detail in world.details)
    world.detached = frozenset({date(2026, 11, 1)})
    assert "ledger_reversal" not in world.found()


def test_a_reversal_that_is_no_exact_negation_is_found_across_days() -> None:
    world = World()
    other = Made()
    original = other.rated({"customer_id": "a", "at": DAY_1, "event_id": "event-1"}, usd("0.9"), usd("0.003"))
    world.spoil(0, record=original.row.record)
    assert world.found()["ledger_reversal"] >= 1
    assert any("column cost: the ledger has -0.002, expected -0.9" in detail for detail in world.details)


def test_rows_after_a_close_belong_to_the_next_period() -> None:
    closing = Closing(2, NOVEMBER_END_US, JANUARY_US)
    world = World(closings={"a": [closing]})
    assert world.found()["ledger_posting"] == 2  # begin and end of the void, sequence 3
    world = World(closings={"a": [closing]})
    world.spoil(2, posting_start_us=NOVEMBER_END_US, posting_end_us=JANUARY_US)
    assert "ledger_posting" not in world.found()
    assert World(closings={"a": [closing._replace(through_seq=3)]}).found() == {}


def test_roll_ups_and_their_keys_are_made_again_from_the_rows() -> None:
    world = World()
    place = next(iter(world.rollups.sums))
    world.rollups.sums[place].cost += 1
    assert world.found() == {"ledger_rollup": 1}
    assert "column cost: the roll-up has 0.004000000000000001, its rows sum to 0.004" in world.details[0]
    world = World()
    del world.rollups.meters[next(iter(world.rollups.meters))]
    assert world.found() == {"ledger_rollup": 1}
    world = World()
    key = next(iter(world.rollups.keys))
    world.rollups.keys[key._replace(provider="x")] = world.rollups.keys.pop(key)
    assert world.found() == {"ledger_rollup": 1}


# --- negations ---


def reversed_with(lines: Sequence[Mapping[str, Any]], price: str) -> tuple[Any, Any]:
    """A call at 0.003 and its void, whose price is adjusted by lines."""
    made = Made()
    first = made.rated(
        {"customer_id": "a", "at": DAY_1},
        usd("0.002"),
        usd("0.003"),
        [line("price", "input_tokens", "1000", "0.003")],
    )
    void = made.reversal(first, posted=DAY_2).record
    rating = void["rating"]
    rating = rating | {"lines": [*rating["lines"], *lines], "price": usd(price)}
    return first.record, {"event": void["event"], "rating": rating}


def test_a_void_may_adjust_its_price_by_lines_that_say_so() -> None:
    assert negation_differences(*reversed_with([], "-0.003")) == []
    adjusted = line("price", "tier_adjustment", "0", "0.001")
    assert negation_differences(*reversed_with([adjusted], "-0.002")) == []
    assert negation_differences(*reversed_with([adjusted], "-0.003")) == [("price", "-0.003", "-0.002")]


@pytest.mark.parametrize(
    "added", [line("price", "input_tokens", "1", "0"), line("cost", "tier_adjustment", "0", "0")]
)
def test_no_other_line_may_stand_in_a_reversal(added: Mapping[str, Any]) -> None:
    assert [column for column, _, _ in negation_differences(*reversed_with([added], "-0.003"))] == [
        "lines[1].meter"
    ]


@pytest.mark.parametrize(
    ("part", "column"),
    [
        ({"book_version": 2}, "book_version"),
        ({"plan": "other"}, "plan"),
        ({"cost": usd("-0.0021")}, "cost"),
        ({"cost": usd("-0.002", currency="EUR")}, "cost_currency"),
        ({"price": usd("-0.003", "partial")}, "price_status"),
        ({"lines": []}, "lines"),
        ({"lines": [line("price", "input_tokens", "-999", "-0.003")]}, "lines[0].quantity"),
    ],
)
def test_whatever_else_differs_is_named(part: Mapping[str, Any], column: str) -> None:
    target, void = reversed_with([], "-0.003")
    void = {"event": void["event"], "rating": void["rating"] | part}
    assert [name for name, _, _ in negation_differences(target, void)] == [column]


def test_another_event_is_named() -> None:
    target, void = reversed_with([], "-0.003")
    void = {"event": void["event"] | {"user_id": "other"}, "rating": void["rating"]}
    assert [name for name, _, _ in negation_differences(target, void)] == ["event"]
