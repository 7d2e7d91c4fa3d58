"""Factors by region, tier and compliance, cells that override them, likenesses, and what is not billed."""

import pytest

from tests.unit.pricing.worked.pencil import EVERYBODY, book, contract, cost, customer, price, provider, rated

STACKED = """
context:
  region: {values: [global, eu, us], default: global}
  service_tier: {values: [default, priority, flex], default: default}
  event.compliance.hipaa: {values: ["no", "yes"], default: "no"}
rates: {input_tokens: 3 per 1000, output_tokens: 15 per 1000, web_searches: 0.01}
multipliers:
  - {name: eu premium, factor: 1.1, when: {region: eu}}
  - {name: priority, factor: 2, when: {service_tier: priority}, meters: [input_tokens, output_tokens]}
  - {name: hipaa, factor: 1.25, when: {event.compliance.hipaa: "yes"}, meters: ["*"]}
variants:
  - when: {service_tier: flex}
    rates: {input_tokens: 1.6 per 1000}
    inherit: [web_searches]
  - when: {region: eu, service_tier: priority}
    rates: {input_tokens: 6.5 per 1000, output_tokens: 33 per 1000}
    inherit: ["*"]
"""


@pytest.mark.parametrize(
    ("region", "tier", "tags", "amount"),
    [
        (None, None, [], "3.01"),
        ("eu", None, [], "3.311"),
        (None, "priority", [], "6.01"),
        (None, None, ["hipaa"], "3.7625"),
        ("eu", None, ["hipaa", "soc2"], "4.13875"),
        (None, "priority", ["hipaa"], "7.5125"),
        ("eu", "priority", [], "6.51"),
        ("eu", "priority", ["hipaa"], "8.1375"),
        (None, "flex", [], "1.61"),
        ("eu", "flex", [], "1.771"),
        ("eu", "flex", ["hipaa"], "2.21375"),
        ("us", None, [], "unpriced"),
        ("us", "flex", [], "unpriced"),
    ],
)
def test_factors_in_their_order_and_cells_before_them(
    region: str | None, tier: str | None, tags: list[str], amount: str
) -> None:
    """1000 tokens at 3 = 3 and one search at 0.01.

    In the EU x 1.1: 3.3 + 0.011 = 3.311. Priority doubles tokens alone: 6 + 0.01.
    HIPAA x 1.25: 3.75 + 0.0125; with the EU 3 x 1.1 x 1.25 + 0.01 x 1.1 x 1.25 = 4.125 + 0.01375.
    Priority with HIPAA: 3 x 2 x 1.25 + 0.0125 = 7.5125. EU at priority has a price of its own, 6.5, which is
    neither 6.6 nor raised: 6.5 + 0.01; with HIPAA, which the cell does not name, x 1.25 = 8.1375.
    Flex is a cell: 1.6 + 0.01; in the EU 1.76 + 0.011; with HIPAA 2.2 + 0.01375.
    The US is a value that has neither cell nor factor: unpriced.
    """
    context = {} if tier is None else {"service_tier": tier}
    usage = {"input_tokens": 1000, "web_searches": 1}
    told = cost(book(provider(STACKED)), usage, context=context, region=region, compliance_tags=tags)
    assert told == (amount if amount == "unpriced" else f"{amount} USD")


def test_two_cells_that_fit_alike_are_nobodys_choice() -> None:
    """Batch has a cell, the EU has one, and both have factors: for batch in the EU neither is the better."""
    rates = """
    context:
      processing: {values: [standard, batch], default: standard}
      region: {values: [global, eu], default: global}
    rates: {dbus: 8}
    multipliers:
      - {name: batch, factor: 0.5, when: {processing: batch}}
      - {name: eu, factor: 1.5, when: {region: eu}}
    variants:
      - {when: {processing: batch}, rates: {dbus: 5}}
      - {when: {region: eu}, rates: {dbus: 9}}
    """
    by = book(provider(rates))
    assert cost(by, {"dbus": 1}, context={"processing": "batch"}) == "5 USD"
    assert cost(by, {"dbus": 1}, region="eu") == "9 USD"
    assert cost(by, {"dbus": 1}, region="eu", context={"processing": "batch"}) == "unpriced"


