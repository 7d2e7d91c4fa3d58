"""Compiles a rate book once into the form that `pricing.rate` reads; a card is compiled when a call first
needs it.

Which prices hold is decided in this order: the card by provider and model, its version by event time, the
cell by the exact context, the step by the whole request's total, the rate by the meter. Whatever is missing
on the way makes an unpriced line that says so; nothing falls back to a standard price.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from pricing.attributes import attributes_of
from pricing.cards import ALL, Assignment, BookContent, CardVersion, RateCard
from pricing.cells import Steps, choose_cell
from pricing.check import check_book
from pricing.compiled import CellName, CompiledCell, Context, Kind, Ladder, Timeline, fill_timeline
from pricing.errors import BookError
from pricing.instants import instant_text
from pricing.match import CardIndex
from pricing.meters import DEFAULT_METERS, MeterRegistry
from pricing.split import Splitter

_MEMO_MAX = 16_384
"""Resolved (contract, provider, model, context) remembered; real traffic has a few hundred."""


def compile_book(content: BookContent, version: int, content_hash: str) -> "CompiledBook":
    """The compiled book.

    Raises:
        BookError: with every fault that `pricing.check` finds.
    """
    faults = check_book(content)
    if faults:
        raise BookError(faults)
    return CompiledBook(content, version, content_hash)


class CompiledBook:
    """One version of the rate book, ready to rate with. `compile_book` makes it."""

    def __init__(self, content: BookContent, version: int, content_hash: str) -> None:
        self.version = version
        self.content_hash = content_hash
        self.dimensions = content.dimensions
        self.attributes: tuple[str, ...] = attributes_of(content)
        self.registry = MeterRegistry((*DEFAULT_METERS, *content.meters))
        self.splitter = Splitter(self.registry)
        ignored = frozenset(content.context_ignored)
        self._provider = CardSet("cost", "", (content.provider_cards,), self.registry, ignored)
        price_cards = {card.price_card_id: card.cards for card in content.price_cards}
        contracts = {
            contract.contract_id: CardSet(
                "price",
                f"contract {contract.contract_id}, ",
                tuple(price_cards[card_id] for card_id in contract.price_cards),
                self.registry,
                ignored,
            )
            for contract in content.contracts
        }
        self._customers = _assigned(content.assignments, contracts)
        self._others = self._customers.pop(ALL, Timeline((), (None,)))
        nobody = CellName("price", None, None, None, "", "")
        reason = "no contract is assigned to the customer at the time of the event"
        self._unassigned = Ladder((CompiledCell(nobody, self.registry, {}, reason=reason),))

    def cost_ladder(self, provider: str, model: str, context: Context, at_us: int) -> Ladder:
        """The provider's cells for a call at that instant."""
        return self._provider.timeline(provider, model, context).at(at_us)

    def price_ladder(self, customer: str, provider: str, model: str, context: Context, at_us: int) -> Ladder:
        """The customer's cells for a call at that instant."""
        assigned = self._customers.get(customer)
        contract = assigned.at(at_us) if assigned is not None else None
        if contract is None:
            contract = self._others.at(at_us)
            if contract is None:
                return self._unassigned
        return contract.timeline(provider, model, context).at(at_us)


