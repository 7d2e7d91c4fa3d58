"""explain: every number by hand, and each that is wrong is found."""

from collections.abc import Mapping
from typing import Any

import pytest

from cli.explain import describe
from ledger.core.explain import (
    Again,
    Answer,
    BookFacts,
    Came,
    Explanation,
    Rated,
    Refused,
    Wanted,
    explain,
)
from ledger.core.explain_lines import Check, line_shown, sum_shown
from ledger.core.explain_pools import find_pool, period_price
from pricing.cards import (
    Assignment,
    BookContent,
    CardVersion,
    Cell,
    Contract,
    Pool,
    PoolVersion,
    PriceCard,
    Rate,
    RateCard,
    Step,
    Thresholds,
    Tier,
)
from pricing.compile import compile_book
from pricing.money import ATTO
from rate_book.translate import rate_again, rating_record

TIME_US = 1_795_003_200_000_000  # 2026-11-18T12:00:00Z
M = "1000000"

COST = CardVersion(
    Cell(
        (
            Rate("input_tokens", "2.5", M),
            Rate("cache_read_tokens", "1.25", M),
            Rate("output_tokens", "10", M),
        ),
        Thresholds((Step("1000", (Rate("input_tokens", "5", M),), ("*",)),)),
    ),
    valid_from_us=1_790_000_000_000_000,
    source="price page",
)
PRICE = CardVersion(
    Cell((Rate("events", "0.01"), Rate("input_tokens", "1", "3"))), parts_at_whole_rate=("*",)
)
CONTENT = BookContent(
    (RateCard("acme/one", "acme", "USD", (COST,), ("one",)),),
    (PriceCard("list", (RateCard("list/any", None, "USD", (PRICE,), ("one",)),)),),
    (Contract("standard", "USD", ("list",)),),
    (Assignment("*", "standard"),),
)
FACTS = BookFacts(3, "hash", "2026-11-01T00:00:00Z", "finance@example.com")
CAME = Came(2, 31, 12, "2026-11-18T12:00:01Z", checks=(Check("digest of the input record", equal=True),))


def event(**fields: Any) -> dict[str, Any]:
    names = ["requested_model", "served_model", "billed_model", "query_id", "region", "endpoint"]
    names += ["provider_cost", "feature", "product", "project"]
    return (
        dict.fromkeys(names)
        | {
            "customer_id": "customer-3",
            "source": "chat",
            "event_id": "event-7",
            "event_time_us": TIME_US,
            "provider": "acme",
            "billed_model": "one",
            "status": "ok",
            "context": {},
            "usage_semantics": "inclusive",
            "usage": {"input_tokens": "1200", "cache_read_tokens": "400"},
        }
        | fields
    )


def rated(
    content: BookContent = CONTENT, *, before: tuple[Mapping[str, Any], ...] = (), **fields: Any
) -> tuple[Rated, Again]:
    """An event as this book rates it, and the same computed again."""
    happened = event(**fields)
    book = compile_book(content, 3, "hash")
    rating = rate_again(happened, {"pools_before": before}, book)
    record = rating_record(rating, book, customer_seq=5)
    return Rated(2, 14, TIME_US, happened, record), Again(content, book, FACTS, rating, record)


def changed(record: Rated, change: Mapping[str, Any], line: int | None = None) -> Rated:
    """The record with a field of its rating, or of one of its lines, made wrong."""
    rating = dict(record.rating)
    if line is None:
        rating |= change
    else:
        lines = list(rating["lines"])
        lines[line] = lines[line] | change
        rating["lines"] = lines
    return Rated(record.partition, record.offset, record.append_us, record.event, rating)


def failing(explained: Explanation) -> set[str]:
    assert explained.equal is (not any(not check.equal for check in explained.checks))
    return {check.name for check in explained.checks if not check.equal}


