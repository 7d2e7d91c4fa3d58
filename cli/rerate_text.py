"""What a re-rate would do, and what it did, as text and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ledger.adapters.rerate import Done, Planned, totals_json
from ledger.core.amounts import plain
from ledger.core.explain_lines import grouped
from ledger.core.rerate_difference import GROUPINGS, Amount, Change, differences
from pricing.instants import instant_text

_NAME = 34


def plan_json(asked: Mapping[str, Any], planned: Planned) -> dict[str, Any]:
    """Everything, as JSON values; amounts are plain decimals."""
    return {
        "asked": dict(asked),
        "customers": planned.customers,
        "selected": planned.selected,
        "unchanged": planned.unchanged,
        "commands": planned.commands,
        "rated_with_a_later_version": planned.newer,
        "whole_periods": [
            {
                "customer": customer,
                "pool": period.pool,
                "from": instant_text(period.start_us),
                "to": instant_text(period.end_us),
                "records": period.records,
            }
            for customer, period in planned.periods
        ],
        "cannot_be_rated": {"count": planned.unratable_count, "first": planned.unratable},
        "difference": planned.difference.as_json(),
    }


def done_json(asked: Mapping[str, Any], done: Done) -> dict[str, Any]:
    """The plan, and what became of it.

    `complete`: all was applied, and changed what it was to change, but for records that arrived meanwhile.
    """
    totals = totals_json(done)
    complete = not done.refused and (totals["as_planned"] or bool(done.arrived.records))
    return {
        "run_id": done.run.run_id,
        "complete": complete,
        **plan_json(asked, done.planned),
        **{name: totals[name] for name in ("applied", "realised", "arrived", "as_planned")},
        "refused": [one._asdict() for one in done.refused],
    }


def describe_plan(asked: Mapping[str, Any], planned: Planned, limit: int) -> str:
    """The dry run as text."""
    lines = [*_head(asked, planned, limit), "", *_tables(planned, limit)]
    if planned.commands:
        lines += ["", "nothing was written: give --apply with --author and --reason"]
    return "\n".join(lines)


def describe_done(asked: Mapping[str, Any], done: Done, limit: int) -> str:
    """A finished run as text."""
    planned = done.planned
    lines = [*_head(asked, planned, limit), "", *_tables(planned, limit), ""]
    lines.append(
        f"run {done.run.run_id}: {done.applied:,} of {planned.commands:,} commands are in the ledger"
    )
    lines.append(f"  planned  {_amounts(differences(planned.difference.total))}")
    lines.append(f"  realised {_amounts(done.realised)}")
    if done.arrived.records:
        lines.append(
            f"  {done.arrived.records:,} records of the same periods arrived meanwhile: "
            f"{_amounts(done.arrived.amounts)}; the periods' prices include them"
        )
    elif done.realised != differences(planned.difference.total) and not done.refused:
        lines.append("  these differ: see `ratestream verify`")
    lines += [
        f"  refused as {one.reason}: {one.event_id} of {one.customer_id}: {one.detail}"
        for one in done.refused[:limit]
    ]
    if len(done.refused) > limit:
        lines.append(f"  and {len(done.refused) - limit:,} more refused")
    if done.refused:
        lines.append("  what was refused had changed meanwhile: give the same command again for the rest")
    return "\n".join(lines)


def _head(asked: Mapping[str, Any], planned: Planned, limit: int) -> Iterator[str]:
    yield f"events from {asked['from']} to {asked['to']}, by version {asked['book']} of the rate book"
    yield (
        f"{planned.selected:,} records selected, {planned.unchanged:,} unchanged; "
        f"{planned.commands:,} to be replaced, of {planned.customers:,} customers"
    )
    if planned.newer:
        yield f"note: {planned.newer:,} of them were rated with a later version than {asked['book']}"
    for word, counts in (("priced", planned.difference.priced), ("unpriced", planned.difference.unpriced)):
        yield from (f"newly {word} by {side}: {count:,}" for side, count in counts.items() if count)
    for customer, period in planned.periods[:limit]:
        span = f"{instant_text(period.start_us)} to {instant_text(period.end_us)}"
        yield f"whole period: {customer}, pool {period.pool}, {span}: {period.records:,} records"
    if len(planned.periods) > limit:
        yield f"and {len(planned.periods) - limit:,} more whole periods"
    if planned.unratable_count:
        yield f"the version cannot rate {planned.unratable_count:,} events, which stay as they are:"
        yield from (f"  {name}" for name in planned.unratable[:limit])


def _tables(planned: Planned, limit: int) -> Iterator[str]:
    found = planned.difference
    if not planned.commands:
        yield "nothing changes"
        return
    yield _heading("total")
    yield from _rows("all", found.total)
    for name in GROUPINGS:
        groups = found.groups(name)
        yield ""
        yield _heading(f"by {name}")
        for group, sums in groups[:limit]:
            yield from _rows(group, sums)
        if len(groups) > limit:
            yield f"and {len(groups) - limit:,} more"


def _heading(name: str) -> str:
    return f"{name:<{_NAME}} {'side':<11} {'old':>20} {'new':>20} {'difference':>20}"


def _rows(name: str, sums: Mapping[Amount, Change]) -> Iterator[str]:
    shown = name if len(name) <= _NAME else name[: _NAME - 3] + "..."
    for amount, change in sorted(sums.items()):
        values: Sequence[int] = (change.old, change.new, change.difference)
        cells = " ".join(f"{grouped(plain(value)):>20}" for value in values)
        yield f"{shown:<{_NAME}} {f'{amount.side} {amount.currency}':<11} {cells}"
        shown = ""


def _amounts(amounts: Mapping[Amount, int]) -> str:
    told = [
        f"{amount.side} {grouped(plain(value))} {amount.currency}"
        for amount, value in sorted(amounts.items())
    ]
    return ", ".join(told) or "nothing"
