"""The complete verification of the ledger, within the snapshot of its cut.

1. Each record that the broker holds below the positions beside its row: the bytes, the place, the time.
2. Every row proved from its own record; those at offsets where the broker has no record are too many.
3. What PostgreSQL lays side by side: roll-ups of each grain, queries, identities, statements.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any

from ledger.adapters.find import Range
from ledger.adapters.ledger_cut import LedgerCut
from ledger.adapters.ledger_rows import LedgerRows
from ledger.adapters.ledger_sums import check_sums
from ledger.adapters.rollup_store import declared_dimensions
from ledger.core.against_ledger import made_anew
from ledger.core.against_ledger_rows import RowProof, RowTools
from ledger.core.amounts import Recompute
from ledger.core.findings import Findings
from ledger.core.rows import Place, RejectedRow, rejected_row
from runtime.kafka.reading import Record
from schemas import topics
from schemas.codec import decode
from schemas.errors import WireError

_AT_ONCE = 1_000  # records compared together

Progress = Callable[[int, int], None]


class LedgerProof:
    """Proves the ledger of a cut; `run` once."""

    def __init__(
        self, cut: LedgerCut, recompute: Recompute, findings: Findings, progress: Progress | None
    ) -> None:
        self._cut = cut
        self._rows = LedgerRows(cut.reader.connection, cut.generation)
        self._recompute = recompute
        self._findings = findings
        self._progress = progress
        self._held: dict[int, tuple[int, bytearray]] = {}  # first offset, a bit for each record

    def run(self) -> None:
        """Adds to the findings, and to the cut's summary."""
        cut, summary = self._cut, self._cut.summary
        rated, rejected = cut.topics
        anew = made_anew(cut.stored, cut.held)
        for topic, partition in sorted(cut.positions):
            if topic == rated and topic not in anew:
                self._compare_rated(partition)
            elif topic == rejected and topic not in anew:
                self._compare_rejected(partition)
        tools = RowTools(
            decode=_decoded,
            held=self._is_held,
            legs=self._rows.legs,
            sums=self._rows.sums,
            keys=self._rows.keys,
            recompute=self._recompute,
            dimensions_of=declared_dimensions(cut.reader.connection),
        )
        proof = RowProof(tools, self._findings, self._rows.closings(), cut.stored.detached)
        for row in self._rows.all():
            proof.follow(row)
            if self._progress is not None and proof.proved % _AT_ONCE == 0:
                self._progress(_AT_ONCE, summary.rows)
        proof.finish()
        summary.proved = proof.proved
        whole = not cut.stored.detached
        summary.statements = check_sums(cut.reader.connection, self._findings, whole=whole)

    def _is_held(self, partition: int, offset: int) -> bool | None:
        first, bits = self._held.get(partition, (0, bytearray()))
        at = offset - first
        if not 0 <= at < 8 * len(bits):
            return None
        return bool(bits[at >> 3] & 1 << (at & 7))

    def _records(self, name: str, where: tuple[str, int]) -> Iterator[Sequence[Record]]:
        held, position = self._cut.held[where], self._cut.positions[where]
        part = Range(name, where[1], held.first, min(position, held.end))
        records = self._cut.log.raw([part])
        return iter(lambda: list(islice(records, _AT_ONCE)), [])

    def _compare_rated(self, partition: int) -> None:
        where = self._cut.topics[0], partition
        first = self._cut.held[where].first
        bits = bytearray(max(0, self._cut.positions[where] - first + 7) // 8)
        for records in self._records(topics.USAGE_RATED, where):
            known = [(record, _decoded(record.value)) for record in records]
            wanted = [
                (record, _sequence(rated))
                for record, rated in known
                if rated is not None and not self._cut.refused(where, record.offset)
            ]
            for record, rated in known:
                if rated is None and not self._cut.refused(where, record.offset):
                    self._add(
                        "ledger_missing", partition, record, "no RatedUsage, and not a bad record either"
                    )
            if wanted:
                self._compare_rows(partition, wanted)
            for record in records:
                at = record.offset - first
                bits[at >> 3] |= 1 << (at & 7)
        self._held[partition] = first, bits

    def _compare_rows(self, partition: int, wanted: Sequence[tuple[Record, tuple[str, int]]]) -> None:
        found = self._rows.by_sequence([(*sequence, _day(record)) for record, sequence in wanted])
        for number, (record, (customer, seq)) in enumerate(wanted):
            named = f"customer {customer!r} sequence {seq}"
            row = found.get(number)
            if row is None:
                self._add("ledger_missing", partition, record, f"{named}: a record without a row")
                continue
            expected = partition, record.offset, record.timestamp_us // 1000, record.value
            columns = ("kafka_partition", "kafka_offset", "posted_at", "record")
            for column, has, wants in zip(columns, row, expected, strict=True):
                if has != wants:
                    text = (
                        f"{named} column {column}: the ledger has {_short(has)}, the broker {_short(wants)}"
                    )
                    self._add("ledger_record", partition, record, text)
            self._cut.summary.compared += 1

    def _compare_rejected(self, partition: int) -> None:
        where = self._cut.topics[1], partition
        matched = 0
        for records in self._records(topics.USAGE_REJECTED, where):
            wanted = [record for record in records if not self._cut.refused(where, record.offset)]
            if not wanted:
                continue
            found = self._rows.rejected(partition, [(record.offset, _day(record)) for record in wanted])
            for record in wanted:
                row = found.get(record.offset)
                if row is None:
                    self._add(
                        "ledger_missing", partition, record, "a rejected record without a row", rated=False
                    )
                    continue
                matched += 1
                self._compare_columns(partition, record, row)
        rows = self._cut.stored.partition_rows.get(where)
        if rows is not None and rows.held != matched:
            text = f"{rows.held} rows, {matched} records below the position {self._cut.positions[where]}"
            self._findings.add("ledger_extra", partition, where[0], text)

    def _compare_columns(self, partition: int, record: Record, row: RejectedRow) -> None:
        try:
            rejected = decode("RejectedUsage", record.value)
        except WireError as error:
            self._add("ledger_missing", partition, record, str(error), rated=False)
            return
        place = Place(partition, record.offset, record.timestamp_us // 1000)
        expected = rejected_row(rejected, place, record.value or b"")
        for column, has, wants in zip(RejectedRow._fields, row, expected, strict=True):
            if has != wants:
                text = f"column {column}: the ledger has {_short(has)}, the broker {_short(wants)}"
                self._add("ledger_record", partition, record, text, rated=False)

    def _add(self, check: str, partition: int, record: Record, text: str, *, rated: bool = True) -> None:
        topic = self._cut.topics[0 if rated else 1]
        self._findings.add(check, partition, f"{topic}@{record.offset}", text)


def _decoded(value: bytes | None) -> Mapping[str, Any] | None:
    try:
        return decode("RatedUsage", value or b"")
    except WireError:
        return None


def _sequence(rated: Mapping[str, Any]) -> tuple[str, int]:
    return rated["event"]["customer_id"], rated["rating"]["customer_seq"]


def _day(record: Record) -> date:
    return datetime.fromtimestamp(record.timestamp_us // 1_000_000, UTC).date()


def _short(value: object) -> str:
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
