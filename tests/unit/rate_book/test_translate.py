"""UsageEvent to Call, Rating to its record, and a record computed again."""

from typing import Any

from pricing.cards import Assignment, BookContent, CardVersion, Cell, Contract, PriceCard, Rate, RateCard
from pricing.compile import compile_book
from pricing.rate import Call, PoolBefore, rate
from rate_book.translate import call_of_event, rating_record, rerate

CARD = RateCard(
    "p/m", "p", "USD", (CardVersion(Cell((Rate("input_tokens", "3", "1000"),)), 0),), models=("m",)
)
BOOK = compile_book(
    BookContent(
        (CARD,),
        (PriceCard("l", (CARD,)),),
        (Contract("c", "USD", ("l",)),),
        (Assignment("*", "c"),),
        context_ignored=("region",),
    ),
    4,
    "ef" * 32,
)


def event(**fields: Any) -> dict[str, Any]:
    return {
        "customer_id": "acme",
        "provider": "p",
        "billed_model": None,
        "served_model": None,
        "requested_model": "m",
        "event_time_us": 1_800_000_000_000_000,
        "usage": {"input_tokens": "500", "output_tokens": "1"},
        "usage_semantics": "inclusive",
        "context": {},
        "region": None,
        "endpoint": None,
    } | fields


def test_the_model_is_the_billed_else_the_served_else_the_requested_one() -> None:
    assert call_of_event(event(billed_model="b", served_model="s")).model == "b"
    assert call_of_event(event(served_model="s")).model == "s"
    assert call_of_event(event()).model == "m"
    assert call_of_event(event(requested_model=None)).model == ""


def test_region_and_endpoint_join_the_context_only_where_they_are_given() -> None:
    given = event(region="eu", context={"processing": "batch"})
    assert call_of_event(given).context == {"processing": "batch", "region": "eu"}
    assert call_of_event(event(endpoint="chat")).context == {"endpoint": "chat"}
    assert call_of_event(event()).context == {}
    assert given["context"] == {"processing": "batch"}


def test_the_record_says_all_of_the_rating() -> None:
    """500 input tokens at 3 per 1000 are 1.5; output has no rate, so both sides are partial."""
    rating = rate(BOOK, call_of_event(event()))
    rating = rating._replace(pools_before=(PoolBefore("pool", 1, 2, 3 * 10**18, -(10**17), "USD"),))
    record = rating_record(rating, BOOK, customer_seq=9)
    assert record["customer_seq"] == 9
    assert (record["leg"], record["revision"], record["correction_id"]) == ("original", 0, None)
    assert (record["book_version"], record["book_hash"]) == (4, "ef" * 32)
    # 1,800,000,000 s is 2027-01-15: January begins at 1,798,761,600 s and has 31 days
    assert record["service_period"] == {"start_us": 1_798_761_600_000_000, "end_us": 1_801_440_000_000_000}
    assert record["pools_before"] == [
        {
            "pool": "pool",
            "period": {"start_us": 1, "end_us": 2},
            "quantity": "3",
            "amount": "-0.1",
            "currency": "USD",
        }
    ]
    assert record["cost"] == {"status": "partial", "amount": "1.5", "currency": "USD"}
    assert record["price"] == record["cost"]
    assert [line["amount"] for line in record["lines"]] == ["1.5", None, "1.5", None]
    assert record["lines"][0]["version"] == "1970-01-01T00:00:00Z"


def test_a_record_computed_again_is_the_same_and_a_forged_amount_is_not() -> None:
    rating = rate(BOOK, call_of_event(event()))
    record = rating_record(rating, BOOK, customer_seq=9, leg="replacement", revision=2, correction_id="x")
    assert rerate(event(), record, BOOK) == record
    forged = record | {"cost": record["cost"] | {"amount": "1.4"}}
    assert rerate(event(), forged, BOOK) != forged


def test_a_call_without_a_customer_has_no_price_lines() -> None:
    rating = rate(BOOK, Call(None, "p", "m", 0, {"input_tokens": "1000"}))
    assert {line["side"] for line in rating_record(rating, BOOK, customer_seq=1)["lines"]} == {"cost"}
