"""Columns change how long the ledger takes and nothing else: the same rows, sums and bad records."""

from collections.abc import Sequence
from typing import Any

from hypothesis import event as seen_in
from hypothesis import given
from hypothesis import strategies as st

from ledger.adapters.intake import batch_of
from ledger.adapters.plain_rows import Made, PlainRows
from ledger.core.batch import Batch
from ledger.core.plain import PlainRow
from ledger.core.rollups import Amounts, DimensionsOf, QuerySums, Rollups, default_dimensions
from ledger.core.rows import BadRowError
from schemas.codec import CODEC
from tests.ledger_rows import line, negated, usd
from tests.property.odd_bytes import OddWriter

_NOW_MS = 1_795_000_000_000
_WHERE = ("rated", 0)
_rare = st.sampled_from([False] * 47 + [True])
_text = st.sampled_from(["a", "b", "", "long" * 15, "longer" * 40, "é", "\0", "tab\t", "back\\slash"])
_plain_text = st.sampled_from(["a", "b", "some-name"])
_amount = st.sampled_from(
    ["0", "0.5", "12", "0.000000000000000001", "-3.25", "10000", "123456789.987654321", "9" * 20 + ".1"]
)
_bad_amount = st.sampled_from(["", "x", "1e3", ".5", "5.", "--1", "٣", "0.0000000000000000001", "9" * 40])
_side = st.one_of(
    _amount.map(usd),
    st.just({"status": "unpriced", "amount": None, "currency": None}),
    st.just({"status": "included", "amount": None, "currency": "EUR"}),
)


def _words(draw: st.DrawFn) -> str:
    return draw(_text if draw(_rare) else _plain_text)


def _maybe(draw: st.DrawFn) -> str | None:
    return _words(draw) if draw(st.booleans()) else None


def _seldom(draw: st.DrawFn, often: list[Any], rarely: list[Any]) -> Any:
    return draw(st.sampled_from(rarely if draw(_rare) else often))


def _number(draw: st.DrawFn) -> str:
    return draw(_bad_amount if draw(_rare) else _amount)


def _line(draw: st.DrawFn) -> dict[str, Any]:
    meter = draw(st.sampled_from(["input_tokens", "output_tokens", "tier_adjustment", "queries"]))
    amount = None if draw(st.integers(0, 4)) == 0 else _number(draw)
    more = {"status": "included"} if draw(_rare) else {}
    why = draw(st.sampled_from(["no card", "why" * 40, ""]))
    return line(draw(st.sampled_from(["cost", "price"])), meter, _number(draw), amount, explain=why, **more)


@st.composite
def _records(draw: st.DrawFn) -> dict[str, Any]:
    names = (
        *("query_id", "parent_event_id", "project", "user_id", "product", "feature", "requested_model"),
        *("served_model", "billed_model", "region", "endpoint", "provider_request_id", "quality_tier"),
    )
    money = {"amount": "1", "currency": "USD"}
    candidate = {"provider": "p", "model": "m", "estimated_cost": draw(st.sampled_from([None, money]))}
    routing = {
        **dict.fromkeys(("policy", "chosen_provider", "chosen_model", "fallback_of")),
        "router": "r",
        "reason": draw(st.sampled_from([None, "r" * 100])),
        "candidates": [candidate] * draw(st.integers(0, 2)),
    }
    tags = [("k", "v"), ("l", "w" * 70)][: _seldom(draw, [0, 1], [2])]
    event = {
        "customer_id": _words(draw),
        "source": _words(draw),
        "event_id": f"e{draw(st.integers(0, 99))}",
        "event_time_us": _seldom(
            draw,
            [_NOW_MS * 1000, _NOW_MS * 1000 + 900_000_001],
            [0, -5, -_NOW_MS * 1000, 253_399_622_400_000_000],
        ),
        **{name: _maybe(draw) for name in names},
        "attempt": _seldom(draw, [None, 1, 2, 63], [0, 64, -1]),
        "provider": _words(draw),
        "usage_semantics": "inclusive",
        "usage": {"input_tokens": "1"},
        "provider_cost": draw(st.sampled_from([None, money])),
        "routing": draw(st.sampled_from([None, routing])),
        "tags": dict(tags),
        "compliance_tags": ["x"] * draw(st.integers(0, 2)),
    }
    period = {"start_us": 1_793_491_200_000_000, "end_us": 1_796_083_200_000_000}
    pool = {"pool": "p", "period": period, "quantity": "1", "amount": "2", "currency": "USD"}
    reversed_ = draw(_rare)
    rating = {
        "customer_seq": _seldom(draw, [1, 2, 63, 64, 10_000, 2**33], [2**40, 0, -1]),
        "leg": "reversal" if reversed_ else "original",
        "revision": int(reversed_),
        "correction_id": "c-1" if reversed_ else None,
        "book_version": draw(st.sampled_from([1, 2, 70])),
        "book_hash": "ab" * 32,
        "service_period": period,
        "pools_before": [pool] * draw(st.sampled_from([0, 0, 0, 1, 2])),
        "cost": draw(_side),
        "price": draw(_side),
        "lines": [_line(draw) for _ in range(_seldom(draw, [0, 1, 2, 2, 4], [17]))],
        "plan": _maybe(draw),
    }
    if draw(_rare):
        rating["cost"] = usd(negated(_number(draw)))
    return {"event": event, "rating": rating}


