"""A price whose amount is the square of the period's quantity, so that every order and start shows."""

from pricing.rate import Pools, PoolState, Side
from rater.core.rejection import Reject
from rater.core.work import Event, RatedEvent
from tests.unit.rater.fakes import DAY_US, rating, tools

ATTO = 10**18
POOL = "card/pool"
START_US = 19_998 * DAY_US
END_US = START_US + 31 * DAY_US


def state(quantity: int, amount: int, *, pool: str = POOL, start_us: int = START_US) -> PoolState:
    return PoolState(pool, start_us, start_us + 31 * DAY_US, quantity * ATTO, amount * ATTO, "USD")


def rate(said: Event, value: bytes, pools: Pools) -> RatedEvent:
    """usage.a counts in the pools named by usage.pools; the value tells quantity and amount before."""
    before, after = [], []
    for pool in said["usage"].get("pools", POOL).split():
        quantity, amount = pools(pool, START_US)
        before.append(PoolState(pool, START_US, END_US, quantity, amount, "USD"))
        total = quantity + int(said["usage"]["a"]) * ATTO
        after.append(PoolState(pool, START_US, END_US, total, total * total // ATTO, "USD"))
    if "bad" in said["usage"]:
        raise Reject("bad_quantity", "usage.bad", "no number")
    told = " ".join(f"{it.quantity_atto // ATTO}:{it.amount_atto // ATTO}" for it in before)
    price = Side(
        "priced", sum(b.amount_atto - a.amount_atto for a, b in zip(before, after, strict=True)), "USD"
    )
    rated = rating(price=price)._replace(pools_before=tuple(before), pools_after=tuple(after))
    return RatedEvent(rated, lambda sequence: f"{told}#{sequence}".encode())


TOOLS = tools(rate=rate)
