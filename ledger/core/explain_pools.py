"""P(Q), the price of a period's whole quantity, written out tier by tier: before an event and after it."""

from dataclasses import dataclass
from fractions import Fraction

from ledger.core.amounts import plain
from ledger.core.explain_lines import Check, digits, grouped, half_even
from pricing.cards import BookContent, PoolVersion
from pricing.instants import instant_text
from pricing.money import ATTO, parse_decimal
from pricing.rate import PoolState


@dataclass(frozen=True, slots=True)
class PeriodPrice:
    """P of one quantity: the steps of its arithmetic, and its value, rounded half-even to 18 places."""

    quantity: str
    steps: tuple[str, ...]
    amount: str
    rounded: bool


@dataclass(frozen=True, slots=True)
class PoolShown:
    """One pool in the period of the event. `charged` is the amount after less the amount before."""

    pool: str
    period_from: str
    period_to: str
    currency: str
    shape: str
    quantity_before: str
    amount_before: str
    quantity: str
    quantity_after: str
    amount_after: str
    charged: str
    before: PeriodPrice | None
    after: PeriodPrice | None
    check: Check


def find_pool(content: BookContent, pool_id: str, at_us: int) -> PoolVersion | None:
    """The version in force of the pool that the wire calls PRICE_CARD/POOL; None where the book has none."""
    for price_card in content.price_cards:
        for pool in price_card.pools:
            if f"{price_card.price_card_id}/{pool.pool}" == pool_id:
                return next((version for version in pool.versions if _holds(version, at_us)), None)
    return None


def _holds(version: PoolVersion, at_us: int) -> bool:
    begun = version.valid_from_us is None or version.valid_from_us <= at_us
    return begun and (version.valid_to_us is None or at_us < version.valid_to_us)


def period_price(version: PoolVersion, quantity_atto: int) -> PeriodPrice:
    """P(Q) in the words of the price card; the amount is rounded once, at the end."""
    free = parse_decimal(version.free, "free")
    counted = max(0, quantity_atto - free)
    steps = []
    if free:
        shown = f"{_text(quantity_atto)} - {_text(free)} free = {_text(counted)}"
        steps.append(shown if quantity_atto >= free else f"{_text(quantity_atto)} of {_text(free)} are free")
    if version.shape == "package":
        total = _package(version, counted, steps)
    elif version.shape == "volume":
        total = _volume(version, counted, steps)
    else:
        total = _graduated(version, counted, steps)
    amount = half_even(total)
    return PeriodPrice(plain(quantity_atto), tuple(steps), plain(amount), rounded=total != amount)


def _reached(version: PoolVersion, counted: int) -> int:
    """How many tiers the quantity has reached."""
    if counted <= 0:
        return 0
    starts = [parse_decimal(tier.start, "start") for tier in version.tiers[1:]]
    beyond = [counted > start if version.operator == "gt" else counted >= start for start in starts]
    return 1 + sum(beyond)


def _graduated(version: PoolVersion, counted: int, steps: list[str]) -> Fraction:
    total = Fraction(0)
    starts = [parse_decimal(tier.start, "start") for tier in version.tiers]
    for number, tier in enumerate(version.tiers[: _reached(version, counted)]):
        end = starts[number + 1] if number + 1 < len(starts) else None
        units = (counted if end is None else min(counted, end)) - starts[number]
        span = (
            f"{_text(starts[number])} to {_text(end)}" if end is not None else f"over {_text(starts[number])}"
        )
        total += _step(steps, f"tier {span}", units, (tier.rate, tier.per, tier.flat))
    return total


def _volume(version: PoolVersion, counted: int, steps: list[str]) -> Fraction:
    reached = _reached(version, counted)
    if not reached:
        return Fraction(0)
    tier = version.tiers[reached - 1]
    word = "over" if version.operator == "gt" else "from"
    return _step(steps, f"all, {word} {grouped(tier.start)}", counted, (tier.rate, tier.per, tier.flat))


def _package(version: PoolVersion, counted: int, steps: list[str]) -> Fraction:
    tier = version.tiers[0]
    size = parse_decimal(tier.per, "per")
    begun = -(-counted // size)
    total = Fraction(begun * parse_decimal(tier.rate, "rate"))
    packages = f"{_text(counted)} / {grouped(tier.per)}: {begun:,} begun packages"
    steps.append(f"{packages} x {grouped(tier.rate)} = {digits(total)}")
    return total


def _step(steps: list[str], name: str, units: int, price: tuple[str, str, str]) -> Fraction:
    rate, per, flat = price
    amount = Fraction(units * parse_decimal(rate, "rate"), parse_decimal(per, "per"))
    divided = "" if per == "1" else f" / {grouped(per)}"
    steps.append(f"{name}: {_text(units)} x {grouped(rate)}{divided} = {digits(amount)}")
    fixed = parse_decimal(flat, "flat")
    if fixed:
        steps.append(f"{name}: flat {grouped(flat)}")
    return amount + fixed


def pool_shown(
    content: BookContent, before: PoolState, after: PoolState, *, at_us: int, paid: int
) -> PoolShown:
    """The pool before and after the event, and whether that is right: the amount after is P of the quantity
    after, and the pool's lines sum to the difference (`paid`, in atto).
    """
    version = find_pool(content, before.pool, at_us)
    priced = None if version is None else period_price(version, before.quantity_atto)
    then = None if version is None else period_price(version, after.quantity_atto)
    name = f"pool {before.pool}"
    if then is None:
        check = Check(name, equal=False, detail="the book version has no such pool at the time of the event")
    else:
        wrong = []
        if then.amount != plain(after.amount_atto):
            wrong.append(f"computed {then.amount}, rated {plain(after.amount_atto)}")
        charged = after.amount_atto - before.amount_atto
        if paid != charged:
            wrong.append(f"its lines sum to {plain(paid)}, the period grew by {plain(charged)}")
        check = Check(name, not wrong, "; ".join(wrong))
    return PoolShown(
        pool=before.pool,
        period_from=instant_text(before.start_us),
        period_to=instant_text(before.end_us),
        currency=before.currency,
        shape="" if version is None else version.shape,
        quantity_before=plain(before.quantity_atto),
        amount_before=plain(before.amount_atto),
        quantity=plain(after.quantity_atto - before.quantity_atto),
        quantity_after=plain(after.quantity_atto),
        amount_after=plain(after.amount_atto),
        charged=plain(after.amount_atto - before.amount_atto),
        before=priced,
        after=then,
        check=check,
    )


def _text(atto: int) -> str:
    return digits(Fraction(atto)) if atto % ATTO else f"{atto // ATTO:,}"
