"""Plans: a share on cost, a price per query, credits and other currencies, tiers of quality, overrides."""

import pytest

from tests.unit.pricing.worked.pencil import EVERYBODY, book, contract, cost, customer, price, provider, rated

COST = provider(
    """
    rates:
      input_tokens: 2 per 1000
      output_tokens: 10 per 1000
      input_audio_seconds: {rate: 0.06 per 60, minimum: 10}
    """
)


@pytest.mark.parametrize(
    ("usage", "amount"),
    [
        ({"input_tokens": 1000, "output_tokens": 100}, "3.601"),
        ({"input_tokens": 10}, "0.05"),
        ({"input_tokens": 20}, "0.05"),
        ({"input_tokens": 21}, "0.0514"),
        ({"input_audio_seconds": 3}, "0.05"),
        ({"input_audio_seconds": 60}, "0.073"),
        ({"input_tokens": 0}, "0.001"),
    ],
)
def test_a_fifth_on_cost_with_a_fee_and_a_minimum(usage: dict[str, int], amount: str) -> None:
    """Cost 2 + 1 = 3, a fifth more 3.6, and 0.001 a call: 3.601. At least 0.05, where anything was used.

    10 tokens 0.02 x 1.2 + 0.001 = 0.025, lifted; 20: 0.048 + 0.001 = 0.049, lifted; 21: 0.0504 + 0.001.
    3 seconds cost us 10: 0.01 x 1.2 + 0.001 = 0.013, lifted; 60: 0.06 x 1.2 + 0.001 = 0.073.
    """
    by = book(COST, customer("markup: {percent: 20, fixed: 0.001, minimum: 0.05}"), contract(), EVERYBODY)
    assert price(by, usage) == f"{amount} USD"


def test_a_rate_of_its_own_goes_before_the_share() -> None:
    """Input by its own rate 5 per 1000, output at cost and a tenth: 5 + 10 x 1.1 = 16. No cost, no price."""
    by = book(
        COST, customer("{rates: {input_tokens: 5 per 1000}, markup: {percent: 10}}"), contract(), EVERYBODY
    )
    assert price(by, {"input_tokens": 1000, "output_tokens": 1000}) == "16 USD"
    assert price(by, {"dbus": 1}) == "unpriced"
    assert price(by, {"input_tokens": 1000, "dbus": 1}) == "partial 5 USD"


def test_a_share_on_what_the_provider_stated() -> None:
    """Stated 0.02, our fee of 5.5 percent on it 0.0211, a tenth more 0.02321."""
    by = book(
        provider("{stated_cost: true, multipliers: [{name: fee, factor: 1.055}]}"),
        customer("markup: {percent: 10}"),
        contract(),
        EVERYBODY,
    )
    stated = {"amount": "0.02", "currency": "USD"}
    assert cost(by, {"input_tokens": 5}, provider_cost=stated) == "0.0211 USD"
    assert price(by, {"input_tokens": 5}, provider_cost=stated) == "0.02321 USD"


QUERIES = customer('{rates: {queries: 0.05}, included: ["*"]}')
OWN = """
provider: own
currency: USD
cards:
  - {card: own/any, prefixes: [{prefix: "*"}], versions: [{rates: {queries: 0}}]}
"""


def test_a_query_of_many_calls_costs_once() -> None:
    """The root event 0.05, cost 0. Each call of the query: included, its cost of 2 is kept.

    Nobody pays for a call of no query, so it is unpriced and will be found.
    """
    by = book(COST, OWN, QUERIES, contract(), EVERYBODY)
    root = {"provider": "own", "query_id": "q1"}
    assert (cost(by, {"queries": 1}, **root), price(by, {"queries": 1}, **root)) == ("0 USD", "0.05 USD")
    usage = {"input_tokens": 1000}
    assert (cost(by, usage, query_id="q1"), price(by, usage, query_id="q1")) == ("2 USD", "included")
    assert price(by, usage) == "unpriced"


def test_included_with_something_that_is_not() -> None:
    """Tokens are included, a search is 0.01, a session is neither: 0.01, and in part without a price."""
    by = book(customer("{rates: {web_searches: 0.01}, included: [input_tokens]}"), contract(), EVERYBODY)
    both = {"input_tokens": 10, "web_searches": 1}
    assert price(by, both, query_id="q") == "0.01 USD"
    assert price(by, both) == "partial 0.01 USD"
    assert price(by, {**both, "code_sessions": 1}, query_id="q") == "partial 0.01 USD"
    assert price(by, {"input_tokens": 10, "code_sessions": 1}, query_id="q") == "unpriced"
    assert price(by, {"input_tokens": 10, "code_sessions": 0}, query_id="q") == "included"


CREDITS = """
settings: {units: [CREDIT]}
"""
EXCHANGE = """
exchange:
  - {currency: USD, to: CREDIT, rate: 100, until: "2026-07-01T00:00:00Z"}
  - {currency: USD, to: CREDIT, rate: 125, from: "2026-07-01T00:00:00Z", until: "2027-01-01T00:00:00Z"}
"""


@pytest.mark.parametrize(
    ("at", "amount"),
    [
        ("2026-06-30T23:59:59.999999Z", "360 CREDIT"),
        ("2026-07-01T00:00:00Z", "450 CREDIT"),
        ("2026-12-31T23:59:59.999999Z", "450 CREDIT"),
        ("2027-01-01T00:00:00Z", "unpriced"),
    ],
)
def test_credits_at_the_rate_of_the_day(at: str, amount: str) -> None:
    """Cost 3 USD, a fifth more 3.6 USD: at 100 credits a dollar 360, from July at 125: 450, then no rate."""
    by = book(
        COST,
        customer("markup: {percent: 20}", currency="CREDIT"),
        contract("CREDIT"),
        EVERYBODY,
        CREDITS,
        EXCHANGE,
    )
    assert price(by, {"input_tokens": 1000, "output_tokens": 100}, at=at) == amount


