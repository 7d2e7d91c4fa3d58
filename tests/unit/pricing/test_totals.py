"""Sums by window, scope and currencies: what is kept, what a scope takes in, numbers and names of scopes."""

from typing import Any

import pytest

from pricing.calendar import zones
from pricing.money import ATTO
from pricing.totals import (
    Live,
    Row,
    Scope,
    Scopes,
    parse_scope_key,
    parse_sum,
    scope_key,
    sum_rows,
    watched_hash,
)
from tests.unit.pricing.local_times import at

UTC = zones([])("UTC")
CHAT: Scope = (("feature", "chat"),)
CHAT_X: Scope = (("feature", "chat"), ("product", "x"))


def row(instant: str = "2026-06-01T10:15", cost: int | None = 1, **changes: Any) -> Row:
    made = Row(
        at(instant), at("2026-06-01T00:00"), at("2026-07-01T00:00"), "USD", "USD",
        (("feature", "chat"), ("product", None)), cost, None, 1, 0, 1, {"input_tokens": 5},
    )  # fmt: skip
    return made._replace(**changes)


def costs(live: Live, window: str, scope: Scope = ()) -> dict[int, int | None]:
    return {
        start_us: sums.cost_atto
        for (kind, start_us, entry_scope, *_), sums in live.entries.items()
        if (kind, entry_scope) == (window, scope)
    }


def test_a_row_is_in_all_five_windows_of_its_scopes_and_no_other() -> None:
    live = Live()
    live.fold([row()], UTC, [CHAT, CHAT_X])
    assert [key[:3] for key in live.entries] == [
        (window, start_us, scope)
        for window, start_us in (
            ("hour", at("2026-06-01T10:00")),
            ("day", at("2026-06-01T00:00")),
            ("week", at("2026-06-01T00:00")),
            ("period", at("2026-06-01T00:00")),
            ("lifetime", 0),
        )
        for scope in ((), CHAT)
    ]
    ends = {key[0]: sums.end_us for key, sums in live.items()}
    assert ends == {
        "hour": at("2026-06-01T11:00"), "day": at("2026-06-02T00:00"), "week": at("2026-06-08T00:00"),
        "period": at("2026-07-01T00:00"), "lifetime": None,
    }  # fmt: skip


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_the_two_newest_hours_are_kept_whatever_the_order(order: tuple[int, ...]) -> None:
    instants = ("2026-06-01T08:00", "2026-06-01T09:45", "2026-06-01T12:00", "2026-06-01T09:00")
    live = Live()
    for number in order:
        live.fold([row(instants[number], 10**number)], UTC, [CHAT])
    for scope in ((), CHAT):
        assert costs(live, "hour", scope) == {at("2026-06-01T09:00"): 1010, at("2026-06-01T12:00"): 100}
        assert costs(live, "lifetime", scope) == {0: 1111}


def test_a_window_that_other_scopes_opened_closes_a_scopes_own() -> None:
    live = Live()
    live.fold([row("2026-06-01T08:00")], UTC, [CHAT])
    for instant in ("2026-06-01T09:00", "2026-06-01T10:00"):
        live.fold([row(instant, dimensions={"feature": "search"})], UTC, [CHAT])
    assert costs(live, "hour", CHAT) == {}
    assert costs(live, "day", CHAT) == {at("2026-06-01T00:00"): 1}


def test_a_new_group_whose_row_closes_a_window_is_kept() -> None:
    live = Live()
    live.fold([row("2026-06-01T08:00"), row("2026-06-01T09:00")], UTC, [])
    live.fold([row("2026-06-01T10:00", price_currency="EUR")], UTC, [])
    assert costs(live, "hour") == {at("2026-06-01T09:00"): 1, at("2026-06-01T10:00"): 1}
    assert sum(sums.events for key, sums in live.items() if key[0] == "lifetime") == 3


def test_an_amount_is_none_until_something_had_one_and_zero_after_a_reversal() -> None:
    live = Live()
    live.fold([row(cost=None)], UTC, [])
    assert costs(live, "lifetime") == {0: None}
    live.fold([row(cost=7), row(cost=-7, events=-1, quantities={"input_tokens": -5})], UTC, [])
    assert costs(live, "lifetime") == {0: 0}
    (lifetime,) = (sums for key, sums in live.items() if key[0] == "lifetime")
    assert (lifetime.events, lifetime.price_atto, lifetime.quantities) == (1, None, {"input_tokens": 5})


