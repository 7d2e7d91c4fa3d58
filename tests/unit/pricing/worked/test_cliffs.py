"""Prices of the whole request by its size: above a start, at it, and ranges."""

import pytest

from tests.unit.pricing.worked.pencil import EVERYBODY, book, contract, cost, customer, price, provider

CLIFF = """
rates: {{input_tokens: 1 per 1000, cache_read_tokens: 0.1 per 1000, output_tokens: 5 per 1000}}
thresholds:
  operator: {operator}
  steps:
    - start: 200
      rates: {{input_tokens: 2 per 1000, output_tokens: 7 per 1000}}
      inherit: [cache_read_tokens]
    - start: 500
      rates: {{input_tokens: 4 per 1000, cache_read_tokens: 0.4 per 1000, output_tokens: 9 per 1000}}
"""


@pytest.mark.parametrize(
    ("operator", "fresh", "cached", "amount"),
    [
        ("gt", 199, 0, "0.249"),
        ("gt", 200, 0, "0.25"),
        ("gt", 201, 0, "0.472"),
        ("gte", 199, 0, "0.249"),
        ("gte", 200, 0, "0.47"),
        ("gte", 201, 0, "0.472"),
        ("gt", 100, 100, "0.16"),
        ("gt", 100, 101, "0.2801"),
        ("gte", 100, 99, "0.1599"),
        ("gte", 100, 100, "0.28"),
        ("gt", 400, 100, "0.88"),
        ("gt", 401, 100, "1.734"),
        ("gte", 399, 100, "0.878"),
        ("gte", 400, 100, "1.73"),
    ],
)
def test_the_whole_request_by_its_input_cached_or_not(
    operator: str, fresh: int, cached: int, amount: str
) -> None:
    """Always 10 tokens of output: 0.05 below the first start, 0.07 from it, 0.09 from the second.

    199 fresh: 0.199 + 0.05 = 0.249. 200: `>` 0.2 + 0.05, `>=` 0.4 + 0.07. 201: 0.402 + 0.07 = 0.472.
    100 + 100 cached: `>` 0.1 + 0.01 + 0.05, `>=` 0.2 + 0.01 (inherited) + 0.07 = 0.28;
    99 cached: 0.1 + 0.0099 + 0.05; 101 cached: 0.2 + 0.0101 + 0.07 = 0.2801.
    400 + 100: `>` 0.8 + 0.01 + 0.07 = 0.88, `>=` 1.6 + 0.04 + 0.09 = 1.73.
    401 + 100: `>` 1.604 + 0.04 + 0.09 = 1.734. 399 + 100: 0.798 + 0.01 + 0.07 = 0.878.
    """
    usage = {"input_tokens": fresh, "cache_read_tokens": cached, "output_tokens": 10}
    rates = CLIFF.format(operator=operator)
    by = book(provider(rates), customer(rates), contract(), EVERYBODY)
    assert (cost(by, usage), price(by, usage)) == (f"{amount} USD", f"{amount} USD")


@pytest.mark.parametrize(
    ("output", "amount"),
    [(0, "0"), (1, "0.001"), (10, "0.01"), (11, "0.022"), (20, "0.04"), (21, "unpriced")],
)
def test_ranges_end_included(output: int, amount: str) -> None:
    """(0, 10] at 0.001, (10, 20] at 0.002, beyond 20 no price: 11 x 0.002 = 0.022, 20 x 0.002 = 0.04."""
    rates = """
    rates: {output_tokens: 0.001}
    thresholds:
      selector: output_tokens
      steps:
        - {start: 10, rates: {output_tokens: 0.002}}
        - {start: 20, rates: {web_searches: 1}}
    """
    told = cost(book(provider(rates)), {"output_tokens": output})
    assert told == (amount if amount == "unpriced" else f"{amount} USD")


BATCH = """
context: {processing: {values: [standard, batch], default: standard}}
rates: {input_tokens: 2 per 1000, cache_write_1h_tokens: 4 per 1000, web_searches: 0.01}
thresholds:
  steps:
    - start: 200
      rates: {input_tokens: 4 per 1000, cache_write_1h_tokens: 8 per 1000}
      inherit: [web_searches]
variants:
  - when: {processing: batch}
    rates: {input_tokens: 1 per 1000, cache_write_1h_tokens: 2 per 1000}
    thresholds: {steps: [{start: 200, rates: {input_tokens: 2 per 1000, cache_write_1h_tokens: 4 per 1000}}]}
    inherit: [web_searches]
"""


@pytest.mark.parametrize(
    ("processing", "fresh", "written", "amount"),
    [
        ("standard", 100, 100, "0.61"),
        ("standard", 100, 101, "1.218"),
        ("batch", 100, 100, "0.31"),
        ("batch", 100, 101, "0.614"),
    ],
)
def test_batch_of_a_long_request_with_writes_for_an_hour(
    processing: str, fresh: int, written: int, amount: str
) -> None:
    """And one search at 0.01, which batch does not change.

    200 in all: 0.2 + 0.4 + 0.01 = 0.61, in batch 0.1 + 0.2 + 0.01 = 0.31.
    201: 0.4 + 0.808 + 0.01 = 1.218, in batch 0.2 + 0.404 + 0.01 = 0.614.
    """
    usage = {"input_tokens": fresh, "cache_write_1h_tokens": written, "web_searches": 1}
    assert cost(book(provider(BATCH)), usage, context={"processing": processing}) == f"{amount} USD"


