"""One pool of one customer in one period, with everything that was ever written for it."""

from pricing.compiled import LineTemplate
from pricing.corrections import PeriodRun, close, replaced, reversal, void
from pricing.pools import PoolPrice, charge
from pricing.rate import Line, PoolState, Rating, Side

POOL, START_US, END_US = "list/tokens", 0, 86_400_000_000
EMPTY = PoolState(POOL, START_US, END_US, 0, 0, "USD")

COST = LineTemplate("cost", "input_tokens", "priced", "by hand", "1", "1", "USD", "p/m", None)
TIER = LineTemplate("price", "input_tokens", "priced", "by hand", "1", "1", "USD", "list/m", None)
REST = LineTemplate("price", "tier_adjustment", "priced", "by hand", None, None, "USD", "list/m", None)


def rated(price: PoolPrice, quantity: int, before: PoolState = EMPTY) -> Rating:
    """A call with one pooled leaf; its cost is 2 for each unit."""
    portions, adjustment, amount = charge(price, before.quantity_atto, before.amount_atto, quantity)
    after = before._replace(quantity_atto=before.quantity_atto + quantity, amount_atto=amount)
    lines = [Line(COST, quantity, 2 * quantity)]
    lines += [Line(TIER, part.quantity_atto, part.amount_atto, part.billed_atto) for part in portions]
    if adjustment:
        lines.append(Line(REST, 0, adjustment))
    return Rating(
        Side("priced", 2 * quantity, "USD"),
        Side("priced", amount - before.amount_atto, "USD"),
        tuple(lines),
        (("input_tokens", quantity),),
        (START_US, END_US),
        (before,),
        (after,),
    )


class Period:
    """The live pool, its current records, and the sum of all price lines ever written."""

    def __init__(self) -> None:
        self.live = EMPTY
        self.records: list[Rating] = []
        self.written_atto = 0

    def pools(self, pool: str, start_us: int) -> tuple[int, int]:
        assert (pool, start_us) == (POOL, START_US)
        return self.live.quantity_atto, self.live.amount_atto

    def rate(self, price: PoolPrice, quantity: int) -> None:
        record = rated(price, quantity, self.live)
        self._write(record)
        (self.live,) = record.pools_after
        self.records.append(record)

    def void(self, price: PoolPrice, index: int) -> Rating:
        undone = void(self.records.pop(index), self.pools, lambda _state: price)
        self._write(undone)
        (self.live,) = undone.pools_after
        return undone

    def replace(self, run: PeriodRun, price: PoolPrice, index: int) -> None:
        """The run's next step: the record's reversal and its replacement."""
        record = self.records[index]
        quantity = record.leaves[0][1]
        held, paid = run.pools(POOL, START_US)
        replacement = rated(price, quantity, EMPTY._replace(quantity_atto=held, amount_atto=paid))
        run.add(replacement)
        self._write(reversal(record))
        self._write(replacement)
        (self.live,) = replaced(record, replacement, self.pools)
        self.records[index] = replacement

    def close(self, price: PoolPrice) -> Line | None:
        line, self.live = close(self.live, price)
        if line is not None:
            self.written_atto += line.amount_atto or 0
        return line

    def _write(self, rating: Rating) -> None:
        found = sum(line.amount_atto or 0 for line in rating.lines if line.side == "price")
        assert found == rating.price.amount_atto
        self.written_atto += found
