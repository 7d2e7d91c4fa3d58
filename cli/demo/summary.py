"""The demo's result for people and, with the same facts, for machines."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

TOP_CUSTOMERS = 8
_WIDTH = 78


def summary_record(report: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """What summary.json holds: verify's own figures, and the demo's facts."""
    kept = (
        "received", "rated", "rejected", "duplicates", "pending", "cost", "price", "by_model", "by_product",
        "by_customer", "rejected_by_reason", "unpriced_cost_events", "unpriced_price_events", "verified",
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
    lines += ["", "rejected, by reason (original bytes kept in usage.rejected, replayable)"]
    lines += [f"  {reason:<24}{number:>8,}" for reason, number in summary["rejected_by_reason"].items()]
    lines += ["", _verdict(summary)]
    return "\n".join(lines)


def _money(summary: Mapping[str, Any]) -> list[str]:
    lines = []
    for currency in sorted({*summary["cost"], *summary["price"]}):
        cost, price = (Decimal(summary[side].get(currency, "0")) for side in ("cost", "price"))
        lines += [
            f"cost    {cost:>28} {currency}   what the providers charge us",
            f"price   {price:>28} {currency}   what the customers pay",
            f"margin  {price - cost:>28} {currency}   {_share(price - cost, price)} of price",
        ]
    return lines


def _share(part: Decimal, whole: Decimal) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _table(title: str, groups: Mapping[str, Any], limit: int | None) -> list[str]:
    head = f"{title:<34}{'events':>9}{'cost':>12}{'price':>12}{'margin':>11}"
    rows = [head, "-" * _WIDTH]
    for name, sums in list(groups.items())[:limit]:
        cost, price = _total(sums["cost"]), _total(sums["price"])
        margin = None if cost is None or price is None else price - cost
        rows.append(
            f"{name[:33]:<34}{sums['events']:>9,}{_amount(cost):>12}{_amount(price):>12}{_amount(margin):>11}"
        )
    return rows


def _total(amounts: Mapping[str, str]) -> Decimal | None:
    """The one currency's amount; None where nothing was priced: that is not 0."""
    return sum((Decimal(amount) for amount in amounts.values()), Decimal(0)) if amounts else None


def _amount(amount: Decimal | None) -> str:
    return "unpriced" if amount is None else f"{amount:.4f}"


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
