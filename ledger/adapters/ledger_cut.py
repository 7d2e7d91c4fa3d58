"""The ledger's database beside the broker at one cut: the positions that the snapshot holds.

What the broker holds is asked for before the snapshot, where its log ends after it: so a sound position is
between the two, however busy everything is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Self

from ledger.adapters.find import Log, Range
from ledger.adapters.generations import generation_of
from ledger.adapters.ledger_reader import LedgerReader, reading
from ledger.adapters.ledger_rows import LedgerRows
from ledger.core.against_ledger import (
    Behind,
    Held,
    LedgerSummary,
    Stored,
    Where,
    check_bad,
    check_customers,
    check_partitions,
    check_positions,
    check_sums,
    made_anew,
    positions_now,
)
from ledger.core.explain import REPLACEMENT
from ledger.core.findings import Findings
from ledger.core.model import ORIGINAL, RatedRecord
from runtime.kafka.offsets import Isolation
from schemas import topics
from schemas.codec import decode
from schemas.errors import WireError

NEWEST = 1_000  # offsets before each position whose records are laid beside the rows, one by one
_COUNTED = 1_000  # offsets behind a position that are counted as records, markers left out
_TOPICS = (topics.USAGE_RATED, topics.USAGE_REJECTED)


class LedgerCut:
    """The ledger at one cut; `make` gives None where there is none.

    Attributes:
        topics: usage.rated and usage.rejected as they are named on the broker.
        held: what the broker holds, by topic and partition.
        positions: how far the ledger is, in the same way.
        generation: of the topics, as the rows name it.
    """

    def __init__(
        self, log: Log, reader: LedgerReader, held: Mapping[Where, Held], since: date | None
    ) -> None:
        self.log = log
        self.reader = reader
        self.held = held
        self.topics = log.named(topics.USAGE_RATED), log.named(topics.USAGE_REJECTED)
        self.positions = positions_now(reader.positions(), held)
        rejected_ids = {held[where].topic_id for where in held if where[0] == self.topics[1]}
        self.generation = max((generation_of(reader.connection, it) for it in rejected_ids), default=0)
        self._since = since
        self._refused = frozenset(
            ((bad.topic, bad.partition), bad.offset)
            for bad in reader.bad()
            if (bad.topic, bad.partition) in held and held[bad.topic, bad.partition].topic_id == bad.topic_id
        )
        self._counts: dict[Where, int] = {}
        self._newest: dict[Where, frozenset[int]] = {}
        self.summary = LedgerSummary(present=True, since=since)
        self._read()

    @classmethod
    def make(
        cls, log: Log, reader: LedgerReader, partitions: Sequence[int], *, quick: bool, since: date | None
    ) -> Self | None:
        """Begins the snapshot, and reads counts and sums of it. In a quick one, where no day is named, only
        the latest days are read.
        """
        first = log.offsets(_TOPICS, partitions, "earliest", Isolation.UNCOMMITTED)
        if not reader.positions():
            return None
        ids = log.topic_ids(_TOPICS)
        end = log.offsets(_TOPICS, partitions, "latest", Isolation.COMMITTED)
        held = {
            (log.named(name), partition): Held(ids[name], offset, end[name, partition])
            for (name, partition), offset in first.items()
        }
        return cls(log, reader, held, reader.recent() if quick and since is None else since)

    def refused(self, where: Where, offset: int) -> bool:
        """Whether the ledger keeps the record as one that could not be a row."""
        return (where, offset) in self._refused

    def counted(self, partition: int, records: Iterator[RatedRecord]) -> Iterator[RatedRecord]:
        """The partition's records as they come; those that must be rows by now are counted on the way."""
        where = self.topics[0], partition
        position = self.positions.get(where, 0)
        count = 0
        for record in records:
            if record.offset < position and not self.refused(where, record.offset):
                count += 1
            yield record
        self._counts[where] = count

    def check(self, findings: Findings) -> LedgerSummary:
        """Positions, counts and sums; after the topics, where their records are counted."""
        check_positions(self.stored, self.held, findings)
        check_partitions(self.stored, self.held, self._newest, self._counts, findings)
        check_customers(self.stored, findings)
        check_sums(self.stored, findings)
        check_bad(self.stored, findings)
        return self.summary

    def _read(self) -> None:
        for where in sorted(self.held):
            behind, offsets = self._ends(where)
            self.summary.partitions.append(behind)
            if where in self.positions:
                self._newest[where] = offsets
        first = {where: held.first for where, held in self.held.items()}
        newest = {where: self._newest_from(where) for where in self._newest}
        self.stored = self.reader.stored(self.topics, first, newest, self._since, self.generation)
        _describe(self.summary, self.stored, self.topics[0], made_anew(self.stored, self.held))

    def _ends(self, where: Where) -> tuple[Behind, frozenset[int]]:
        """How far behind the ledger is, and the newest records below its position, of the days that are
        read.
        """
        topic, partition = where
        held = self.held[where]
        position = self.positions.get(where)
        start = self._newest_from(where)
        mark = held.first if position is None else position
        left = held.end - mark
        until = held.end if left <= _COUNTED else mark
        behind, offsets = 0, set()
        name = topic.removeprefix(self.log.named(""))
        for record in self.log.raw([Range(name, partition, start, until)]):
            if record.offset >= mark:
                behind += 1
            elif self._is_read(record.timestamp_us):
                offsets.add(record.offset)
        exact = left <= _COUNTED
        told = Behind(topic, partition, position, behind if exact else left, exact)
        return told, frozenset(offsets)

    def _newest_from(self, where: Where) -> int:
        held = self.held[where]
        return max(held.first, self.positions.get(where, held.first) - NEWEST)

    def _is_read(self, append_us: int) -> bool:
        day = datetime.fromtimestamp(append_us // 1_000_000, UTC).date()
        return self._since is None or day >= self._since


def negated(dsn: str, reversal: RatedRecord) -> RatedRecord | None:
    """What a reversal takes back, as its row has it now, which is as it always was; None where there is none.

    The cut's snapshot is over by then: reading the topics takes too long to hold it.
    """
    event, revision = reversal.event, reversal.rating["revision"]
    before = (revision - 1, ORIGINAL if revision <= 1 else REPLACEMENT)
    leg = (event["customer_id"], event["source"], event["event_id"], *before)
    with reading(dsn) as reader:
        found = LedgerRows(reader.connection, 0).legs([leg]).get(leg)
    if found is None:
        return None
    try:
        record = decode("RatedUsage", found[1])
    except WireError:
        return None  # told where the row is proved
    return RatedRecord(-1, None, found[1], False, record["event"], record["rating"])


def _describe(summary: LedgerSummary, stored: Stored, rated: str, anew: Iterable[str]) -> None:
    summary.customers = len(stored.customers)
    summary.bad_records = len(stored.bad)
    for (topic, _), rows in stored.partition_rows.items():
        if topic.startswith(rated):  # of another generation of topics too
            summary.rows += rows.rows
        else:
            summary.rejected += rows.rows
    if stored.detached:
        days = f"{min(stored.detached)} to {max(stored.detached)}"
        summary.notes.append(f"the rows of {len(stored.detached)} days ({days}) were detached: not verified")
    for topic in sorted(anew):
        summary.notes.append(f"{topic} was made anew: its rows are not laid beside offsets")