@st.composite
def _values(draw: st.DrawFn) -> bytes | None:
    record = CODEC.decode("RatedUsage", CODEC.encode("RatedUsage", draw(_records())))
    value = CODEC.encode("RatedUsage", record)
    if draw(_rare):
        value = OddWriter(draw(st.randoms(use_true_random=False))).record("RatedUsage", record)
    if draw(_rare):
        at = draw(st.integers(0, len(value) - 1))
        # No byte that is no text: what is passed over is not looked at.
        other = bytes([draw(st.integers(0, 127))])
        mutated = [None, b"", value[:at], value + b"\0", value[:at] + other + value[at + 1 :]]
        return draw(st.sampled_from(mutated))
    return value


class _Message:
    def __init__(self, offset: int, value: bytes | None) -> None:
        self._offset, self._value = offset, value

    def topic(self) -> str:
        return _WHERE[0]

    def partition(self) -> int:
        return _WHERE[1]

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 2, _NOW_MS + self._offset

    def value(self) -> bytes | None:
        return self._value


class _None(PlainRows):
    """Takes no record: all go row by row."""

    def read(self, found: Sequence[Any]) -> list[Made | None]:
        return [None] * len(found)


def _summed(batch: Batch, dimensions_of: DimensionsOf) -> tuple[dict[int, str], Any]:
    rollups, refused = Rollups(dimensions_of), {}
    for index, (row, record) in enumerate(zip(batch.rated, batch.records, strict=True)):
        try:
            if isinstance(row, PlainRow):
                rollups.add_plain(row)
            else:
                assert record is not None
                rollups.add(row, record)
        except BadRowError as error:
            refused[index] = str(error)
    told = [rollups.keys, rollups.meter_keys, rollups.first_seqs, rollups.periods]
    sums: list[dict[Any, Any]] = [rollups.sums, rollups.meters, rollups.queries]
    return refused, (told, [{place: _slots(held) for place, held in some.items()} for some in sums])


def _slots(held: Amounts | QuerySums) -> dict[str, int]:
    return {name: getattr(held, name) for name in held.__slots__}


def _by_user(event: Any, version: int) -> Any:
    return (*default_dimensions(event, version), ("user_id", event["user_id"]), ("region", event["region"]))


@given(st.lists(_values(), max_size=8), st.sampled_from([default_dimensions, _by_user]))
def test_plain_rows_are_what_records_say(values: list[bytes | None], dimensions_of: DimensionsOf) -> None:
    messages = [_Message(offset, value) for offset, value in enumerate(values * 2)]
    rows = batch_of(messages, {_WHERE: 0}, _WHERE[0], _None())
    columns = batch_of(messages, {_WHERE: 0}, _WHERE[0], PlainRows())
    assert columns.lines == rows.lines
    assert columns.bad == rows.bad
    assert (columns.days, columns.after) == (rows.days, rows.after)
    assert _summed(columns, dimensions_of) == _summed(rows, dimensions_of)
    seen_in(f"some plain: {any(isinstance(row, PlainRow) for row in columns.rated)}")
    seen_in(f"some not: {not all(isinstance(row, PlainRow) for row in columns.rated)}")
    seen_in(f"some bad: {bool(columns.bad)}")
