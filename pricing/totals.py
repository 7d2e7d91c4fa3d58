"""Running totals of one customer: sums by window, scope and currencies that depend on which rows were folded
and never on their order.

Amounts and quantities are ints times 10**18 ("atto"). Of each kind of window the two newest starts among all
rows ever folded are kept; a row of an older one changes nothing of that kind. Lifetime holds every row.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, NamedTuple

from pricing.calendar import ZoneTable
from pricing.money import ATTO, DIGITS_AFTER
from pricing.windows import LIFETIME, WINDOWS, Span, clock_windows

KEPT_WINDOWS: Final = 2
SCOPES_MAX: Final = 1_000
"""Scopes that budgets may name for one customer."""

Scope = tuple[tuple[str, str], ...]
"""(dimension, value) pairs in ascending order; `()` is the customer as a whole."""
Key = tuple[str, int, Scope, str | None, str | None]
"""Window kind, start_us, scope, cost currency, price currency."""
Dimensions = Mapping[str, str | None] | tuple[tuple[str, str | None], ...]

_Group = tuple[Scope, str | None, str | None]
_Windows = tuple[Span, Span, Span]
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]{1,18})?")
_SCALE = tuple(10 ** (DIGITS_AFTER - digits) for digits in range(DIGITS_AFTER + 1))
_LIFETIME: Final = WINDOWS.index(LIFETIME)
_MARK = re.compile(r"[%=;\n]")
_ESCAPE = re.compile(r"%([0-9A-F]{2})")


class Row(NamedTuple):
    """What some rated records of one quarter of an hour, period, currencies and dimensions sum up to."""

    bucket_us: int
    period_start_us: int
    period_end_us: int
    cost_currency: str | None
    price_currency: str | None
    dimensions: Dimensions
    cost_atto: int | None
    price_atto: int | None
    events: int
    unpriced_cost_events: int
    unpriced_price_events: int
    quantities: Mapping[str, int]


@dataclass(slots=True)
class Sums:
    """One entry; an amount is None while nothing had one. `end_us` is the window's, exclusive, None for
    lifetime; where rows of one period name several ends, the highest.
    """

    cost_atto: int | None = None
    price_atto: int | None = None
    events: int = 0
    unpriced_cost_events: int = 0
    unpriced_price_events: int = 0
    quantities: dict[str, int] = field(default_factory=dict)
    end_us: int | None = None
    encoded: bytes | None = field(default=None, compare=False, repr=False)
    """For whoever encodes entries: None since the sums last changed."""
    head: bytes | None = field(default=None, compare=False, repr=False)
    """The same for what an entry is of: None since `end_us` last changed."""

    def add(self, other: "Row | Sums") -> None:
        if other.cost_atto is not None:
            self.cost_atto = other.cost_atto + (self.cost_atto or 0)
        if other.price_atto is not None:
            self.price_atto = other.price_atto + (self.price_atto or 0)
        self.events += other.events
        self.unpriced_cost_events += other.unpriced_cost_events
        self.unpriced_price_events += other.unpriced_price_events
        quantities = self.quantities
        for meter, quantity in other.quantities.items():
            quantities[meter] = quantities.get(meter, 0) + quantity
        self.encoded = None

    def subtract(self, other: "Row | Sums") -> None:
        """Take out what was added before. What had an amount or a meter keeps it, as 0."""
        if other.cost_atto is not None:
            self.cost_atto = (self.cost_atto or 0) - other.cost_atto
        if other.price_atto is not None:
            self.price_atto = (self.price_atto or 0) - other.price_atto
        self.events -= other.events
        self.unpriced_cost_events -= other.unpriced_cost_events
        self.unpriced_price_events -= other.unpriced_price_events
        for meter, quantity in other.quantities.items():
            self.quantities[meter] = self.quantities.get(meter, 0) - quantity
        self.encoded = None


class Scopes:
    """The scopes watched for a customer, indexed so that a row finds its own without trying each.

    `()` is always among them.
    """

    def __init__(self, scopes: Iterable[Scope]) -> None:
        self.all: tuple[Scope, ...] = tuple(sorted({(), *(tuple(sorted(scope)) for scope in scopes)}))
        by_names: dict[tuple[str, ...], dict[tuple[str | None, ...], Scope]] = {}
        for scope in self.all[1:]:
            names = tuple(name for name, _ in scope)
            by_names.setdefault(names, {})[tuple(value for _, value in scope)] = scope
        self._by_names = tuple(by_names.items())

    def of(self, dimensions: Dimensions) -> list[Scope]:
        """The scopes whose every pair the row has."""
        found: list[Scope] = [()]
        if self._by_names:
            values = dict(dimensions)
            for names, scopes in self._by_names:
                scope = scopes.get(tuple([values.get(name) for name in names]))
                if scope is not None:
                    found.append(scope)
        return found


def sum_rows(rows: Sequence[Row]) -> Sequence[Row]:
    """The rows with those of equal bucket, period, currencies and dimensions made one."""
    if len(rows) < 2:
        return rows
    summed: dict[tuple[object, ...], tuple[Row, Sums]] = {}
    for row in rows:
        by = (*row[:5], *sorted(dict(row.dimensions).items()))
        first = summed.get(by)
        if first is None:
            first = summed[by] = (row, Sums())
        first[1].add(row)
    if len(summed) == len(rows):
        return rows
    return [
        row._replace(
            cost_atto=sums.cost_atto,
            price_atto=sums.price_atto,
            events=sums.events,
            unpriced_cost_events=sums.unpriced_cost_events,
            unpriced_price_events=sums.unpriced_price_events,
            quantities=sums.quantities,
        )
        for row, sums in summed.values()
    ]


class Live:
    """The live windows of one customer."""

    __slots__ = ("_groups", "_items", "_kept")

    def __init__(self, entries: Mapping[Key, Sums] | None = None) -> None:
        """Takes over the sums given. Raises ValueError for an unknown window."""
        self._groups: dict[_Group, tuple[dict[int, Sums], ...]] = {}
        self._kept: tuple[list[int], ...] = tuple([] for _ in WINDOWS)  # starts of each kind, ascending
        self._items: list[tuple[Key, Sums]] | None = None
        for key, sums in (entries or {}).items():
            if key[0] not in WINDOWS:
                raise ValueError(f"window {key[0]!r}: must be one of {', '.join(WINDOWS)}")
            kind = WINDOWS.index(key[0])
            if self._admitted(kind, key[1]):
                self._windows(key[2:])[kind][key[1]] = sums

    def items(self) -> list[tuple[Key, Sums]]:
        """Every entry by window kind, start, scope and currencies. Not to be altered."""
        if self._items is None:
            self._items = [
                ((WINDOWS[kind], start_us, *group), sums)
                for group, windows in self._groups.items()
                for kind, entries in enumerate(windows)
                for start_us, sums in entries.items()
            ]
            self._items.sort(key=_order)
        return self._items

    @property
    def entries(self) -> dict[Key, Sums]:
        """Every entry by its key, in the order of `items`: a new dictionary of the live sums."""
        return dict(self.items())

    def __eq__(self, other: object) -> bool:
        return self.items() == other.items() if isinstance(other, Live) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"Live({self.entries!r})"

    def fold(self, rows: Sequence[Row], zone: ZoneTable, scopes: Scopes | Iterable[Scope]) -> None:
        """Add the rows: of one frame, or of any set, in any order."""
        for windows, period, group, sums in _summed(rows, zone, scopes):
            self._add(group, (*windows, period), sums)

    def subtract(self, rows: Sequence[Row], zone: ZoneTable, scopes: Scopes | Iterable[Scope]) -> None:
        """Take rows out that were folded before; windows that are not kept have lost theirs already.

        The windows stay as they are: which were the newest without these rows is not known here.
        """
        for windows, period, group, sums in _summed(rows, zone, scopes):
            held = self._groups.get(group)
            if held is None:
                continue
            for entries, (start_us, _) in zip(held, (*windows, period, (0, 0)), strict=True):
                entry = entries.get(start_us)
                if entry is not None:
                    entry.subtract(sums)

    def add(self, other: "Live") -> None:
        """Make this the totals of both: as if the other's rows had been folded here."""
        for key, _ in other.items():  # noqa: PERF102 - a list, not a dictionary
            self._admitted(WINDOWS.index(key[0]), key[1])
        for (window, start_us, scope, cost_currency, price_currency), sums in other.items():
            kind = WINDOWS.index(window)
            if start_us in self._kept[kind]:
                windows = self._windows((scope, cost_currency, price_currency))
                self._entry(windows, kind, start_us, sums.end_us).add(sums)

    def _add(self, group: _Group, spans: tuple[Span, ...], sums: "Row | Sums") -> None:
        windows = self._windows(group)
        for kind, (start_us, end_us) in enumerate(spans):
            if start_us in self._kept[kind] or self._admitted(kind, start_us):
                entry = windows[kind].get(start_us)
                if entry is None or entry.end_us != end_us:
                    entry = self._entry(windows, kind, start_us, end_us)
                entry.add(sums)
        lifetime = windows[_LIFETIME].get(0)
        if lifetime is None:
            self._admitted(_LIFETIME, 0)
            lifetime = self._entry(windows, _LIFETIME, 0, None)
        lifetime.add(sums)

    def _entry(
        self, windows: tuple[dict[int, Sums], ...], kind: int, start_us: int, end_us: int | None
    ) -> Sums:
        entry = windows[kind].get(start_us)
        if entry is None:
            entry = windows[kind][start_us] = Sums(end_us=end_us)
            self._items = None
        elif end_us is not None and (entry.end_us is None or end_us > entry.end_us):
            entry.end_us = end_us
            entry.encoded = entry.head = None
        return entry

    def _windows(self, group: _Group) -> tuple[dict[int, Sums], ...]:
        windows = self._groups.get(group)
        if windows is None:
            windows = self._groups[group] = tuple({} for _ in WINDOWS)
        return windows

    def _admitted(self, kind: int, start_us: int) -> bool:
        """Whether the start is one of the two newest so far; where it is a new one, the oldest goes."""
        kept = self._kept[kind]
        if start_us in kept:
            return True
        if len(kept) == KEPT_WINDOWS:
            if start_us < kept[0]:
                return False
            self._drop(kind, kept.pop(0))
        kept.append(start_us)
        kept.sort()
        return True

    def _drop(self, kind: int, start_us: int) -> None:
        for windows in self._groups.values():
            windows[kind].pop(start_us, None)
        self._items = None


