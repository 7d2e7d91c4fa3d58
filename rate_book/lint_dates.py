"""Soft rules on what is dated: gaps between versions, and tiers of pools that go up and down."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

from pricing.cards import ExchangeRate, PoolVersion, PriceCard, RateCard
from pricing.instants import instant_text
from rate_book.lint_remarks import Remark, starting
from rate_book.spans import Span, span


def lint_card_dates(card: RateCard) -> Iterator[Remark]:
    """Gaps between the versions of a card, unless the version after the gap accepts it."""
    accepted = {version.valid_from_us: {rule for rule, _ in version.accepted} for version in card.versions}
    for start, end in _gaps([span(item.valid_from_us, item.valid_to_us) for item in card.versions]):
        if "gap" not in accepted[end]:
            yield _gap(card.card_id, "", start, end)


def lint_pools(price_card: PriceCard) -> Iterator[Remark]:
    for pool in price_card.pools:
        name = f"pool {pool.pool}"
        for start, end in _gaps([span(item.valid_from_us, item.valid_to_us) for item in pool.versions]):
            yield _gap(price_card.price_card_id, name, start, end)
        for version in pool.versions:
            if _turns(version):
                rates = ", ".join(f"{tier.rate} per {tier.per} from {tier.start}" for tier in version.tiers)
                line = starting(version.valid_from_us, name)
                detail = f"the rates of the tiers go up and down: {rates}"
                yield Remark(price_card.price_card_id, line, "pool_tiers", detail)


def lint_exchange_dates(exchange: Iterable[ExchangeRate]) -> Iterator[Remark]:
    dated: defaultdict[tuple[str, str], list[Span]] = defaultdict(list)
    for item in exchange:
        dated[item.currency, item.to].append(span(item.valid_from_us, item.valid_to_us))
    for (currency, to), spans in dated.items():
        for start, end in _gaps(spans):
            yield _gap(f"exchange {currency} to {to}", "", start, end)


def _gaps(spans: Sequence[Span]) -> Iterator[Span]:
    for before, after in pairwise(sorted(spans)):
        if before[1] < after[0]:
            yield before[1], after[0]


def _gap(card: str, what: str, start_us: int, end_us: int) -> Remark:
    line = starting(end_us, what)
    return Remark(card, line, "gap", f"nothing is priced from {instant_text(start_us)} until then")


def _turns(version: PoolVersion) -> bool:
    """Whether the rates of the tiers go up somewhere and down elsewhere."""
    rates = [Fraction(tier.rate) / Fraction(tier.per) for tier in version.tiers]
    return any(a < b for a, b in pairwise(rates)) and any(a > b for a, b in pairwise(rates))
