"""Small books in few words."""

from collections.abc import Mapping, Sequence

from pricing.cards import (
    Assignment,
    BookContent,
    CardVersion,
    Cell,
    ContextKey,
    Contract,
    ModelPrefix,
    PriceCard,
    Rate,
    RateCard,
    Step,
    Thresholds,
    Variant,
)
from pricing.compile import CompiledBook, compile_book
from pricing.rate import Call, Line, Rating, rate

M = "1000000"
DAY = 86_400_000_000
NOV_18_2026 = 1_795_003_200_000_000  # 2026-11-18T12:00:00Z: 20,775.5 days x 86,400 s

PROCESSING = ContextKey("processing", ("standard", "batch"), "standard")
TIER = ContextKey("service_tier", ("default", "flex", "priority"), "default")


def rates(per_million: Mapping[str, str], per: str = M) -> tuple[Rate, ...]:
    return tuple(Rate(meter, text, per) for meter, text in per_million.items())


def cell(per_million: Mapping[str, str], thresholds: Thresholds | None = None) -> Cell:
    return Cell(rates(per_million), thresholds)


def over(start: str, per_million: Mapping[str, str], operator: str = "gt") -> Thresholds:
    step = Step(start, rates(per_million))
    return Thresholds((step,), operator="gte" if operator == "gte" else "gt")


def card(
    *versions: CardVersion,
    model: str = "m",
    provider: str | None = "p",
    card_id: str = "",
    prefixes: Sequence[ModelPrefix] = (),
    currency: str = "USD",
) -> RateCard:
    models = (model,) if model else ()
    return RateCard(card_id or f"{provider}/{model}", provider, currency, versions, models, tuple(prefixes))


def flat(per_million: Mapping[str, str], *, whole: bool = False) -> CardVersion:
    return CardVersion(cell(per_million), parts_at_whole_rate=("*",) if whole else ())


def variant(
    per_million: Mapping[str, str],
    inherit: tuple[str, ...] = (),
    thresholds: Thresholds | None = None,
    **when: str,
) -> Variant:
    return Variant(tuple(when.items()), cell(per_million, thresholds), inherit)


def book(*cards: RateCard, content: BookContent | None = None, ignored: tuple[str, ...] = ()) -> CompiledBook:
    return compile_book(content or BookContent(tuple(cards), context_ignored=ignored), 1, "hash")


def sold(customer_cards: Sequence[RateCard], provider_cards: Sequence[RateCard] = ()) -> CompiledBook:
    """A book in which every customer pays by these cards."""
    content = BookContent(
        tuple(provider_cards),
        (PriceCard("list", tuple(customer_cards)),),
        (Contract("contract", "USD", ("list",)),),
        (Assignment("*", "contract"),),
    )
    return book(content=content)


def cost(
    priced_by: CompiledBook,
    usage: Mapping[str, str],
    semantics: str = "inclusive",
    *,
    at_us: int = NOV_18_2026,
    model: str = "m",
    provider: str = "p",
    context: Mapping[str, str] | None = None,
    **named: str,
) -> Rating:
    return rate(priced_by, Call(None, provider, model, at_us, usage, semantics, {**(context or {}), **named}))


def by_meter(rating: Rating, side: str = "cost") -> dict[str, Line]:
    return {line.meter: line for line in rating.lines if line.side == side}
