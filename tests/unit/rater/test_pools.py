"""Period quantities through a batch: each event goes on where the one before it left its customer's pools."""

from typing import Any

import pytest

from pricing.rate import Pools
from rater.core.frames import effects_of_record, effects_of_result, frame_record
from rater.core.work import BatchResult, Event, PoolCurrencyError, RatedEvent, Record
from schemas.codec import CODEC
from tests.unit.rater.fakes import RamMemory, event, reasons, record, run, tools, value_of
from tests.unit.rater.pooled import POOL, START_US, TOOLS, rate, state


def said(number: int, quantity: int, customer: str = "c", **usage: Any) -> Record:
    return record(number, event(number, customer, usage={"a": str(quantity)} | usage))


def rated(*records: Record, memory: RamMemory | None = None) -> BatchResult:
    return run(records, memory=memory, tools=TOOLS)


def told(result: BatchResult) -> list[str]:
    """What each record in turn says of its pools before it: quantity:amount."""
    return [value.decode().rsplit("#", 1)[0] for _, value in result.rated]


def test_events_of_one_batch_continue_each_other_each_customer_apart() -> None:
    """2 then 3 of c: 0:0, then 2:4. d begins at 0. Then c stands at 5:25."""
    result = rated(said(0, 2), said(1, 3), said(2, 7, "d"), said(3, 1))
    assert told(result) == ["0:0", "2:4", "0:0", "5:25"]
    assert result.periods == {("c", POOL, START_US): state(6, 36), ("d", POOL, START_US): state(7, 49)}


def test_the_next_batch_goes_on_where_the_last_one_was_committed() -> None:
    memory = RamMemory()
    memory.apply(effects_of_result(rated(said(0, 2), memory=memory)))
    thrown_away = rated(said(1, 100), memory=memory)
    assert told(thrown_away) == ["2:4"]
    assert told(rated(said(1, 3), said(2, 1), memory=memory)) == ["2:4", "5:25"]


def test_pools_of_one_event_stand_apart() -> None:
    result = rated(said(0, 2, pools="x/a x/b"), said(1, 3, pools="x/b"), said(2, 1, pools="x/a x/b"))
    assert told(result) == ["0:0 0:0", "2:4", "2:4 5:25"]


def test_rejected_and_repeated_events_move_no_pool() -> None:
    """Refused before the price, within it (whose pools were asked for by then), repeated, in conflict."""
    wrong_key = said(2, 50)._replace(key=b"d")
    repeated = said(0, 2)._replace(offset=3)
    conflict = record(4, event(0, usage={"a": "9"}))
    result = rated(said(0, 2), said(1, 50, bad="1"), wrong_key, repeated, conflict, said(5, 3))
    assert reasons(result) == [(1, "bad_quantity"), (2, "misrouted"), (4, "id_conflict")]
    assert told(result) == ["0:0", "2:4"]
    assert result.periods == {("c", POOL, START_US): state(5, 25)}


def test_a_batch_that_moves_no_pool_has_none() -> None:
    assert run([said(0, 1)]).periods == {}
    assert rated(said(0, 1, bad="1")).periods == {}


def test_a_frame_tells_pools_as_they_stand_after_it_sorted() -> None:
    result = rated(said(0, 2, pools="x/b x/a"), said(1, 3, pools="x/b"))
    frame = CODEC.decode("DeltaFrame", CODEC.encode("DeltaFrame", frame_record(result, "p", "b")))
    period = {"start_us": START_US, "end_us": state(0, 0).end_us, "currency": "USD"}
    assert frame["customers"][0]["pools"] == [
        {"pool": "x/a", "quantity": "2", "amount": "4"} | period,
        {"pool": "x/b", "quantity": "5", "amount": "25"} | period,
    ]
    assert effects_of_record(frame).periods == effects_of_result(result).periods == result.periods


def test_a_negative_amount_comes_back_from_a_frame() -> None:
    """A volume price that falls, or a void, may leave less than nothing."""
    result = rated(said(0, 2))
    result.customers["c"].pools[POOL, START_US] = state(2, -3)
    assert effects_of_record(frame_record(result, "p", "b")).periods == result.periods


@pytest.mark.parametrize("apart", [False, True])
def test_a_pool_that_changes_its_currency_within_a_period_stops(*, apart: bool) -> None:
    """What the period has paid in USD is no part of a price in EUR."""
    memory = RamMemory()
    records = [said(0, 2)]
    if apart:
        memory.apply(effects_of_result(rated(*records, memory=memory)))
        records = []

    def in_euro(event: Event, value: bytes, pools: Pools) -> RatedEvent:
        made = rate(event, value, pools)
        if event["event_id"] == "e0":
            return made
        before = tuple(it._replace(currency="EUR") for it in made.rating.pools_before)
        return made._replace(rating=made.rating._replace(pools_before=before))

    with pytest.raises(PoolCurrencyError, match="in USD, version 7 of the rate book says EUR"):
        run([*records, said(1, 3)], memory=memory, tools=tools(rate=in_euro))


def test_the_bytes_of_a_repeat_differ_but_its_pools_do_not() -> None:
    memory = RamMemory()
    memory.apply(effects_of_result(rated(said(0, 2), memory=memory)))
    memory.values = {0: value_of(event(0, usage={"a": "2"}))}
    again = record(1, event(0, usage={"a": "2"}))._replace(
        value=value_of(event(0, usage={"a": "2"}), "other")
    )
    result = rated(again, said(2, 3), memory=memory)
    assert len(result.duplicates) == 1
    assert told(result) == ["2:4"]
