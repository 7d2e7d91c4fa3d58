"""Columns change how long a batch takes and nothing else: same bytes, same verdicts, same sums."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from random import Random
from typing import Any

from hypothesis import event as seen_in
from hypothesis import given
from hypothesis import strategies as st

from pricing.cards import (
    Assignment,
    BookContent,
    CardVersion,
    Cell,
    ContextKey,
    Contract,
    Pool,
    PoolVersion,
    PriceCard,
    Rate,
    RateCard,
    Step,
    Thresholds,
    Tier,
    Variant,
)
from pricing.compile import compile_book
from rate_book.source import Confirmed
from rater.adapters.frame_bytes import encode_frame
from rater.adapters.outputs import rejected_output
from rater.adapters.rating import tools_for
from rater.core.batch import PartitionBatch
from rater.core.frames import effects_of_result, frame_record
from rater.core.work import BatchResult, Record, Tools
from schemas.codec import CODEC
from tests.property.odd_bytes import OddWriter
from tests.unit.rater.fakes import DAY_US, NOW_US, WINDOWS, RamMemory

_M = "1000000"
_HOUR_US = 3_600_000_000
_METERS = ("input_tokens", "cache_read_tokens", "output_tokens")
_FIELDS = CODEC.schema("UsageEvent")["fields"]


def _cell(first: str, second: str, third: str) -> Cell:
    def rates(factor: int) -> tuple[Rate, ...]:
        return tuple(
            Rate(meter, str(factor * int(rate)), _M)
            for meter, rate in zip(_METERS, (first, second, third), strict=True)
        )

    return Cell(rates(1), Thresholds((Step("5000", rates(2)),)))


def _card(card_id: str, *more: Rate, **version: Any) -> RateCard:
    base = _cell("30", "2", "70")
    cell = Cell((*base.rates, *more), base.thresholds) if more else base
    cut_us = NOW_US - _HOUR_US
    context = (ContextKey("tier", ("low", "high"), "low"), *version.pop("context", ()))
    variants = (Variant((("tier", "high"),), _cell("60", "4", "140")), *version.pop("variants", ()))
    early = CardVersion(_cell("11", "3", "7"), None, cut_us)
    return RateCard(
        card_id,
        "acme",
        "USD",
        (early, CardVersion(cell, cut_us, None, context, variants, **version)),
        models=("one", "two"),
    )


def _book(*, reading: bool) -> BookContent:
    """Plain prices by time, context and threshold; a pool, rounding; with `reading`, attributes as well."""
    more: dict[str, Any] = {}
    if reading:
        tag = ContextKey("event.tag.t", ("x", "y"), "x")
        more = {
            "context": (tag, ContextKey("event.user_id", ("u", "v"), "u")),
            "variants": (
                Variant((("event.tag.t", "y"),), _cell("9", "9", "9")),
                Variant((("event.user_id", "v"),), _cell("8", "8", "8")),
            ),
            "included": ("images",),
        }
    pooled = Rate("output_tokens", pool="p")
    tiers = PoolVersion("graduated", (Tier("0", "0.01"), Tier("700", "0.007")))
    pool_card = RateCard("pool/one", "acme", "USD", (CardVersion(Cell((pooled,))),), ("one", "two"))
    return BookContent(
        (_card("acme/one", Rate("web_searches", "0.1"), Rate("requests", "0.003")),),
        (
            PriceCard("list", (_card("list/one", Rate("web_searches", "0.5", minimum="3"), **more),)),
            PriceCard("pools", (pool_card,), (Pool("p", "USD", (tiers,)),)),
        ),
        (Contract("standard", "USD", ("list",)), Contract("graduated", "USD", ("pools",))),
        (
            Assignment("a", "standard"),
            Assignment("b", "standard", None, NOW_US - 2 * DAY_US - 1),
            Assignment("c", "graduated"),
        ),
        dimensions=("model", "product", "user_id") if reading else ("model", "product"),
    )


TOOLS = tuple(
    tools_for(
        Confirmed(compile_book(_book(reading=reading), 3, "hash"), NOW_US, DAY_US),
        lambda key: 1 if key == b"d" else 0,
    )
    for reading in (False, True)
)

_rare = st.integers(0, 9).map(lambda number: number == 5)
_texts = st.sampled_from(["", "x", "y", "\0", "é", "u" * 63, "u" * 64, "u" * 300])
_some_text = st.one_of(st.none(), st.sampled_from(["x", "y", "some-id"]))


def _seldom(often: st.SearchStrategy[Any], seldom: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return _rare.flatmap(lambda rare: seldom if rare else often)


_counts = _seldom(
    st.sampled_from(["0", "7", "1000", "4999", "5001", "123456789"]),
    st.sampled_from(["1.5", "-1", "", " 1", "1_0", "007", "9" * 18, "9" * 19, "9" * 20, "٣", "x"]),
)
_usages = st.fixed_dictionaries(
    {"input_tokens": _counts, "output_tokens": _counts},
    optional={"cache_read_tokens": st.sampled_from(["0", "3", "1000"]), "queries": st.just("1")},
)
_odd_usages = st.dictionaries(
    st.sampled_from([*_METERS, "web_searches", "requests", "unheard", ""]), _counts, max_size=6
)
_money = st.fixed_dictionaries({"amount": st.sampled_from(["1.5", "x"]), "currency": st.just("USD")})
_routing: dict[str, Any] = {
    "router": "r",
    "policy": None,
    "reason": None,
    "candidates": [],
    "chosen_provider": None,
    "chosen_model": None,
    "fallback_of": None,
}
_events = st.fixed_dictionaries(
    {
        "customer_id": st.sampled_from(["a", "a", "a", "b", "c", "d"]),
        "source": st.sampled_from(["s", "s", "s2"]),
        "event_id": _seldom(st.integers(0, 30).map("e{}".format), _texts),
        "event_time_us": _seldom(
            st.sampled_from(
                [NOW_US, NOW_US - _HOUR_US, NOW_US - _HOUR_US - 1, NOW_US - 2 * DAY_US, NOW_US - 20 * DAY_US]
            ),
            st.sampled_from([0, -5, NOW_US + 299_000_000, NOW_US + 301_000_000, NOW_US - 36 * DAY_US, 2**60]),
        ),
        "provider": _seldom(st.just("acme"), st.sampled_from(["other", ""])),
        "requested_model": _seldom(st.just("one"), st.sampled_from(["three", "", None, "x" * 70])),
        "usage_semantics": _seldom(st.just("inclusive"), st.just("exclusive")),
        "usage": _seldom(_usages, _odd_usages),
    },
    optional={
        "query_id": _seldom(_some_text, _texts),
        "parent_event_id": _seldom(_some_text, _texts),
        "attempt": _seldom(st.sampled_from([None, 1, 2]), st.sampled_from([0, -1, 64, 100])),
        "user_id": _seldom(st.sampled_from([None, "u", "v"]), _texts),
        "product": _seldom(st.sampled_from([None, "chat"]), _texts),
        "billed_model": _seldom(st.none(), st.sampled_from(["two", "three"])),
        "region": _seldom(st.none(), _texts),
        "provider_request_id": _seldom(_some_text, _texts),
        "context": _seldom(
            st.sampled_from([{}, {"tier": "low"}, {"tier": "high"}]),
            st.dictionaries(_seldom(st.just("tier"), st.sampled_from(["region", "z"])), _texts, max_size=3),
        ),
        "status": st.sampled_from(["ok", "error"]),
        "provider_cost": _seldom(st.none(), _money),
        "compliance_tags": _seldom(st.just([]), st.lists(_texts, max_size=20)),
        "routing": _seldom(st.none(), st.just(_routing)),
        "tags": _seldom(
            st.sampled_from([{}, {"t": "x"}, {"t": "y", "other": "1"}]),
            st.dictionaries(_texts, _texts, max_size=3),
        ),
    },
)


_Drawn = tuple[bytes, bytes | None, int | None]


def _whole(said: Mapping[str, Any]) -> dict[str, Any]:
    return {field["name"]: said.get(field["name"], field.get("default")) for field in _FIELDS}


@st.composite
def _batches(draw: st.DrawFn) -> list[list[_Drawn]]:
    """Batches of key, value, first append time; some say again what was said before, in other bytes."""
    said: list[dict[str, Any]] = []
    batches: list[list[_Drawn]] = []
    for size in draw(st.lists(st.integers(1, 25), min_size=1, max_size=4)):
        batches.append([])
        for _ in range(size):
            again = bool(said) and draw(_rare)
            said.append(draw(st.sampled_from(said)) if again else draw(_events))
            batches[-1].append(draw(_records(said[-1])))
    return batches


@st.composite
def _records(draw: st.DrawFn, said: dict[str, Any]) -> _Drawn:
    """Key, value, first append time."""
    value: bytes | None = CODEC.encode("UsageEvent", _whole(said))
    if draw(_rare):
        value = OddWriter(draw(st.randoms(use_true_random=False))).event(_whole(said))
    key, first = said["customer_id"].encode(), None
    if draw(_rare) and value is not None:
        at = draw(st.integers(0, len(value) - 1))
        value = draw(
            st.sampled_from(
                [
                    None,
                    b"",
                    value[:at],
                    value + b"\0",
                    value[:at] + bytes([draw(st.integers(0, 255))]) + value[at + 1 :],
                    b"\xc3\x01" + bytes(8) + value[10:],
                ]
            )
        )
    if draw(_rare):
        key, first = draw(st.sampled_from([(b"z", None), (key, NOW_US - DAY_US), (key, NOW_US)]))
    return key, value, first


def _run(
    batches: Sequence[Sequence[Record]], tools: Tools, commands: Sequence[Sequence[Record]] = ()
) -> list[BatchResult]:
    memory, results = RamMemory(), []
    for records, corrections in zip_longest(batches, commands, fillvalue=()):
        batch = PartitionBatch(0, memory.head, WINDOWS, memory, tools)
        result = batch.run(records, corrections, "usage.events", "usage.corrections")
        memory.apply(effects_of_result(result))
        memory.values.update((record.offset, record.value) for record in records)
        results.append(result)
        if result.paused_at is not None:
            break
    return results


def _commands(results: Sequence[BatchResult], chosen: Random) -> list[list[Record]]:
    """Corrections, in its own batch, of some of what each batch has rated."""
    offset, batches = 0, []
    for result in results:
        some = chosen.sample(result.rated, min(len(result.rated), chosen.randrange(3)))
        batches.append([_command(offset + i, value, chosen) for i, (_, value) in enumerate(some)])
        offset += len(some)
    return batches


def _command(offset: int, value: bytes, chosen: Random) -> Record:
    event = CODEC.decode("RatedUsage", value)["event"]
    command = chosen.choice(["void", "amend", "rerate"])
    amended = event | {"usage": {"input_tokens": "2000"}}
    said = {
        "correction_id": f"c{offset}",
        "customer_id": event["customer_id"],
        "target": {"source": event["source"], "event_id": event["event_id"], "expected_revision": 0},
        "command": command,
        "reason": "test",
        "author": "tester",
        "book_version": 3 if command == "rerate" else None,
        "amended_event": CODEC.encode("UsageEvent", amended) if command == "amend" else None,
        "target_record": value,
        "position": {"partition": 0, "offset": 0},
        "run_id": None,
        "closes": [],
    }
    return Record(offset, NOW_US + 1000, event["customer_id"].encode(), CODEC.encode("Correction", said))


@given(_batches(), st.sampled_from(TOOLS), st.randoms(use_true_random=False))
def test_columns_write_what_rows_do(drawn: list[list[_Drawn]], tools: Tools, chosen: Random) -> None:
    offset, batches = 0, []
    for some in drawn:
        batches.append(
            [
                Record(offset + i, NOW_US + offset, key, value, first)
                for i, (key, value, first) in enumerate(some)
            ]
        )
        offset += len(some)
    only_rows = replace(tools, columns=None)
    commands = _commands(_run(batches, only_rows), chosen)
    by_rows = _run(batches, only_rows, commands)
    by_columns = _run(batches, tools, commands)
    for rows, columns in zip(by_rows, by_columns, strict=True):
        assert columns.rated == rows.rated
        assert columns.rejected == rows.rejected
        assert list(map(_rejected, columns.rejected)) == list(map(_rejected, rows.rejected))
        assert effects_of_result(columns) == effects_of_result(rows)
        assert (columns.paused_at, columns.correction_paused_at) == (
            rows.paused_at,
            rows.correction_paused_at,
        )
        assert encode_frame(columns, "p", "b") == CODEC.encode("DeltaFrame", frame_record(rows, "p", "b"))
        seen_in(f"some rated: {bool(rows.rated)}, some rejected: {bool(rows.rejected)}")
        seen_in(f"corrected: {rows.corrections_applied > 0}")


def _rejected(it: Any) -> bytes | None:
    return rejected_output("t", 0, it).value


def _encoded(**more: Any) -> bytes:
    said = {
        "customer_id": "a",
        "source": "s",
        "event_id": "e0",
        "event_time_us": NOW_US,
        "provider": "acme",
        "requested_model": "one",
        "usage_semantics": "inclusive",
        "usage": {"input_tokens": "1000", "output_tokens": "10"},
    }
    return CODEC.encode("UsageEvent", _whole(said | more))


def test_most_events_are_read_by_columns() -> None:
    values = [_encoded(event_id=f"e{n}") for n in range(5)]
    records = [Record(n, NOW_US, b"a", value) for n, value in enumerate(values)]
    columns = TOOLS[0].columns
    assert columns is not None
    seen = columns.read(records)
    assert all(one is not None and columns.rate(one, values[0], 1) is not None for one in seen)


def test_an_amount_far_beyond_the_wire_is_refused() -> None:
    """One line of 51 digits before the point and 18 after: longer than any decimal that is encoded."""

    def card(card_id: str) -> RateCard:
        rate = Rate("input_tokens", "9" * 20, "0.0000000000007")
        return RateCard(card_id, "acme", "USD", (CardVersion(Cell((rate,))),), models=("one",))

    book = BookContent(
        (card("acme/one"),),
        (PriceCard("list", (card("list/one"),)),),
        (Contract("standard", "USD", ("list",)),),
        (Assignment("a", "standard"),),
    )
    tools = tools_for(Confirmed(compile_book(book, 3, "hash"), NOW_US, DAY_US), lambda _key: 0)
    value = _encoded(usage={"input_tokens": "9" * 17 + "8"})
    for each in (tools, replace(tools, columns=None)):
        (result,) = _run([[Record(0, NOW_US, b"a", value)]], each)
        assert [it.reason for it in result.rejected] == ["amount_overflow"]
