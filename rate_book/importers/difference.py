"""Where an imported price list and our book disagree, for a person to decide: neither is taken silently."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction

from pricing.cards import ALL, BookContent, CardVersion, Cell, Multiplier, Rate, RateCard, Variant
from pricing.instants import instant_text
from pricing.match import CardIndex

_NEVER = -(10**30)
_BEGINNING = "the beginning"

Key = tuple[str, str, str]
"""Meter, context (`processing=batch`; empty: nothing but defaults), step (`from 200001`; empty: below)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One price on which the two differ. `ours` or `theirs` is None where that side has no price for it."""

    provider: str
    model: str
    meter: str
    context: str
    step: str
    start: str
    ours: str | None
    theirs: str | None

    def as_data(self) -> dict[str, str | None]:
        """The row as JSON holds it; `from` is the instant from which it holds."""
        data = asdict(self)
        data["from"] = data.pop("start")
        return data


@dataclass(frozen=True, slots=True)
class Difference:
    """The rows; models that only they have (as provider/model); how many prices both say alike."""

    rows: tuple[Row, ...]
    unknown: tuple[str, ...]
    alike: int


def difference(ours: BookContent, theirs: BookContent, at_us: int | None = None) -> Difference:
    """Compare each of their cards with ours for the same model: at one instant, or at every one at which
    either changes.
    """
    index = CardIndex(ours.provider_cards)
    rows: list[Row] = []
    unknown: list[str] = []
    alike = 0
    for card in theirs.provider_cards:
        name = next(iter(card.models), None) or next((item.prefix for item in card.prefixes), "")
        provider = card.provider or ""
        mine = index.find(provider.lower(), name.lower())
        if mine is None:
            unknown.append(f"{provider}/{name}")
            continue
        instants = _instants(mine, card) if at_us is None else [at_us]
        before: set[tuple[object, ...]] = set()
        for instant in instants:
            left, right = prices_at(mine, instant), prices_at(card, instant)
            found = list(_compared(left, right))
            alike += len(left.keys() & right.keys()) - sum(
                1 for _, a, b in found if a is not None and b is not None
            )
            now: set[tuple[object, ...]] = set()
            for key, a, b in found:
                now.add((key, a, b))
                if (key, a, b) not in before:
                    start = _BEGINNING if instant == _NEVER else instant_text(instant)
                    rows.append(Row(provider, name, *key, start, a, b))
            before = now
    return Difference(tuple(rows), tuple(unknown), alike)


def _instants(first: RateCard, second: RateCard) -> list[int]:
    edges = {_NEVER}
    for version in (*first.versions, *second.versions):
        edges |= {edge for edge in (version.valid_from_us, version.valid_to_us) if edge is not None}
    return sorted(edges)


def _compared(
    left: Mapping[Key, tuple[Fraction, str]], right: Mapping[Key, tuple[Fraction, str]]
) -> Iterator[tuple[Key, str | None, str | None]]:
    for key in sorted(left.keys() | right.keys()):
        a, b = left.get(key), right.get(key)
        # A step or context that one side does not have is compared with what that side says without it.
        if a is None and b is not None:
            a = _without(left, key)
        if b is None and a is not None:
            b = _without(right, key)
        if (a and a[0]) != (b and b[0]) or _rule(a) != _rule(b):
            yield key, a and a[1], b and b[1]


def _without(prices: Mapping[Key, tuple[Fraction, str]], key: Key) -> tuple[Fraction, str] | None:
    meter, context, step = key
    return prices.get((meter, context, "")) if step else None


def _rule(price: tuple[Fraction, str] | None) -> str:
    return price[1].partition(", ")[2] if price else ""


def prices_at(card: RateCard, at_us: int) -> dict[Key, tuple[Fraction, str]]:
    """Every price that the card has at the instant: the exact rate of one unit, and how the card writes it.

    A multiplier is shown as the cells that it stands for.
    """
    version = next((item for item in card.versions if _holds(item, at_us)), None)
    if version is None:
        return {}
    defaults = tuple(f"{item.key}={item.default}" for item in version.schedules)
    prices = _cell(version.base, " ".join(defaults))
    for variant in version.variants:
        prices |= _variant(version, variant)
    named = {variant.when for variant in version.variants}
    for factor in version.multipliers:
        if factor.when and factor.when not in named:
            prices |= _multiplied(_cell(version.base, ""), factor)
    return prices


def _holds(version: CardVersion, at_us: int) -> bool:
    start, end = version.valid_from_us, version.valid_to_us
    return (start is None or start <= at_us) and (end is None or at_us < end)


def _cell(cell: Cell, context: str) -> dict[Key, tuple[Fraction, str]]:
    base = {rate.meter: rate for rate in cell.rates}
    prices = {(meter, context, ""): _priced(rate) for meter, rate in base.items() if rate.pool is None}
    thresholds = cell.thresholds
    for step in thresholds.steps if thresholds else ():
        # Tokens are whole: above 200000 is from 200001 on.
        first = Fraction(step.start) + (0 if thresholds and thresholds.operator == "gte" else 1)
        kept = (
            base if ALL in step.inherit else {meter: base[meter] for meter in step.inherit if meter in base}
        )
        for rate in (*kept.values(), *step.rates):
            prices[rate.meter, context, f"from {first}"] = _priced(rate)
    return prices


def _variant(version: CardVersion, variant: Variant) -> dict[Key, tuple[Fraction, str]]:
    context = " ".join(f"{key}={value}" for key, value in variant.when)
    own = _cell(variant.cell, context)
    meters = {rate.meter for rate in variant.cell.rates}
    inherited = {
        key: price
        for key, price in _cell(version.base, context).items()
        if key[0] not in meters and (ALL in variant.inherit or key[0] in variant.inherit)
    }
    return {**inherited, **own}


def _multiplied(
    base: Mapping[Key, tuple[Fraction, str]], factor: Multiplier
) -> dict[Key, tuple[Fraction, str]]:
    context = " ".join(f"{key}={value}" for key, value in factor.when)
    return {
        (meter, context, step): (unit * Fraction(factor.factor), f"{text} x {factor.factor}")
        for (meter, _, step), (unit, text) in base.items()
        if ALL in factor.meters or meter in factor.meters
    }


def _priced(rate: Rate) -> tuple[Fraction, str]:
    text = rate.rate if rate.per == "1" else f"{rate.rate} per {rate.per}"
    if rate.minimum is not None:
        text += f", minimum {rate.minimum}"
    if rate.increment is not None:
        text += f", in steps of {rate.increment}"
    return Fraction(rate.rate) / Fraction(rate.per), text


def rows_text(rows: Sequence[Row]) -> str:
    """The rows for a person, one a line."""
    return "".join(
        f"{row.provider}/{row.model} {row.meter}"
        f"{f' {row.context}' if row.context else ''}{f' {row.step} tokens' if row.step else ''}"
        f" since {row.start}: ours {row.ours or 'none'}, theirs {row.theirs or 'none'}\n"
        for row in rows
    )
