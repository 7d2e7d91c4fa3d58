"""What a book says, laid out by thing, time and place, so that two books can be compared value by value."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import ClassVar, NamedTuple

from pricing.cards import (
    ALL,
    BookContent,
    CardVersion,
    Cell,
    Contract,
    Pool,
    PoolVersion,
    Rate,
    RateCard,
    Zone,
)
from rate_book.content import plain


class Place(NamedTuple):
    """Where in a version something stands: the context of its cell ("" is the standard one), the step above
    which it holds ("" is below the first), and the meter or the rule.
    """

    context: str
    step: str
    item: str


class Value(NamedTuple):
    """What stands there. `number` is for one unit where it is a number, and `per` the units that it is
    published for; `rest` is what else the text says. Two with the same number and rest are the same price.
    """

    text: str
    number: Fraction | None = None
    per: Fraction | None = None
    rest: str = ""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Value):
            return NotImplemented
        if self.number is None or other.number is None:
            return self.text == other.text
        return (self.number, self.rest) == (other.number, other.rest)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.text if self.number is None else (self.number, self.rest))


@dataclass(frozen=True, slots=True)
class Dated:
    """What a thing says in [from_us, to_us), in microseconds UTC."""

    EVER: ClassVar[int] = -(2**62)
    NEVER: ClassVar[int] = 2**62

    from_us: int
    to_us: int
    values: Mapping[Place, Value]

    @classmethod
    def of(cls, from_us: int | None, to_us: int | None, values: Mapping[Place, Value]) -> "Dated":
        """With None for since ever, and until further notice."""
        return cls(cls.EVER if from_us is None else from_us, cls.NEVER if to_us is None else to_us, values)


Things = dict[str, Sequence[Dated]]
_NAMES = ("provider", "currency", "models", "prefixes")
_TERMS = (
    "context",
    "parts_at_whole_rate",
    "schedules",
    "not_billed",
    "included",
    "stated_cost",
)
"""What a version says beside numbers; its words are compared as they are."""


def places_of(content: BookContent) -> Things:
    """Everything that a book says, by the name of the thing that says it."""
    things: Things = {}
    for card in content.provider_cards:
        things |= places_of_cards({("", card.card_id): card})
    for price_card in content.price_cards:
        name = f"price card {price_card.price_card_id}"
        things[name] = (_always(_terms(replace(price_card, cards=(), pools=()), ("target_margin",))),)
        for card in price_card.cards:
            things |= places_of_cards({(price_card.price_card_id, card.card_id): card})
        for pool in price_card.pools:
            things[f"{name}, pool {pool.pool}"] = tuple(_pool_versions(pool))
    for contract in content.contracts:
        names = tuple(field.name for field in fields(Contract) if field.name != "contract_id")
        things[f"contract {contract.contract_id}"] = (_always(_terms(contract, names)),)
    things |= _spans(
        (
            f"assignment of customer {item.customer}",
            item.valid_from_us,
            item.valid_to_us,
            Value(item.contract_id),
        )
        for item in content.assignments
    )
    things |= _spans(
        (f"alias {item.provider}/{item.alias}", item.valid_from_us, item.valid_to_us, Value(item.model))
        for item in content.aliases
    )
    things |= _spans(
        (f"exchange {item.currency} to {item.to}", item.valid_from_us, item.valid_to_us, number(item.rate))
        for item in content.exchange
    )
    things |= {f"zone {zone.name}": tuple(_offsets(zone)) for zone in content.zones}
    settings = ("dimensions", "context_ignored", "meters", "units")
    things["settings"] = (_always(_terms(content, settings)),)
    return things


def number(text: str, per: str = "1", rest: str = "") -> Value:
    """A published number for `per` units."""
    units = Fraction(per)
    written = text if units == 1 else f"{text} per {per}"
    return Value(f"{written}{rest}", Fraction(text) / units, units, rest)


def _always(values: Mapping[Place, Value]) -> Dated:
    return Dated.of(None, None, values)


def _spans(items: Iterable[tuple[str, int | None, int | None, Value]]) -> Things:
    found: defaultdict[str, list[Dated]] = defaultdict(list)
    for what, from_us, to_us, value in items:
        found[what].append(Dated.of(from_us, to_us, {Place("", "", what.split()[0]): value}))
    return dict(found)


def _offsets(zone: Zone) -> Iterator[Dated]:
    """A zone's offsets over time; the first one holds before its instant too."""
    starts = (None, *(start for start, _ in zone.transitions[1:]))
    ends = (*starts[1:], None)
    for start, end, (_, seconds) in zip(starts, ends, zone.transitions, strict=True):
        value = Value(f"{seconds} s east of UTC")
        yield Dated.of(start, end, {Place("", "", "offset"): value})


