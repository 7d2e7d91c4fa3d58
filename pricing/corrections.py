"""Corrections of what has been rated: voids, and the re-rate of whole periods. Pure, as rating is.

`live` is the state of a customer's pools as all its events have left it. A void takes one record out of it. A
re-rate of a period is a run: each record is replaced by what its call costs in a period that starts at
nothing and holds only the run's calls (`PeriodRun`), in sequence order; `close` then makes the live amount
what the new price says, whatever arrived meanwhile. After each step the live amount is the sum of all that
was ever written for the period.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final, Protocol

from pricing.cards import PriceCard
from pricing.compiled import Line, LineTemplate, Pools, PoolState, Side, Status
from pricing.instants import instant_text
from pricing.pooled import TIER_ADJUSTMENT
from pricing.pools import PoolPrice
from pricing.rate import Rating

# A side without an amount that gets one: what it had no price for stays unpriced, what a query pays is paid.
_WITH_AMOUNT: Final[Mapping[Status, Status]] = {"unpriced": "partial", "included": "priced"}

Prices = Callable[[PoolState], PoolPrice]
"""The price of a pool's period in the book version that the correction names."""


class Sells(Protocol):
    """A book, compiled or not."""

    @property
    def price_cards(self) -> Sequence[PriceCard]: ...


def prices_in(book: Sells) -> Prices:
    """The prices of a book's pools: of the version in force when a period begins, which no period outlives.

    They raise ValueError for a pool, or for an instant, that the book has no price for.
    """
    versions = {
        f"{price_card.price_card_id}/{pool.pool}": [
            (version.valid_from_us, version.valid_to_us, PoolPrice(version)) for version in pool.versions
        ]
        for price_card in book.price_cards
        for pool in price_card.pools
    }

    def price_of(state: PoolState) -> PoolPrice:
        for start_us, end_us, price in versions.get(state.pool, ()):
            begun = start_us is None or start_us <= state.start_us
            if begun and (end_us is None or state.start_us < end_us):
                return price
        raise ValueError(f"pool {state.pool}: no prices at {instant_text(state.start_us)}")

    return price_of


class PeriodRun:
    """The quantities and amounts of a re-rate's own periods, from nothing, in sequence order."""

    def __init__(self) -> None:
        self._states: dict[tuple[str, int], PoolState] = {}

    def pools(self, pool: str, start_us: int) -> tuple[int, int]:
        """What `rate()` asks for: the quantity and amount of the run so far."""
        state = self._states.get((pool, start_us))
        return (0, 0) if state is None else (state.quantity_atto, state.amount_atto)

    def add(self, replacement: Rating) -> None:
        """The rating of the run's next call, made with `pools`, has been written."""
        for state in replacement.pools_after:
            self._states[state.pool, state.start_us] = state

    def periods(self) -> tuple[PoolState, ...]:
        """The periods that the run has met, in the order in which it met them."""
        return tuple(self._states.values())


def shares(record: Rating) -> tuple[PoolState, ...]:
    """What the record itself takes up of each of its pools: its quantity and its amount.

    A replacement that closed a period it took part in names it twice; what it takes up is the sum.
    """
    found: dict[tuple[str, int], PoolState] = {}
    for before, after in zip(record.pools_before, record.pools_after, strict=True):
        key = after.pool, after.start_us
        held = found.get(key) or after._replace(quantity_atto=0, amount_atto=0)
        found[key] = held._replace(
            quantity_atto=held.quantity_atto + after.quantity_atto - before.quantity_atto,
            amount_atto=held.amount_atto + after.amount_atto - before.amount_atto,
        )
    return tuple(found.values())


def reversal(record: Rating) -> Rating:
    """The record with every quantity and amount negated, in its order; it moves no pool by itself."""
    return Rating(
        _negated_side(record.cost),
        _negated_side(record.price),
        tuple(_negated_line(line) for line in record.lines),
        tuple((meter, -quantity) for meter, quantity in record.leaves),
        record.service_period,
        plan=record.plan,
    )


def taken_out(record: Rating, live: Pools) -> Rating:
    """The record's reversal, which takes its shares out of the live pools. Nothing is adjusted."""
    held = [(_at(live, share), share) for share in shares(record)]
    return reversal(record)._replace(
        pools_before=tuple(state for state, _ in held),
        pools_after=tuple(
            state._replace(
                quantity_atto=state.quantity_atto - share.quantity_atto,
                amount_atto=state.amount_atto - share.amount_atto,
            )
            for state, share in held
        ),
    )