def test_credits_of_each_model() -> None:
    """A card in credits: 1 credit per 1000 tokens of the small model, 15 of the large one."""
    cards = """
    price_card: list
    currency: CREDIT
    target_margin: 0.3
    cards:
      - {card: list/s, provider: acme, models: [small], versions: [{rates: {input_tokens: 1 per 1000}}]}
      - {card: list/l, provider: acme, models: [large], versions: [{rates: {input_tokens: 15 per 1000}}]}
    """
    by = book(cards, contract("CREDIT"), EVERYBODY, CREDITS)
    assert price(by, {"input_tokens": 500}, requested_model="small") == "0.5 CREDIT"
    assert price(by, {"input_tokens": 500}, requested_model="large") == "7.5 CREDIT"


@pytest.mark.parametrize(
    ("at", "amount"), [("2026-06-30T23:59:59Z", "2.76 EUR"), ("2026-07-01T00:00:00Z", "2.7 EUR")]
)
def test_a_list_in_dollars_billed_in_euro(at: str, amount: str) -> None:
    """3 USD per 1000 at 0.92 euro a dollar: 2.76; from July at 0.9: 2.7. The minimum of 1 USD goes along."""
    exchange = """
    exchange:
      - {currency: USD, to: EUR, rate: 0.92, until: "2026-07-01T00:00:00Z"}
      - {currency: USD, to: EUR, rate: 0.9, from: "2026-07-01T00:00:00Z"}
    """
    by = book(
        customer("{rates: {input_tokens: 3 per 1000}, minimum: 1}"), contract("EUR"), EVERYBODY, exchange
    )
    assert price(by, {"input_tokens": 1000}, at=at) == amount
    assert price(by, {"input_tokens": 1}, at=at) == {"2.76 EUR": "0.92 EUR", "2.7 EUR": "0.9 EUR"}[amount]


@pytest.mark.parametrize(
    ("tokens", "amount"), [(0, "0"), (1, "0.01"), (3333, "0.01"), (3334, "0.010002"), (5000, "0.015")]
)
def test_the_least_amount_of_an_event(tokens: int, amount: str) -> None:
    """At 3 a million: 3333 are 0.009999, lifted to 0.01; 3334 are 0.010002. Nothing used, nothing owed."""
    by = book(customer("{rates: {input_tokens: 3 per 1000000}, minimum: 0.01}"), contract(), EVERYBODY)
    assert price(by, {"input_tokens": tokens}) == f"{amount} USD"
    assert price(by, {"input_tokens": tokens, "dbus": 1}).startswith("unpriced" if not tokens else "partial")


PLANS = """
context:
  event.quality_tier: {values: [economy, standard, premium], default: standard}
rates: {input_tokens: 2 per 1000}
variants:
  - {when: {event.quality_tier: economy}, rates: {input_tokens: 1 per 1000}}
  - {when: {event.quality_tier: premium}, rates: {input_tokens: 5 per 1000}}
"""


@pytest.mark.parametrize(
    ("tier", "amount"),
    [
        (None, "2 USD"),
        ("economy", "1 USD"),
        ("standard", "2 USD"),
        ("premium", "5 USD"),
        ("gold", "unpriced"),
    ],
)
@pytest.mark.parametrize("model", ["m", "other", "anything"])
def test_a_price_by_quality_whatever_served(tier: str | None, amount: str, model: str) -> None:
    """Economy 1, standard 2, premium 5 per 1000, whichever model answered; gold is no tier of the plan."""
    by = book(customer(PLANS), contract(), EVERYBODY)
    assert price(by, {"input_tokens": 1000}, quality_tier=tier, served_model=model) == amount


def test_an_override_stands_first_in_the_contract() -> None:
    """The customer's own card for `m` at 1 until July, then at 2; all else by the list at 3."""
    own = """
    price_card: own
    currency: USD
    cards:
      - card: own/m
        provider: acme
        models: [m]
        versions:
          - {to: "2026-07-01T00:00:00Z", rates: {input_tokens: 1 per 1000}}
          - {from: "2026-07-01T00:00:00Z", rates: {input_tokens: 2 per 1000}}
    """
    terms = """
    contracts:
      - {contract: special, currency: USD, price_cards: [own, list]}
      - {contract: standard, currency: USD, price_cards: [list]}
    """
    assigned = """
    assignments:
      - {customer: "*", contract: standard}
      - {customer: cust, contract: special, from: "2026-02-01T00:00:00Z"}
    """
    by = book(own, customer("rates: {input_tokens: 3 per 1000}"), terms, assigned)
    usage = {"input_tokens": 1000}
    for at, amount in (
        ("2026-01-31T23:59:59.999999Z", "3"),
        ("2026-02-01T00:00:00Z", "1"),
        ("2026-06-30T23:59:59.999999Z", "1"),
        ("2026-07-01T00:00:00Z", "2"),
    ):
        assert price(by, usage, at=at) == f"{amount} USD"
    assert rated(by, usage).plan == "special"
    assert rated(by, usage, at="2026-01-01T00:00:00Z").plan == "standard"
    assert price(by, usage, requested_model="n") == "3 USD"
    assert price(by, usage, customer_id="another") == "3 USD"