def _order(item: tuple[Key, Sums]) -> tuple[int, int, Scope, str, str]:
    window, start_us, scope, cost_currency, price_currency = item[0]
    return WINDOWS.index(window), start_us, scope, cost_currency or "", price_currency or ""


def _summed(
    rows: Sequence[Row], zone: ZoneTable, scopes: Scopes | Iterable[Scope]
) -> Iterator[tuple[_Windows, Span, _Group, "Row | Sums"]]:
    """What the rows add to each group of windows, scope and currencies."""
    index = scopes if isinstance(scopes, Scopes) else Scopes(scopes)
    if len(rows) == 1:
        (row,) = rows
        windows, period = clock_windows(row.bucket_us, zone), (row.period_start_us, row.period_end_us)
        for scope in index.of(row.dimensions):
            yield windows, period, (scope, row.cost_currency, row.price_currency), row
        return
    summed: dict[tuple[_Windows, Span, _Group], Sums] = {}
    for row in rows:
        windows, period = clock_windows(row.bucket_us, zone), (row.period_start_us, row.period_end_us)
        for scope in index.of(row.dimensions):
            by = (windows, period, (scope, row.cost_currency, row.price_currency))
            sums = summed.get(by)
            if sums is None:
                sums = summed[by] = Sums()
            sums.add(row)
    for (windows, period, group), sums in summed.items():
        yield windows, period, group, sums