def test_an_event_is_written_out_from_offset_to_sum() -> None:
    """Input 1,200 - 400 cached = 800 at 5 (over 1,000 in total) a million = 0.004; 400 x 1.25 = 0.0005.

    The customer: (800 + 400) / 3, each line rounded: 266.666666666666666667 + 133.333333333333333333, and
    0.01 for the event: 400.01.
    """
    record, again = rated()
    explained = explain(record, CAME, again)
    assert failing(explained) == set()
    text = describe(Answer(Wanted("event-7"), (explained,)))
    for expected in (
        "event event-7 of customer-3, source chat",
        "came       usage.events 2 @ 31, appended 2026-11-18T12:00:01Z, frame 12",
        "rated      usage.rated 2 @ 14, appended 2026-11-18T12:00:00Z",
        "book       version 3, recorded 2026-11-01T00:00:00Z by finance@example.com",
        "  input_tokens             1,200 - 400 cache_read_tokens = 800\n",
        "    total of input_tokens: 800 input_tokens + 400 cache_read_tokens = 1,200; steps over 1,000",
        "    source: price page",
        "whole request, input_tokens over 1000",
        "  input_tokens             800 x 5 / 1,000,000 = 0.004\n",
        "  cache_read_tokens        400 x 1.25 / 1,000,000 = 0.0005\n",
        "  sum                      0.004 + 0.0005 = 0.0045 USD",
        "  contract standard, of any other customer since ever",
        "  input_tokens             800 x 1 / 3 = 266.666666666666666666666..., rounded to",
        "rounded half-even at the 18th place of this line",
        "  sum                      266.666666666666666667 + 133.333333333333333333 + 0.01 = 400.01 USD",
        "recomputed: equal (",
    ):
        assert expected in text, f"{expected!r} is not in\n{text}"


