"""The chain of a customer's pools: each planted break is found, and what cannot be known is not guessed."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ledger.core.periods import PoolAt, period_key
from ledger.core.recomputed import Recomputed
from ledger.core.streams import Whole
from tests.unit.ledger.world import LEAVES, TIME_US, World, rating, sound

POOL = "card/pool"
KEY = ("a", POOL, TIME_US)
# Customer a's events in turn: 10 units each; 10, 20, 30 units cost 5, 8, 9 together.
AT = [PoolAt("0", "0", "USD"), PoolAt("10", "5", "USD"), PoolAt("20", "8", "USD"), PoolAt("30", "9", "USD")]
A_RECORDS = (0, 2, 3)  # where a's records stand in usage.rated


def told(at: PoolAt) -> dict[str, Any]:
    return {"pool": POOL, "quantity": at.quantity, "amount": at.amount, "currency": at.currency}


def before(at: PoolAt) -> dict[str, Any]:
    return told(at) | {"period": {"start_us": TIME_US, "end_us": TIME_US + 1}}


def after(at: PoolAt) -> dict[str, Any]:
    return told(at) | {"start_us": TIME_US, "end_us": TIME_US + 1}


def move(world: World, number: int, at: PoolAt, then: PoolAt | None) -> None:
    """a's record tells its pool at `at`; computed again, it leads to `then`."""
    offset = A_RECORDS[number]
    record = world.rated[offset]
    again = rating(number + 1) | {"pools_before": [before(at)]}
    world.rated[offset] = replace(record, rating=again)
    world.computed[offset] = Recomputed(again, LEAVES, {} if then is None else {(POOL, TIME_US): then})


def pooled() -> World:
    """The sound world, where customer a pays by a pool: 0 to 20 in frame 1, to 30 in frame 2."""
    world = sound()
    for number in range(3):
        move(world, number, AT[number], AT[number + 1])
    world.frames[0]["customers"][0]["pools"] = [after(AT[2])]
    world.frames[1]["customers"][0]["pools"] = [after(AT[3])]
    world.periods = {KEY: stored(AT[2], 1)}
    return world


def stored(at: PoolAt, frame_no: int) -> dict[str, Any]:
    return after(at) | {"customer_id": "a", "frame_no": frame_no}


def test_a_sound_chain_is_verified() -> None:
    assert pooled().found() == Counter()


def test_rater_state_may_hold_the_state_of_any_frame() -> None:
    world = pooled()
    world.periods = {KEY: stored(AT[3], 2)}
    assert world.found() == Counter()


def _state(world: World, at: PoolAt, frame_no: int) -> None:
    world.periods = {KEY: stored(at, frame_no)}


def _frame_pools(world: World, frame: int, pools: list[dict[str, Any]], customer: int = 0) -> None:
    world.frames[frame]["customers"][customer]["pools"] = pools


PLANTS: list[tuple[str, str, Callable[[World], Any]]] = [
    ("the first record begins elsewhere", "pool_chain", lambda w: move(w, 0, AT[1], AT[1])),
    ("a record within a frame repeats the one before", "pool_chain", lambda w: move(w, 1, AT[0], AT[2])),
    ("the first record of a frame does", "pool_chain", lambda w: move(w, 2, AT[1], AT[3])),
    ("another amount", "pool_chain", lambda w: move(w, 2, replace(AT[2], amount="8.5"), AT[3])),
    ("another currency", "pool_chain", lambda w: move(w, 2, replace(AT[2], currency="EUR"), AT[3])),
    ("a frame tells more", "pools", lambda w: _frame_pools(w, 1, [after(replace(AT[3], quantity="31"))])),
    ("a frame does not tell it", "pools", lambda w: _frame_pools(w, 1, [])),
    ("a frame tells another customer's", "pools", lambda w: _frame_pools(w, 1, [after(AT[3])], customer=2)),
    ("rater.state of the last frame", "state", lambda w: _state(w, AT[2], 2)),
    ("rater.state of an older frame", "state", lambda w: _state(w, AT[3], 1)),
    ("rater.state of a frame to come", "state_ahead", lambda w: _state(w, AT[3], 3)),
    ("no record in rater.state", "state_missing", lambda w: w.periods.clear()),
]


@pytest.mark.parametrize(("check", "plant"), [it[1:] for it in PLANTS], ids=[it[0] for it in PLANTS])
def test_a_break_is_found(check: str, plant: Callable[[World], Any]) -> None:
    world = pooled()
    plant(world)
    assert check in world.found()


def test_a_period_that_no_frame_tells_is_ahead() -> None:
    world = pooled()
    world.periods["a", "card/other", TIME_US] = stored(AT[1], 2) | {"pool": "card/other"}
    assert world.found() == Counter(state_ahead=1)


def test_where_a_record_cannot_be_computed_the_frame_says_how_to_go_on() -> None:
    """Its own finding is another check's; the chain does not break for it."""
    world = pooled()
    move(world, 1, AT[1], None)
    assert world.found() == Counter()


def test_after_retention_the_first_frame_is_taken_at_its_word() -> None:
    """Frame 1 is gone: record 3 may begin at 20, and rater.state of frame 1 cannot be compared."""
    world = pooled()
    world.whole = Whole(frames=False, rated=False, rejected=False)
    del world.frames[0], world.rejected[0]
    world.rated = [record for record in world.rated if record.offset > 2]
    world.inputs_first = 5
    found = world.found()
    assert not found.keys() & {"pool_chain", "pools", "state", "state_ahead"}


def test_frames_whose_records_are_gone_still_lead_the_chain() -> None:
    world = pooled()
    """The oldest record left is one of frame 1, so that frame 2 is the first that is whole."""
    move(world, 2, AT[1], AT[3])
    world.whole = Whole(frames=True, rated=False, rejected=True)
    world.rated = [record for record in world.rated if record.offset >= 2]
    found = world.found()
    assert found["pool_chain"] == 1


def test_the_key_tells_where_the_customer_ends() -> None:
    assert period_key(("a/b", "c/d", 7)) == b"p/3/a/b/c/d/7"
