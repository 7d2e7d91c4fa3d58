"""The ledger's database at one cut, its stored positions: against the broker, and its sums against its rows.

Pure and cheap: it sees one sum for each customer, each partition and each day. What single rows hold is
proved by `against_ledger_rows`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from ledger.core.findings import Findings

Where = tuple[str, int]
"""Topic, as it is named on the broker, and partition."""

DayKey = tuple[date, str | None, str | None]
"""Posted day, currency of the cost, currency of the price; None where there is no amount."""


class Position(NamedTuple):
    """A row of ledger.positions."""

    topic_id: str
    topic: str
    partition: int
    next_offset: int


class Held(NamedTuple):
    """What the broker holds of a partition: [first, end), `end` being the last stable offset."""

    topic_id: str
    first: int
    end: int


class Customer(NamedTuple):
    """A row of ledger.customers."""

    contiguous_seq: int
    last_seq: int
    gap_seq: int | None


class CustomerRows(NamedTuple):
    """A customer's rows of the days that were read."""

    rows: int
    first_seq: int
    last_seq: int


class PartitionRows(NamedTuple):
    """The rows that came from one partition: how many, those at offsets that the broker holds, the highest
    offset, and the offsets of the newest.
    """

    rows: int = 0
    held: int = 0
    last_offset: int = -1
    newest: frozenset[int] = frozenset()


class Sums(NamedTuple):
    """Sums of one posted day in one pair of currencies."""

    events: int
    cost: Decimal
    price: Decimal


class Bad(NamedTuple):
    """A record that could not be a row."""

    topic_id: str
    topic: str
    partition: int
    offset: int
    problem: str


@dataclass(frozen=True, slots=True)
class Stored:
    """What one database snapshot tells. `rollups` holds the sums of tables that must be those of the rows;
    `grains`, by the table they are to be found in, the sums that a finer table has, and those that it has.

    Args:
        since: the first posted day that was read; None: all, so that a customer's rows must begin at 1.
        detached: days whose rows were taken out; their roll-ups stay.
    """

    since: date | None
    positions: Sequence[Position]
    bad: Sequence[Bad]
    customers: Mapping[str, Customer]
    customer_rows: Mapping[str, CustomerRows]
    partition_rows: Mapping[Where, PartitionRows]
    day_sums: Mapping[DayKey, Sums]
    rollups: Mapping[str, Mapping[DayKey, Sums]]
    grains: Mapping[str, tuple[Mapping[DayKey, Sums], Mapping[DayKey, Sums]]]
    detached: frozenset[date] = frozenset()


@dataclass(frozen=True, slots=True)
class Behind:
    """How far the ledger is behind one partition: records, or offsets where there are too many to count."""

    topic: str
    partition: int
    position: int | None
    behind: int
    exact: bool


@dataclass(slots=True)
class LedgerSummary:
    """What the verification of the ledger covered. `compared` counts records that were laid beside their
    row.
    """

    present: bool
    since: date | None = None
    customers: int = 0
    rows: int = 0
    rejected: int = 0
    bad_records: int = 0
    compared: int = 0
    proved: int = 0
    statements: int = 0
    partitions: list[Behind] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def behind(self) -> int:
        return sum(partition.behind for partition in self.partitions)

    def as_json(self) -> dict[str, Any]:
        if not self.present:
            return {"present": False, "notes": self.notes}
        return {
            "present": True,
            "since": None if self.since is None else self.since.isoformat(),
            "customers": self.customers,
            "rows": self.rows,
            "rejected": self.rejected,
            "bad_records": self.bad_records,
            "rows_compared_with_the_broker": self.compared,
            "rows_proved": self.proved,
            "statements": self.statements,
            "behind": self.behind,
            "partitions": [
                {
                    "topic": one.topic,
                    "partition": one.partition,
                    "position": one.position,
                    "behind": one.behind,
                    "exact": one.exact,
                }
                for one in self.partitions
            ],
            "notes": self.notes,
        }


def positions_now(positions: Iterable[Position], held: Mapping[Where, Held]) -> dict[Where, int]:
    """The positions in the topics that the broker has now; those of a topic that was deleted are others."""
    return {
        (position.topic, position.partition): position.next_offset
        for position in positions
        if (position.topic, position.partition) in held
        and held[position.topic, position.partition].topic_id == position.topic_id
    }


def made_anew(stored: Stored, held: Mapping[Where, Held]) -> frozenset[str]:
    """Topics of which the ledger has rows of an older one under the same name: offsets do not tell them
    apart.
    """
    ids = {topic: found.topic_id for (topic, _), found in held.items()}
    return frozenset(
        position.topic
        for position in stored.positions
        if position.topic in ids and ids[position.topic] != position.topic_id
    )


def check_positions(stored: Stored, held: Mapping[Where, Held], findings: Findings) -> None:
    """Each position is one that the broker holds."""
    for (topic, partition), offset in sorted(positions_now(stored.positions, held).items()):
        found = held[topic, partition]
        if offset < found.first:
            findings.add(
                "ledger_position",
                partition,
                topic,
                f"the ledger goes on at offset {offset}, the broker holds records from {found.first} only",
            )
        elif offset > found.end:
            findings.add(
                "ledger_position",
                partition,
                topic,
                f"the ledger goes on at offset {offset}, the broker's stable log ends at {found.end}",
            )


