"""`ratestream totals`: what a customer has spent in each live window, and how fresh that is."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from aggregator.adapters.totals_reader import Held, Look, look
from cli.ask import dsn, zone_of
from ledger.core.questions_time import local_text
from pricing.calendar import ZoneTable
from pricing.instants import instant_text
from pricing.totals import Scope, scope_key
from pricing.windows import WINDOWS
from runtime.errors import FindingError, UsageProblemError

_REFRESH_S = 1.0
_HEADS = ("window", "from", "until", "scope", "cost", "price", "events", "unpriced cost", "unpriced price")
_RIGHT = frozenset({"cost", "price", "events", "unpriced cost", "unpriced price"})
_WHOLE = "(customer)"


@click.command()
@click.argument("customer")
@click.option("--watch", is_flag=True, help="Again each second, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a look; amounts are text, exact.")
@click.option(
    "--scope",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="Only the scope of this dimension; repeated, of all of them together.",
)
@click.option("--window", type=click.Choice(WINDOWS), help="Only this kind of window.")
def totals(*, customer: str, watch: bool, as_json: bool, pairs: Sequence[str], window: str | None) -> None:
    """A customer's running totals: the two newest hours, days, weeks and billing periods, and lifetime.

    They are those of usage.totals, a second old at most while `ratestream run totals` runs. The ledger is the
    truth: `ratestream usage --customer NAME` reads it.

    Exit codes: 0 there are totals, 1 there are none.

    Example: ratestream totals acme --window day --watch
    """
    scope, at = scope_of(pairs), dsn()
    while True:
        found = look(at, customer)
        if found.held is None and not watch:
            raise FindingError(nothing_text(customer, found))
        text = (
            json_text(customer, found, scope, window) if as_json else text_of(customer, found, scope, window)
        )
        if watch and not as_json:
            click.clear()
        click.echo(text)
        if not watch:
            return
        time.sleep(_REFRESH_S)


def scope_of(pairs: Sequence[str]) -> Scope | None:
    """The scope that the pairs name; None: no pairs. Raises UsageProblemError."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals or name in found:
            raise UsageProblemError(f"scope {pair!r}: must be NAME=VALUE, each name once")
        found[name] = value
    return tuple(sorted(found.items())) or None


def json_text(customer: str, found: Look, scope: Scope | None, window: str | None) -> str:
    """One line."""
    held = found.held
    told: dict[str, Any] = {
        "customer_id": customer,
        "as_of_seq": None if held is None else held.as_of_seq,
        "as_of": None if held is None else instant_text(held.as_of_us),
        "written_ms_ago": None if held is None else held.written_ms_ago,
        "zone": None if held is None else held.zone,
        "ledger_seq": found.ledger_seq,
        "repair_requested": found.repair,
        "entries": [] if held is None else wanted(held.entries, scope, window),
    }
    return json.dumps(told)


def text_of(customer: str, found: Look, scope: Scope | None, window: str | None) -> str:
    """A table under what it is as of."""
    held = found.held
    if held is None:
        return nothing_text(customer, found)
    head = (
        f"{customer}: as of sequence {held.as_of_seq}, {instant_text(held.as_of_us)}; "
        f"written {held.written_ms_ago // 1000} s ago; zone {held.zone}"
    )
    lines = [head, _ledger_text(held, found)]
    if found.repair is not None:
        lines.append(f"to be built anew, as was asked for: {found.repair}")
    zone = zone_of(held.zone)
    rows = [_cells(entry, zone) for entry in wanted(held.entries, scope, window)]
    if not rows:
        return "\n".join([*lines, "", "no such entry: budgets name the scopes that are watched"])
    widths = [max(len(row[index]) for row in (_HEADS, *rows)) for index in range(len(_HEADS))]
    table = [
        "  ".join(
            cell.rjust(width) if head in _RIGHT else cell.ljust(width)
            for head, cell, width in zip(_HEADS, row, widths, strict=True)
        ).rstrip()
        for row in (_HEADS, *rows)
    ]
    return "\n".join([*lines, "", *table])


def nothing_text(customer: str, found: Look) -> str:
    """Why there are no totals."""
    if found.ledger_seq is None:
        return f"customer {customer!r}: no totals, and the ledger does not know it"
    asked = "" if found.repair is None else f"; to be built anew, as was asked for: {found.repair}"
    return (
        f"customer {customer!r}: no totals, the ledger is at sequence {found.ledger_seq}: is the aggregator "
        f"running, and `ratestream run totals`?{asked}"
    )


def wanted(
    entries: Sequence[Mapping[str, Any]], scope: Scope | None, window: str | None
) -> list[Mapping[str, Any]]:
    """Entries by scope, kind of window, the newest first."""
    found = [
        entry for entry in entries if scope in (None, _scope(entry)) and window in (None, entry["window"])
    ]
    return sorted(
        found,
        key=lambda entry: (
            _scope(entry),
            WINDOWS.index(entry["window"]),
            -entry["start_us"],
            entry["cost_currency"] or "",
            entry["price_currency"] or "",
        ),
    )


def _scope(entry: Mapping[str, Any]) -> Scope:
    return tuple(sorted(entry["scope"].items()))


def _ledger_text(held: Held, found: Look) -> str:
    if found.ledger_seq is None:
        return "the ledger does not know the customer yet"
    ahead = found.ledger_seq - held.as_of_seq
    if ahead == 0:
        text = "the ledger is at the same sequence"
    else:
        word = "ahead" if ahead > 0 else "behind"
        text = f"the ledger is at sequence {found.ledger_seq}: {abs(ahead)} {word}"
    if found.ledger_last_seq != found.ledger_seq:
        text += f", and lacks sequence {found.ledger_seq + 1} although it has later ones"
    return text


def _cells(entry: Mapping[str, Any], zone: ZoneTable) -> tuple[str, ...]:
    start_us, end_us = entry["start_us"], entry["end_us"]
    lifetime = entry["window"] == "lifetime"
    return (
        entry["window"],
        "" if lifetime else local_text(start_us, zone),
        "" if end_us is None else local_text(end_us, zone),
        scope_key(_scope(entry)) or _WHOLE,
        _money(entry["cost"], entry["cost_currency"]),
        _money(entry["price"], entry["price_currency"]),
        str(entry["events"]),
        str(entry["unpriced_cost_events"] or ""),
        str(entry["unpriced_price_events"] or ""),
    )


def _money(amount: str | None, currency: str | None) -> str:
    return "-" if amount is None else f"{amount} {currency}"
