"""What a rated event's lines refer to, found in the content of the book version that rated it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ledger.core.amounts import atto, plain
from pricing.cards import ALL, Assignment, BookContent, CardVersion, Cell, Contract, PriceCard, RateCard
from pricing.instants import instant_text
from pricing.meters import DEFAULT_METERS, MeterRegistry


@dataclass(frozen=True, slots=True)
class ContractShown:
    """The contract that a customer paid by, and the assignment that says so; instants None: without end."""

    contract: str
    assigned_to: str
    valid_from: str | None
    valid_to: str | None
    price_cards: tuple[str, ...]
    currency: str


@dataclass(frozen=True, slots=True)
class TotalShown:
    """The total of the whole request that chose a threshold step."""

    selector: str
    parts: tuple[tuple[str, str], ...]
    total: str
    operator: str
    starts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CardShown:
    """A card version: where it stands, from when to when it holds, who says so."""

    card: str
    price_card: str | None
    currency: str
    valid_from: str | None
    valid_to: str | None
    source: str | None
    totals: tuple[TotalShown, ...]


def find_contract(content: BookContent, customer: str, at_us: int) -> ContractShown | None:
    """The customer's own assignment at that instant, else that of any other customer."""
    for name in (customer, ALL):
        for assignment, contract in _assigned(content, name, at_us, at_us + 1):
            return _contract(contract, assignment)
    return None


def find_contracts(content: BookContent, customer: str, from_us: int, to_us: int) -> tuple[Contract, ...]:
    """Every contract that the customer may pay by at some instant of [from_us, to_us)."""
    return tuple(
        contract for name in (customer, ALL) for _, contract in _assigned(content, name, from_us, to_us)
    )


def _assigned(
    content: BookContent, name: str, from_us: int, to_us: int
) -> Iterator[tuple[Assignment, Contract]]:
    contracts = {contract.contract_id: contract for contract in content.contracts}
    for assignment in content.assignments:
        begun = assignment.valid_from_us is None or assignment.valid_from_us < to_us
        ended = assignment.valid_to_us is not None and assignment.valid_to_us <= from_us
        if assignment.customer == name and begun and not ended:
            yield assignment, contracts[assignment.contract_id]


def _contract(contract: Contract, assignment: Assignment) -> ContractShown:
    return ContractShown(
        contract.contract_id,
        "any other customer" if assignment.customer == ALL else assignment.customer,
        _text(assignment.valid_from_us),
        _text(assignment.valid_to_us),
        contract.price_cards,
        contract.currency,
    )


def find_version(
    content: BookContent, side: str, card_id: str, since: str | None, contract: ContractShown | None
) -> tuple[CardVersion, RateCard, PriceCard | None] | None:
    """The version of a card that a line names; of a price card of the contract on the price side."""
    for card, price_card in _cards(content, side, contract):
        if card.card_id == card_id:
            for version in card.versions:
                if _text(version.valid_from_us) == since:
                    return version, card, price_card
    return None


def _cards(
    content: BookContent, side: str, contract: ContractShown | None
) -> Iterator[tuple[RateCard, PriceCard | None]]:
    if side == "cost":
        yield from ((card, None) for card in content.provider_cards)
        return
    sold = () if contract is None else contract.price_cards
    for name in sold:
        for price_card in content.price_cards:
            if price_card.price_card_id == name:
                yield from ((card, price_card) for card in price_card.cards)


def card_shown(
    content: BookContent,
    found: tuple[CardVersion, RateCard, PriceCard | None],
    leaves: Sequence[tuple[str, str]],
) -> CardShown:
    """The card version, and the totals that its thresholds look at."""
    version, card, price_card = found
    registry = MeterRegistry((*DEFAULT_METERS, *content.meters))
    totals: dict[str, TotalShown] = {}
    for cell in _cells(version):
        thresholds = cell.thresholds
        if thresholds is not None and thresholds.selector not in totals:
            inside = {thresholds.selector, *registry.parts(thresholds.selector)}
            parts = tuple((meter, quantity) for meter, quantity in leaves if meter in inside)
            totals[thresholds.selector] = TotalShown(
                thresholds.selector,
                parts,
                plain(sum(atto(quantity) for _, quantity in parts)),
                thresholds.operator,
                tuple(step.start for step in thresholds.steps),
            )
    return CardShown(
        card.card_id,
        None if price_card is None else price_card.price_card_id,
        card.currency,
        _text(version.valid_from_us),
        _text(version.valid_to_us),
        version.source,
        tuple(totals.values()),
    )


def _cells(version: CardVersion) -> Iterator[Cell]:
    yield version.base
    for variant in version.variants:
        yield variant.cell


def _text(instant_us: int | None) -> str | None:
    return None if instant_us is None else instant_text(instant_us)
