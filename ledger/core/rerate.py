"""A re-rate of one customer: which records it replaces, in which order, and which periods it widens to. Pure.

A record without pools is replaced where the new version rates it otherwise. A pool's period has one price, so
where a record's old or new rating touches a pool, all records of that pool and period belong to it, and what
these touch in turn: together they are replaced, in the order of their sequences, as if the period began anew,
or not at all where nothing about them changes. Records are read again for each pass; what is held in memory
are the periods, never the records.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from ledger.core.amounts import atto
from ledger.core.correction import REVERSAL, LedgerRecord
from pricing.corrections import PeriodRun
from pricing.errors import UsageError
from pricing.rate import Pools, PoolState, Rating

PeriodKey = tuple[str, int]
"""A pool, and the start of its period in microseconds UTC."""
Span = tuple[int, int]
"""Event times from .. until, microseconds UTC."""
Read = Callable[[Sequence[Span]], Iterator[LedgerRecord]]
"""All records of the customer, current or not, whose event time is in one of the spans, by sequence."""


class NewBook(Protocol):
    """The version to rate with."""

    @property
    def version(self) -> int: ...

    def rate(self, event: Mapping[str, Any], pools: Pools) -> Rating:
        """Raises UsageError: the version cannot rate the event."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """Which records shall be re-rated, and with which version; an empty filter means any."""

    from_us: int
    to_us: int
    book_version: int
    providers: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()
    features: frozenset[str] = frozenset()

    def wants(self, record: LedgerRecord) -> bool:
        event = record.event
        return (
            record.current
            and self.from_us <= event["event_time_us"] < self.to_us
            and (not self.providers or event["provider"] in self.providers)
            and (not self.models or model_of(event) in self.models)
            and (not self.products or event["product"] in self.products)
            and (not self.features or event["feature"] in self.features)
        )


def model_of(event: Mapping[str, Any]) -> str | None:
    """The model that prices go by."""
    name = event["billed_model"] or event["served_model"] or event["requested_model"]
    return None if name is None else str(name)


class Period(NamedTuple):
    """A pool's period that a re-rate replaces as a whole."""

    pool: str
    start_us: int
    end_us: int
    currency: str
    records: int


class Step(NamedTuple):
    """One record on the way. `new` is None where it only counts towards what was there before: it is a leg
    that something later replaced. `pooled`: it belongs to a whole period; `closes` are those that it ends.
    """

    record: LedgerRecord
    new: Rating | None
    pooled: bool
    closes: tuple[PeriodKey, ...] = ()


@dataclass(frozen=True, slots=True)
class CustomerPlan:
    """What `steps` goes by. `refused` are events that the version cannot rate, each with the reason."""

    spans: tuple[Span, ...]
    periods: Mapping[PeriodKey, Period]
    closes_at: Mapping[int, tuple[PeriodKey, ...]]
    selected: int
    unchanged: int
    newer: int
    commands: int
    refused: tuple[str, ...]


@dataclass(slots=True)
class _Group:
    """Periods that hang together by their records."""

    changed: bool = False
    records: int = 0
    wanted: int = 0
    old: dict[str | None, int] = field(default_factory=dict)
    new: dict[str | None, int] = field(default_factory=dict)

    def add(self, other: "_Group") -> None:
        self.changed = self.changed or other.changed
        self.records += other.records
        self.wanted += other.wanted
        for mine, others in ((self.old, other.old), (self.new, other.new)):
            for currency, amount in others.items():
                mine[currency] = mine.get(currency, 0) + amount

    @property
    def active(self) -> bool:
        """Whether the version changes anything: a record, or what the periods' records sum to."""
        sums = [
            {currency: amount for currency, amount in side.items() if amount} for side in (self.old, self.new)
        ]
        return self.changed or sums[0] != sums[1]


