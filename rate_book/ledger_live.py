"""Live windows made of the ledger's sums."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pricing.calendar import ZoneTable
from pricing.totals import KEPT_WINDOWS, Key, Live, Scopes
from pricing.totals import Sums as Entry
from pricing.windows import DAY, HOUR, LIFETIME, PERIOD, WEEK, window_end, window_start
from rate_book.ledger_rows import RatedRow
from rate_book.ledger_sums import Group, GroupKey, Groups, Span, Sums
from runtime.errors import InfrastructureError

_CLOCK_WINDOWS = (HOUR, DAY, WEEK)


class RollupsBrokenError(InfrastructureError):
    """The roll-ups are not the sums of their rows: nothing can be told from them."""


class LedgerLive:
    """The sums of a customer's live windows at a sequence: as the roll-ups have them, less the rows above it.

    `names` are the dimensions that the scopes name.
    """

    def __init__(self, sums: Sums, seq: int, zone: ZoneTable, scopes: Scopes, names: Sequence[str]) -> None:
        self._seq = seq
        self._scopes = scopes
        self._names = names
        self._spans = list(_spans(sums, seq, zone))
        self._clocks = sums.of_spans([span for _, span in self._spans])
        self._periods = sums.of_periods()
        self._ends = sums.period_ends(seq)

    def take_out(self, row: RatedRow) -> None:
        """Subtract a row above the sequence."""
        for _, span in self._spans:
            if span.from_us <= row.bucket_us < span.to_us:
                _held(self._clocks, span.number, row).take_out(row)
        _held(self._periods, row.period_start_us, row).take_out(row)

    def live(self) -> Live:
        """What is left: what has no row up to the sequence makes no entry and counts as no start."""
        entries: dict[Key, Entry] = {}
        for kind, span in self._spans:
            self._enter(entries, (kind, span.from_us, span.to_us), self._clocks[span.number])
        held = {start_us: groups for start_us, groups in self._periods.items() if self._any(groups)}
        for start_us in sorted(held)[-KEPT_WINDOWS:]:
            self._enter(entries, (PERIOD, start_us, self._ends.get(start_us)), held[start_us])
        self._enter(entries, (LIFETIME, 0, None), whole(self._periods))
        return Live(entries)

    def _any(self, groups: Mapping[GroupKey, Group]) -> bool:
        return any(group.first_seq <= self._seq for group in groups.values())

    def _enter(
        self,
        entries: dict[Key, Entry],
        window: tuple[str, int, int | None],
        groups: Mapping[GroupKey, Group],
    ) -> None:
        kind, start_us, end_us = window
        for (cost_currency, price_currency, values), group in groups.items():
            if group.first_seq > self._seq:
                continue
            added = _entry(group, cost_currency, price_currency)
            for scope in self._scopes.of(tuple(zip(self._names, values, strict=True))):
                key = (kind, start_us, scope, cost_currency, price_currency)
                entries.setdefault(key, Entry(end_us=end_us)).add(added)


def whole(periods: Groups) -> dict[GroupKey, Group]:
    """The sums of all service periods together."""
    found: dict[GroupKey, Group] = {}
    for groups in periods.values():
        for key, group in groups.items():
            found.setdefault(key, Group()).add(group)
    return found


def names_of(scopes: Scopes, beside: Iterable[str] = ()) -> tuple[str, ...]:
    """The dimensions that scopes name."""
    return tuple(sorted({name for scope in scopes.all for name, _ in scope} | set(beside)))


def _spans(sums: Sums, seq: int, zone: ZoneTable) -> Iterator[tuple[str, Span]]:
    """The newest hours, days and weeks that have a row up to the sequence."""
    newest = sums.newest_bucket(None, seq)
    number = 0
    for kind in _CLOCK_WINDOWS:
        bucket_us = newest
        for _ in range(KEPT_WINDOWS):
            if bucket_us is None:
                break
            start_us = window_start(kind, bucket_us, zone)
            yield kind, Span(number, start_us, window_end(kind, start_us, zone))
            number += 1
            bucket_us = sums.newest_bucket(start_us, seq)


def _held(groups: Groups, number: int, row: RatedRow) -> Group:
    group = groups.get(number, {}).get((row.cost_currency, row.price_currency, row.dimensions))
    if group is None:
        raise RollupsBrokenError(
            f"ledger roll-ups: none has the row with sequence {row.customer_seq}; see `ratestream verify`"
        )
    return group


def _entry(group: Group, cost_currency: str | None, price_currency: str | None) -> Entry:
    """A side without a currency has no amount; a quantity of 0 is left out, as if it was never there."""
    return Entry(
        None if cost_currency is None else group.cost_atto,
        None if price_currency is None else group.price_atto,
        group.events,
        group.unpriced_cost_events,
        group.unpriced_price_events,
        {meter: quantity for meter, quantity in group.quantities.items() if quantity},
    )