def void(record: Rating, live: Pools, price_of: Prices) -> Rating:
    """What is written when a record never was: its reversal, and what that changes for the rest of each pool.

    Afterwards each pool of the record holds what it would hold, had the record never been rated: quantity
    Q - q and amount A(Q - q). `record` is the current one of its event, as written.
    """
    undone = taken_out(record, live)
    settled = [settle(rest, price_of) for rest in undone.pools_after]
    return _with_lines(undone, [line for line, _ in settled if line is not None])._replace(
        pools_after=tuple(state for _, state in settled)
    )


def replaced(record: Rating, replacement: Rating, live: Pools) -> tuple[PoolState, ...]:
    """The live pools once the record is reversed and its replacement from a run is written.

    Nothing is adjusted yet: that is for `close`, once, at the end of the run.
    """
    states: dict[tuple[str, int], PoolState] = {}
    moves = [(-1, share) for share in shares(record)] + [(1, share) for share in shares(replacement)]
    for sign, share in moves:
        key = share.pool, share.start_us
        state = states[key] if key in states else _at(live, share)
        states[key] = state._replace(
            quantity_atto=state.quantity_atto + sign * share.quantity_atto,
            amount_atto=state.amount_atto + sign * share.amount_atto,
        )
    return tuple(states.values())


def close(live: PoolState, price: PoolPrice) -> tuple[Line | None, PoolState]:
    """The line that makes a period's amount A(Q) of this price, and the state afterwards.

    There is no line where the amount is A(Q) already.
    """
    amount = price.amount(live.quantity_atto)
    owed = amount - live.amount_atto
    line = Line(_adjustment(live.pool, live.currency), 0, owed) if owed else None
    return line, live._replace(amount_atto=amount)


def settle(live: PoolState, price_of: Prices) -> tuple[Line | None, PoolState]:
    """`close` at the price of the state's period; where nothing is left of it, it needs none: A(0) is 0."""
    if live.quantity_atto:
        return close(live, price_of(live))
    owed = -live.amount_atto
    line = Line(_adjustment(live.pool, live.currency), 0, owed) if owed else None
    return line, live._replace(amount_atto=0)


def closing(replacement: Rating, live: Sequence[PoolState], price_of: Prices) -> Rating:
    """The last replacement of a run, which closes these live periods.

    `live` are the periods with the replacement in them. They follow the run's own in `pools_before` and
    `pools_after`, so that the record can be computed again alone. They are in the currency of the price, if
    it has one.
    """
    settled = [settle(state, price_of) for state in live]
    return _with_lines(replacement, [line for line, _ in settled if line is not None])._replace(
        pools_before=(*replacement.pools_before, *live),
        pools_after=(*replacement.pools_after, *(state for _, state in settled)),
    )


def _at(live: Pools, share: PoolState) -> PoolState:
    quantity, amount = live(share.pool, share.start_us)
    return share._replace(quantity_atto=quantity, amount_atto=amount)


def _negated_side(side: Side) -> Side:
    return side if side.amount_atto is None else side._replace(amount_atto=-side.amount_atto)


def _with_lines(rating: Rating, lines: Sequence[Line]) -> Rating:
    """The rating with lines of adjustment after its own."""
    price = rating.price
    for line in lines:
        price = Side(
            _WITH_AMOUNT.get(price.status, price.status) if price.amount_atto is None else price.status,
            (price.amount_atto or 0) + (line.amount_atto or 0),
            price.currency or line.currency,
        )
    return rating._replace(price=price, lines=(*rating.lines, *lines))


def _negated_line(line: Line) -> Line:
    return line._replace(
        quantity_atto=-line.quantity_atto,
        amount_atto=None if line.amount_atto is None else -line.amount_atto,
        billed_atto=None if line.billed_atto is None else -line.billed_atto,
    )


@lru_cache(maxsize=1024)
def _adjustment(pool: str, currency: str) -> LineTemplate:
    """One object for all lines alike."""
    return LineTemplate(
        side="price",
        meter=TIER_ADJUSTMENT,
        status="priced",
        explain=f"{pool}: the price of the period's quantity after a correction, less its amount so far",
        currency=currency,
    )
