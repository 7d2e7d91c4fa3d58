"""Rated records as rows by columns: to the same rows as `rated_row` and `row_bytes` make of each alone."""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

import numpy as np

from ledger.core.amounts import atto
from ledger.core.plain import PlainRow, Template
from ledger.core.row_bytes import COLUMNS, EPOCH_DAY, EPOCH_US, NULL, amount_bytes, long_bytes, text_bytes
from ledger.core.rows import Place, rated_row
from schemas.codec import decode
from schemas.errors import WireError
from schemas.plain_rated import RatedColumns, is_rated, rated_columns

_AT_ONCE: Final = 1_000  # what processor caches hold
_KNOWN_MAX: Final = 32_768
_DAY_MS: Final = 86_400_000
_FIRST_DAY: Final = date(1970, 1, 1)
_FIXED_COLUMNS: Final = (
    *(("posted_day", ">i4"), ("customer_seq", ">i8"), ("kafka_partition", ">i4"), ("kafka_offset", ">i8")),
    *(("posted_at", ">i8"), ("event_time", ">i8"), ("event_time_us", ">i8")),
)
_FIXED: Final = np.dtype(
    [
        ("columns", ">i2"),
        *(field for name, kind in _FIXED_COLUMNS for field in ((f"length of {name}", ">i4"), (name, kind))),
        ("length of record", ">i4"),
    ]
)
_LENGTHS: Final = (*(number.to_bytes(4, "big") for number in range(64)), NULL)  # null's is -1: the last
_ATTEMPTS: Final = (NULL, *map(long_bytes, range(1, 64)))

Made = tuple[PlainRow, bytes]
"""A row, and it in COPY's binary format."""


class PlainRows:
    """Makes rows of plain records. What it remembers of others is bounded, and decides no row."""

    def __init__(self) -> None:
        self._templates: dict[bytes, Template] = {}
        self._customers: dict[bytes, tuple[str, bytes]] = {}

    def read(self, found: Sequence[tuple[Place, bytes | None]]) -> list[Made | None]:
        """Each record's row; None for one that is not plain, or is none at all."""
        made: list[Made | None] = [None] * len(found)
        taken = [
            (index, place, value)
            for index, (place, value) in enumerate(found)
            if value is not None and is_rated(value)
        ]
        for start in range(0, len(taken), _AT_ONCE):
            part = taken[start : start + _AT_ONCE]
            self._take(part, made)
        return made

    def _take(self, found: Sequence[tuple[int, Place, bytes]], made: list[Made | None]) -> None:
        read = rated_columns([value for _, _, value in found])
        fixed = _fixed(found, read)
        width = _FIXED.itemsize
        times, sequences = read.event_time_us.tolist(), read.customer_seq.tolist()
        customers, templates = self._customers, self._templates
        event_lengths, query_lengths, parent_lengths, user_lengths = read.lengths
        line = 0
        for i, (index, place, value) in enumerate(found):
            count = read.counts[i]
            lines = slice(line, line + count)
            line += count
            if not read.good[i]:
                continue
            template = templates.get(read.shape[i]) or self._template(read.shape[i], place, value)
            if template is None:
                continue
            try:
                cost, cost_bytes = _amount(read.cost[i])
                price, price_bytes = _amount(read.price[i])
                quantities = (*map(_number, read.quantities[lines]), 0)
                amounts = (*[_number(text) if text else 0 for text in read.amounts[lines]], 0)
            except ValueError:
                continue  # the row-wise way says what is wrong
            customer_id, customer_bytes = customers.get(read.customer_id[i]) or self._customer(
                read.customer_id[i]
            )
            query, user = read.query_id[i], read.user_id[i]
            made[index] = (
                PlainRow(
                    template,
                    _day(place.append_ms // _DAY_MS),
                    customer_id,
                    sequences[i],
                    place.partition,
                    place.offset,
                    place.append_ms,
                    times[i],
                    query.decode() if query_lengths[i] >= 0 else None,
                    user.decode() if user_lengths[i] >= 0 else None,
                    cost,
                    price,
                    quantities,
                    amounts,
                    value,
                ),
                b"".join(
                    (
                        fixed[i * width : (i + 1) * width],
                        value,
                        customer_bytes,
                        _LENGTHS[event_lengths[i]],
                        read.event_id[i],
                        _LENGTHS[query_lengths[i]],
                        query,
                        _LENGTHS[parent_lengths[i]],
                        read.parent_event_id[i],
                        _ATTEMPTS[read.attempt[i]],
                        _LENGTHS[user_lengths[i]],
                        user,
                        cost_bytes,
                        price_bytes,
                        template.bytes,
                    )
                ),
            )

    def _template(self, shape: bytes, place: Place, value: bytes) -> Template | None:
        """The shape's, of its first record; None where that is no row."""
        try:
            record = decode("RatedUsage", value)
            template = Template(rated_row(record, place, value), record)
        except (WireError, ValueError):
            return None
        if len(self._templates) >= _KNOWN_MAX:
            self._templates.clear()
        self._templates[shape] = template
        return template

    def _customer(self, told: bytes) -> tuple[str, bytes]:
        if len(self._customers) >= _KNOWN_MAX:
            self._customers.clear()
        customer_id = told.decode()
        made = self._customers[told] = customer_id, text_bytes("customer_id", customer_id)
        return made


def _fixed(found: Sequence[tuple[int, Place, bytes]], read: RatedColumns) -> bytes:
    """The columns of one width, of all rows."""
    rows = np.empty(len(found), _FIXED)
    rows["columns"] = len(COLUMNS)
    for name, kind in _FIXED_COLUMNS:
        rows[f"length of {name}"] = np.dtype(kind).itemsize
    append_ms = np.array([place.append_ms for _, place, _ in found], np.int64)
    rows["posted_day"] = append_ms // _DAY_MS - EPOCH_DAY
    rows["customer_seq"] = read.customer_seq
    rows["kafka_partition"] = [place.partition for _, place, _ in found]
    rows["kafka_offset"] = [place.offset for _, place, _ in found]
    rows["posted_at"] = append_ms * 1_000 - EPOCH_US
    rows["event_time"] = read.event_time_us - EPOCH_US
    rows["event_time_us"] = read.event_time_us
    rows["length of record"] = [len(value) for _, _, value in found]
    return rows.tobytes()


@lru_cache(maxsize=65_536)
def _amount(text: bytes) -> tuple[int, bytes]:
    return amount_bytes(text.decode("ascii") if text else None)


@lru_cache(maxsize=65_536)
def _number(text: bytes) -> int:
    return atto(text.decode("ascii"))


@lru_cache(maxsize=1_000)
def _day(number: int) -> date:
    return _FIRST_DAY + timedelta(days=number)
