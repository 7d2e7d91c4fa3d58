"""The sums of a batch, by hand."""

import pytest

from ledger.core.meters import NOTHING_REPORTED
from ledger.core.rollups import Rollups
from ledger.core.rows import BadRowError
from tests.ledger_rows import NONE, Made, Written, line, usd

E18 = 10**18
AT = "2026-11-18T12:07:30Z"
LINES = (
    line("cost", "input_tokens", "1000", "0.002"),
    line("price", "input_tokens", "1000", "0.003"),
    line("price", "minimum_charge", "0", "0.007"),
)


def summed(*written: Written) -> Rollups:
    rollups = Rollups()
    for item in written:
        rollups.add(item.row, item.record)
    return rollups


def event(**fields: object) -> dict[str, object]:
    return {"customer_id": "c1", "at": AT, "query_id": "q1", "product": "search"} | fields


def test_events_of_one_quarter_of_an_hour_are_one_sum() -> None:
    made = Made()
    rollups = summed(
        made.rated(event(), usd("0.002"), usd("0.01"), LINES),
        made.rated(event(at="2026-11-18T12:14:59.999999Z"), usd("0.002"), usd("0.01"), LINES),
        made.rated(event(at="2026-11-18T12:15:00Z"), usd("0.002"), usd("0.01"), LINES),
    )
    found = sorted((place[1], it.events, it.cost, it.price) for place, it in rollups.sums.items())
    first = 1_795_003_200_000_000  # 2026-11-18T12:00:00Z
    assert found == [
        (first, 2, 4 * 10**15, 2 * 10**16),
        (first + 900_000_000, 1, 2 * 10**15, 10**16),
    ]


def test_a_meter_counts_once_although_both_sides_have_it_and_a_pseudo_meter_is_an_amount() -> None:
    rollups = summed(Made().rated(event(), usd("0.002"), usd("0.01"), LINES))
    names = {digest: key.meter for key, digest in rollups.meter_keys.items()}
    found = {names[place[3]]: (it.quantity, it.cost, it.price) for place, it in rollups.meters.items()}
    assert found == {
        "input_tokens": (1000 * E18, 2 * 10**15, 3 * 10**15),
        "minimum_charge": (0, 0, 7 * 10**15),
    }


def test_an_original_its_reversal_and_its_replacement_are_one_event_at_the_new_price() -> None:
    made = Made()
    original = made.rated(event(), usd("0.002"), usd("0.01"), LINES)
    reversal = made.reversal(original, posted="2026-11-20T00:00:00Z")
    rollups = summed(original, reversal)
    assert sum(it.events for it in rollups.sums.values()) == 0
    assert sum(it.cost for it in rollups.sums.values()) == 0
    assert sum(it.quantity for it in rollups.meters.values()) == 0
    replacement = made.replacement(reversal, usd("0.001"), usd("0.01"), posted="2026-11-20T00:00:00Z")
    rollups.add(replacement.row, replacement.record)
    assert sum(it.events for it in rollups.sums.values()) == 1
    assert sum(it.cost for it in rollups.sums.values()) == 10**15
    (query,) = rollups.queries.values()
    assert (query.calls, query.cost, query.first_seq, query.last_seq) == (1, 10**15, 1, 3)


def test_what_a_query_costs_and_is_charged_stands_by_currency() -> None:
    made = Made()
    rollups = summed(
        made.rated(event(), usd("0.002"), usd("0.01", currency="EUR")),
        made.rated(event(), usd("0.003"), {"status": "included", "amount": None, "currency": None}),
        made.rated(event(), NONE, usd("5")),
        made.rated(event(), NONE, NONE),
    )
    found = {place[2]: (it.calls, it.cost, it.price) for place, it in rollups.queries.items()}
    assert found == {
        "USD": (3, 5 * 10**15, 5 * E18),
        "EUR": (0, 0, 10**16),
        "": (1, 0, 0),
    }


def test_unpriced_lines_are_told_with_their_reason_and_a_side_without_lines_too() -> None:
    lines = (line("cost", "images", "3", None, explain="no rate for images"),)
    rollups = summed(Made().rated(event(), NONE, NONE, lines))
    assert {(key.meter, key.cost_reason, key.price_reason) for key in rollups.meter_keys} == {
        ("images", "no rate for images", None),
        ("", None, NOTHING_REPORTED),
    }


def test_a_number_that_is_none_is_refused_and_adds_nothing() -> None:
    made = Made()
    rollups = summed(made.rated(event(), usd("1"), usd("1")))
    bad = made.rated(event(), usd("1"), usd("1"), (line("cost", "input_tokens", "1e3", "1"),))
    with pytest.raises(BadRowError, match="1e3"):
        rollups.add(bad.row, bad.record)
    assert [it.events for it in rollups.sums.values()] == [1]
    assert rollups.meters == {}


@pytest.mark.parametrize(
    ("fields", "lines", "named"),
    [
        ({"product": "se\0arch"}, (), "event.product: holds NUL"),
        ({}, (line("cost", "to\0kens", "1", "1"),), "lines.meter: holds NUL"),
        ({}, (line("price", "tokens", "1", None, explain="no\0card"),), "lines.explain: holds NUL"),
    ],
)
def test_a_key_with_nul_is_refused_and_adds_nothing(
    fields: dict[str, object], lines: tuple[dict[str, object], ...], named: str
) -> None:
    """PostgreSQL cannot store it: the record must not stop those beside it."""
    rollups = Rollups()
    bad = Made().rated(event(**fields), usd("1"), usd("1"), lines)
    with pytest.raises(BadRowError, match=named):
        rollups.add(bad.row, bad.record)
    assert (rollups.keys, rollups.meter_keys, rollups.sums, rollups.meters, rollups.queries) == (
        {},
        {},
        {},
        {},
        {},
    )
