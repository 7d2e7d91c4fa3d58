"""What a budget compares, taken from the ledger's sums and rows: one window, scope and measure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pricing.money import ATTO
from pricing.totals import Scope
from pricing.windows import LIFETIME, PERIOD
from rate_book.ledger_live import whole
from rate_book.ledger_rows import RatedRow
from rate_book.ledger_sums import Group, GroupKey, Span, Sums


@dataclass(frozen=True, slots=True)
class Measured:
    """A side in a currency, events, or the quantity of a meter; all values times 10**18.

    `measure` is price, cost, events or quantity:<meter>; `currency` is None for the last two. `end_us` counts
    for hours, days and weeks only: a service period is told by its start.
    """

    scope: Scope
    window: str
    start_us: int
    end_us: int | None
    measure: str
    currency: str | None


@dataclass(frozen=True, slots=True)
class CrossingEvent:
    """The event whose row made a running value reach an amount."""

    source: str
    event_id: str
    customer_seq: int
    event_time_us: int


@dataclass(frozen=True, slots=True)
class Contributor:
    """A value of a dimension (None: the event has none) and its part of a window, times 10**18.

    `share` is its percentage of the window's whole, two decimals, cut off; None where the whole is not
    above 0.
    """

    dimension: str
    value: str | None
    amount_atto: int
    share: str | None


class Parts:
    """The window's sums by the dimensions `names`, as the ledger is now, the newest rows included."""

    def __init__(self, sums: Sums, measured: Measured, names: Sequence[str]) -> None:
        self._measured = measured
        self._names = names
        self._wanted = [(names.index(name), value) for name, value in measured.scope]
        self._groups = _groups(sums, measured)

    def total(self) -> int:
        """The measure's value."""
        return sum(value for _, value in self._values())

    def largest(self, dimension: str, top: int) -> list[Contributor]:
        """The largest parts of the value by a dimension among `names`; parts of 0 are none."""
        at, total = self._names.index(dimension), self.total()
        parts: dict[str | None, int] = {}
        for values, value in self._values():
            parts[values[at]] = parts.get(values[at], 0) + value
        found = sorted((part for part in parts.items() if part[1]), key=_largest_first)
        return [Contributor(dimension, value, part, _share(part, total)) for value, part in found[:top]]

    def moved_by(self, row: RatedRow) -> int:
        """What the row adds to the value; 0 where it is not in the window or the scope."""
        if not _is_inside(row, self._measured) or not self._is_mine(row.dimensions):
            return 0
        return _value(row, row.cost_currency, row.price_currency, self._measured)

    def _values(self) -> Iterator[tuple[Sequence[str | None], int]]:
        for (cost_currency, price_currency, values), group in self._groups.items():
            if self._is_mine(values):
                yield values, _value(group, cost_currency, price_currency, self._measured)

    def _is_mine(self, values: Sequence[str | None]) -> bool:
        return all(values[at] == value for at, value in self._wanted)


def _groups(sums: Sums, measured: Measured) -> Mapping[GroupKey, Group]:
    if measured.window == PERIOD:
        return sums.of_periods().get(measured.start_us, {})
    if measured.window == LIFETIME:
        return whole(sums.of_periods())
    if measured.end_us is None:
        raise ValueError(f"end_us None: must be an instant where the window is {measured.window}")
    return sums.of_spans([Span(0, measured.start_us, measured.end_us)])[0]


def _is_inside(row: RatedRow, measured: Measured) -> bool:
    if measured.window == PERIOD:
        return row.period_start_us == measured.start_us
    if measured.window == LIFETIME:
        return True
    return measured.end_us is not None and measured.start_us <= row.bucket_us < measured.end_us


def _value(
    sums: Group | RatedRow, cost_currency: str | None, price_currency: str | None, measured: Measured
) -> int:
    measure, currency = measured.measure, measured.currency
    if measure == "cost":
        return (sums.cost_atto or 0) if cost_currency == currency else 0
    if measure == "price":
        return (sums.price_atto or 0) if price_currency == currency else 0
    if measure == "events":
        return sums.events * ATTO
    kind, _, meter = measure.partition(":")
    if kind != "quantity" or not meter:
        raise ValueError(f"measure {measure!r}: must be price, cost, events or quantity:<meter>")
    return sums.quantities.get(meter, 0)


def _largest_first(part: tuple[str | None, int]) -> tuple[int, str]:
    return -part[1], part[0] or ""


def _share(part: int, total: int) -> str | None:
    if total <= 0:
        return None
    hundredths = abs(part) * 10_000 // total
    return f"{'-' if part < 0 else ''}{hundredths // 100}.{hundredths % 100:02}"
