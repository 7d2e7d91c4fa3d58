"""The demo's result for people and, with the same facts, for machines."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from cli.demo.alerts import render as render_alerts
from cli.demo.corrections import render as render_corrections
from cli.demo.plans import render as render_plans

TOP_CUSTOMERS = 8
_WIDTH = 86


def summary_record(report: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """What summary.json holds: verify's own figures, and the demo's facts."""
    kept = (
        "received", "rated", "rejected", "duplicates", "pending", "cost", "price", "by_currency", "by_model",
        "by_product", "by_customer", "rejected_by_reason", "unpriced_cost_events", "unpriced_price_events",
        "verified",
    )  # fmt: skip
    return {name: report[name] for name in kept} | dict(facts)


def render(summary: Mapping[str, Any]) -> str:
    """A page that fits a terminal."""
    count = {name: f"{value:,}" for name, value in summary.items() if isinstance(value, int)}
    lines = ["", "Usage, rated", "=" * _WIDTH]
    lines.append(
        f"{count['received']} events received = {count['rated']} rated + {count['rejected']} rejected + "
        f"{count['duplicates']} duplicates; {count['pending']} pending"
    )
    lines.append(
        f"without a known cost: {count['unpriced_cost_events']}, without a known price: "
        f"{count['unpriced_price_events']}; rated as unpriced, to be re-rated, never 0"
    )
    lines.append(
        f"prices rose by a tenth at {summary['price_change_at']}, inside the trace: "
        f"{count['events_before_change']} events before, {count['events_after_change']} after"
    )
    lines.append(
        f"a rater was killed with SIGKILL after {count['covered_at_kill']} events, and started again"
    )
    lines += ["", *_money(summary)]
    lines += ["", *_table("by model", summary["by_model"], limit=None)]
    lines += ["", *_table("by product", summary["by_product"], limit=None)]
    lines += ["", *_table(f"top {TOP_CUSTOMERS} customers", summary["by_customer"], limit=TOP_CUSTOMERS)]
    lines += ["", *render_plans(summary["plans"])]
    lines += ["", *render_corrections(summary["corrections"])]
    lines += ["", *render_alerts(summary)]
    lines += ["", "rejected, by reason (original bytes kept in usage.rejected, replayable)"]
    lines += [f"  {reason:<24}{number:>8,}" for reason, number in summary["rejected_by_reason"].items()]
    lines += ["", _verdict(summary)]
    return "\n".join(lines)


def _money(summary: Mapping[str, Any]) -> list[str]:
    """Cost, price and margin, apart by the currencies that they are in: no sum mixes two."""
    lines = []
    for pair in summary["by_currency"]:
        cost_in, price_in, events = (
            pair["cost_currency"],
            pair["price_currency"],
            f"{pair['events']:,} events",
        )
        if cost_in is None and price_in is None:
            continue
        cost = None if pair["cost"] is None else Decimal(pair["cost"])
        price = None if pair["price"] is None else Decimal(pair["price"])
        if cost is not None:
            lines.append(f"cost    {cost:>28} {cost_in:<7} what the providers charge us for {events}")
        if price is None:
            lines.append(f"price   {'-':>28} {'':<7} included in what their queries cost, or without a price")
        else:
            lines.append(f"price   {price:>28} {price_in:<7} what the customers pay for them")
        if cost is not None and price is not None and cost_in == price_in:
            share = _share(price - cost, price)
            lines.append(f"margin  {price - cost:>28} {price_in:<7} {share} of price")
        lines.append("")
    return lines[:-1]


def _share(part: Decimal, whole: Decimal) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _table(title: str, groups: Mapping[str, Any], limit: int | None) -> list[str]:
    """A line for each group and currency of price."""
    head = f"{title:<34}{'events':>9}{'cost':>12}{'price':>20}{'margin':>11}"
    rows = [head, "-" * _WIDTH]
    for name, sums in list(groups.items())[:limit]:
        for position, pair in enumerate(sums["by_currency"]):
            paid_in = pair["price_currency"]
            label = (
                name if not position else f"    paid in {paid_in}" if paid_in else "    included, or unpriced"
            )
            cost = None if pair["cost"] is None else Decimal(pair["cost"])
            price = None if pair["price"] is None else Decimal(pair["price"])
            same = pair["cost_currency"] == pair["price_currency"]
            margin = price - cost if cost is not None and price is not None and same else None
            paid = "-" if price is None else f"{price:.4f} {paid_in}"
            rows.append(
                f"{label[:33]:<34}{pair['events']:>9,}{_amount(cost):>12}{paid:>20}"
                f"{'' if margin is None else _amount(margin):>11}"
            )
    return rows


def _amount(amount: Decimal | None) -> str:
    return "none" if amount is None else f"{amount:.4f}"


def _verdict(summary: Mapping[str, Any]) -> str:
    if summary["verified"] and summary["as_planned"]:
        seconds = summary["wall_s"]
        return f"VERIFIED in {seconds} s: nothing lost, nothing billed twice, every amount recomputed."
    reason = (
        "verify found what `ratestream verify` lists"
        if not summary["verified"]
        else "other counts than published"
    )
    return f"NOT VERIFIED: {reason}."