def test_the_line_shows_the_rate_with_its_factors() -> None:
    """2.5 a million x 1.1 x 0.5 = 1.375 a million: 1000 tokens 0.001375."""
    rates = """
    context: {region: {values: [global, eu], default: global}}
    rates: {input_tokens: 2.5 per 1000000}
    multipliers:
      - {name: eu premium, factor: 1.1, when: {region: eu}}
      - {name: rebate, factor: 0.5}
    """
    rating = rated(book(provider(rates)), {"input_tokens": 1000}, region="eu")
    line = rating.lines[0]
    assert (line.rate, line.per, line.amount_atto) == ("1.375", "1000000", 1375 * 10**12)
    assert "eu premium" in line.explain
    assert "rebate" in line.explain


@pytest.mark.parametrize(
    ("model", "amount"), [("m", "3 USD"), ("ft:m:acme:7", "4.5 USD"), ("ft:n", "unpriced")]
)
def test_a_fine_tuned_model_is_like_its_base(model: str, amount: str) -> None:
    """1000 x 3 / 1000 = 3; fine-tuned 1.5 times that."""
    cards = """
    provider: acme
    currency: USD
    cards:
      - {card: acme/m, models: [m], versions: [{rates: {input_tokens: 3 per 1000}}]}
      - {card: acme/tuned, prefixes: [{prefix: "ft:m"}], like: acme/m, factor: 1.5}
    """
    assert cost(book(cards), {"input_tokens": 1000}, requested_model=model) == amount


NOT_BILLED = """
rates: {input_tokens: 3 per 1000, output_tokens: 15 per 1000, requests: 0.5}
minimum: 1
not_billed:
  - {when: {event.status: refused}, without: [output_tokens]}
"""


@pytest.mark.parametrize(
    ("status", "usage", "amount"),
    [
        ("refused", {"input_tokens": 1000}, "0"),
        ("refused", {"input_tokens": 1000, "output_tokens": 0}, "0"),
        ("refused", {"input_tokens": 1000, "output_tokens": 1}, "3.515"),
        ("refused", {"input_tokens": 1000, "output_reasoning_tokens": 1}, "partial 3.5"),
        ("error", {"input_tokens": 1000}, "3.5"),
        ("ok", {"input_tokens": 1000}, "3.5"),
        ("ok", {"input_tokens": 100}, "1"),
        ("refused", {"input_tokens": 100}, "0"),
        ("refused", {"dbus": 1}, "0"),
    ],
)
def test_a_refused_attempt_without_output_costs_nothing(
    status: str, usage: dict[str, int], amount: str
) -> None:
    """1000 x 3 / 1000 + 0.5 a request = 3.5; with a token of output 3.515.

    Refused before any output: nothing, not even the fee or the minimum of 1, to which 0.3 + 0.5 is lifted.
    A reasoning token is output too (and has no price here).
    """
    assert cost(book(provider(NOT_BILLED)), usage, status=status) == f"{amount} USD"


def test_not_billed_to_the_customer_while_we_pay() -> None:
    """The provider charges 3 for a refused attempt; the customer pays nothing, in the contract's currency."""
    by = book(
        provider("rates: {input_tokens: 3 per 1000}"),
        customer("{rates: {input_tokens: 4 per 1000}, not_billed: [{when: {event.status: refused}}]}"),
        contract(),
        EVERYBODY,
    )
    usage = {"input_tokens": 1000}
    assert (cost(by, usage, status="refused"), price(by, usage, status="refused")) == ("3 USD", "0 USD")
    assert price(by, usage) == "4 USD"
