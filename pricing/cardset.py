"""Finds and compiles the card for a call: of the provider cards, or of a contract's price cards."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from pricing.attributes import HAS_QUERY, Reading
from pricing.calendar import CompiledSchedule, ZoneTable, zones
from pricing.cards import ALL, BookContent, CardVersion, ModelAlias, PriceCard, RateCard, Schedule
from pricing.cell import CompiledCell, Extras, Ladder
from pricing.cells import Steps
from pricing.chosen import Choice, choose_cell, factor_of
from pricing.compiled import CellName, Context, Kind
from pricing.factors import Exchange, Factor, markup_factor
from pricing.instants import instant_text
from pricing.match import CardIndex
from pricing.meters import DEFAULT_METERS, MeterRegistry
from pricing.money import ATTO, parse_decimal, round_half_even
from pricing.pooled import CompiledPool, compiled_pools
from pricing.shelf import Shelf
from pricing.special import Markup, StatedCost, no_exchange
from pricing.timeline import Instants, Moving, MovingTimeline, Reaching, Timeline, fill_timeline, splice

_MEMO_MAX = 32_768
"""Resolved (provider, model, context) remembered by all sets of cards together: contexts may have values
without end, and contracts are many. Real traffic has a few hundred a contract.
"""

LadderTimeline = Timeline[Ladder] | MovingTimeline[Ladder] | Reaching[Ladder]
_VersionsOf = Callable[[str, str], RateCard]
_Slot = Ladder | Moving[Ladder]


class Memory:
    """What the sets of cards of one book remember: bounded together, so that it does not grow with the
    contracts.
    """

    def __init__(self, most: int = _MEMO_MAX) -> None:
        self._most = most
        self._memos: list[dict[tuple[str, str, Context], LadderTimeline]] = []
        self._held = 0

    def memo(self) -> dict[tuple[str, str, Context], LadderTimeline]:
        made: dict[tuple[str, str, Context], LadderTimeline] = {}
        self._memos.append(made)
        return made

    def make_room(self) -> bool:
        """To be called before one more is remembered; whether all was forgotten for it."""
        full = self._held >= self._most
        if full:
            self.forget()
        self._held += 1
        return full

    def forget(self) -> None:
        for memo in self._memos:
            memo.clear()
        self._held = 0


class Facts:
    """What all cards of a book are read with; the shelf, where there is one, gives them their versions."""

    def __init__(self, content: BookContent, attributes: tuple[str, ...], shelf: Shelf | None = None) -> None:
        self.shelf = shelf
        self.registry = MeterRegistry((*DEFAULT_METERS, *content.meters))
        self.unread = frozenset(content.context_ignored).union(attributes)
        self.exchange = Exchange(content.exchange)
        self._zone = zones(content.zones)
        self._schedules: dict[Schedule, CompiledSchedule] = {}
        self._aliases = _aliases(content.aliases)
        self._readings: dict[tuple[str, ...], Reading] = {}
        self.told = Memory()
        self.read = Memory()

    def schedule(self, schedule: Schedule) -> CompiledSchedule:
        found = self._schedules.get(schedule)
        if found is None:
            zone: ZoneTable = self._zone(schedule.zone)
            found = self._schedules[schedule] = CompiledSchedule(schedule, zone)
        return found

    def reading(self, groups: "tuple[CardGroup, ...]") -> Reading:
        """What these groups read; made once for all contracts that sell the same."""
        names = tuple(group.name for group in groups)
        found = self._readings.get(names)
        if found is None:
            cards = (card for group in groups for card in group.cards)
            found = self._readings[names] = Reading(cards, self.unread)
        return found

    def alias(self, provider: str, model: str) -> Timeline[ModelAlias | None] | None:
        """What a name stands for over time; None where it only ever stands for itself."""
        return self._aliases.get((provider.lower(), model.lower()))


class CardGroup:
    """Cards that are asked together: the provider cards, or one price card with its pools."""

    def __init__(self, cards: tuple[RateCard, ...], price_card: PriceCard | None = None) -> None:
        self.name = "" if price_card is None else price_card.price_card_id
        self.cards = cards
        self.index = CardIndex(cards)
        self.pools: Mapping[str, CompiledPool] = MappingProxyType(
            {} if price_card is None else compiled_pools(price_card)
        )


class _Seller(NamedTuple):
    """Who sells: the side, its currency (None: the card's own), and the pools that its cards may name."""

    kind: Kind
    currency: str | None
    pools: Mapping[str, CompiledPool]


class CardSet:
    """The cards of one side: the provider cards, or a contract's price cards, in the order in which they are
    asked.

    `currency` is what the side is in; None: each card's own.
    """

    def __init__(
        self, side: Kind, owner: str, groups: tuple[CardGroup, ...], facts: Facts, currency: str | None = None
    ) -> None:
        self._side = side
        self._owner = owner
        self._groups = groups
        self._facts = facts
        self._currency = currency
        self._reading = facts.reading(groups)
        self._memo = facts.told.memo()
        self._read = facts.read.memo()

    def timeline(self, provider: str, model: str, context: Context) -> LadderTimeline:
        """The ladder of every instant for such calls."""
        key = (provider, model, context)
        found = self._memo.get(key)
        if found is None:
            # Contexts may have values without end; what the cards read of them is compiled once, and outlives
            # the flood.
            read = (provider, model, self._reading.of(context))
            found = self._read.get(read)
            if found is None:
                if self._facts.read.make_room():
                    self._facts.told.forget()  # it holds what was compiled
                found = self._read[read] = self._resolve(*read)
            self._facts.told.make_room()
            self._memo[key] = found
        return found

    def _resolve(self, provider: str, model: str, context: Context) -> LadderTimeline:
        shelf = self._facts.shelf
        if shelf is None:
            return self._made(provider, model, context, None)
        recent = self._made(provider, model, context, shelf.recent)
        whole = partial(self._made, provider, model, context, shelf.whole)
        return Reaching(shelf.loaded_from_us, recent, whole)

    def _made(
        self, provider: str, model: str, context: Context, versions_of: _VersionsOf | None
    ) -> Instants[Ladder]:
        stands_for = self._facts.alias(provider, model)
        if stands_for is None:
            slots = self._slots(provider, model, None, context, versions_of)
        else:
            slots = splice(
                Timeline(
                    tuple(start for start, _, _ in stands_for.spans() if start is not None),
                    tuple(
                        self._slots(provider, model, alias, context, versions_of)
                        for _, _, alias in stands_for.spans()
                    ),
                )
            )
        fixed = tuple(slot for _, _, slot in slots.spans() if isinstance(slot, Ladder))
        bounds = tuple(start for start, _, _ in slots.spans() if start is not None)
        return Timeline(bounds, fixed) if len(fixed) > len(bounds) else MovingTimeline(slots)

    def _slots(
        self,
        provider: str,
        model: str,
        alias: ModelAlias | None,
        context: Context,
        versions_of: _VersionsOf | None,
    ) -> Timeline[_Slot]:
        for group in self._groups:
            card, by_alias = self._find(group.index, provider, model, alias)
            if card is not None:
                said = f"{alias.alias} = {alias.model}, " if alias is not None and by_alias else ""
                who = f"{self._owner}{said}card {card.card_id}"
                seller = _Seller(self._side, self._currency, group.pools)
                dated = card if versions_of is None else versions_of(group.name, card.card_id)
                return CardCompiler(seller, who, dated, self._facts).timeline(context)
        nobody = CellName(self._side, None, None, None, "", "")
        said = f" = {alias.model}" if alias is not None else ""
        reason = f"{self._owner}no {self._side} card for {provider}/{model}{said}"
        return Timeline((), (Ladder((CompiledCell(nobody, self._facts.registry, {}, reason=reason),)),))

    def _find(
        self, index: CardIndex, provider: str, model: str, alias: ModelAlias | None
    ) -> tuple[RateCard | None, bool]:
        """The card, and whether it was found by what the alias stands for.

        What a provider charges is the price of what it served. A customer may be sold the alias by name.
        """
        if alias is None:
            return index.find(provider, model), False
        if self._side == "cost":
            return index.find(provider, alias.model), True
        named = index.find_exact(provider, model)
        if named is not None:
            return named, False
        target = index.find(provider, alias.model)
        return (target, True) if target is not None else (index.find(provider, model), False)


class CardCompiler:
    """Compiles one card for one context, over all its versions."""

    def __init__(
        self,
        seller: _Seller,
        who: str,
        card: RateCard,
        facts: Facts,
    ) -> None:
        self._seller = seller
        self._who = who
        self._card = card
        self._facts = facts
        self._currency = seller.currency or card.currency

    def timeline(self, context: Context) -> Timeline[_Slot]:
        """A ladder for every instant; outside the versions one without prices that says so."""
        return fill_timeline(
            ((v.valid_from_us, v.valid_to_us, self._slot(v, context)) for v in self._card.versions),
            self._no_version,
        )

    def _no_version(self, after_us: int | None, before_us: int | None) -> _Slot:
        words = [f"from {instant_text(after_us)}"] if after_us is not None else []
        words += [f"before {instant_text(before_us)}"] if before_us is not None else []
        return self._unpriced(None, f"no prices in force ({' and '.join(words)})")

    def _slot(self, version: CardVersion, context: Context) -> _Slot:
        """The version's ladder, or one for each value of its schedules and rate of exchange."""
        exchanged = self._card.currency != self._currency
        if not version.schedules and not exchanged:
            return self._ladder(version, context, {}, None)
        schedules = [self._facts.schedule(schedule) for schedule in version.schedules]
        keys = [schedule.key for schedule in schedules]
        rates = self._facts.exchange.timeline(self._card.currency, self._currency)

        def make(values: tuple[Hashable, ...]) -> Ladder:
            dated = {key: value for key, value in zip(keys, values, strict=False) if isinstance(value, str)}
            if not exchanged:
                return self._ladder(version, context, dated, None)
            rate = values[-1]
            if not isinstance(rate, Factor):
                return self._unpriced(version, no_exchange(self._card.currency, self._currency))
            return self._ladder(version, context, dated, rate)

        parts = [schedule.value_at for schedule in schedules]
        return Moving((*parts, rates.at) if exchanged else tuple(parts), make)

    def _ladder(
        self, version: CardVersion, context: Context, dated: Mapping[str, str], rate: Factor | None
    ) -> Ladder:
        choice = choose_cell(version, context, dated, self._facts.unread)
        if isinstance(choice, str):
            return self._unpriced(version, choice)
        base = Steps.of(version.base)
        variant = choice.variant
        steps = base if variant is None else Steps.of(variant.cell).with_base(base, variant.inherit)
        cells = []
        for step, rates in zip(steps.words(), steps.rates, strict=True):
            name = self._name(version, "; ".join((choice.words, *step)))
            extras = self._extras(version, choice, context, rate, name)
            cells.append(CompiledCell(name, self._facts.registry, rates, extras))
        return Ladder(tuple(cells), steps.selector if steps.starts else None, steps.operator, steps.starts)

    def _extras(
        self, version: CardVersion, choice: Choice, context: Context, rate: Factor | None, name: CellName
    ) -> Extras:
        factors = (*choice.factors, rate) if rate is not None else choice.factors
        whole = None
        if version.stated_cost and self._seller.kind == "cost":
            always = [m for m in version.multipliers if not m.when and ALL in m.meters]
            whole = StatedCost(name, [factor_of(multiplier) for multiplier in always])
        markup = None
        if version.markup_percent is not None and self._seller.kind == "price":
            markup = Markup(name, markup_factor(version.markup_percent), self._facts.exchange)
        minimum = None
        if version.minimum is not None:
            atto, words = parse_decimal(version.minimum, "minimum"), f"at least {version.minimum} a call"
            if rate is not None:
                atto = round_half_even(atto * rate.scaled, ATTO)
                words += f" x {rate.text()} ({rate.name})"
            minimum = (atto, words)
        return Extras(
            factors,
            choice.not_billed,
            frozenset(version.included),
            bool(version.included) and (HAS_QUERY, "yes") in context,
            markup,
            whole,
            minimum,
            self._seller.pools,
            frozenset(version.parts_at_whole_rate),
        )

    def _unpriced(self, version: CardVersion | None, reason: str) -> Ladder:
        name = self._name(version, "")
        return Ladder((CompiledCell(name, self._facts.registry, {}, reason=f"{name.who}: {reason}"),))

    def _name(self, version: CardVersion | None, because: str) -> CellName:
        since_us = version.valid_from_us if version else None
        since = instant_text(since_us) if since_us is not None else None
        who = f"{self._who} from {since}" if since else self._who
        return CellName(self._seller.kind, self._card.card_id, since, self._currency, who, because)


def _aliases(aliases: tuple[ModelAlias, ...]) -> dict[tuple[str, str], Timeline[ModelAlias | None]]:
    spans: defaultdict[tuple[str, str], list[tuple[int | None, int | None, ModelAlias | None]]]
    spans = defaultdict(list)
    for alias in aliases:
        key = (alias.provider.lower(), alias.alias.lower())
        spans[key].append((alias.valid_from_us, alias.valid_to_us, alias))
    return {key: fill_timeline(found, lambda _after, _before: None) for key, found in spans.items()}