class CardSet:
    """The cards of one side: the provider cards, or a contract's price cards, in the order in which they are
    asked.
    """

    def __init__(
        self,
        side: Kind,
        owner: str,
        cards: tuple[tuple[RateCard, ...], ...],
        registry: MeterRegistry,
        ignored: frozenset[str],
    ) -> None:
        self._side = side
        self._owner = owner
        self._indexes = tuple(CardIndex(group) for group in cards)
        self._registry = registry
        self._ignored = ignored
        declared = {key.key for group in cards for card in group for v in card.versions for key in v.context}
        self._dropped = ignored - declared
        self._memo: dict[tuple[str, str, Context], Timeline[Ladder]] = {}

    def timeline(self, provider: str, model: str, context: Context) -> Timeline[Ladder]:
        key = (provider, model, context)
        found = self._memo.get(key)
        if found is None:
            # Keys that no card reads may have values without end; what they leave is compiled once.
            read = tuple(sorted(pair for pair in context if pair[0] not in self._dropped))
            found = self._memo.get((provider, model, read)) or self._resolve(provider, model, read)
            if len(self._memo) >= _MEMO_MAX:
                self._memo.clear()
            self._memo[provider, model, read] = self._memo[key] = found
        return found

    def _resolve(self, provider: str, model: str, context: Context) -> Timeline[Ladder]:
        for index in self._indexes:
            card = index.find(provider, model)
            if card is not None:
                who = f"{self._owner}card {card.card_id}"
                return CardCompiler(self._side, who, card, self._registry, self._ignored).timeline(context)
        nobody = CellName(self._side, None, None, None, "", "")
        reason = f"{self._owner}no {self._side} card for {provider}/{model}"
        return Timeline((), (Ladder((CompiledCell(nobody, self._registry, {}, reason=reason),)),))


class CardCompiler:
    """Compiles one card for one context, over all its versions."""

    def __init__(
        self, side: Kind, who: str, card: RateCard, registry: MeterRegistry, ignored: frozenset[str]
    ) -> None:
        self._side = side
        self._who = who
        self._card = card
        self._registry = registry
        self._ignored = ignored

    def timeline(self, context: Context) -> Timeline[Ladder]:
        """A ladder for every instant; outside the versions one without prices that says so."""
        return fill_timeline(
            ((v.valid_from_us, v.valid_to_us, self._ladder(v, context)) for v in self._card.versions),
            self._no_version,
        )

    def _no_version(self, after_us: int | None, before_us: int | None) -> Ladder:
        words = [f"from {instant_text(after_us)}"] if after_us is not None else []
        words += [f"before {instant_text(before_us)}"] if before_us is not None else []
        return self._unpriced(None, f"no prices in force ({' and '.join(words)})")

    def _ladder(self, version: CardVersion, context: Context) -> Ladder:
        chosen, because = choose_cell(version, context, self._ignored)
        if isinstance(chosen, str):
            return self._unpriced(version, chosen)
        base = Steps.of(version.base)
        steps = base if chosen is None else Steps.of(chosen.cell).with_base(base, chosen.inherit)
        whole_rate = frozenset(version.parts_at_whole_rate)
        cells = tuple(
            CompiledCell(self._name(version, "; ".join((because, *step))), self._registry, rates, whole_rate)
            for step, rates in zip(steps.words(), steps.rates, strict=True)
        )
        return Ladder(cells, steps.selector if steps.starts else None, steps.operator, steps.starts)

    def _unpriced(self, version: CardVersion | None, reason: str) -> Ladder:
        name = self._name(version, "")
        return Ladder((CompiledCell(name, self._registry, {}, reason=f"{name.who}: {reason}"),))

    def _name(self, version: CardVersion | None, because: str) -> CellName:
        since_us = version.valid_from_us if version else None
        since = instant_text(since_us) if since_us is not None else None
        who = f"{self._who} from {since}" if since else self._who
        return CellName(self._side, self._card.card_id, since, self._card.currency, who, because)


def _assigned(
    assignments: Iterable[Assignment], contracts: Mapping[str, CardSet]
) -> dict[str, Timeline[CardSet | None]]:
    """Each customer's contract over time; None where the customer has none."""
    by_customer: defaultdict[str, list[tuple[int | None, int | None, CardSet | None]]] = defaultdict(list)
    for assignment in assignments:
        span = (assignment.valid_from_us, assignment.valid_to_us, contracts[assignment.contract_id])
        by_customer[assignment.customer].append(span)
    return {
        customer: fill_timeline(spans, lambda _after, _before: None)
        for customer, spans in by_customer.items()
    }
