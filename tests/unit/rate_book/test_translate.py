"""UsageEvent to Call, Rating to its record, and a record computed again."""

from typing import Any

import pytest

from pricing.cards import Assignment, BookContent, CardVersion, Cell, Contract, PriceCard, Rate, RateCard
from pricing.compile import compile_book
from pricing.rate import Call, PoolBefore, rate
from rate_book.dimensions import ATTRIBUTE_FIELDS, is_attribute
from rate_book.translate import call_of_event, rating_record, rerate
from schemas.codec import CODEC

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
        "provider_cost": None,
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


ATTRIBUTES = (
    "event.compliance.gdpr",
    "event.compliance.hipaa",
    "event.has_query",
    "event.product",
    "event.status",
    "event.tag.team",
    "event.tag.town",
    "event.unheard_of",
)


def test_attributes_that_the_book_reads_join_the_context_and_no_others() -> None:
    said = event(
        context={"processing": "batch"},
        compliance_tags=["gdpr"],
        query_id="q",
        product=None,
        feature="search",
        status="refused",
        tags={"team": "red", "other": "x"},
    )
    assert call_of_event(said, ATTRIBUTES).context == {
        "processing": "batch",
        "event.compliance.gdpr": "yes",
        "event.compliance.hipaa": "no",
        "event.has_query": "yes",
        "event.status": "refused",
        "event.tag.team": "red",
    }
    assert call_of_event(said).context == {"processing": "batch"}


@pytest.mark.parametrize("query_id", [None, ""])
def test_an_event_without_a_query_says_so(query_id: str | None) -> None:
    assert call_of_event(event(query_id=query_id), ("event.has_query",)).context == {"event.has_query": "no"}


def test_a_context_forges_no_attribute() -> None:
    """What a producer says under an attribute's key gives way to the event; under another one it stays, and
    is unknown to every card.
    """
    forged = {"event.has_query": "yes", "event.product": "free", "event.user_id": "x"}
    said = event(context=forged, query_id=None, product=None)
    assert call_of_event(said, ("event.has_query", "event.product")).context == {
        "event.has_query": "no",
        "event.user_id": "x",
    }
    assert len(forged) == 3


def test_which_keys_are_attributes() -> None:
    assert all(map(is_attribute, ATTRIBUTES[:-1]))
    others = ("event.unheard_of", "event.compliance.", "event.tag.", "event.", "product", "has_query")
    assert not any(map(is_attribute, others))


def test_every_attribute_is_a_field_of_the_event() -> None:
    fields = {field["name"] for field in CODEC.schema("UsageEvent")["fields"]}
    assert fields >= ATTRIBUTE_FIELDS | {"query_id", "compliance_tags", "tags"}


def test_a_stated_cost_goes_on_exactly() -> None:
    assert call_of_event(event()).stated_cost is None
    stated = event(provider_cost={"amount": "0.0125", "currency": "USD"})
    assert call_of_event(stated).stated_cost == (125 * 10**14, "USD")


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
