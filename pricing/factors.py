"""Factors on rates (multipliers, rates of exchange, markups) and the exact rates that they make."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import gcd
from typing import NamedTuple

from pricing.cards import ExchangeRate
from pricing.compiled import CompiledRate
from pricing.instants import instant_text
from pricing.money import ATTO, DIGITS_AFTER, LIMIT, format_atto, parse_decimal
from pricing.timeline import Timeline, fill_timeline


class Factor(NamedTuple):
    """`scaled` x 10**-`places`, and what it is in words. `meters` None: every meter."""

    scaled: int
    name: str
    meters: frozenset[str] | None = None
    places: int = DIGITS_AFTER

    def text(self) -> str:
        scaled, places = self.scaled, self.places
        while places > DIGITS_AFTER and scaled % 10 == 0:
            scaled, places = scaled // 10, places - 1
        if places == DIGITS_AFTER:
            return format_atto(scaled)
        whole, fraction = divmod(scaled, 10**places)
        return f"{whole}.{fraction:0{places}d}"


def markup_factor(percent: str) -> Factor:
    """1 + percent / 100, exactly."""
    atto = parse_decimal(percent, "percent")
    return Factor(100 * ATTO + atto, f"markup of {format_atto(atto)} percent", places=DIGITS_AFTER + 2)


def scale(rate: CompiledRate, factors: Sequence[Factor]) -> CompiledRate | str:
    """The rate times the factors, exactly, or the reason why it cannot be written.

    More than 18 places: rate and per both grow by a power of ten, which changes no amount.
    """
    if not factors:
        return rate
    number, per = parse_decimal(rate.rate, "rate"), parse_decimal(rate.per, "per")
    places = 0  # beyond the 18
    for factor in factors:
        number *= factor.scaled
        places += factor.places
    while places and number % 10 == 0:
        number, places = number // 10, places - 1
    per *= 10**places
    words = " x ".join((rate.rate, *(f"{factor.text()} ({factor.name})" for factor in factors)))
    if number >= LIMIT or per >= LIMIT:
        return f"{words} has more than 38 digits"
    divisor = gcd(number, per)
    origin = f"{rate.origin}, {words}" if rate.origin else words
    return rate._replace(
        rate=format_atto(number),
        per=format_atto(per),
        numerator=number // divisor,
        denominator=per // divisor,
        origin=origin,
    )


class Exchange:
    """The book's rates of exchange over time, each only in the direction in which it is stated."""

    def __init__(self, rates: Iterable[ExchangeRate]) -> None:
        spans: defaultdict[tuple[str, str], list[tuple[int | None, int | None, Factor | None]]]
        spans = defaultdict(list)
        for rate in rates:
            since = "" if rate.valid_from_us is None else f" from {instant_text(rate.valid_from_us)}"
            factor = Factor(parse_decimal(rate.rate, "rate"), f"{rate.currency} to {rate.to}{since}")
            spans[rate.currency, rate.to].append((rate.valid_from_us, rate.valid_to_us, factor))
        self._timelines = {
            pair: fill_timeline(found, lambda _after, _before: None) for pair, found in spans.items()
        }
        self._none: Timeline[Factor | None] = Timeline((), (None,))

    def timeline(self, currency: str, to: str) -> Timeline[Factor | None]:
        """The factor from one currency to another at an instant; None where the book states none."""
        return self._timelines.get((currency, to), self._none)
