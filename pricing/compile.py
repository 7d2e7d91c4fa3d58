"""Compiles a rate book once into the form that `pricing.rate` reads; a card is compiled when a call first
needs it.

Which prices hold is decided in this order: what an alias stands for and the card by provider and model, its
version by event time, the cell by the context (hours of the day and attributes of the event among it) with
the multipliers of what it does not name, the step by the whole request's total, the rate by the meter, the
rate of exchange. Whatever is missing on the way makes an unpriced line that says so; nothing falls back to a
standard price.
"""

from collections import defaultdict

from pricing.attributes import attributes_of
from pricing.calendar import BillingCalendar, ZoneTable, zones
from pricing.cards import ALL, UTC, Assignment, BookContent
from pricing.cardset import CardGroup, CardSet, Facts, LadderTimeline
from pricing.cell import CompiledCell, Ladder
from pricing.check import check_book
from pricing.compiled import CellName, Context
from pricing.errors import BookError
from pricing.shelf import Shelf
from pricing.split import Splitter
from pricing.terms import CompiledContract, Term, terms
from pricing.timeline import Timeline, fill_timeline, splice


def compile_book(
    content: BookContent, version: int, content_hash: str, shelf: Shelf | None = None
) -> "CompiledBook":
    """The compiled book.

    With a shelf each card of the content has one version, which stands for what its versions read of a call;
    what they are the shelf tells when a call needs them. It is a book that was found sound before.

    Raises:
        BookError: with every fault that `pricing.check` finds.
    """
    if shelf is not None:
        return CompiledBook(content, version, content_hash, shelf)
    faults = check_book(content)
    if faults:
        raise BookError(faults)
    return CompiledBook(content, version, content_hash)


class CompiledBook:
    """One version of the rate book, ready to rate with. `compile_book` makes it.

    `attributes` are the attributes of events that its cards read: they enter a call's context.
    """

    def __init__(
        self, content: BookContent, version: int, content_hash: str, shelf: Shelf | None = None
    ) -> None:
        self.version = version
        self.shelf = shelf
        self.content_hash = content_hash
        self.dimensions = content.dimensions
        self.price_cards = content.price_cards
        self.attributes: tuple[str, ...] = attributes_of(content)
        facts = Facts(content, self.attributes, shelf)
        self.registry = facts.registry
        self.splitter = Splitter(facts.registry)
        self._provider = CardSet("cost", "", (CardGroup(content.provider_cards),), facts)
        self._contracts = _contracts(content, facts)
        self._assignments = _by_customer(content.assignments)
        self._everyone = self._assigned(ALL)
        self._others = terms(self._everyone)
        self._terms: dict[str, Timeline[Term | None]] = {}
        self._utc = zones(())(UTC)
        nobody = CellName("price", None, None, None, "", "")
        reason = "no contract is assigned to the customer at the time of the event"
        self.unassigned = Ladder((CompiledCell(nobody, facts.registry, {}, reason=reason),))

    def cost_timeline(self, provider: str, model: str, context: Context) -> LadderTimeline:
        """The provider's cells for such calls at any instant."""
        return self._provider.timeline(provider, model, context)

    def cost_ladder(self, provider: str, model: str, context: Context, at_us: int) -> Ladder:
        """The provider's cells for a call at that instant."""
        return self.cost_timeline(provider, model, context).at(at_us)

    def term(self, customer: str, at_us: int) -> Term | None:
        """The contract that the customer pays by at that instant, and for how long."""
        found = self._terms.get(customer)
        if found is None:
            if customer in self._assignments:
                found = self._terms[customer] = self._terms_of(customer)
            else:
                found = self._others
        return found.at(at_us)

    def zone_of(self, customer: str, at_us: int) -> ZoneTable:
        """The time zone of the customer's contract at that instant; UTC where there is none."""
        term = self.term(customer, at_us)
        return self._utc if term is None else term.contract.calendar.zone

    def _terms_of(self, customer: str) -> Timeline[Term | None]:
        """The customer's own assignments, and between them those of any other customer."""
        own = self._assigned(customer)
        return terms(
            splice(
                Timeline(
                    tuple(start for start, _, _ in own.spans() if start is not None),
                    tuple(
                        self._everyone if contract is None else Timeline((), (contract,))
                        for _, _, contract in own.spans()
                    ),
                )
            )
        )

    def _assigned(self, customer: str) -> Timeline[CompiledContract | None]:
        spans: list[tuple[int | None, int | None, CompiledContract | None]] = [
            (assignment.valid_from_us, assignment.valid_to_us, self._contracts[assignment.contract_id])
            for assignment in self._assignments.get(customer, ())
        ]
        return fill_timeline(spans, lambda _after, _before: None)


def _contracts(content: BookContent, facts: Facts) -> dict[str, CompiledContract]:
    zone = zones(content.zones)
    groups = {card.price_card_id: CardGroup(card.cards, card) for card in content.price_cards}
    return {
        contract.contract_id: CompiledContract(
            contract,
            CardSet(
                "price",
                f"contract {contract.contract_id}, ",
                tuple(groups[card_id] for card_id in contract.price_cards),
                facts,
                contract.currency,
            ),
            BillingCalendar(contract.billing_period, contract.anchor_day, zone(contract.zone)),
        )
        for contract in content.contracts
    }


def _by_customer(assignments: tuple[Assignment, ...]) -> dict[str, list[Assignment]]:
    found: defaultdict[str, list[Assignment]] = defaultdict(list)
    for assignment in assignments:
        found[assignment.customer].append(assignment)
    return dict(found)
