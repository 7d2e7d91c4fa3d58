"""What a frame does to a customer's state: numbers decide, and a gap is closed by the ledger."""

from typing import Any

import pytest

from aggregator.core.fold import (
    CustomerState,
    Outcome,
    Watched,
    apply,
    behind,
    fresh,
    must_rebuild,
    rebuild,
    repaired,
)
from aggregator.core.frame_rows import rows_of
from pricing.calendar import zones
from pricing.totals import Live, Row

ZONES = zones([])
WATCHED = Watched(ZONES("UTC"), [(("feature", "chat"),)])


def row(cost: int) -> Row:
    return Row(0, 0, 10**12, "USD", "USD", {"feature": "chat"}, cost, cost, 1, 0, 0, {})


def deliver(state: CustomerState, first_seq: int, last_seq: int) -> Outcome:
    """A frame whose record n costs 2**n."""
    return apply(
        state, first_seq, last_seq, [row(2**seq) for seq in range(first_seq, last_seq + 1)], last_seq
    )


def ledger(until_seq: int) -> Live:
    live = Live()
    live.fold([row(2**seq) for seq in range(1, until_seq + 1)], WATCHED.zone, WATCHED.scopes)
    return live


def test_the_next_is_folded_and_what_is_known_changes_nothing() -> None:
    state = fresh("c", WATCHED)
    assert deliver(state, 1, 2) is Outcome.FOLDED
    assert deliver(state, 3, 3) is Outcome.FOLDED
    assert deliver(state, 1, 2) is Outcome.DUPLICATE
    assert deliver(state, 3, 3) is Outcome.DUPLICATE
    assert (state.seq, state.since_seq, state.as_of_us, state.live) == (3, None, 3, ledger(3))


def test_a_gap_is_repaired_by_the_ledger_at_its_frame_and_what_came_since() -> None:
    state = fresh("c", WATCHED)
    deliver(state, 1, 2)
    assert deliver(state, 4, 5) is Outcome.GAP
    assert (state.seq, state.since_seq) == (5, 5)
    assert deliver(state, 4, 5) is Outcome.DUPLICATE
    assert deliver(state, 6, 7) is Outcome.WHILE_REPAIRING
    assert not repaired(state, 4, ledger(4), WATCHED.hash)
    assert not repaired(state, 7, ledger(7), WATCHED.hash)
    assert state.repairing
    assert repaired(state, 5, ledger(5), WATCHED.hash)
    assert (state.seq, state.since_seq, state.live) == (7, None, ledger(7))
    assert not repaired(state, 5, ledger(5), WATCHED.hash)


def test_a_new_gap_while_repairing_fixes_a_new_sequence() -> None:
    state = fresh("c", WATCHED)
    deliver(state, 3, 3)
    deliver(state, 4, 4)
    assert deliver(state, 6, 6) is Outcome.GAP
    assert not repaired(state, 3, ledger(3), WATCHED.hash)
    deliver(state, 7, 7)
    assert repaired(state, 6, ledger(6), WATCHED.hash)
    assert state.live == ledger(7)


def test_a_frame_that_repeats_some_and_adds_others_cannot_be_split() -> None:
    state = fresh("c", WATCHED)
    deliver(state, 1, 2)
    assert deliver(state, 2, 3) is Outcome.GAP
    assert (state.since_seq, state.live) == (3, Live())


def test_a_customer_that_begins_later_than_1_is_a_gap() -> None:
    state = fresh("c", WATCHED)
    assert deliver(state, 2, 2) is Outcome.GAP


def test_a_ledger_that_is_further_marks_the_customer() -> None:
    state = fresh("c", WATCHED)
    deliver(state, 1, 3)
    assert not behind(state, 3)
    assert behind(state, 5)
    assert not behind(state, 5)
    assert deliver(state, 4, 5) is Outcome.DUPLICATE
    assert deliver(state, 6, 6) is Outcome.WHILE_REPAIRING
    assert behind(state, 8)
    assert (state.seq, state.since_seq, state.live) == (8, 8, Live())


def test_other_scopes_are_rebuilt_from_the_ledger() -> None:
    state = fresh("c", WATCHED)
    deliver(state, 1, 3)
    other = Watched(ZONES("+02:00"), [])
    assert not must_rebuild(state, Watched(ZONES("UTC"), [(("feature", "chat"),), ()]))
    assert must_rebuild(state, other)
    rebuild(state, other)
    assert (state.watched, state.since_seq) == (other, 3)
    assert not repaired(state, 3, ledger(3), WATCHED.hash)  # read for what was watched before
    assert repaired(state, 3, Live(), other.hash)


def test_there_is_nothing_to_rebuild_of_a_customer_without_records() -> None:
    state = fresh("c", WATCHED)
    rebuild(state, Watched(ZONES("UTC"), []))
    assert deliver(state, 1, 1) is Outcome.FOLDED


DELTA_ROW: dict[str, Any] = {
    "bucket_us": 0, "period_start_us": 1, "period_end_us": 2, "cost_currency": "USD", "price_currency": None,
    "dimensions": ["chat", None], "cost": "-0.5", "price": None, "events": -1, "unpriced_cost_events": 0,
    "unpriced_price_events": 3, "quantities": {"input_tokens": "-12"},
}  # fmt: skip


def test_rows_of_a_frame() -> None:
    assert rows_of(["feature", "product"], [DELTA_ROW]) == [
        Row(
            0, 1, 2, "USD", None, (("feature", "chat"), ("product", None)), -(10**18) // 2, None, -1, 0, 3,
            {"input_tokens": -12 * 10**18},
        )
    ]  # fmt: skip
    with pytest.raises(ValueError, match="zip"):
        rows_of(["feature"], [DELTA_ROW])
    with pytest.raises(ValueError, match="plain decimal"):
        rows_of(["feature", "product"], [DELTA_ROW | {"cost": "1e5"}])
