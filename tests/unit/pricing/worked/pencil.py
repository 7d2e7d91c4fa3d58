"""Books from a few lines of YAML, and what calls cost by them, as a person would say it."""

import tempfile
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

from pricing.compile import CompiledBook, compile_book
from pricing.money import format_atto
from pricing.rate import Rating, Side, rate
from rate_book.form import load_book
from rate_book.instants import parse_instant
from rate_book.translate import call_of_event
from tests.fix_rater import whole

PROVIDER = """\
provider: acme
currency: USD
cards:
  - card: acme/m
    models: [m]
    versions:
"""
CUSTOMER = """\
price_card: list
currency: {currency}
{extra}cards:
  - card: list/any
    prefixes: [{{prefix: "*"}}]
    versions:
"""
CONTRACT = """\
contracts:
  - {{contract: standard, currency: {currency}, price_cards: [list]{terms}}}
"""
EVERYBODY = """\
assignments:
  - {customer: "*", contract: standard}
"""


def book(*texts: str) -> CompiledBook:
    """The book that these files form, read by the strict loader."""
    with tempfile.TemporaryDirectory() as name:
        for number, text in enumerate(texts):
            (Path(name) / f"{number}.yaml").write_text(dedent(text), encoding="utf-8")
        return compile_book(load_book([Path(name)]), 1, "hash")


def provider(*versions: str) -> str:
    """The file of provider `acme`, whose model `m` has these versions."""
    return PROVIDER + _items(versions)


def customer(*versions: str, currency: str = "USD", pools: str = "") -> str:
    """The price card `list`, with these versions for any model."""
    extra = f"pools:\n{indent(dedent(pools).strip(), '  ')}\n" if pools else ""
    return CUSTOMER.format(currency=currency, extra=extra) + _items(versions)


def contract(currency: str = "USD", terms: str = "") -> str:
    """The contract `standard` on the price card `list`."""
    return CONTRACT.format(currency=currency, terms=f", {terms}" if terms else "")


def _items(versions: Sequence[str]) -> str:
    return "".join("      - " + indent(dedent(text).strip(), "        ").lstrip() + "\n" for text in versions)


def rated(
    by: CompiledBook,
    usage: Mapping[str, object],
    *,
    at: str = "2026-11-18T12:00:00Z",
    pools: Any = None,
    **event: Any,
) -> Rating:
    """One event, counted exclusively, at noon of a Wednesday, where it does not say otherwise."""
    told = {
        "customer_id": "cust",
        "source": "pencil",
        "event_id": "1",
        "event_time_us": parse_instant(at),
        "provider": "acme",
        "requested_model": "m",
        "usage_semantics": "exclusive",
        "usage": {meter: str(quantity) for meter, quantity in usage.items()},
        **event,
    }
    call = call_of_event(whole(told), by.attributes)
    return rate(by, call) if pools is None else rate(by, call, pools)


def words(side: Side) -> str:
    """`0.0065 USD`; with its status where that is not `priced`."""
    if side.amount_atto is None:
        return side.status
    amount = f"{format_atto(side.amount_atto)} {side.currency}"
    return amount if side.status == "priced" else f"{side.status} {amount}"


def cost(by: CompiledBook, usage: Mapping[str, object], **event: Any) -> str:
    """What a call costs us."""
    return words(rated(by, usage, **event).cost)


def price(by: CompiledBook, usage: Mapping[str, object], **event: Any) -> str:
    """What a call costs the customer."""
    return words(rated(by, usage, **event).price)


class Account:
    """A customer's calls one after another, with the periods of its pools kept as the rater keeps them."""

    def __init__(self, by: CompiledBook) -> None:
        self.by = by
        self.states: dict[tuple[str, str, int], tuple[int, int]] = {}

    def price(self, usage: Mapping[str, object], **event: Any) -> str:
        """What the next call costs the customer."""
        customer_id = event.get("customer_id", "cust")
        rating = rated(
            self.by,
            usage,
            pools=lambda pool, start_us: self.states.get((customer_id, pool, start_us), (0, 0)),
            **event,
        )
        for state in rating.pools_after:
            self.states[customer_id, state.pool, state.start_us] = (state.quantity_atto, state.amount_atto)
        return words(rating.price)


def lines(rating: Rating, side: str) -> list[str]:
    """Each line of a side as one would write it down, and under it how it explains itself."""
    told = []
    for line in rating.lines:
        if line.side == side:
            if line.rate is not None:  # what encoders and explanations reckon with is what the text says
                exact = Fraction(line.template.numerator, line.template.denominator)
                assert exact == Fraction(line.rate) / Fraction(line.per or "")
            billed = "" if line.billed_atto is None else f" as {format_atto(line.billed_atto)}"
            rate_text = "" if line.rate is None else f" x {line.rate} / {line.per}"
            amount = line.status if line.amount_atto is None else format_atto(line.amount_atto)
            of = f"{line.currency}; {line.card} {line.version}; {line.status}"
            told += [f"{line.meter} {format_atto(line.quantity_atto)}{billed}{rate_text} = {amount} {of}"]
            told += [line.explain]
    return told
