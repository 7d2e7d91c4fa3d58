"""Counts and sums of a ledger by hand: a sound one has no finding, each break has its own."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from ledger.core.against_ledger import (
    Bad,
    Customer,
    CustomerRows,
    Held,
    PartitionRows,
    Position,
    Stored,
    Sums,
    check_bad,
    check_customers,
    check_partitions,
    check_positions,
    check_sums,
    made_anew,
)
from ledger.core.findings import Findings

RATED = "usage.rated"
WHERE = RATED, 0
DAY = date(2026, 11, 23)
KEY = DAY, "USD", "USD"
SUMS = Sums(5, Decimal("0.015"), Decimal("0.0225"))
HELD = {WHERE: Held("id-1", 0, 9)}
NEWEST = {WHERE: frozenset({0, 1, 3, 4, 5})}  # 2 is a transaction's marker
COUNTED = {WHERE: 5}


def stored(**fields: Any) -> Stored:
    """Two customers with 3 and 2 rows of one partition, at the offsets 0 to 5 but for a marker at 2."""
    made = Stored(
        since=None,
        positions=[Position("id-1", RATED, 0, 6)],
        bad=[],
        customers={"a": Customer(3, 3, None), "b": Customer(2, 2, None)},
        customer_rows={"a": CustomerRows(3, 1, 3), "b": CustomerRows(2, 1, 2)},
        partition_rows={WHERE: PartitionRows(5, 5, 5, frozenset({0, 1, 3, 4, 5}))},
        day_sums={KEY: SUMS},
        rollups={"sums_15m": {KEY: SUMS}, "sums_day": {KEY: SUMS}},
        grains={"sums_month": ({KEY: SUMS}, {KEY: SUMS})},
    )
    return replace(made, **fields)


def found(world: Stored, held: Any = None, counted: Any = None) -> dict[str, int]:
    findings = Findings()
    held = HELD if held is None else held
    check_positions(world, held, findings)
    check_partitions(world, held, NEWEST, COUNTED if counted is None else counted, findings)
    check_customers(world, findings)
    check_sums(world, findings)
    check_bad(world, findings)
    return dict(findings.counts)


def test_a_sound_ledger_has_no_finding() -> None:
    assert found(stored()) == {}
    assert found(stored(since=DAY, customer_rows={"a": CustomerRows(1, 3, 3)})) == {}


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (Held("id-1", 7, 9), {"ledger_position": 1}),
        (Held("id-1", 0, 5), {"ledger_position": 1}),
        (Held("id-1", 6, 6), {}),
        (Held("id-2", 7, 9), {}),
    ],
    ids=["gone", "beyond the log", "at its end", "another topic of that name"],
)
def test_positions_are_those_that_the_broker_holds(held: Held, expected: dict[str, int]) -> None:
    assert found(stored(), {WHERE: held}) == expected


def test_rows_of_a_topic_made_anew_are_not_laid_beside_offsets() -> None:
    held = {WHERE: Held("id-2", 0, 9)}
    assert made_anew(stored(), held) == {RATED}
    assert found(stored(), held, {WHERE: 77}) == {}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (PartitionRows(4, 4, 5, frozenset({0, 1, 3, 5})), {"ledger_missing": 1, "ledger_count": 1}),
        (PartitionRows(6, 6, 5, frozenset(range(6))), {"ledger_extra": 1, "ledger_count": 1}),
        (PartitionRows(5, 5, 6, frozenset({0, 1, 3, 4, 5})), {"ledger_beyond": 1}),
        (PartitionRows(), {"ledger_missing": 5, "ledger_count": 1}),
    ],
)
def test_rows_are_the_records_below_the_position(rows: PartitionRows, expected: dict[str, int]) -> None:
    assert found(stored(partition_rows={WHERE: rows})) == expected


def test_a_bad_record_is_a_finding_of_its_own_and_no_missing_row() -> None:
    rows = PartitionRows(4, 4, 4, frozenset({0, 1, 3, 4}))
    bad = [Bad("id-1", RATED, 0, 5, "is no RatedUsage")]
    world = stored(bad=bad, partition_rows={WHERE: rows})
    assert found(world, counted={WHERE: 4}) == {"ledger_bad_record": 1}


@pytest.mark.parametrize(
    ("customer", "rows", "expected"),
    [
        (Customer(2, 3, 3), CustomerRows(2, 1, 3), {"ledger_gap": 1}),
        (Customer(2, 3, None), CustomerRows(3, 1, 3), {"ledger_customer": 1}),
        (Customer(4, 4, None), CustomerRows(3, 1, 3), {"ledger_customer": 1}),
        (Customer(3, 3, None), CustomerRows(2, 1, 3), {"ledger_sequences": 1}),
        (Customer(3, 3, None), CustomerRows(4, 1, 3), {"ledger_sequences": 1}),
        (Customer(3, 3, None), CustomerRows(2, 2, 3), {"ledger_sequences": 1}),
        (Customer(3, 3, None), None, {"ledger_customer": 1}),
        (None, CustomerRows(3, 1, 3), {"ledger_customer": 1}),
    ],
)
def test_customers_are_as_far_as_their_rows(
    customer: Customer | None, rows: CustomerRows | None, expected: dict[str, int]
) -> None:
    world = stored(customers={"a": customer} if customer else {}, customer_rows={"a": rows} if rows else {})
    assert found(world) == expected


def test_where_only_some_days_are_read_a_customer_begins_anywhere() -> None:
    for part in ({"since": DAY}, {"detached": frozenset({date(2026, 1, 1)})}):
        assert found(stored(customer_rows={"a": CustomerRows(2, 2, 3)}, **part)) == {}
        lacking = {"a": CustomerRows(1, 2, 3)}
        assert found(stored(customer_rows=lacking, **part)) == {"ledger_sequences": 1}


@pytest.mark.parametrize("table", ["sums_15m", "sums_day"])
@pytest.mark.parametrize(
    "wrong",
    [SUMS._replace(events=4), SUMS._replace(cost=Decimal("0.015000000000000001")), None],
)
def test_roll_ups_are_the_sums_of_rows_to_the_last_digit(table: str, wrong: Sums | None) -> None:
    rollups = {"sums_15m": {KEY: SUMS}, "sums_day": {KEY: SUMS}}
    rollups[table] = {} if wrong is None else {KEY: wrong}
    counts = found(stored(rollups=rollups))
    assert counts == {"ledger_rollup": 3 if wrong is None else 1}


def test_a_coarser_grain_has_the_sums_of_the_finer_and_a_detached_day_has_no_rows() -> None:
    wrong = {KEY: SUMS._replace(price=Decimal(0))}
    assert found(stored(grains={"sums_month": ({KEY: SUMS}, wrong)})) == {"ledger_grain": 1}
    gone = stored(day_sums={}, detached=frozenset({DAY}), customer_rows={})
    assert found(gone, {}) == {}


def test_a_finding_names_the_day_the_currencies_the_column_and_both_values() -> None:
    findings = Findings()
    check_sums(stored(day_sums={KEY: SUMS._replace(events=6)}, grains={}), findings)
    assert findings.kept[0].where == "ledger.sums_15m"
    assert findings.kept[0].detail == (
        "posted 2026-11-23 (cost in USD, price in USD) column events: roll-ups 5, rows sum to 6"
    )
