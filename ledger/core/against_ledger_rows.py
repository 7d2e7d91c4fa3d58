"""Every row of the ledger proved from the record that it holds: its columns, its place in the customer's
sequence, what it takes back or replaces, and the roll-ups that it is in.

Pure; rows come by customer and sequence. Memory: the roll-ups of one customer, and a batch of corrections.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from ledger.core.against_ledger_legs import Difference, Leg, check_legs, named_row
from ledger.core.amounts import Recompute, atto, check_amounts, plain
from ledger.core.explain import REVERSAL
from ledger.core.findings import Findings, Reporter
from ledger.core.model import ORIGINAL, RatedRecord
from ledger.core.rollups import Amounts, DimensionsOf, Rollups, SumsKey
from ledger.core.rollups import Place as SumsPlace
from ledger.core.rows import BadRowError, Place, RatedRow, rated_row

_CORRECTIONS = 500  # looked up together
_QUERIES_HELD = 10_000  # of the customer's roll-ups; they are compared in the database
_KEYS_SEEN_MAX = 200_000
_AMOUNTS = frozenset({"cost", "price"})
_POSTING = frozenset({"posting_start_us", "posting_end_us"})

Found = tuple[int, int, int, int]
"""Events; quantity, cost and price times 10**18."""


class LedgerRow(NamedTuple):
    """A row as the table holds it, amounts as plain decimals; `append_ms` is its posted_at, `here` whether it
    came in this generation of topics.
    """

    row: RatedRow
    append_ms: int
    here: bool = True


class Closing(NamedTuple):
    """A closed period of a customer. Rows after `through_seq` belong to the period that follows it."""

    through_seq: int
    period_end_us: int
    next_end_us: int


@dataclass(frozen=True, slots=True)
class RowTools:
    """What the proof cannot do itself without reaching the world.

    Args:
        decode: a RatedUsage; None where the bytes are none.
        held: whether the broker has a record at partition and offset; None where it cannot have it any more.
        legs: the rows with these (customer, source, event id, revision, leg).
        sums: the customer's rows of the roll-ups, and of those of meters, in quarters of an hour.
        keys: what ledger.rollup_keys says of these digests.
    """

    decode: Callable[[bytes], Mapping[str, Any] | None]
    held: Callable[[int, int], bool | None]
    legs: Callable[[Sequence[Leg]], Mapping[Leg, tuple[int, bytes]]]
    sums: Callable[[str], tuple[Mapping[SumsPlace, Found], Mapping[SumsPlace, Found]]]
    keys: Callable[[Sequence[bytes]], Mapping[bytes, SumsKey]]
    recompute: Recompute
    dimensions_of: DimensionsOf


@dataclass(slots=True)
class RowProof:
    """All rows, one after the other; `finish` after the last."""

    tools: RowTools
    findings: Findings
    closings: Mapping[str, Sequence[Closing]]
    detached: frozenset[date]
    proved: int = 0
    _customer: str | None = None
    _seq: int = 0
    _rollups: Rollups | None = None
    _corrections: list[tuple[RatedRow, Mapping[str, Any]]] = field(default_factory=list)
    _keys_seen: set[bytes] = field(default_factory=set)

    def follow(self, stored: LedgerRow) -> None:
        """The next row of the customer, or the first of the next one."""
        row = stored.row
        if row.customer_id != self._customer:
            self._close_customer()
            self._customer, self._seq = row.customer_id, row.customer_seq - 1 if self.detached else 0
            self._rollups = Rollups(self.tools.dimensions_of)
        self._follow_sequence(row)
        self.proved += 1
        held = self.tools.held(row.kafka_partition, row.kafka_offset) if stored.here else None
        if held is False:
            self._add("ledger_extra", row, "record", "a row", f"no record at offset {row.kafka_offset}")
        record = self.tools.decode(row.record)
        if record is None:
            self._add("ledger_row", row, "record", f"{len(row.record)} bytes", "a RatedUsage")
            return
        self._check_columns(stored, record)
        if row.leg != ORIGINAL or held is None:
            self._check_amounts(row, record)
        if row.leg != ORIGINAL:
            self._corrections.append((row, record))
            if len(self._corrections) >= _CORRECTIONS:
                self._check_corrections()
        self._roll_up(row, record)

    def finish(self) -> None:
        self._close_customer()
        self._check_corrections()

    def _add(self, check: str, row: RatedRow, column: str, has: object, wants: object) -> None:
        text = f"{named_row(row)} column {column}: the ledger has {has}, expected {wants}"
        self.findings.add(check, row.kafka_partition, "ledger.rated", text)

    def _follow_sequence(self, row: RatedRow) -> None:
        if row.customer_seq != self._seq + 1:
            what = "stands twice" if row.customer_seq == self._seq else f"follows {self._seq}"
            text = f"customer {row.customer_id!r} sequence {row.customer_seq}: {what}"
            self.findings.add("ledger_sequences", row.kafka_partition, "ledger.rated", text)
        self._seq = row.customer_seq

    def _check_columns(self, stored: LedgerRow, record: Mapping[str, Any]) -> None:
        row = stored.row
        try:
            place = Place(row.kafka_partition, row.kafka_offset, stored.append_ms)
            expected = _posted(rated_row(record, place, row.record), self.closings.get(row.customer_id, ()))
        except BadRowError as error:
            self._add("ledger_row", row, "event_time", row.event_time, error)
            return
        for column, has, wants in differences(row, expected):
            self._add("ledger_posting" if column in _POSTING else "ledger_row", row, column, has, wants)

    def _check_amounts(self, row: RatedRow, record: Mapping[str, Any]) -> None:
        """What the broker holds is computed again from there; what it has no more, here; replacements too."""
        if row.leg == REVERSAL:
            return
        rated = RatedRecord(row.kafka_offset, None, row.record, False, record["event"], record["rating"])
        check_amounts([rated], self.tools.recompute, Reporter(self.findings, row.kafka_partition))

    def _check_corrections(self) -> None:
        corrections, self._corrections = self._corrections, []
        if corrections:
            legs = check_legs(corrections, self.tools.legs, self.tools.decode, whole=not self.detached)
            for row, column, has, wants in legs:
                self._add("ledger_reversal", row, column, has, wants)

    def _roll_up(self, row: RatedRow, record: Mapping[str, Any]) -> None:
        rollups = self._rollups
        if rollups is None:
            return
        try:
            rollups.add(row, record)
        except BadRowError as error:
            self._add("ledger_row", row, "record", "amounts that are none", error)
        if len(rollups.queries) > _QUERIES_HELD:
            rollups.queries.clear()

    def _close_customer(self) -> None:
        customer, rollups = self._customer, self._rollups
        if customer is None or rollups is None:
            return
        sums, meters = self.tools.sums(customer)
        self._compare("ledger.sums_15m", rollups.sums, sums, rollups)
        self._compare("ledger.meter_sums_15m", rollups.meters, meters, rollups)
        self._check_keys(rollups)
        self._rollups = None

    def _compare(
        self,
        table: str,
        made: Mapping[SumsPlace, Amounts],
        stored: Mapping[SumsPlace, Found],
        rollups: Rollups,
    ) -> None:
        names = _names(rollups)
        for place in sorted(made.keys() | stored.keys()):
            customer_id, bucket_us, posted_day, key = place
            if posted_day in self.detached:
                continue
            sums = made.get(place)
            wants = (0, 0, 0, 0) if sums is None else (sums.events, sums.quantity, sums.cost, sums.price)
            has = stored.get(place)
            if has == wants:
                continue
            about = (
                f"customer {customer_id!r} bucket {bucket_us} posted {posted_day}"
                f" {names.get(key, f'key {key.hex()}')}"
            )
            if has is None or sums is None:
                text = f"{about}: {'is missing' if has is None else 'has no row in ledger.rated'}"
                self.findings.add("ledger_rollup", None, table, text)
                continue
            for column, told, summed in _shown(has, wants):
                text = f"{about} column {column}: the roll-up has {told}, its rows sum to {summed}"
                self.findings.add("ledger_rollup", None, table, text)

    def _check_keys(self, rollups: Rollups) -> None:
        new = {
            digest: key._replace(dimensions=tuple(sorted(key.dimensions)))
            for key, digest in rollups.keys.items()
            if digest not in self._keys_seen
        }
        stored = self.tools.keys(sorted(new)) if new else {}
        for digest, key in new.items():
            if stored.get(digest) != key:
                text = f"key {digest.hex()}: it says {stored.get(digest)}, its rows say {key}"
                self.findings.add("ledger_rollup", None, "ledger.rollup_keys", text)
        if len(self._keys_seen) > _KEYS_SEEN_MAX:
            self._keys_seen.clear()
        self._keys_seen |= new.keys()


def differences(row: RatedRow, expected: RatedRow) -> list[Difference]:
    """Columns in which a row is not what it must be: (column, what it has, what is expected)."""
    found: list[Difference] = []
    for column, has, wants in zip(RatedRow._fields, row, expected, strict=True):
        if has != wants and not (column in _AMOUNTS and _same(has, wants)):
            found.append((column, _quoted(has), _quoted(wants)))
    return found


def _same(has: Any, wants: Any) -> bool:
    return has is not None and wants is not None and atto(has) == atto(wants)


def _quoted(value: object) -> str:
    return "none" if value is None else str(value)


def _posted(row: RatedRow, closings: Sequence[Closing]) -> RatedRow:
    """The row in the period whose statement has it: its own, unless that was closed before the row came."""
    before = [closing for closing in closings if closing.through_seq < row.customer_seq]
    last = max(before, key=lambda closing: closing.period_end_us, default=None)
    if last is None or last.period_end_us <= row.service_start_us:
        return row
    return row._replace(posting_start_us=last.period_end_us, posting_end_us=last.next_end_us)


def _names(rollups: Rollups) -> dict[bytes, str]:
    """What keys are about, as findings tell it."""
    names = {}
    for key, digest in rollups.keys.items():
        about = f"provider {key.provider!r} model {key.model!r}"
        names[digest] = f"{about} in {key.cost_currency or 'none'}/{key.price_currency or 'none'}"
    for meter, digest in rollups.meter_keys.items():
        names[digest] = f"{names.get(meter.sums_key, '')} meter {meter.meter!r}"
    return names


def _shown(has: Found, wants: Found) -> Iterable[tuple[str, str, str]]:
    for column, told, summed in zip(("events", "quantity", "cost", "price"), has, wants, strict=True):
        if told != summed:
            if column == "events":
                yield column, str(told), str(summed)
            else:
                yield column, plain(told), plain(summed)