@pytest.mark.parametrize(
    ("change", "line", "expected"),
    [
        pytest.param({"amount": "0.0041"}, 0, {"rating", "cost lines", "cost sum"}, id="a line's amount"),
        pytest.param({"rate": "4"}, 0, {"rating", "cost lines"}, id="a line's rate"),
        pytest.param({"explain": "card x: y"}, 0, {"rating"}, id="a line's words"),
        pytest.param({"book_hash": "other"}, None, {"rating", "book hash"}, id="the book's hash"),
        pytest.param(
            {"cost": {"status": "priced", "amount": "1", "currency": "USD"}}, None, {"rating", "cost sum"},
            id="a sum",
        ),
        pytest.param(
            {"cost": {"status": "unpriced", "amount": None, "currency": None}}, None, {"rating", "cost sum"},
            id="no sum",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_not_equal(change: Mapping[str, Any], line: int | None, expected: set[str]) -> None:
    record, again = rated()
    explained = explain(changed(record, change, line), CAME, again)
    assert failing(explained) == expected
    text = describe(Answer(Wanted("event-7"), (explained,)))
    assert "recomputed: NOT EQUAL" in text
    assert all(f"  {name}: " in text for name in expected)


def test_what_came_differently_is_not_equal() -> None:
    record, again = rated()
    came = Came(2, 31, checks=(Check("event as it came", equal=False, detail="it differs"),))
    assert failing(explain(record, came, again)) == {"event as it came"}


def test_without_its_book_version_an_event_is_shown_and_not_equal() -> None:
    record, _ = rated()
    explained = explain(
        record, Came(2, note="the record is gone: retention deleted it"), None, "version 3 is gone"
    )
    assert failing(explained) == {"book"}
    text = describe(Answer(Wanted("event-7"), (explained,)))
    assert "usage.events 2 @ ?" in text
    assert "the record is gone: retention deleted it" in text
    assert "  book: version 3 is gone" in text


def test_exclusive_counts_are_leaves_already() -> None:
    """1,200 + 400 = 1,600 is the total; nothing is subtracted."""
    record, again = rated(usage_semantics="exclusive")
    text = describe(Answer(Wanted("event-7"), (explain(record, CAME, again),)))
    assert "usage, counted exclusive: each meter excludes the others" in text
    assert "  input_tokens             1,200\n" in text
    assert "= 1,600; steps over 1,000" in text


def test_a_reversal_is_not_rated_again_but_its_sums_are() -> None:
    record, again = rated()
    rating = dict(record.rating) | {"leg": "reversal", "revision": 1, "correction_id": "c-1"}
    rating["lines"] = [dict(line) | {"amount": f"-{line['amount']}"} for line in rating["lines"]]
    for side in ("cost", "price"):
        rating[side] = rating[side] | {"amount": f"-{rating[side]['amount']}"}
    lines = [line | {"quantity": f"-{line['quantity']}"} for line in rating["lines"]]
    undone = Rated(2, 20, TIME_US, record.event, rating | {"lines": lines})
    explained = explain(undone, CAME, Again(again.content, again.book, FACTS, None, None, "a reversal"))
    assert failing(explained) == set()
    text = describe(Answer(Wanted("event-7"), (explained,)))
    assert "sequence 5, reversal, revision 1, correction c-1" in text
    assert "-0.004 - 0.0005 = -0.0045 USD" in text


def test_an_unpriced_line_says_why() -> None:
    """No card: no line has an amount, and the sentence of the rating is the explanation."""
    record, again = rated(billed_model="two")
    text = describe(Answer(Wanted("event-7"), (explain(record, CAME, again),)))
    assert "cost: no amount, unpriced" in text
    assert "800: unpriced, no amount" in text
    assert "no cost card for acme/two" in text


def test_an_amount_off_by_one_atto_is_wrong_unless_a_period_is_behind_it() -> None:
    """10 x 1 / 3 = 3.333..., half-even 3.333333333333333333; one atto more is the period's rounding."""
    line = {"meter": "m", "quantity": "10", "rate": "1", "per": "3", "amount": "3.333333333333333334"}
    line |= {"status": "priced"}
    assert line_shown(line, "", of_period=False).equal is False
    shown = line_shown(line, "", of_period=True)
    assert (shown.equal, shown.rounding) == (True, "with the period's total, so that it stays exact")
    far = line_shown(line | {"amount": "3.333333333333333335"}, "", of_period=True)
    assert far.equal is False


def test_a_billed_quantity_is_the_one_multiplied() -> None:
    """7 counted, billed as 10: 10 x 0.5 = 5."""
    line = {"meter": "m", "quantity": "7", "billed_quantity": "10", "rate": "0.5", "per": "1", "amount": "5"}
    shown = line_shown(line | {"status": "priced"}, "at least 10", of_period=False)
    assert (shown.arithmetic, shown.equal) == ("10 x 0.5 = 5", True)


def test_a_sum_with_a_line_below_zero_is_a_subtraction() -> None:
    lines: list[dict[str, Any]] = [{"amount": "3"}, {"amount": "-1.5"}, {"amount": None}]
    assert sum_shown(lines, {"amount": "1.5"}, "price") == ("3 - 1.5 = 1.5", Check("price sum", equal=True))


TIERS = (Tier("0", "2", "1000"), Tier("1000", "1", "1000", flat="5"))


@pytest.mark.parametrize(
    ("version", "quantity", "amount"),
    [
        # 900 x 2 / 1000 = 1.8; 1000: 2, at the border the second tier begins only with gte.
        (PoolVersion("graduated", TIERS), 900, "1.8"),
        (PoolVersion("graduated", TIERS), 1000, "2"),
        (PoolVersion("graduated", TIERS, operator="gte"), 1000, "7"),
        # 2 + 500 x 1 / 1000 + 5 = 7.5
        (PoolVersion("graduated", TIERS), 1500, "7.5"),
        # 100 free: 1400 are counted: 2 + 400 / 1000 + 5 = 7.4
        (PoolVersion("graduated", TIERS, free="100"), 1500, "7.4"),
        (PoolVersion("graduated", TIERS, free="2000"), 1500, "0"),
        # All at the reached tier's rate: 1000 x 2 / 1000 = 2; 1001 x 1 / 1000 + 5 = 6.001
        (PoolVersion("volume", TIERS), 1000, "2"),
        (PoolVersion("volume", TIERS), 1001, "6.001"),
        (PoolVersion("volume", TIERS), 0, "0"),
        # Begun packages of 1,000 at 3: 1000 is one, 1001 are two, nothing is none.
        (PoolVersion("package", (Tier("0", "3", "1000"),)), 1000, "3"),
        (PoolVersion("package", (Tier("0", "3", "1000"),)), 1001, "6"),
        (PoolVersion("package", (Tier("0", "3", "1000"),)), 0, "0"),
        # 1 / 3, half-even at the 18th place.
        (PoolVersion("graduated", (Tier("0", "1", "3"),)), 1, "0.333333333333333333"),
    ],
)
def test_the_price_of_a_period_by_hand(version: PoolVersion, quantity: int, amount: str) -> None:
    assert period_price(version, quantity * ATTO).amount == amount


def test_a_pool_is_found_by_its_wire_name_and_time() -> None:
    early = PoolVersion("graduated", (Tier("0", "1"),), valid_to_us=TIME_US)
    late = PoolVersion("graduated", (Tier("0", "2"),), valid_from_us=TIME_US)
    content = BookContent(price_cards=(PriceCard("a/b", (), (Pool("c", "USD", (early, late)),)),))
    assert find_pool(content, "a/b/c", TIME_US - 1) is early
    assert find_pool(content, "a/b/c", TIME_US) is late
    assert find_pool(content, "a/b/d", TIME_US) is None


POOLED = BookContent(
    (RateCard("acme/one", "acme", "USD", (COST,), ("one",)),),
    (
        PriceCard(
            "list",
            (
                RateCard(
                    "list/any",
                    None,
                    "USD",
                    (
                        CardVersion(
                            Cell((Rate("input_tokens", pool="all", minimum="500"),)),
                            parts_at_whole_rate=("*",),
                        ),
                    ),
                    ("one",),
                ),
            ),
            (Pool("all", "USD", (PoolVersion("graduated", TIERS, free="100"),)),),
        ),
    ),
    (Contract("standard", "USD", ("list",)),),
    (Assignment("*", "standard"),),
)
NOVEMBER = {"start_us": 1_793_491_200_000_000, "end_us": 1_796_083_200_000_000}
BEFORE = {"pool": "list/all", "period": NOVEMBER, "quantity": "700", "amount": "1.2", "currency": "USD"}


def test_a_period_price_is_written_out_before_and_after() -> None:
    """100 are free. 700: 600 x 2 / 1000 = 1.2. Input 800 and 400 cached, the latter billed as 500: 2000.

    1900 counted: 1000 x 2 / 1000 + 900 x 1 / 1000 + 5 for the second tier = 7.9; to pay 7.9 - 1.2 = 6.7:
    800 input are 400 x 2 / 1000 + 400 x 1 / 1000 + 5 = 6.2, then 500 x 1 / 1000 = 0.5.
    """
    record, again = rated(POOLED, before=(BEFORE,))
    explained = explain(record, CAME, again)
    assert failing(explained) == set()
    text = describe(Answer(Wanted("event-7"), (explained,)))
    for expected in (
        "  pool list/all, graduated, in USD\n    2026-11-01T00:00:00Z to 2026-12-01T00:00:00Z",
        "before       quantity 700, amount 1.2\n",
        "700 - 100 free = 600\n",
        "tier 0 to 1,000: 600 x 2 / 1,000 = 1.2\n",
        "this event   700 + 1,300 = 2,000\n",
        "tier 0 to 1,000: 1,000 x 2 / 1,000 = 2\n",
        "tier over 1,000: 900 x 1 / 1,000 = 0.9\n",
        "tier over 1,000: flat 5\n",
        "P(2,000) = 7.9\n",
        "to pay       7.9 - 1.2 = 6.7\n",
        "sum                      0.8 + 0.4 + 5 + 0.5 = 6.7 USD",
    ):
        assert expected in text, f"{expected!r} is not in\n{text}"


def test_a_line_of_a_pool_that_is_wrong_shows_in_its_pool() -> None:
    """The first portion says 0.9 in place of 0.8: off its product, and 6.8 is not 6.7."""
    record, again = rated(POOLED, before=(BEFORE,))
    first = next(number for number, line in enumerate(record.rating["lines"]) if line["side"] == "price")
    explained = explain(changed(record, {"amount": "0.9"}, first), CAME, again)
    assert failing(explained) == {"rating", "price lines", "price sum", "pool list/all"}
    (check,) = [check for check in explained.checks if check.name == "pool list/all"]
    assert check.detail == "its lines sum to 6.8, the period grew by 6.7"


def test_an_answer_of_several_events_says_how_to_narrow() -> None:
    answer = Answer(Wanted("e"), several=(("a", "s", "e"), ("b", "s", "e")))
    assert describe(answer).splitlines()[1:] == ["  --customer a --source s", "  --customer b --source s"]
    assert answer.equal is False
    assert answer.as_json()["several"][1] == {"customer_id": "b", "source": "s", "event_id": "e"}


def test_an_event_that_was_rejected_says_why() -> None:
    refused = Refused(
        "a", "s", "e", "too_late", "event_time_us 5: too late", "usage.events", 1, 7, "2026-11-18"
    )
    text = describe(Answer(Wanted("e", customer="a"), refused=(refused,)))
    assert text.startswith(
        "no event e in usage.rated of customer a\nit was rejected as too_late: event_time_us 5"
    )
    assert "  usage.events 1 @ 7, appended 2026-11-18" in text
    assert "nor in usage.rejected" in describe(Answer(Wanted("e")))


def test_json_has_every_section() -> None:
    record, again = rated()
    found = Answer(Wanted("event-7"), (explain(record, CAME, again),)).as_json()
    (one,) = found["records"]
    assert found["equal"] is True
    assert [leaf["quantity"] for leaf in one["leaves"]] == ["800", "400"]
    assert one["leaves"][0]["minus"] == (("cache_read_tokens", "400"),)
    assert [side["sum"] for side in one["sides"]] == [
        "0.004 + 0.0005 = 0.0045",
        "266.666666666666666667 + 133.333333333333333333 + 0.01 = 400.01",
    ]
