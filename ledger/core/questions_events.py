"""Questions about single events: a query with all its calls, what calls would have cost elsewhere; pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ledger.core.amounts import atto, plain
from ledger.core.questions import Table, Value
from pricing.instants import instant_text

Decoded = Mapping[str, Any]

_CALL_COLUMNS = (
    "at",
    "event_id",
    "source",
    "parent_event_id",
    "attempt",
    "leg",
    "provider",
    "model",
    "status",
    "router",
    "reason",
    "fallback_of",
    "cost_status",
    "cost",
    "cost_currency",
    "price_status",
    "price",
    "price_currency",
)


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """One query: its records in the order of their sequence, corrections among them."""

    customer_id: str
    query_id: str
    records: tuple[Decoded, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "customer_id": self.customer_id,
            "query_id": self.query_id,
            "totals": [
                {"currency": currency, "cost": plain(cost), "price": plain(price)}
                for currency, (cost, price) in sorted(self.totals().items())
            ],
            "calls": [call_json(record) for record in self.records],
        }

    def totals(self) -> dict[str, tuple[int, int]]:
        """Cost and price by currency, times 10**18; reversals taken off."""
        found: dict[str, list[int]] = {}
        for record in self.records:
            for number, side in enumerate(("cost", "price")):
                told = record["rating"][side]
                if told["amount"] is not None:
                    found.setdefault(told["currency"], [0, 0])[number] += atto(told["amount"])
        return {currency: (cost, price) for currency, (cost, price) in found.items()}

    def table(self) -> Table:
        """One row a record."""
        return Table(_CALL_COLUMNS, [_call_row(record) for record in self.records])


def call_json(record: Decoded) -> dict[str, Any]:
    """A call as it was made, routed and rated."""
    event, rating = record["event"], record["rating"]
    shown = {
        name: event[name]
        for name in (
            "event_id",
            "source",
            "parent_event_id",
            "attempt",
            "provider",
            "requested_model",
            "served_model",
            "billed_model",
            "status",
            "context",
            "usage_semantics",
            "usage",
            "routing",
        )
    }
    told = {
        name: rating[name]
        for name in (
            "customer_seq",
            "leg",
            "revision",
            "correction_id",
            "book_version",
            "cost",
            "price",
            "lines",
        )
    }
    return {"at": instant_text(event["event_time_us"]), **shown, **told}


def routing_text(routing: Decoded | None) -> str | None:
    """A routing decision in one line: who chose what among which, and why."""
    if routing is None:
        return None
    chosen = _named(routing["chosen_provider"], routing["chosen_model"])
    among = ", ".join(
        _named(it["provider"], it["model"])
        + (
            f" {it['estimated_cost']['amount']} {it['estimated_cost']['currency']}"
            if it["estimated_cost"]
            else ""
        )
        for it in routing["candidates"]
    )
    parts = [routing["router"], f"chose {chosen}"]
    parts += [f"among {among}"] if among else []
    parts += [f"by {routing['policy']}"] if routing["policy"] else []
    parts += [f"because {routing['reason']}"] if routing["reason"] else []
    parts += [f"instead of {routing['fallback_of']}"] if routing["fallback_of"] else []
    return ", ".join(parts)


def model_of(event: Decoded) -> str | None:
    """The model that prices were looked up by."""
    found: str | None = event["billed_model"] or event["served_model"] or event["requested_model"]
    return found


def standing(records: Iterable[Decoded]) -> list[Decoded]:
    """The records that hold: those that were taken back are left out, and so are the ones that did it."""
    held: dict[tuple[str, str, str], Decoded] = {}
    for record in sorted(records, key=lambda it: int(it["rating"]["customer_seq"])):
        event = record["event"]
        identity = event["customer_id"], event["source"], event["event_id"]
        if record["rating"]["leg"] == "reversal":
            held.pop(identity, None)
        else:
            held[identity] = record
    return list(held.values())


class Elsewhere(NamedTuple):
    """What a call would have cost: status, amount times 10**18 and currency, and (meter, reason) without a
    price.
    """

    status: str
    amount: int | None
    currency: str | None
    missing: tuple[tuple[str, str], ...] = ()


_Group = tuple[str, str | None, str | None, str, str | None]


@dataclass(slots=True)
class WhatIf:
    """Calls as they were rated beside what they would have cost on another model."""

    target: str
    _groups: dict[_Group, list[int]] = field(default_factory=dict)
    _missing: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, record: Decoded, elsewhere: Elsewhere) -> None:
        event, cost = record["event"], record["rating"]["cost"]
        currency = cost["currency"] if cost["status"] == "priced" else None
        group = event["provider"], model_of(event), currency, elsewhere.status, elsewhere.currency
        sums = self._groups.setdefault(group, [0, 0, 0])
        sums[0] += 1
        sums[1] += atto(cost["amount"]) if currency is not None else 0
        sums[2] += elsewhere.amount or 0
        for missing in elsewhere.missing:
            self._missing[missing] = self._missing.get(missing, 0) + 1

    def table(self) -> Table:
        """By the model that was billed; a difference only where both were priced whole, in one currency."""
        rows: list[tuple[Value, ...]] = []
        for group, (events, cost, other) in sorted(self._groups.items(), key=_costliest_first):
            provider, model, currency, status, other_currency = group
            comparable = status == "priced" and currency is not None and currency == other_currency
            rows.append(
                (
                    provider,
                    model,
                    events,
                    currency,
                    None if currency is None else plain(cost),
                    status,
                    other_currency,
                    None if other_currency is None else plain(other),
                    plain(other - cost) if comparable else None,
                )
            )
        columns = (
            "provider",
            "model",
            "events",
            "cost_currency",
            "cost",
            "there",
            "there_currency",
            "there_cost",
            "difference",
        )
        return Table(
            columns, rows, {"there": self.target, "events": sum(it[0] for it in self._groups.values())}
        )

    def missing(self) -> list[dict[str, Value]]:
        """What could not be priced there, the most events first."""
        return [
            {"meter": meter or None, "reason": reason, "events": events}
            for (meter, reason), events in sorted(self._missing.items(), key=lambda item: (-item[1], item[0]))
        ]


def _costliest_first(item: tuple[_Group, Sequence[int]]) -> tuple[object, ...]:
    group, (_, cost, _other) = item
    return -cost, tuple(name or "" for name in group)


def _call_row(record: Decoded) -> tuple[Value, ...]:
    event, rating = record["event"], record["rating"]
    routing = event["routing"] or {}
    sides = [rating[side][name] for side in ("cost", "price") for name in ("status", "amount", "currency")]
    return (
        instant_text(event["event_time_us"]),
        event["event_id"],
        event["source"],
        event["parent_event_id"],
        event["attempt"],
        rating["leg"],
        event["provider"],
        model_of(event),
        event["status"],
        routing.get("router"),
        routing.get("reason"),
        routing.get("fallback_of"),
        *sides,
    )


def _named(provider: str | None, model: str | None) -> str:
    return "/".join(name for name in (provider, model) if name) or "?"