@pytest.mark.parametrize(
    ("seconds", "amount"),
    [("0", "0"), ("0.5", "0.01"), ("10", "0.01"), ("10.001", "0.011"), ("11", "0.011"), ("60", "0.06")],
)
def test_at_least_ten_seconds_and_then_begun_ones(seconds: str, amount: str) -> None:
    """At 0.001 a second: up to 10 are billed as 10; 10.001 as 11. Nothing at all costs nothing."""
    rates = "rates: {input_audio_seconds: {rate: 0.06 per 60, minimum: 10, increment: 1}}"
    assert cost(book(provider(rates)), {"input_audio_seconds": seconds}) == f"{amount} USD"


@pytest.mark.parametrize(
    ("characters", "amount"),
    [(0, "0"), (1, "0.02"), (1000, "0.02"), (1001, "0.04"), (2000, "0.04"), (2001, "0.06")],
)
def test_begun_thousands_of_characters(characters: int, amount: str) -> None:
    """0.02 for each begun 1000: 1001 are billed as 2000, 2000 x 0.02 / 1000 = 0.04."""
    rates = "rates: {input_characters: {rate: 0.02 per 1000, increment: 1000}}"
    assert cost(book(provider(rates)), {"input_characters": characters}) == f"{amount} USD"


@pytest.mark.parametrize(("documents", "amount"), [(3, "0.3"), (7, "0.35"), (8, "0.4")])
def test_a_minimum_that_is_no_multiple_is_rounded_up_too(documents: int, amount: str) -> None:
    """At 0.05, at least 5.5, in steps of 1: 3 are 5.5, then 6: 0.3. 7 are 7: 0.35. 8: 0.4."""
    rates = "rates: {rerank_searches: {rate: 0.05, minimum: 5.5, increment: 1}}"
    assert cost(book(provider(rates)), {"rerank_searches": documents}) == f"{amount} USD"


@pytest.mark.parametrize(
    ("quantity", "amount"),
    [
        (1, "0.333333333333333333"),
        (2, "0.666666666666666667"),
        (3, "1"),
        ("0.000000000000000001", "0"),
        ("0.000000000000000002", "0.000000000000000001"),
    ],
)
def test_a_third_is_rounded_once_at_the_line(quantity: object, amount: str) -> None:
    """1 per 3, to 18 places: 0.33..., 0.66...7, 1; a third of 10^-18 is 0, two thirds of it are 10^-18."""
    assert cost(book(provider("rates: {dbus: 1 per 3}")), {"dbus": quantity}) == f"{amount} USD"


@pytest.mark.parametrize(
    ("quantity", "amount"),
    [
        ("0.000000000000000001", "0"),
        ("0.000000000000000003", "0.000000000000000002"),
        ("0.000000000000000005", "0.000000000000000002"),
    ],
)
def test_a_half_goes_to_the_even_neighbour(quantity: str, amount: str) -> None:
    """Halves of 1, 3 and 5 at the eighteenth place: 0.5 -> 0, 1.5 -> 2, 2.5 -> 2."""
    assert cost(book(provider("rates: {dbus: 0.5}")), {"dbus": quantity}) == f"{amount} USD"


@pytest.mark.parametrize(
    ("base", "output", "processing", "amount"),
    [
        ("", 10, "batch", "20"),
        ("", 9, "batch", "9"),
        ("", 10, "standard", "20"),
        ("thresholds", 10, "batch", "20"),
        ("thresholds", 9, "batch", "9"),
        ("thresholds", 10, "standard", "30"),
        ("thresholds", 9, "standard", "18"),
    ],
)
def test_a_variant_has_steps_of_its_own(base: str, output: int, processing: str, amount: str) -> None:
    """In batch 1 each, 2 from 10 on (`>=`), by output. The standard price is 2, with steps 3 from 10 on."""
    steps = "{selector: output_tokens, operator: gte, steps: [{start: 10, rates: {output_tokens: %s}}]}"
    standard = f"thresholds: {steps % 3}" if base else ""
    by = book(
        provider(
            f"""
            context: {{processing: {{values: [standard, batch], default: standard}}}}
            rates: {{output_tokens: 2, dbus: 5}}
            {standard}
            variants:
              - when: {{processing: batch}}
                rates: {{output_tokens: 1}}
                thresholds: {steps % 2}
                inherit: [dbus]
            """
        )
    )
    context = {"processing": processing}
    assert cost(by, {"output_tokens": output}, context=context) == f"{amount} USD"
    kept = "5 USD" if not base or output < 10 else "unpriced"
    assert cost(by, {"dbus": 1, "output_tokens": 0}, context=context) == "5 USD"
    both = cost(by, {"dbus": 1, "output_tokens": output}, context=context)
    assert both == (f"partial {amount} USD" if kept == "unpriced" else f"{int(amount) + 5} USD")