def check_partitions(
    stored: Stored,
    held: Mapping[Where, Held],
    newest: Mapping[Where, frozenset[int]],
    counted: Mapping[Where, int],
    findings: Findings,
) -> None:
    """The rows of each partition are the records below its position.

    `newest` are the newest records' offsets, of which the database tells its rows one by one; `counted` the
    records that the broker holds below the position and that can be rows, where all were read.
    """
    anew = made_anew(stored, held)
    positions = positions_now(stored.positions, held)
    refused: dict[Where, set[int]] = {}
    for bad in stored.bad:
        refused.setdefault((bad.topic, bad.partition), set()).add(bad.offset)
    for where in sorted(held):
        topic, partition = where
        if topic in anew or where not in positions:
            continue
        rows = stored.partition_rows.get(where, PartitionRows())
        if rows.last_offset >= positions[where]:
            text = f"a row stands at offset {rows.last_offset}, the position is {positions[where]}"
            findings.add("ledger_beyond", partition, topic, text)
        if where in newest:
            _check_newest(where, rows.newest, newest[where] - refused.get(where, set()), findings)
        if where in counted and counted[where] != rows.held:
            text = f"{rows.held} rows, {counted[where]} records below the position {positions[where]}"
            findings.add("ledger_count", partition, topic, text)


def _check_newest(
    where: Where, rows: frozenset[int], records: frozenset[int] | set[int], findings: Findings
) -> None:
    for offset in sorted(records - rows):
        findings.add("ledger_missing", where[1], where[0], f"offset {offset}: a record without a row")
    for offset in sorted(rows - records):
        findings.add("ledger_extra", where[1], where[0], f"offset {offset}: a row without a record")


def check_customers(stored: Stored, findings: Findings) -> None:
    """Each customer's sequence is as far as ledger.customers says, without a gap."""
    complete = stored.since is None and not stored.detached
    for customer_id in sorted(stored.customers.keys() | stored.customer_rows.keys()):
        known, rows = stored.customers.get(customer_id), stored.customer_rows.get(customer_id)
        named = f"customer {customer_id!r}"
        if known is None:
            last = rows.last_seq if rows is not None else 0
            text = f"{named} sequence {last}: has rows and no row in ledger.customers"
            findings.add("ledger_customer", None, "ledger.customers", text)
            continue
        if known.gap_seq is not None:
            text = f"{named} sequence {known.gap_seq}: is missing, the last one is {known.last_seq}"
            findings.add("ledger_gap", None, "ledger.customers", text)
        elif known.contiguous_seq != known.last_seq:
            text = f"{named} column contiguous_seq: {known.contiguous_seq}, last_seq {known.last_seq}, no gap"
            findings.add("ledger_customer", None, "ledger.customers", text)
        if rows is None:
            if complete and known.last_seq:
                text = f"{named} column last_seq: {known.last_seq}, no row is there"
                findings.add("ledger_customer", None, "ledger.customers", text)
            continue
        _check_rows(named, known, rows, findings, complete=complete)


def _check_rows(
    named: str, known: Customer, rows: CustomerRows, findings: Findings, *, complete: bool
) -> None:
    if rows.last_seq != known.last_seq:
        text = f"{named} column last_seq: {known.last_seq}, the last row has sequence {rows.last_seq}"
        findings.add("ledger_customer", None, "ledger.customers", text)
    if known.gap_seq is not None:
        return  # told already; more may be missing, which --complete names
    first = 1 if complete else rows.first_seq
    expected = rows.last_seq - first + 1
    if rows.rows != expected:
        text = f"{named}: {rows.rows} rows of the sequences {first} to {rows.last_seq}"
        findings.add("ledger_sequences", None, "ledger.rated", text)


def check_sums(stored: Stored, findings: Findings) -> None:
    """The roll-ups of each posted day sum to its rows, each grain to the finer one; exactly."""
    for table, sums in stored.rollups.items():
        sides = stored.day_sums, sums
        _compare("ledger_rollup", f"ledger.{table}", "rows sum to", sides, findings, stored.detached)
    for table, sides in stored.grains.items():
        _compare("ledger_grain", f"ledger.{table}", "finer sums give", sides, findings, frozenset())


def _compare(  # noqa: PLR0917  # what must be and what is, their names, and where it goes
    check: str,
    where: str,
    what: str,
    sides: tuple[Mapping[DayKey, Sums], Mapping[DayKey, Sums]],
    findings: Findings,
    detached: Iterable[date],
) -> None:
    expected, found = sides
    none = Sums(0, Decimal(0), Decimal(0))
    gone = frozenset(detached)
    for key in sorted(expected.keys() | found.keys(), key=repr):
        if key[0] in gone:
            continue
        told, summed = found.get(key, none), expected.get(key, none)
        for column, has, wants in zip(Sums._fields, told, summed, strict=True):
            if has != wants:
                currencies = f"cost in {key[1] or 'none'}, price in {key[2] or 'none'}"
                text = f"posted {key[0]} ({currencies}) column {column}: roll-ups {has}, {what} {wants}"
                findings.add(check, None, where, text)


def check_bad(stored: Stored, findings: Findings) -> None:
    """A record that could not be a row is usage that nobody is billed for until someone looks."""
    for bad in stored.bad:
        findings.add("ledger_bad_record", bad.partition, f"{bad.topic}@{bad.offset}", bad.problem)
