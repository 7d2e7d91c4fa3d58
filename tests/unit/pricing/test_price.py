"""Customer price: contracts, assignments over time, per-unit and flat prices beside the cost."""

from pricing.cards import (
    Assignment,
    BookContent,
    CardVersion,
    Cell,
    Contract,
    ModelPrefix,
    PriceCard,
    Rate,
)
from pricing.money import ATTO, format_atto
from pricing.rate import Call, Rating, rate
from tests.unit.pricing.build import DAY, NOV_18_2026, M, book, by_meter, card, flat, sold

ANY = [ModelPrefix("")]
COST = card(flat({"input_tokens": "1", "output_tokens": "4"}))
SOLD = card(flat({"input_tokens": "1.5", "output_tokens": "6"}))


def rated(content: BookContent, customer: str = "acme", at_us: int = NOV_18_2026, model: str = "m") -> Rating:
    usage = {"input_tokens": "1000000", "output_tokens": "500000"}
    return rate(book(content=content), Call(customer, "p", model, at_us, usage))


def contract_of(rating: Rating) -> str:
    line = next(line for line in rating.lines if line.side == "price")
    return line.explain.partition(",")[0]


def test_cost_and_price_stand_side_by_side() -> None:
    """Cost 1 + 2 = 3, price 1.5 + 3 = 4.5; cost lines first."""
    rating = rate(
        sold([SOLD], [COST]),
        Call("acme", "p", "m", 0, {"output_tokens": "500000", "input_tokens": "1000000"}),
    )
    assert (rating.cost, rating.price) == (("priced", 3 * ATTO, "USD"), ("priced", 9 * ATTO // 2, "USD"))
    assert [(line.side, line.meter) for line in rating.lines] == [
        ("cost", "input_tokens"),
        ("cost", "output_tokens"),
        ("price", "input_tokens"),
        ("price", "output_tokens"),
    ]
    assert (
        rating.lines[2].explain
        == "contract contract, card p/m: input_tokens at its own rate; standard context"
    )


def test_price_does_not_need_a_cost_nor_cost_a_price() -> None:
    usage = {"input_tokens": "1000000"}
    only_price = rate(sold([SOLD]), Call("acme", "p", "m", 0, usage))
    assert (only_price.cost.status, only_price.price) == ("unpriced", ("priced", 3 * ATTO // 2, "USD"))
    only_cost = rate(book(COST), Call("acme", "p", "m", 0, usage))
    assert (only_cost.cost, only_cost.price) == (("priced", ATTO, "USD"), ("unpriced", None, None))
    assert only_cost.lines[1].explain == "no contract is assigned to the customer at the time of the event"


def test_a_flat_price_per_event_comes_after_the_leaves() -> None:
    """2 per million and 0.01 an event: 1,000 x 2 / 1e6 + 0.01 = 0.012."""
    version = CardVersion(Cell((Rate("events", "0.01"), Rate("input_tokens", "2", M))))
    rating = rate(sold([card(version)]), Call("acme", "p", "m", 0, {"input_tokens": "1000", "zebras": "0"}))
    assert rating.price.amount_atto == 12 * ATTO // 1000
    assert [line.meter for line in rating.lines if line.side == "price"] == [
        "input_tokens",
        "zebras",
        "events",
    ]
    assert by_meter(rating, "price")["events"].quantity_atto == ATTO


def test_a_card_for_any_provider_and_model_yields_to_a_named_one() -> None:
    named = card(flat({"queries": "7"}, whole=True))
    anything = card(flat({"queries": "3"}), provider=None, model="", card_id="any", prefixes=ANY)
    priced_by = sold([anything, named])

    def price(provider: str, model: str) -> str:
        amount = rate(priced_by, Call("acme", provider, model, 0, {"queries": "1000000"})).price.amount_atto
        return format_atto(amount or 0)

    assert (price("p", "m"), price("p", "other"), price("q", "m"), price("q", "")) == ("7", "3", "3", "3")


def test_the_first_price_card_with_the_model_prices_it() -> None:
    special = PriceCard("special", (card(flat({"input_tokens": "1", "output_tokens": "1"})),))
    general = PriceCard(
        "general", (card(flat({"input_tokens": "9"}), provider=None, model="", prefixes=ANY),)
    )
    content = BookContent(
        (),
        (general, special),
        (Contract("c", "USD", ("special", "general")),),
        (Assignment("acme", "c"),),
    )
    assert rated(content).price.amount_atto == 3 * ATTO // 2  # 1 + 0.5
    other = rated(content, model="x").price
    assert (other.status, other.amount_atto) == ("partial", 9 * ATTO)


def test_a_model_that_no_price_card_names_is_unpriced_by_contract() -> None:
    content = BookContent(
        (), (PriceCard("list", (SOLD,)),), (Contract("c", "USD", ("list",)),), (Assignment("acme", "c"),)
    )
    rating = rated(content, model="x")
    assert rating.price == ("unpriced", None, None)
    assert rating.lines[-1].explain == "contract c, no price card for p/x"


def test_a_customers_own_contract_beats_that_of_any_other_while_it_lasts() -> None:
    noon = NOV_18_2026
    content = BookContent(
        (),
        (PriceCard("list", (SOLD,)),),
        (
            Contract("own", "USD", ("list",)),
            Contract("new", "USD", ("list",)),
            Contract("any", "USD", ("list",)),
        ),
        (
            Assignment("acme", "own", noon, noon + DAY),
            Assignment("acme", "new", noon + DAY, noon + 2 * DAY),
            Assignment("*", "any", noon - DAY),
        ),
    )
    assert contract_of(rated(content, at_us=noon - 1)) == "contract any"
    assert contract_of(rated(content, at_us=noon)) == "contract own"
    assert contract_of(rated(content, at_us=noon + DAY)) == "contract new"
    assert contract_of(rated(content, at_us=noon + 2 * DAY)) == "contract any"
    assert contract_of(rated(content, "other", noon)) == "contract any"
    assert rated(content, at_us=noon - DAY - 1).price.status == "unpriced"


def test_the_service_period_is_the_calendar_month_of_the_event() -> None:
    """November 2026 begins 20,758 days after the epoch and has 30 days."""
    assert rated(BookContent()).service_period == (20_758 * DAY, 20_788 * DAY)