class _Periods:
    """The groups of periods, joined as records join them."""

    def __init__(self) -> None:
        self._above: dict[PeriodKey, PeriodKey] = {}
        self._groups: dict[PeriodKey, _Group] = {}

    def group(self, keys: Sequence[PeriodKey]) -> _Group:
        """The one group of all these periods; there is at least one."""
        first = self._top(keys[0])
        for key in keys[1:]:
            top = self._top(key)
            if top != first:
                self._above[top] = first
                self._groups[first].add(self._groups.pop(top))
        return self._groups[first]

    def of(self, key: PeriodKey) -> _Group:
        return self._groups[self._top(key)]

    def _top(self, key: PeriodKey) -> PeriodKey:
        if key not in self._above:
            self._above[key] = key
            self._groups[key] = _Group()
        while self._above[key] != key:
            self._above[key] = key = self._above[self._above[key]]
        return key


class _Pass:
    """One reading of the customer's records."""

    def __init__(self, asked: Asked, book: NewBook, known: Mapping[PeriodKey, Period]) -> None:
        self._asked = asked
        self._book = book
        self.periods: dict[PeriodKey, Period] = dict(known)
        self.groups = _Periods()
        self._run = PeriodRun()
        self._last: dict[PeriodKey, tuple[bool, int]] = {}
        self._counts: dict[PeriodKey, int] = {}
        self.selected = self.free = self.newer = self.free_changed = 0
        self.refused: list[str] = []

    def look(self, record: LedgerRecord) -> None:
        wanted = self._asked.wants(record)
        old = _told_periods(record.rating)
        rated = self._rated(record) if record.current else None
        new = {} if rated is None else {_key(state): state for state in rated.pools_before}
        keys = [*old, *(key for key in new if key not in old)]
        if wanted:
            self._count(record, rated)
        if not keys:
            self.free_changed += wanted and _differs(record, rated, self._book.version)
            self.free += wanted
        elif wanted or any(key in self.periods for key in keys):
            for key, state in {**old, **new}.items():
                self.periods.setdefault(
                    key, Period(state.pool, state.start_us, state.end_us, state.currency, 0)
                )
            self._join(record, rated, old, keys, wanted=wanted)

    def _count(self, record: LedgerRecord, rated: Rating | None) -> None:
        self.selected += 1
        self.newer += record.rating["book_version"] > self._book.version
        if rated is None:
            self.refused.append(record.named)

    def _rated(self, record: LedgerRecord) -> Rating | None:
        """From the quantities that it was rated from; which pools it touches does not depend on them."""
        before = {
            key: (state.quantity_atto, state.amount_atto)
            for key, state in _told_periods(record.rating).items()
        }
        try:
            return self._book.rate(record.event, lambda pool, start_us: before.get((pool, start_us), (0, 0)))
        except UsageError:
            return None

    def _join(
        self,
        record: LedgerRecord,
        rated: Rating | None,
        old: Mapping[PeriodKey, PoolState],
        keys: Sequence[PeriodKey],
        *,
        wanted: bool,
    ) -> None:
        group = self.groups.group(keys)
        price = record.rating["price"]
        _plus(group.old, price["currency"], price["amount"])
        if not record.current:
            return
        group.wanted += wanted
        try:
            again = self._book.rate(record.event, self._run.pools)
        except UsageError:
            _plus(group.new, price["currency"], price["amount"])  # it stays as it is
            if not wanted:
                self.refused.append(record.named)
            return
        group.records += 1
        group.changed = group.changed or _differs(record, rated, self._book.version)
        self._run.add(again)
        if again.price.amount_atto is not None:
            currency = again.price.currency
            group.new[currency] = group.new.get(currency, 0) + again.price.amount_atto
        for key in keys:
            self._counts[key] = self._counts.get(key, 0) + 1
            own = any(_key(state) == key for state in again.pools_before)
            # One that only the old rating knew is closed by its last record with a price in its currency.
            fits = own or again.price.currency in {None, old[key].currency}
            if fits and (own or not self._last.get(key, (False, 0))[0]):
                self._last[key] = own, record.seq

    def plan(self, spans: tuple[Span, ...]) -> CustomerPlan:
        active = {
            key: period._replace(records=self._counts.get(key, 0))
            for key, period in self.periods.items()
            if self.groups.of(key).active and self._counts.get(key)
        }
        closes: dict[int, tuple[PeriodKey, ...]] = {}
        for key, (_, seq) in self._last.items():
            if key in active:
                closes[seq] = (*closes.get(seq, ()), key)
        groups = {id(group): group for group in map(self.groups.of, self.periods)}.values()
        idle = sum(group.wanted for group in groups if not group.active)
        commands = self.free_changed + sum(group.records for group in groups if group.active)
        unchanged = self.free - self.free_changed + idle
        return CustomerPlan(
            spans, active, closes, self.selected, unchanged, self.newer, commands, tuple(self.refused)
        )


