"""States and totals in bytes: whole, with the entries that did not change kept as they were."""

import pytest

from aggregator.adapters.live_codec import (
    customer_key,
    decode_state,
    encode_state,
    encode_totals,
    partition_key,
    reached,
)
from aggregator.core.fold import Watched, apply, fresh
from pricing.calendar import zones
from pricing.totals import Row, Scope
from pricing.totals_record import entry_record, live_of
from schemas import codec
from schemas.models.live_customer import LiveCustomer
from schemas.models.running_totals import RunningTotals

ZONES = zones([])
CHAT: Scope = (("feature", "chat"),)
WATCHED = Watched(ZONES("+02:00"), [CHAT])
HOUR_US = 3_600_000_000


def row(bucket_us: int, cost: int | None, period_end_us: int = 10**15) -> Row:
    return Row(
        bucket_us,
        0,
        period_end_us,
        "USD",
        None,
        {"feature": "chat"},
        cost,
        None,
        1,
        0,
        1,
        {"input_tokens": 2},
    )


def test_a_state_comes_back_as_it_was_after_every_change() -> None:
    state = fresh("c", WATCHED)
    for seq, changed in enumerate((row(0, 5), row(0, None), row(HOUR_US, 3, 10**16), row(5 * HOUR_US, 3)), 1):
        apply(state, seq, seq, [changed], seq)
        value = encode_state(state)
        again = decode_state(value, ZONES)
        assert (again.customer_id, again.seq, again.since_seq, again.as_of_us) == ("c", seq, None, seq)
        assert (again.live, again.watched.hash) == (state.live, WATCHED.hash)
        assert encode_state(again) == value
        entries = [entry_record(key, sums) for key, sums in state.live.items()]
        totals = RunningTotals.from_avro(codec.decode("RunningTotals", encode_totals(state)))
        assert totals.to_avro()["entries"] == tuple(entries)
        assert (totals.as_of_seq, totals.zone, totals.watched) == (seq, "+02:00", WATCHED.hash)


def test_a_repairing_state_comes_back_and_has_no_totals() -> None:
    state = fresh("c", WATCHED)
    apply(state, 5, 6, [row(0, 5)], 1)
    apply(state, 7, 7, [row(0, 5)], 1)
    again = decode_state(encode_state(state), ZONES)
    assert (again.seq, again.since_seq, again.live) == (7, 6, state.live)
    assert LiveCustomer.from_avro(codec.decode("LiveCustomer", encode_state(state))).scopes == (
        {},
        {"feature": "chat"},
    )
    with pytest.raises(ValueError, match="repairing"):
        encode_totals(state)


def test_how_far_a_value_has_come_is_read_by_its_key() -> None:
    state = fresh("c", WATCHED)
    apply(state, 1, 700, [], 1)
    assert reached(customer_key("c"), encode_state(state)) == 700
    head = codec.encode("LivePartition", {"frame_no": 90, "partition": 3, "topic_id": "t"})
    assert reached(partition_key(3), head) == 90


def test_an_unknown_window_is_refused() -> None:
    state = fresh("c", WATCHED)
    apply(state, 1, 1, [row(0, 1)], 1)
    record = entry_record(*state.live.items()[0])
    with pytest.raises(ValueError, match="fortnight"):
        live_of([record | {"window": "fortnight"}])