def test_currencies_are_never_mixed() -> None:
    live = Live()
    live.fold([row(cost=1), row(cost=2, cost_currency="EUR")], UTC, [])
    assert {key[3]: sums.cost_atto for key, sums in live.items() if key[0] == "day"} == {"EUR": 2, "USD": 1}


def test_a_frames_rows_summed_first_give_the_same() -> None:
    rows = [
        row(cost=1),
        row(cost=2),
        row(cost=4, dimensions={"feature": "chat", "product": None}),
        row(cost=8, events=0),
    ]
    assert [made.cost_atto for made in sum_rows(rows)] == [15]
    assert sum_rows([row(), row("2026-06-01T10:30")])[1].bucket_us == at("2026-06-01T10:30")
    summed, single = Live(), Live()
    summed.fold(sum_rows(rows), UTC, [CHAT])
    for one in rows:
        single.fold([one], UTC, [CHAT])
    assert summed == single


def test_what_was_folded_can_be_taken_out_again() -> None:
    live, without = Live(), Live()
    first, second = row(cost=3), row("2026-06-01T11:15", cost=4)
    live.fold([first, second], UTC, [CHAT])
    live.subtract([second, row("2026-06-01T11:15", cost=1, cost_currency="EUR")], UTC, [CHAT])
    without.fold([first], UTC, [CHAT])
    assert costs(live, "hour") == {at("2026-06-01T10:00"): 3, at("2026-06-01T11:00"): 0}
    assert {key: sums for key, sums in live.items() if key[1] != at("2026-06-01T11:00")} == without.entries


def test_adding_is_folding_both() -> None:
    instants = ("2026-06-01T08:00", "2026-06-01T09:00", "2026-06-01T09:30", "2026-06-02T10:00")
    rows = [row(instant, 10**number) for number, instant in enumerate(instants)]
    both, left, right = Live(), Live(), Live()
    both.fold(rows, UTC, [CHAT])
    left.fold(rows[:2], UTC, [CHAT])
    right.fold(rows[2:], UTC, [CHAT])
    left.add(right)
    assert left == both


def test_the_end_of_a_period_is_the_highest_that_rows_name() -> None:
    live = Live()
    for end in ("2026-06-15T00:00", "2026-07-01T00:00", "2026-06-20T00:00"):
        live.fold([row(period_end_us=at(end))], UTC, [])
    assert [sums.end_us for key, sums in live.items() if key[0] == "period"] == [at("2026-07-01T00:00")]


@pytest.mark.parametrize(
    ("text", "atto"),
    [
        ("0", 0), ("-0.5", -ATTO // 2), ("12.000000000000000001", 12 * ATTO + 1), ("-3", -3 * ATTO),
        ("1" + "0" * 30 + ".25", (4 * 10**30 + 1) * ATTO // 4),
    ],
)  # fmt: skip
def test_a_sum_may_be_of_any_size(text: str, atto: int) -> None:
    assert parse_sum(text) == atto


@pytest.mark.parametrize(
    "text", ["", "1.", ".5", "+1", "1e3", "1_0", " 1", "1.0000000000000000001", "NaN", "\u0661"]
)
def test_what_is_no_sum_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="plain decimal"):
        parse_sum(text)


@pytest.mark.parametrize(
    ("scope", "key"),
    [
        ((), ""),
        (CHAT_X, "feature=chat;product=x"),
        ((("a=b", "c;d%"), ("e", "\n")), "a%3Db=c%3Bd%25;e=%0A"),
        ((("feature", ""),), "feature="),
    ],
)
def test_a_scope_has_one_name(scope: Scope, key: str) -> None:
    assert scope_key(scope) == key
    assert parse_scope_key(key) == scope


@pytest.mark.parametrize("text", ["feature", "b=1;a=2", "a=1=2", "a=%41", "a=%", "a=1;"])
def test_what_names_no_scope_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="scope"):
        parse_scope_key(text)


def test_the_hash_names_zone_and_scopes_and_not_their_order() -> None:
    named = watched_hash("UTC", [CHAT, CHAT_X])
    assert named == watched_hash("UTC", Scopes([(), (("product", "x"), ("feature", "chat")), CHAT]))
    assert len({named, watched_hash("UTC", [CHAT]), watched_hash("Europe/Berlin", [CHAT, CHAT_X])}) == 3
