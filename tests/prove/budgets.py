"""The budgets of a run: as many crossings as the guard's failpoints need, and some that are taken back."""

from typing import Any

import yaml

CHANNEL = "hook"
RETRACTED = "retracted"
"""A customer whose budget is crossed, taken back by a void, and crossed again."""
RETRACTED_LIMIT = 5
_STEP, _THRESHOLDS = 25, 20  # events: an alert of each customer every few seconds


def text(*, tighter: bool = False) -> str:
    """The file. The second version has one budget more, and a limit that is lower."""
    budgets = [
        _budget(
            "many-calls", measure="events", window="lifetime", limit=_STEP * _THRESHOLDS,
            at=[(_STEP * number, "none") for number in range(1, _THRESHOLDS + 1)],
        ),
        _budget(
            "spend", measure="price", window="period", limit=5,
            at=[(2 if tighter else 3, "soft"), (5, "hard")],
        ),
        _budget(
            "chat-hour", measure="events", window="hour", limit=60, at=[(30, "none"), (60, "soft")],
            scope={"feature": "chat"},
        ),
        _budget(
            "output-day", measure="quantity:output_tokens", window="day", limit=60000,
            at=[(30000, "none"), (60000, "soft")],
        ),
        _budget("cost-ever", measure="cost", window="lifetime", limit=4, at=[(1, "none"), (4, "soft")]),
        _budget(
            "taken-back", measure="events", window="lifetime", limit=RETRACTED_LIMIT,
            at=[(RETRACTED_LIMIT, "hard")], customers=[RETRACTED],
        ),
    ]  # fmt: skip
    if tighter:
        budgets.append(_budget("later", measure="events", window="period", limit=80, at=[(80, "soft")]))
    said = {"budgets": budgets, "routes": [{"channels": [CHANNEL]}]}
    return yaml.safe_dump(said, sort_keys=False)


def _budget(
    name: str, *, measure: str, window: str, limit: int, at: list[tuple[int, str]],
    customers: list[str] | None = None, scope: dict[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    thresholds = [{"amount": amount, "action": action, "channels": [CHANNEL]} for amount, action in at]
    said: dict[str, Any] = {"budget": name, "customers": customers or ["*"], "measure": measure}
    if scope:
        said["scope"] = scope
    if measure in {"price", "cost"}:
        said["currency"] = "USD"
    return said | {"window": window, "limit": limit, "thresholds": thresholds}
