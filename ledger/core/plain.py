"""A row of ledger.rated whose record shares nearly everything with others: what they share stands once, in a
template, and nothing of the record itself is decoded.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from ledger.core.meters import MeterLines, meter_lines
from ledger.core.row_bytes import shared_bytes
from ledger.core.rows import RatedRow


class Template:
    """What all records of one shape have in common, as one of them has it.

    Raises BadRowError or ValueError where that one is no row.
    """

    __slots__ = ("bytes", "meters", "record", "row")

    def __init__(self, row: RatedRow, record: Mapping[str, Any]) -> None:
        self.row = row
        self.record = record
        self.bytes = shared_bytes(row)
        self.meters: Sequence[MeterLines] = meter_lines(record["rating"])


class PlainRow(NamedTuple):
    """A row by its template, and what is its own.

    Amounts and quantities are times 10**18, 0 for one that is null; those of the lines in their order, and a
    0 behind them.
    """

    template: Template
    posted_day: date
    customer_id: str
    customer_seq: int
    kafka_partition: int
    kafka_offset: int
    append_ms: int
    event_time_us: int
    query_id: str | None
    user_id: str | None
    cost_atto: int
    price_atto: int
    quantities: Sequence[int]
    amounts: Sequence[int]
    record: bytes

    @property
    def service_start_us(self) -> int:
        return self.template.row.service_start_us
