"""What each login may do in PostgreSQL, by hand: table, and where it is not all, the columns after a colon.

It is compared with what the server really allows, statement by statement: what is not here must be refused.
"""

from collections.abc import Mapping

Rights = Mapping[str, frozenset[str]]
"""Statement (select, insert, update, delete) to the tables that it may name."""

_SUMS = frozenset(
    f"ledger.{meter}sums_{grain}" for meter in ("", "meter_") for grain in ("15m", "day", "month")
)
_KEYS = frozenset({"ledger.rollup_keys", "ledger.rollup_meter_keys"})
_ROWS = frozenset({"ledger.rated", "ledger.rejected", "ledger.bad_records"})
_RUNS = frozenset({"ledger.runs", "ledger.run_customers"})
_BOOK = frozenset({"rate_book.versions", "rate_book.parts"})
_VIEWS = frozenset(
    f"ledger.rollup{meters}{grain}" for meters in ("", "_meters") for grain in ("", "_days", "_months")
)
_GUARD = frozenset(
    f"guard.{name}"
    for name in (
        "alerts",
        "attempts",
        "budget_versions",
        "deliveries",
        "episodes",
        "firings",
        "messages",
        "owners",
        "states",
    )
)
_TOTALS = frozenset({"totals.customers", "totals.drift", "totals.repairs"})
_LEDGER = (
    _SUMS
    | _KEYS
    | _ROWS
    | _RUNS
    | {
        "ledger.customers",
        "ledger.detached",
        "ledger.generations",
        "ledger.periods",
        "ledger.positions",
        "ledger.queries",
        "ledger.statements",
    }
)
_READER = _LEDGER | _VIEWS | _GUARD | _TOTALS | _BOOK

TABLES: Mapping[str, Rights] = {
    "rater": {"select": _BOOK},
    "ledger": {
        "select": _LEDGER | _BOOK | {"ledger.rollup_months", "ledger.rollup_meters_months"},
        "insert": _LEDGER - {"ledger.detached", "ledger.generations"},
        "update": _SUMS
        | {
            "ledger.customers",
            "ledger.periods",
            "ledger.positions",
            "ledger.queries",
            "ledger.runs:finished_at,totals",
        },
    },
    "aggregator": {"select": _READER, "delete": frozenset({"totals.repairs"})},
    "totals": {
        "select": _TOTALS | {"guard.budget_versions"},
        "insert": frozenset({"totals.customers"}),
        "update": frozenset({"totals.customers"}),
        "delete": frozenset({"totals.repairs"}),
    },
    "guard": {
        "select": _READER,
        "insert": (_GUARD - {"guard.budget_versions"}) | {"totals.drift", "totals.repairs"},
        "update": frozenset(
            {
                "guard.alerts:details,published_at",
                "guard.deliveries",
                "guard.episodes:closed_at",
                "guard.firings:retracted_alert_id,retracted_seq",
                "guard.owners",
                "guard.states",
                "totals.repairs",
            }
        ),
    },
    "operator": {
        "select": _READER,
        "insert": _BOOK
        | _RUNS
        | {
            "guard.budget_versions",
            "guard.deliveries:alert_id,channel",
            "ledger.customers",
            "ledger.statements",
        },
        "update": frozenset(
            {"guard.deliveries", "ledger.customers:gap_seq", "ledger.runs:finished_at,totals"}
        ),
    },
    "finance": {"select": _READER},
}
