"""`ratestream book simulate`: what a draft of the book would have made of recorded events."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from tqdm import tqdm

from ledger.core.amounts import plain
from ledger.core.explain_lines import grouped
from ledger.core.simulate import SIDES, Changed, Group, SideOf, Simulation
from ledger.service import simulate as simulate_book
from ledger.settings import LedgerSettings
from pricing.instants import instant_text
from rate_book.form import load_book
from rate_book.instants import parse_instant
from runtime.settings import SettingsLoader

_NAME = 34


class Instant(click.ParamType):
    """An instant with its zone, as microseconds UTC."""

    name = "instant"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return parse_instant(str(value))
        except ValueError as error:
            self.fail(f"{value}: {error}", param, ctx)


@click.command()
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True), metavar="DIR..."
)
@click.option("--from", "from_us", type=Instant(), required=True, help="Events from this instant on.")
@click.option("--to", "to_us", type=Instant(), required=True, help="Events before this instant.")
@click.option("--customer", "customers", multiple=True, help="Only this customer; may be repeated.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Rows of each list that are printed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with all groups.")
def simulate(
    paths: tuple[Path, ...],
    *,
    from_us: int,
    to_us: int,
    customers: Sequence[str],
    limit: int,
    as_json: bool,
) -> None:
    """Price recorded events by the draft book in DIR ... and show the difference; nothing is written.

    Recorded is what usage.rated says, by the versions in force then. Customers whose draft contract sells
    prices over a period are compared over whole billing periods, which the answer names.

    Example: ratestream book simulate books/ --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z
    """
    settings = LedgerSettings.load(SettingsLoader.of_process())
    content = load_book(paths)
    with tqdm(unit=" records", desc="pricing", leave=False, disable=True if as_json else None) as bar:

        def progress(done: int, bound: int) -> None:
            bar.total = bound
            bar.update(done)

        found = simulate_book(
            settings,
            content,
            from_us=from_us,
            to_us=to_us,
            customers=customers,
            kept=limit,
            progress=progress,
        )
    click.echo(json.dumps(found.as_json()) if as_json else describe(found, limit))


def describe(found: Simulation, limit: int) -> str:
    """The simulation as text: the total, then customers, models and features that change, then events."""
    total = found.total
    lines = [
        f"recorded events from {instant_text(found.from_us)} to {instant_text(found.to_us)}, by the draft",
        f"{total.events:,} events, {total.changed:,} changed{_newly(total)}",
    ]
    lines += _widened(found, limit)
    lines += [
        f"the draft cannot rate {count:,} events: {code}" for code, count in sorted(found.refused.items())
    ]
    lines += [f"note: {note}" for note in found.notes]
    lines += ["", _heading("total"), *_rows("all", total)]
    for name in found.by:
        groups = [(value, group) for value, group in found.groups(name) if group.changed]
        if not groups:
            continue
        lines += ["", _heading(f"by {name}")]
        for value, group in groups[:limit]:
            lines += _rows(value, group)
        if len(groups) > limit:
            lines.append(f"and {len(groups) - limit:,} more that change")
    if found.top:
        lines += ["", "largest changes of one event"]
        for changed in found.top:
            lines += _event(changed)
    if not total.changed:
        lines += ["", "nothing changes"]
    return "\n".join(lines)


def _newly(group: Group) -> str:
    words = [
        f"{count:,} newly {word} by {side}"
        for word, counts in (("unpriced", group.unpriced), ("priced", group.priced))
        for side, count in counts.items()
        if count
    ]
    return "".join(f"; {text}" for text in words)


def _widened(found: Simulation, limit: int) -> list[str]:
    lines = [
        f"whole billing periods: {customer}, {instant_text(span.from_us)} to {instant_text(span.to_us)}"
        for customer, span in sorted(found.widened.items())
    ]
    more = [f"and {len(lines) - limit:,} more over whole billing periods"] if len(lines) > limit else []
    return lines[:limit] + more


def _heading(name: str) -> str:
    return f"{name:<{_NAME}} {'events':>9} {'side':<11} {'recorded':>20} {'draft':>20} {'difference':>20}"


def _rows(name: str, group: Group) -> list[str]:
    lines = []
    shown, events = name if len(name) <= _NAME else name[: _NAME - 3] + "...", f"{group.events:,}"
    for (side, currency), found in sorted(group.sums.items()):
        amounts = " ".join(
            f"{grouped(plain(atto)):>20}"
            for atto in (found.recorded, found.draft, found.draft - found.recorded)
        )
        lines.append(f"{shown:<{_NAME}} {events:>9} {f'{side} {currency}':<11} {amounts}")
        shown = events = ""
    words = _newly(group)
    lines += [f"{shown:<{_NAME}} {events:>9} {words.removeprefix('; ')}"] if words or not lines else []
    return lines


def _event(changed: Changed) -> list[str]:
    names = changed.names
    lines = [f"  {changed.event_id} of {names.customer}, {names.model}, {instant_text(changed.at_us)}"]
    sides: Mapping[str, tuple[SideOf, SideOf]] = {
        side: (changed.recorded[side], changed.draft[side]) for side in SIDES
    }
    lines += [
        f"    {side:<6} {_told(was)} -> {_told(now)}" for side, (was, now) in sides.items() if was != now
    ]
    return lines


def _told(side: SideOf) -> str:
    if side.amount_atto is None:
        return side.status
    amount = f"{grouped(plain(side.amount_atto))} {side.currency}"
    return amount if side.status == "priced" else f"{amount} ({side.status})"