def _terms(holder: object, names: Iterable[str]) -> dict[Place, Value]:
    """Fields that are no prices, as words; those that say nothing are left out."""
    result = {}
    for name in names:
        value = getattr(holder, name)
        if value not in (None, (), False, ""):
            result[Place("", "", name)] = Value(_words(value))
    return result


def _words(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, tuple) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return json.dumps(plain(value), ensure_ascii=False, sort_keys=True)


def _add_card(things: Things, what: str, card: RateCard) -> None:
    things[f"{what}: names"] = (_always(_terms(card, _NAMES)),)
    things[what] = tuple(
        Dated.of(version.valid_from_us, version.valid_to_us, _version(version)) for version in card.versions
    )


def _version(version: CardVersion) -> dict[Place, Value]:
    values = _terms(version, _TERMS)
    if version.minimum is not None:
        values[Place("", "", "minimum")] = number(version.minimum)
    if version.markup_percent is not None:
        values[Place("", "", "markup_percent")] = number(version.markup_percent)
    for position, item in enumerate(version.multipliers, start=1):
        when = ", ".join(f"{key}={value}" for key, value in item.when)
        meters = "" if item.meters == (ALL,) else f" on {', '.join(item.meters)}"
        place = Place(when, "", f"multiplier {position} {item.name}")
        values[place] = number(item.factor, rest=meters)
    base = dict(_cell(version.base))
    values |= {Place("", *place): value for place, value in base.items()}
    for variant in version.variants:
        context = ", ".join(f"{key}={value}" for key, value in variant.when)
        own = dict(_cell(variant.cell))
        inherited = _inherited(base, variant.inherit, {meter for _, meter in own})
        values |= {Place(context, *place): value for place, value in (inherited | own).items()}
        if not own and not inherited:
            values[Place(context, "", "no price")] = Value("no price")
    return values


def _cell(cell: Cell) -> Iterator[tuple[tuple[str, str], Value]]:
    """Rates by step and meter, inherited ones at each step that they hold at."""
    below = {rate.meter: _rate(rate) for rate in cell.rates}
    yield from ((("", meter), value) for meter, value in below.items())
    if cell.thresholds is None:
        return
    operator = ">" if cell.thresholds.operator == "gt" else ">="
    for step in cell.thresholds.steps:
        name = f"{cell.thresholds.selector} {operator} {step.start}"
        own = {rate.meter: _rate(rate) for rate in step.rates}
        kept = {
            meter: value for meter, value in below.items() if meter in step.inherit or ALL in step.inherit
        }
        yield from (((name, meter), value) for meter, value in (kept | own).items())


def _inherited(
    base: Mapping[tuple[str, str], Value], names: Sequence[str], own: set[str]
) -> dict[tuple[str, str], Value]:
    return {
        (step, meter): value
        for (step, meter), value in base.items()
        if meter not in own and (meter in names or ALL in names)
    }


def _rate(rate: Rate) -> Value:
    if rate.pool is not None:
        return Value(f"pool {rate.pool}")
    rest = f", at least {rate.minimum}" if rate.minimum is not None else ""
    rest += f", in steps of {rate.increment}" if rate.increment is not None else ""
    rest += f", tiles {json.dumps(plain(rate.tiles), sort_keys=True)}" if rate.tiles is not None else ""
    return number(rate.rate, rate.per, rest)


def _pool_versions(pool: Pool) -> Iterator[Dated]:
    for version in pool.versions:
        yield Dated.of(version.valid_from_us, version.valid_to_us, _pool(pool, version))


def _pool(pool: Pool, version: PoolVersion) -> dict[Place, Value]:
    values = {Place("", "", "currency"): Value(pool.currency), Place("", "", "shape"): Value(version.shape)}
    if Fraction(version.free):
        values[Place("", "", "free")] = number(version.free)
    operator = ">" if version.operator == "gt" else ">="
    for tier in version.tiers:
        step = f"{operator} {tier.start}"
        # Begun packages of another size are another price, whatever a unit of a full one costs.
        rest = f", each begun {tier.per}" if version.shape == "package" else ""
        values[Place("", step, "rate")] = number(tier.rate, tier.per, rest)
        if Fraction(tier.flat):
            values[Place("", step, "flat")] = number(tier.flat)
    return values


def places_of_cards(cards: Mapping[tuple[str, str], RateCard]) -> Things:
    """What these cards say, by (group, card id); group "" is that of the provider cards."""
    things: Things = {}
    for (group, card_id), card in cards.items():
        owner = f"price card {group}, card" if group else "provider card"
        _add_card(things, f"{owner} {card_id}", card)
    return things
