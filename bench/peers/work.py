"""The work that every peer does with one event, in Python: decode, rate by a small table, encode the whole.

No part of the project is imported: a peer runs in an environment of its own. Amounts are exact integers in
units of 10**-12, written as plain decimals.
"""

import io
import json
from pathlib import Path
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer

HEADER_BYTES = 10
_SCALE = 12
# Cost and price: of one, in 10**-12 USD, and of a million as text; bench.world's cards.
TABLE = {
    ("model-large", "input_tokens"): ((2_000_000, "2"), (3_000_000, "3")),
    ("model-large", "cache_read_tokens"): ((250_000, "0.25"), (500_000, "0.5")),
    ("model-large", "output_tokens"): ((8_000_000, "8"), (12_000_000, "12")),
}
_MONTH = {"start_us": 1_793_491_200_000_000, "end_us": 1_796_083_200_000_000}


def plain(amount: int) -> str:
    """10**-12 units as a plain decimal."""
    whole, fraction = divmod(amount, 10**_SCALE)
    return f"{whole}.{fraction:012d}".rstrip("0").rstrip(".")


class Work:
    """One event's work; `schemas` is a JSON file {"event", "rated", "rated_header"} of inline schemas."""

    def __init__(self, schemas: Path) -> None:
        told = json.loads(schemas.read_text("utf-8"))
        self._event: Any = parse_schema(told["event"])
        self._rated: Any = parse_schema(told["rated"])
        self._header = bytes.fromhex(told["rated_header"])

    def decode(self, value: bytes) -> dict[str, Any]:
        """The usage event."""
        body = io.BytesIO(value)
        body.seek(HEADER_BYTES)
        event: Any = schemaless_reader(body, self._event, None)
        return event  # type: ignore[no-any-return]  # the schema is a record

    def rate(self, event: dict[str, Any], totals: list[int]) -> bytes:
        """The rated record; `totals` (events, cost, price) of the customer become those after it."""
        model, usage = event["served_model"], event["usage"]
        cached = int(usage["cache_read_tokens"])
        leaves = {
            "input_tokens": int(usage["input_tokens"]) - cached,
            "cache_read_tokens": cached,
            "output_tokens": int(usage["output_tokens"]),
        }
        sums = [0, 0]
        lines = []
        for side, name in enumerate(("cost", "price")):
            for meter, quantity in leaves.items():
                unit, rate = TABLE[model, meter][side]
                amount = quantity * unit
                sums[side] += amount
                lines.append(_line(name, meter, quantity, rate, amount))
        totals[0] += 1
        totals[1] += sums[0]
        totals[2] += sums[1]
        rating = {
            "customer_seq": totals[0], "leg": "original", "revision": 0, "correction_id": None,
            "book_version": 1, "book_hash": "0" * 64, "service_period": _MONTH, "pools_before": [],
            "cost": {"status": "priced", "amount": plain(sums[0]), "currency": "USD"},
            "price": {"status": "priced", "amount": plain(sums[1]), "currency": "USD"},
            "lines": lines, "plan": "standard",
        }  # fmt: skip
        out = io.BytesIO(self._header)
        out.seek(HEADER_BYTES)
        schemaless_writer(out, self._rated, {"event": event, "rating": rating})
        return out.getvalue()


def _line(side: str, meter: str, quantity: int, rate: str, amount: int) -> dict[str, Any]:
    return {
        "side": side, "meter": meter, "quantity": str(quantity), "rate": rate, "per": "1000000",
        "amount": plain(amount), "currency": "USD", "card": "acme/large", "version": "2026-01-01T00:00:00Z",
        "status": "priced", "explain": "table", "billed_quantity": None,
    }  # fmt: skip
