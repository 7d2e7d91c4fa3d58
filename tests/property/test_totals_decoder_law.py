"""Reading a customer's totals by hand changes how long the guard takes and nothing else."""

from random import Random
from typing import Any

import pytest
from hypothesis import event as seen_in
from hypothesis import given
from hypothesis import strategies as st

from budget_guard.adapters.batches import TotalsBatches
from budget_guard.adapters.wire import TotalsDecoder, decode_totals
from budget_guard.core.firings import Totals
from schemas import plain_totals
from schemas.codec import CODEC
from schemas.entries import entry_body, entry_head
from schemas.errors import WireError
from schemas.plain_totals import EntryReader, NotPlain
from tests.property.odd_bytes import OddWriter

_longs = st.sampled_from([0, 1, 63, 64, -1, -64, 1_795_000_000_000_000, 2**62, 2**63 - 1, -(2**63)])
_texts = st.sampled_from(["", "chat", "model", "é", "x" * 63, "y" * 64, "z" * 200])
_numbers = st.sampled_from(["0", "12.5", "-3", "9" * 40 + ".5", "1" * 70, "0.000000000000000001"])
_rare_numbers = st.sampled_from(["", "1e3", "abc", "٣", "1.0000000000000000001"])
_number = st.integers(0, 499).flatmap(lambda turn: _rare_numbers if turn == 321 else _numbers)
_entry = st.fixed_dictionaries(
    {
        "window": st.sampled_from(["hour", "day", "lifetime", "w" * 70]),
        "start_us": _longs,
        "end_us": st.none() | _longs,
        "scope": st.dictionaries(_texts, _texts, max_size=2),
        "cost_currency": st.sampled_from([None, "USD", "EUR"]),
        "price_currency": st.sampled_from([None, "USD", "c" * 64]),
        "cost": st.none() | _number,
        "price": st.none() | _number,
        "events": _longs,
        "unpriced_cost_events": _longs,
        "unpriced_price_events": _longs,
        "quantities": st.dictionaries(_texts, _number, max_size=3),
    }
)
_record = st.fixed_dictionaries(
    {
        "customer_id": st.sampled_from(["acme", "zeta"]),
        "as_of_seq": st.integers(1, 3),
        "as_of_us": _longs,
        "zone": _texts,
        "watched": _texts,
        "entries": st.lists(_entry, max_size=4) | st.lists(_entry, min_size=64, max_size=70),
    }
)


def _said(decode: Any, value: bytes) -> Totals | str:
    try:
        totals: Totals = decode(value)
    except ValueError as error:
        return f"{type(error).__name__}: {error}"
    return totals


@given(st.lists(_record, min_size=1, max_size=4), st.randoms(use_true_random=False), st.data())
def test_totals_read_by_hand_are_those_of_the_schema(
    records: list[dict[str, Any]], random: Random, data: st.DataObject
) -> None:
    decoder = TotalsDecoder()
    for record in records:
        how = data.draw(st.sampled_from(["plain", "odd", "damaged"]))
        value = CODEC.encode("RunningTotals", record)
        if how == "odd":
            value = OddWriter(random).record("RunningTotals", record)
        elif how == "damaged":
            at = random.randrange(len(value))
            value = random.choice(
                (
                    value[:at],
                    value + value[at:],
                    value[:at] + bytes([value[at] ^ 1 << random.randrange(8)]) + value[at + 1 :],
                    value[:at] + random.randbytes(random.randrange(4)) + value[at:],
                )
            )
        said = _said(decoder.decode, value)
        assert said == _said(decode_totals, value)
        seen_in(f"{how}: {'read' if isinstance(said, Totals) else 'refused'}")


@given(st.lists(_record, max_size=6))
def test_a_batch_is_the_newest_of_each_customer(records: list[dict[str, Any]]) -> None:
    values = [CODEC.encode("RunningTotals", record) for record in records]
    batch = TotalsBatches("totals").of([_Message(offset, value) for offset, value in enumerate(values)])
    newest: dict[str, Totals] = {}
    readable: dict[str, None] = {}
    for record, value in zip(records, values, strict=True):
        customer = record["customer_id"]
        readable.setdefault(customer)
        said = _said(decode_totals, value)
        before = newest.get(customer)
        if isinstance(said, Totals) and (before is None or said.as_of_seq >= before.as_of_seq):
            newest[customer] = said
    assert batch.totals == [newest[customer] for customer in readable if customer in newest]
    assert batch.positions == ({("totals", 0): len(values)} if values else {})


def test_what_the_aggregator_writes_is_read_by_hand() -> None:
    entry = {
        "window": "hour",
        "start_us": 3_600_000_000,
        "end_us": 7_200_000_000,
        "scope": {"feature": "chat"},
        "cost_currency": "USD",
        "price_currency": None,
        "cost": "1.5",
        "price": None,
        "events": 5_000,
        "unpriced_cost_events": 0,
        "unpriced_price_events": 70,
        "quantities": {"images": "3"},
    }
    record = {
        "customer_id": "acme",
        "as_of_seq": 9,
        "as_of_us": 5,
        "zone": "UTC",
        "watched": "w",
        "entries": [entry] * 100,
    }
    value = CODEC.encode("RunningTotals", record)
    _, at = CODEC.read_head("RunningTotals", value)
    reader = EntryReader(lambda head: (head["window"], head["scope"]), bytes.decode)
    assert (
        reader.read(value, at)
        == [(("hour", {"feature": "chat"}), "1.5", None, 5_000, 0, 70, {"images": "3"})] * 100
    )


def test_where_heads_are_always_new_the_codec_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_totals, "_KNOWN_MAX", 20)
    monkeypatch.setattr(plain_totals, "_LEFT_TO_CODEC", 3)
    names = [f"tenant-{number}" for number in range(300)]
    reader = EntryReader(lambda head: head["scope"]["tenant"], bytes.decode)
    found = []
    for name in names:
        try:
            found += [entry[0] for entry in reader.read(_entries({"tenant": name}), 0)]
        except NotPlain:
            found.append("left")
    assert found[:25] == [*names[:22], "left", "left", "left"]
    assert all(one in ("left", name) for one, name in zip(found, names, strict=True))
    assert found.count("left") < 50
    # Where they are known again, it reads on.
    again = [reader.read(_entries({"tenant": "t"}), 0) for _ in range(60) if not reader._left]
    assert len(again) >= 50


def _entries(scope: dict[str, str]) -> bytes:
    head = {"window": "hour", "start_us": 0, "end_us": 1, "cost_currency": None, "price_currency": None}
    return b"\2" + entry_body(entry_head(head | {"scope": scope}), None, None, (1, 0, 0), {}) + b"\0"


@pytest.mark.parametrize("rest", [b"", b"\0\0", b"\2", b"\x01\0", b"\x80\0", b"\x80\0\x80\0\0"])
def test_bytes_that_are_no_whole_array_are_left_to_the_codec(rest: bytes) -> None:
    with pytest.raises(NotPlain):
        EntryReader(lambda head: head, bytes.decode).read(rest, 0)


@pytest.mark.parametrize(
    "value", [b"", b"x" * 20, b"\xc3\x01" * 8, CODEC.fingerprint("RunningTotals") + b"\x80"]
)
def test_a_value_of_something_else_has_no_head(value: bytes) -> None:
    with pytest.raises(WireError):
        TotalsDecoder().head(value)


class _Message:
    def __init__(self, offset: int, value: bytes) -> None:
        self._offset, self._value = offset, value

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return self._value
