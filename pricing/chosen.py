"""From a card version and a call's context to the cell that prices it, and the multipliers that act on it."""

from collections.abc import Mapping
from typing import NamedTuple

from pricing.attributes import counts_tiles
from pricing.cards import ALL, CardVersion, Multiplier, NotBilled, Variant
from pricing.compiled import Context
from pricing.factors import Factor
from pricing.money import parse_decimal
from pricing.quantity import TILE_KEYS

_Pair = tuple[str, str]


class Choice(NamedTuple):
    """The variant (None: the base cell), the context in words, the multipliers that act in their order, and
    the rules in force by which the call is not billed.
    """

    variant: Variant | None
    words: str
    factors: tuple[Factor, ...]
    not_billed: tuple[NotBilled, ...]


def choose_cell(
    version: CardVersion, context: Context, dated: Mapping[str, str], unread: frozenset[str]
) -> Choice | str:
    """The cell for this context, or the reason why there is none.

    `dated` holds the values of the version's schedules at the time of the event, `unread` the keys that a
    version ignores unless it names them.
    """
    said = dict(context)
    for key in sorted(dated):
        if key in said:
            return f"{key} follows from the time of the event, the context must not name it"
    values = _values(version, said, unread)
    if isinstance(values, str):
        return values
    defaults = {key.key: key.default for key in version.context}
    defaults |= {schedule.key: schedule.default for schedule in version.schedules}
    values |= dated
    beside = tuple(pair for pair in sorted(values.items()) if pair[1] != defaults[pair[0]])
    chosen = _most_named(version, frozenset(beside))
    if isinstance(chosen, str):
        return chosen
    named = frozenset(chosen.when) if chosen is not None else frozenset[_Pair]()
    factors = tuple(
        factor_of(multiplier)
        for multiplier in version.multipliers
        if all(pair in beside and pair not in named for pair in multiplier.when)
    )
    every = {**said, **values}
    not_billed = tuple(
        rule for rule in version.not_billed if all(every.get(key) == value for key, value in rule.when)
    )
    return Choice(chosen, _words(beside) or "standard context", factors, not_billed)


def factor_of(multiplier: Multiplier) -> Factor:
    meters = None if ALL in multiplier.meters else frozenset(multiplier.meters)
    return Factor(parse_decimal(multiplier.factor, "factor"), multiplier.name, meters)


def _values(version: CardVersion, said: Mapping[str, str], unread: frozenset[str]) -> dict[str, str] | str:
    """The value of each key that the version declares, or what is wrong with the context."""
    known = {key.key: key for key in version.context}
    measured = TILE_KEYS if counts_tiles(version) else frozenset[str]()
    strange = sorted(key for key in said if key not in known and key not in unread and key not in measured)
    if strange:
        return f"context key {strange[0]} (value {said[strange[0]]}) is unknown"
    values = {}
    for name in sorted(known):
        value = said.get(name, known[name].default)
        if value is None:
            return f"the context must name {name}"
        if value not in known[name].values:
            return f"value {value} of context key {name} is unknown"
        values[name] = value
    return values


def _most_named(version: CardVersion, beside: frozenset[_Pair]) -> Variant | str | None:
    """The cell that names most of the context, where a multiplier stands for each value that it does not
    name.
    """
    standing = frozenset(pair for multiplier in version.multipliers for pair in multiplier.when)
    best: list[Variant | None] = [None] if beside <= standing else []
    most = 0
    for variant in version.variants:
        named = frozenset(variant.when)
        if named <= beside and beside - named <= standing and len(named) >= most:
            best = [*best, variant] if len(named) == most else [variant]
            most = len(named)
    if not best:
        return f"no prices for the context {_words(tuple(sorted(beside)))}"
    if len(best) > 1:
        cells = " and ".join(sorted(_words(tuple(sorted(cell.when))) for cell in best if cell is not None))
        return f"ambiguous: the cells {cells} name as much of the context {_words(tuple(sorted(beside)))}"
    return best[0]


def _words(pairs: tuple[_Pair, ...]) -> str:
    return ", ".join(f"{name}={value}" for name, value in pairs)
