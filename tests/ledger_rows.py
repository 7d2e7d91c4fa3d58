"""Rated records by hand, written into a real PostgreSQL by the ledger's own COPY and roll-ups."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.adapters.copying import copy_rows
from ledger.adapters.rollup_store import declared_dimensions, write
from ledger.core.rollups import Rollups
from ledger.core.row_bytes import COLUMNS, row_bytes
from ledger.core.rows import Place, RatedRow, rated_row
from rate_book.instants import parse_instant
from runtime.postgres import Connection
from schemas.codec import decode, encode

NONE = {"status": "unpriced", "amount": None, "currency": None}


@dataclass(frozen=True)
class Written:
    """A row of ledger.rated and the decoded record that it was made of."""

    row: RatedRow
    record: Mapping[str, Any]


def usd(amount: str | None, status: str = "priced", currency: str = "USD") -> dict[str, Any]:
    """One side of a rating; without an amount it has no currency."""
    return {"status": status, "amount": amount, "currency": None if amount is None else currency}


def line(side: str, meter: str, quantity: str, amount: str | None, **fields: Any) -> dict[str, Any]:
    """One rated line."""
    made = {
        "side": side,
        "meter": meter,
        "quantity": quantity,
        "rate": None,
        "per": None,
        "amount": amount,
        "currency": None if amount is None else "USD",
        "card": None,
        "version": None,
        "status": "unpriced" if amount is None else "priced",
        "explain": "no card" if amount is None else "",
        "billed_quantity": None,
    }
    return made | fields


def negated(number: str | None) -> str | None:
    if number is None or number == "0":
        return number
    return number[1:] if number.startswith("-") else "-" + number


class Made:
    """Makes records one after the other; each customer's sequences count up."""

    def __init__(self) -> None:
        self._sequences: dict[str, int] = {}
        self._offset = 0

    def rated(
        self,
        event: Mapping[str, Any],
        cost: Mapping[str, Any],
        price: Mapping[str, Any],
        lines: Sequence[Mapping[str, Any]] = (),
        *,
        posted: str | None = None,
        **rating: Any,
    ) -> Written:
        """A rated record; `event` needs `at` (an instant) and `customer_id`, all else has defaults."""
        told = dict(event)
        at = told.pop("at")
        customer = told["customer_id"]
        number = self._sequences[customer] = self._sequences.get(customer, 0) + 1
        self._offset += 1
        whole = {
            "source": "test",
            "event_id": f"event-{self._offset}",
            "event_time_us": parse_instant(at),
            "provider": "acme",
            "requested_model": "one",
            "usage_semantics": "inclusive",
            "usage": {"input_tokens": "1000"},
        }
        record = {
            "event": whole | told,
            "rating": {
                "customer_seq": number,
                "leg": "original",
                "revision": 0,
                "correction_id": None,
                "book_version": 1,
                "book_hash": "00",
                "service_period": {
                    "start_us": parse_instant("2026-11-01T00:00:00Z"),
                    "end_us": parse_instant("2026-12-01T00:00:00Z"),
                },
                "pools_before": [],
                "cost": dict(cost),
                "price": dict(price),
                "lines": [dict(item) for item in lines],
            }
            | rating,
        }
        return self._written(record, posted or at)

    def reversal(self, of: Written, *, posted: str) -> Written:
        """The record that takes another one back: every amount and quantity negated."""
        told = of.record["rating"]
        rating = told | {
            "customer_seq": self._next(of.row.customer_id),
            "leg": "reversal",
            "revision": told["revision"] + 1,
            "cost": told["cost"] | {"amount": negated(told["cost"]["amount"])},
            "price": told["price"] | {"amount": negated(told["price"]["amount"])},
            "lines": [
                item | {"amount": negated(item["amount"]), "quantity": negated(item["quantity"])}
                for item in told["lines"]
            ],
        }
        return self._written({"event": of.record["event"], "rating": rating}, posted)

    def replacement(
        self, of: Written, cost: Mapping[str, Any], price: Mapping[str, Any], *, posted: str
    ) -> Written:
        """The record that takes another one's place, without lines."""
        rating = of.record["rating"] | {
            "customer_seq": self._next(of.row.customer_id),
            "leg": "replacement",
            "revision": of.record["rating"]["revision"] + 1,
            "cost": dict(cost),
            "price": dict(price),
            "lines": [],
        }
        return self._written({"event": of.record["event"], "rating": rating}, posted)

    def _next(self, customer: str) -> int:
        self._sequences[customer] += 1
        return self._sequences[customer]

    def _written(self, record: Mapping[str, Any], posted: str) -> Written:
        self._offset += 1
        value = encode("RatedUsage", record)
        decoded = decode("RatedUsage", value)
        place = Place(0, self._offset, parse_instant(posted) // 1000)
        return Written(rated_row(decoded, place, value), decoded)


def write_rows(connection: Connection, written: Iterable[Written]) -> None:
    """Rows and roll-ups in one transaction, as the ledger writes them."""
    batch = list(written)
    with connection.transaction():
        for day in sorted({item.row.posted_day for item in batch}):
            connection.execute("select ledger.make_day(%s)", (day,))
        refused = copy_rows(connection, "rated", COLUMNS, [row_bytes(item.row) for item in batch])
        assert refused == {}
        for item in batch:
            connection.execute(
                "insert into ledger.customers (customer_id, contiguous_seq, last_seq) values (%s, %s, %s)"
                " on conflict (customer_id) do update set contiguous_seq = excluded.contiguous_seq,"
                " last_seq = excluded.last_seq",
                (item.row.customer_id, item.row.customer_seq, item.row.customer_seq),
            )
        rollups = Rollups(declared_dimensions(connection))
        for item in batch:
            rollups.add(item.row, item.record)
        write(connection, rollups)
