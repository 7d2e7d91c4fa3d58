"""A rate book with every kind of period price, and what a period costs by its own arithmetic, in fractions.

Customers pay by name: whoever begins with `steps` pays graduated input and volume output over calendar months
(UTC), whoever is `packs` pays packages of output, some free, by the day; everyone else pays the list.

    steps   input:  3 USD per 1000, over 2500 tokens 2 per 1000 and 1 USD once, over 6000 tokens 1 per 1000
            output: 0.01 USD each; all of them 0.004 each once they are over 500
    packs   input:  3 USD per 1000;  output: 150 free, then 0.7 USD for each begun 100
"""

from dataclasses import replace
from fractions import Fraction

from pricing.cards import (
    Assignment,
    CardVersion,
    Cell,
    Contract,
    Pool,
    PoolVersion,
    PriceCard,
    Rate,
    RateCard,
    Tier,
)
from tests.fix_rater import BOOK

STEPS_CUSTOMERS = tuple(f"steps-{number}" for number in range(6))


def _price_card(name: str, rates: tuple[Rate, ...], *pools: Pool) -> PriceCard:
    card = RateCard(f"{name}/one", "acme", "USD", (CardVersion(Cell(rates)),), models=("one",))
    return PriceCard(name, (card,), pools)


STEPS = _price_card(
    "steps",
    (Rate("input_tokens", pool="input"), Rate("output_tokens", pool="output")),
    Pool(
        "input",
        "USD",
        (
            PoolVersion(
                "graduated",
                (Tier("0", "3", "1000"), Tier("2500", "2", "1000", "1"), Tier("6000", "1", "1000")),
            ),
        ),
    ),
    Pool("output", "USD", (PoolVersion("volume", (Tier("0", "0.01"), Tier("500", "0.004"))),)),
)
PACKS = _price_card(
    "packs",
    (Rate("input_tokens", "3", "1000"), Rate("output_tokens", pool="output")),
    Pool("output", "USD", (PoolVersion("package", (Tier("0", "0.7", "100"),), free="150"),)),
)
POOLED_BOOK = replace(
    BOOK,
    price_cards=(*BOOK.price_cards, STEPS, PACKS),
    contracts=(
        *BOOK.contracts,
        Contract("steps", "USD", ("steps",)),
        Contract("packs", "USD", ("packs",), billing_period="day"),
    ),
    assignments=(
        *BOOK.assignments,
        *(Assignment(customer, "steps") for customer in ("steps", *STEPS_CUSTOMERS)),
        Assignment("packs", "packs"),
    ),
)


def steps_amount(input_tokens: int, output_tokens: int) -> Fraction:
    """What a month of `steps` costs."""
    amount = Fraction(3 * min(input_tokens, 2500), 1000)
    if input_tokens > 2500:
        amount += Fraction(2 * (min(input_tokens, 6000) - 2500), 1000) + 1
    if input_tokens > 6000:
        amount += Fraction(input_tokens - 6000, 1000)
    each = Fraction(4, 1000) if output_tokens > 500 else Fraction(1, 100)
    return amount + output_tokens * each


def packs_amount(input_tokens: int, output_tokens: int) -> Fraction:
    """What a day of `packs` costs."""
    packages = -(-max(0, output_tokens - 150) // 100)
    return Fraction(3 * input_tokens, 1000) + Fraction(7, 10) * packages
