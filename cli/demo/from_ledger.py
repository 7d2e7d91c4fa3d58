"""The demo's sums, asked of the ledger: what finance would be told."""

from collections.abc import Mapping, Sequence
from typing import Any

from ledger.adapters.question_store import reading, sums
from ledger.core.amounts import plain
from ledger.core.questions import Question, Summed
from ledger.core.questions_time import Asked, asked
from pricing.calendar import zones
from runtime.postgres import connect

QUARTER_US = 15 * 60 * 1_000_000
BREAKDOWNS = ("model", "product", "customer")
GROUPS_SHOWN = 50


def rows_in_ledger(dsn: str) -> int:
    """How many rated records the ledger has; 0 while it has no tables."""
    with connect(dsn) as connection:
        found = connection.execute("select to_regclass('ledger.rated') is not null").fetchone()
        if found is None or not found[0]:
            return 0
        row = connection.execute("select count(*) from ledger.rated").fetchone()
    return 0 if row is None else int(str(row[0]))


def ledger_sums(dsn: str, from_us: int, to_us: int) -> dict[str, Any]:
    """Cost and price in all, by currency, and by each breakdown, of the events in a time.

    Money of two currencies is never added: `by_currency` keeps each pair of cost's and price's apart.
    """
    when = asked(
        from_us - from_us % QUARTER_US, to_us - to_us % QUARTER_US + QUARTER_US, "all", zones(())("UTC")
    )
    with reading(dsn) as connection:
        whole = sums(connection, Question(when))
        found = {name: sums(connection, Question(when, by=(name,))) for name in BREAKDOWNS}
    total = _group(whole)
    return {
        "cost": total["cost"],
        "price": total["price"],
        "by_currency": total["by_currency"],
        **{f"by_{name}": _groups(rows) for name, rows in found.items()},
    }


def _groups(rows: Sequence[Summed]) -> dict[str, Any]:
    """The largest first: by price, where there are several currencies by the largest of them."""
    by_name: dict[str, list[Summed]] = {}
    for row in rows:
        by_name.setdefault(row.group[0] or "(none)", []).append(row)
    ordered = sorted(by_name.items(), key=lambda item: (-max(row.now.price for row in item[1]), item[0]))
    return {name: _group(found) for name, found in ordered[:GROUPS_SHOWN]}


def _group(rows: Sequence[Summed]) -> dict[str, Any]:
    pairs = sorted(rows, key=lambda row: (-row.now.events, row.cost_currency or "", row.price_currency or ""))
    return {
        "events": sum(row.now.events for row in rows),
        "cost": _by_currency((row.cost_currency, row.now.cost) for row in rows),
        "price": _by_currency((row.price_currency, row.now.price) for row in rows),
        "by_currency": [
            {
                "cost_currency": row.cost_currency,
                "price_currency": row.price_currency,
                "events": row.now.events,
                "cost": None if row.cost_currency is None else plain(row.now.cost),
                "price": None if row.price_currency is None else plain(row.now.price),
            }
            for row in pairs
        ],
    }


def _by_currency(amounts: Any) -> Mapping[str, str]:
    found: dict[str, int] = {}
    for currency, amount in amounts:
        if currency is not None:
            found[currency] = found.get(currency, 0) + amount
    return {currency: plain(amount) for currency, amount in sorted(found.items())}


__all__ = ["BREAKDOWNS", "Asked", "ledger_sums", "rows_in_ledger"]