def plan(read: Read, asked: Asked, book: NewBook) -> CustomerPlan:
    """What a re-rate of this customer does, after as many readings as the widening takes."""
    known: dict[PeriodKey, Period] = {}
    while True:
        spans = _merged(
            [(asked.from_us, asked.to_us), *((period.start_us, period.end_us) for period in known.values())]
        )
        found = _Pass(asked, book, known)
        for record in read(spans):
            found.look(record)
        if found.periods.keys() == known.keys():
            return found.plan(spans)
        known = found.periods


def steps(made: CustomerPlan, read: Read, asked: Asked, book: NewBook) -> Iterator[Step]:
    """The plan record by record, in the order of sequences, which is that of its commands."""
    run = PeriodRun()
    for record in read(made.spans):
        old = _told_periods(record.rating)
        try:
            touched = book.rate(record.event, run.pools) if record.current else None
        except UsageError:
            continue  # the plan names it
        keys = {*old, *(_key(state) for state in (touched.pools_before if touched else ()))}
        if keys & made.periods.keys():
            if touched is not None:
                run.add(touched)
            yield Step(record, touched, pooled=True, closes=made.closes_at.get(record.seq, ()))
        elif not keys and asked.wants(record) and _differs(record, touched, book.version):
            yield Step(record, touched, pooled=False)


def _told_periods(rating: Mapping[str, Any]) -> dict[PeriodKey, PoolState]:
    """The pools that the record names, as they stood before it; of one named twice, the first."""
    found: dict[PeriodKey, PoolState] = {}
    for told in rating["pools_before"]:
        state = PoolState(
            told["pool"],
            told["period"]["start_us"],
            told["period"]["end_us"],
            atto(told["quantity"]),
            atto(told["amount"]),
            told["currency"],
        )
        found.setdefault(_key(state), state)
    return found


def _key(state: PoolState) -> PeriodKey:
    return state.pool, state.start_us


def _merged(spans: Sequence[Span]) -> tuple[Span, ...]:
    found: list[Span] = []
    for start_us, end_us in sorted(spans):
        if found and start_us <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end_us)
        else:
            found.append((start_us, end_us))
    return tuple(found)


def _plus(sums: dict[str | None, int], currency: str | None, amount: str | None) -> None:
    if amount is not None:
        sums[currency] = sums.get(currency, 0) + atto(amount)


def _differs(record: LedgerRecord, rated: Rating | None, version: int) -> bool:
    """Whether the version makes anything about the record's money other than it is; words do not count."""
    told = record.rating
    if rated is None or told["leg"] == REVERSAL or told["book_version"] == version:
        return False
    period = told["service_period"]
    was = (
        told["plan"],
        (period["start_us"], period["end_us"]),
        [(key, state.end_us, state.currency) for key, state in _told_periods(told).items()],
        *(
            _side(told[side]["status"], told[side]["amount"], told[side]["currency"])
            for side in ("cost", "price")
        ),
        [
            (
                line["side"],
                line["meter"],
                line["status"],
                line["currency"],
                atto(line["quantity"]),
                _atto(line["amount"]),
            )
            for line in told["lines"]
        ],
    )
    now = (
        rated.plan,
        rated.service_period,
        [(_key(state), state.end_us, state.currency) for state in rated.pools_before],
        tuple(rated.cost),
        tuple(rated.price),
        [
            (line.side, line.meter, line.status, line.currency, line.quantity_atto, line.amount_atto)
            for line in rated.lines
        ],
    )
    return was != now


def _side(status: str, amount: str | None, currency: str | None) -> tuple[str, int | None, str | None]:
    return status, _atto(amount), currency


def _atto(amount: str | None) -> int | None:
    return None if amount is None else atto(amount)
