"""A statement as JSON and CSV, the text that is kept of a closed one, and what is read back from it; pure."""

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ledger.core.amounts import atto
from ledger.core.statement import Draft, Facts, Line, Terms, Unpriced
from pricing.instants import instant_text
from pricing.money import format_atto

COLUMNS = (
    "kind", "plan", "product", "provider", "model", "meter", "quantity", "amount", "statement", "period_from",
    "period_to",
)  # fmt: skip
"""Keys of a line, in JSON and CSV; the last three say which closed statement a difference is of."""

Data = Mapping[str, Any]


def statement_data(customer: str, facts: Facts, made: Draft, **more: object) -> dict[str, Any]:
    """The statement as JSON values; amounts and quantities are plain decimals, exact.

    `more`: what the statement says of how it came to be: contract, book version, number ...
    """
    return {
        "customer": customer,
        "currency": facts.currency,
        "decimal_places": facts.places,
        "period": {"from": instant_text(facts.start_us), "to": instant_text(facts.end_us)},
        "terms": terms_data(facts.terms) if facts.main else None,
        "lines": [line_data(line) for line in made.lines],
        "sum": format_atto(made.exact),
        "total": format_atto(made.total),
        **more,
    }


def line_data(line: Line) -> dict[str, Any]:
    """A line with all COLUMNS."""
    start, end = line.period if line.period is not None else (None, None)
    return {
        "kind": line.kind,
        "plan": line.plan,
        "product": line.product,
        "provider": line.provider,
        "model": line.model,
        "meter": line.meter,
        "quantity": _plain(line.quantity),
        "amount": _plain(line.amount),
        "statement": line.statement,
        "period_from": None if start is None else instant_text(start),
        "period_to": None if end is None else instant_text(end),
    }


def unpriced_data(found: Iterable[Unpriced]) -> list[dict[str, Any]]:
    return [one._asdict() for one in found]


def terms_data(terms: Terms) -> dict[str, str | None]:
    return {name: _plain(amount) for name, amount in terms._asdict().items()}


def terms_of(data: Mapping[str, str | None] | None) -> Terms:
    """The terms again; none where the statement has none. Raises ValueError: no plain decimal."""
    if data is None:
        return Terms()
    return Terms(**{name: None if text is None else atto(text) for name, text in data.items()})


def canonical(data: Data) -> str:
    """The one text of a statement: sorted keys, no blanks."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256(text: str) -> str:
    """In hex, as the ledger keeps it of a statement's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def csv_text(statements: Sequence[Data]) -> str:
    """The lines of the statements and the total of each, with a header; numbers are text, exact."""
    rows = _Rows()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow(("customer", "currency", "number", *COLUMNS))
    for data in statements:
        head = data["customer"], data["currency"], data.get("number")
        for line in data["lines"]:
            writer.writerow((*head, *(line[name] for name in COLUMNS)))
        period = data["period"]
        total = {"kind": "total", "amount": data["total"], "period_from": period["from"]}
        total["period_to"] = period["to"]
        writer.writerow((*head, *(total.get(name) for name in COLUMNS)))
    return "".join(rows.written)


class _Rows:
    """Takes what csv writes: the core has no files."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, text: str) -> None:
        self.written.append(text)


def _plain(amount: int | None) -> str | None:
    return None if amount is None else format_atto(amount)
