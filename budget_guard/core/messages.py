"""What a channel is told: the payload of a message, and its lines for people.

An alert is the BudgetAlert as plain JSON values: amounts are decimal strings, instants microseconds UTC.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from budget_guard.core.delivery import SEVERITIES, rank

Alert = Mapping[str, Any]

TYPES: Final = {
    "threshold": "budget.threshold.crossed",
    "retraction": "budget.threshold.retracted",
    "unpriced": "usage.unpriced",
    "uncovered_currency": "usage.uncovered_currency",
    "operations": "operations.alert",
    "test": "channel.test",
}
GROUP_TYPE: Final = "alerts.grouped"
LISTED: Final = 50  # alerts that a group's message carries whole; the others by id
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to send: a single alert under its own id, or a group of them under the group's."""

    message_id: str
    created_us: int
    alerts: tuple[Alert, ...]
    grouped: bool

    @property
    def severity(self) -> str:
        """That of its worst alert."""
        return max((severity_of(alert) for alert in self.alerts), key=rank)

    @property
    def customers(self) -> int:
        """How many customers it is about."""
        return len({alert["customer_id"] for alert in self.alerts if alert.get("customer_id") is not None})

    @property
    def title(self) -> str:
        """One line for people."""
        worst = worst_first(self.alerts)[0]
        if not self.grouped:
            return f"[{severity_of(worst)}] {sentence(worst)}"
        spread = f" of {self.customers:,} customers" if self.customers > 1 else ""
        return f"[{self.severity}] {len(self.alerts):,} alerts{spread}; the worst: {sentence(worst)}"


def severity_of(alert: Alert) -> str:
    """The alert's severity; one that this build does not know counts as critical."""
    return SEVERITIES[rank(str(alert.get("severity")))]


def sentence(alert: Alert) -> str:
    """The alert's one sentence, on one line: no character in it controls a terminal or a log."""
    return one_line(str(alert.get("text") or alert.get("alert_id")))


def one_line(text: str) -> str:
    """The text with every control and format character, line ends among them, replaced by a space."""
    return "".join(" " if unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp"} else char for char in text)


def worst_first(alerts: Iterable[Alert]) -> list[Alert]:
    """By severity, then those that crossed before those taken back, then the oldest."""
    return sorted(
        alerts,
        key=lambda alert: (
            -rank(severity_of(alert)),
            alert.get("kind") == "retraction",
            int(alert.get("raised_at_us") or 0),
            str(alert.get("alert_id")),
        ),
    )


def payload(message: Message) -> dict[str, Any]:
    """The JSON object that a webhook gets: `type`, `timestamp` and `data`, as Standard Webhooks asks."""
    ordered = worst_first(message.alerts)
    if not message.grouped:
        alert = ordered[0]
        kind = str(alert.get("kind"))
        raised_us = int(alert.get("raised_at_us") or message.created_us)
        return {
            "type": TYPES.get(kind, f"alert.{kind}"),
            "timestamp": instant(raised_us),
            "data": dict(alert),
        }
    return {
        "type": GROUP_TYPE,
        "timestamp": instant(message.created_us),
        "data": {
            "group_id": message.message_id,
            "text": message.title,
            "severity": message.severity,
            "count": len(ordered),
            "by_severity": _counted(map(severity_of, ordered)),
            "by_kind": _counted(str(alert.get("kind")) for alert in ordered),
            "customers": message.customers,
            "alerts": [dict(alert) for alert in ordered[:LISTED]],
            "more": [str(alert.get("alert_id")) for alert in ordered[LISTED:]],
        },
    }


def facts(alert: Alert) -> list[tuple[str, str]]:
    """What a person wants to see of an alert beside its sentence: names and values, each on one line."""
    currency = f" {alert['currency']}" if alert.get("currency") else ""
    share = f" ({alert['share']} %)" if alert.get("share") is not None else ""
    scope = alert.get("scope") or {}
    found = [
        ("Customer", alert.get("customer_id")),
        ("Scope", ", ".join(f"{name} = {value}" for name, value in sorted(scope.items())) or None),
        ("Budget", alert.get("budget_id")),
        ("Amount", f"{alert['amount']}{currency}{share}" if alert.get("amount") is not None else None),
        ("Limit", f"{alert['limit']}{currency}" if alert.get("limit") is not None else None),
        ("Window", _window(alert)),
        ("Event", _event(alert.get("crossing_event"))),
        ("Most of it", _contributors(alert.get("contributors") or ())),
        ("Alert", alert.get("alert_id")),
    ]
    return [(name, one_line(str(value))) for name, value in found if value is not None]


def instant(us: int) -> str:
    """The instant as text in UTC, e.g. 2026-11-18T12:00:00.000000Z."""
    text = (_EPOCH + timedelta(microseconds=us)).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _window(alert: Alert) -> str | None:
    if not alert.get("window"):
        return None
    start, end = alert.get("period_start_us"), alert.get("period_end_us")
    if start is None or end is None:
        return str(alert["window"])
    return f"{alert['window']} from {instant(int(start))} to {instant(int(end))}"


def _event(event: Mapping[str, Any] | None) -> str | None:
    return None if event is None else f"{event.get('source')} {event.get('event_id')}"


def _contributors(found: Sequence[Mapping[str, Any]]) -> str | None:
    named = (
        f"{each.get('dimension')} {each.get('value') or '(none)'}: {each.get('amount')}" for each in found[:4]
    )
    return "; ".join(named) or None