def parse_sum(text: str) -> int:
    """A plain decimal of any size before the point, with or without a minus, in atto: sums outgrow the 20
    digits of an event's number. Raises ValueError for anything else.
    """
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(f"sum {text!r}: must be a plain decimal with at most 18 digits after the point")
    whole, _, fraction = text.partition(".")
    return int(whole + fraction) * _SCALE[len(fraction)] if fraction else int(whole) * ATTO


def scope_key(scope: Scope) -> str:
    """The scope as one string, `feature=chat;product=x`; `=`, `;`, `%` and line feeds as `%3D` and so on."""
    return ";".join(f"{_escaped(name)}={_escaped(value)}" for name, value in sorted(scope))


def parse_scope_key(text: str) -> Scope:
    """The scope of a `scope_key`. Raises ValueError for a string that none gives."""
    scope: Scope = ()
    for pair in text.split(";") if text else ():
        name, equals, value = pair.partition("=")
        if not equals or "=" in value:
            raise ValueError(f"scope {text!r}: must be dimension=value pairs with ; between them")
        scope += ((_unescaped(name), _unescaped(value)),)
    if scope_key(scope) != text:
        raise ValueError(f"scope {text!r}: must be sorted and escaped as {scope_key(scope)!r}")
    return scope


def watched_hash(zone_name: str, scopes: Scopes | Iterable[Scope]) -> str:
    """Names what totals are made for: 16 hex digits of the zone's name and the set of scopes."""
    index = scopes if isinstance(scopes, Scopes) else Scopes(scopes)
    text = "\n".join((zone_name, *map(scope_key, index.all)))
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _escaped(text: str) -> str:
    return _MARK.sub(lambda match: f"%{ord(match.group()):02X}", text)


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match.group(1), 16)), text)
