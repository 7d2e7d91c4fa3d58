"""The content of one version of the budgets, its canonical text and its hash.

The canonical form is the file's own, with what is left out by default left out and every list whose order
means nothing in order: so reading it is reading a file, and the same budgets written otherwise are the same.
"""

import hashlib
import json
from dataclasses import dataclass

from pricing.budgets import Budget, Route, Threshold
from pricing.money import format_atto


@dataclass(frozen=True, slots=True)
class BudgetContent:
    """All budgets, in the order of their ids, and the routes in the order in which they are tried."""

    budgets: tuple[Budget, ...] = ()
    routes: tuple[Route, ...] = ()


Plain = dict[str, object]


def canonical_json(content: BudgetContent) -> str:
    """The one text of this content: sorted keys, no blanks."""
    return json.dumps(as_form(content), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def content_hash(text: str) -> str:
    """SHA-256 of the canonical JSON, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def as_form(content: BudgetContent) -> Plain:
    """The content as a file would have it, with numbers as text."""
    return {
        "budgets": [budget_form(budget) for budget in content.budgets],
        "routes": [_route_form(route) for route in content.routes],
    }


def budget_form(budget: Budget) -> Plain:
    """One budget as a file would have it."""
    optional: Plain = {
        "scope": dict(budget.scope),
        "currency": budget.currency,
        "note": budget.note,
        "thresholds": [_threshold_form(threshold) for threshold in budget.thresholds],
    }
    return {
        "budget": budget.budget_id,
        "customers": list(budget.customers),
        "measure": budget.measure,
        "window": budget.window,
        "limit": format_atto(budget.limit_atto),
    } | _said(optional)


def _threshold_form(threshold: Threshold) -> Plain:
    at: Plain = (
        {"at": f"{threshold.share}%"}
        if threshold.share is not None
        else {"amount": format_atto(threshold.amount_atto)}
    )
    action = None if threshold.action == "none" else threshold.action
    return (
        at
        | {"severity": threshold.severity}
        | _said({"action": action, "channels": list(threshold.channels)})
    )


def _route_form(route: Route) -> Plain:
    return {"channels": list(route.channels)} | _said(
        {"customers": list(route.customers), "severity": list(route.severities)}
    )


def _said(values: Plain) -> Plain:
    return {key: value for key, value in values.items() if value}
