"""`ratestream budget`: apply, list and show budgets, and who changed them when."""

import getpass
import json
from pathlib import Path
from typing import Any

import click

from cli.book_text import dsn
from pricing.budgets import Budget
from pricing.instants import instant_text
from pricing.money import format_atto
from pricing.totals import scope_key
from rate_book.budgets.check import check_budgets
from rate_book.budgets.content import BudgetContent, as_form, budget_form
from rate_book.budgets.errors import BudgetsUnknownError
from rate_book.budgets.form import load_budgets_of, shipped_budgets
from rate_book.budgets.store import StoredBudgets, apply_budgets, budget_versions, load_budgets
from rate_book.errors import BookInvalidError, NoBookError
from rate_book.store import check_newest, load_version
from runtime.errors import UsageProblemError
from runtime.postgres import Connection, connect, migrate_if_ours

_JSON = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, on one line.")


@click.group()
def budget() -> None:
    """Apply, list and show budgets: limits, thresholds, and who is told.

    Example: ratestream budget apply budgets.yaml
    """


@budget.command("apply")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="FILE|DIR...")
@click.option("--example", is_flag=True, help="The example budgets that are shipped, for the example book.")
@click.option("--by", help="Who answers for the change. Default: the user of this machine.")
@click.option("--note", default="", help="Why, for the history.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, or be refused, and store nothing.")
@_JSON
def apply_command(
    paths: tuple[Path, ...], by: str | None, note: str, *, example: bool, dry_run: bool, as_json: bool
) -> None:
    """Make the budgets and routes in these files all that there are, running pending migrations first.

    What the files leave out ends. Currencies, dimensions and meters are held against the newest rate book.
    A threshold that fired goes on as fired where budget, scope, window, measure, currency and amount stay.

    Exit codes: 0 applied, or nothing changed; 1 the budgets are faulty; 3 no rate book is applied.

    Example: ratestream budget apply budgets/ --by finance@example.com --note "Q4 limits"
    """
    if example == bool(paths):
        raise UsageProblemError("paths: name files or directories of budgets, or --example, one of the two")
    content = load_budgets_of(shipped_budgets() if example else paths)
    with connect(dsn(), application_name="ratestream-budget-apply") as connection:
        migrated = [] if dry_run else migrate_if_ours(connection)
        newest = check_newest(connection)
        if newest is None:
            raise NoBookError("rate book: no version is stored; apply one with `ratestream book apply DIR`")
        check_budgets(content, load_version(connection, newest.version))
        before = _newest_content(connection)
        author = by or getpass.getuser()
        outcome = apply_budgets(connection, content, author=author, note=note, dry_run=dry_run)
    changed = _changes(before, content)
    if as_json:
        told = {"new": outcome.is_new, "dry_run": dry_run, "migrated": migrated}
        click.echo(json.dumps(told | _as_data(outcome.stored) | {"changes": changed}))
        return
    for name in migrated:
        click.echo(f"migration {name}")
    if not outcome.is_new:
        click.echo(f"nothing changed: version {outcome.stored.version} has these budgets already")
        return
    if dry_run:
        click.echo("dry run: nothing is stored; it would be")
    click.echo(_version_line(outcome.stored))
    for what, names in changed.items():
        for name in names:
            click.echo(f"  {what}: {name}")


@budget.command("list")
@click.option("--customer", help="Only those that hold for this customer, everybody's among them.")
@_JSON
def list_command(customer: str | None, *, as_json: bool) -> None:
    """List the budgets of the newest version.

    Example: ratestream budget list --customer acme
    """
    stored, content = _newest()
    shown = [item for item in content.budgets if customer is None or {"*", customer} & {*item.customers}]
    if as_json:
        data = {"version": stored.version, "budgets": [budget_form(item) for item in shown]}
        click.echo(json.dumps(data))
        return
    click.echo(f"version {stored.version}: {len(shown)} budgets")
    for item in shown:
        click.echo(f"  {_line(item)}")


@budget.command()
@click.argument("budget_id", metavar="BUDGET")
@click.option("--version", "number", type=int, help="Default: the newest.")
@_JSON
def show(budget_id: str, number: int | None, *, as_json: bool) -> None:
    """Show one budget in full, and the routes of what its thresholds name no channels for.

    Example: ratestream budget show acme-monthly
    """
    stored, content = _newest(number)
    found = next((item for item in content.budgets if item.budget_id == budget_id), None)
    if found is None:
        where = f"budgets version {stored.version}"
        raise BookInvalidError(where, "budget", budget_id, "is not in this version")
    form = as_form(BudgetContent((found,), content.routes))
    data: dict[str, Any] = {"version": stored.version, "budget": budget_form(found)}
    data["routes"] = form["routes"]
    click.echo(json.dumps(data) if as_json else json.dumps(data, indent=2, ensure_ascii=False))


@budget.command()
@_JSON
def history(*, as_json: bool) -> None:
    """Show the versions of the budgets in order: who applied them, when, why, and what changed.

    Example: ratestream budget history
    """
    with connect(dsn(), application_name="ratestream-budget-history") as connection:
        told: list[tuple[StoredBudgets, dict[str, list[str]]]] = []
        before = BudgetContent()
        for stored in reversed(budget_versions(connection)):
            content = load_budgets(connection, stored.version)
            told.append((stored, _changes(before, content)))
            before = content
    if as_json:
        data = [_as_data(stored) | {"changes": changed} for stored, changed in told]
        click.echo(json.dumps({"versions": data}))
        return
    for stored, changed in told:
        click.echo(_version_line(stored))
        for what, names in changed.items():
            for name in names:
                click.echo(f"  {what}: {name}")


def _newest(number: int | None = None) -> tuple[StoredBudgets, BudgetContent]:
    """That version, or the newest. Raises BudgetsUnknownError."""
    with connect(dsn(), application_name="ratestream-budget") as connection:
        stored = budget_versions(connection)
        chosen = next((item for item in stored if number in (None, item.version)), None)
        if chosen is None:
            which = "no version is stored" if number is None else f"version {number} is not stored"
            raise BudgetsUnknownError(f"budgets: {which}; apply some with `ratestream budget apply FILE`")
        return chosen, load_budgets(connection, chosen.version)


def _newest_content(connection: Connection) -> BudgetContent:
    stored = budget_versions(connection, 1)
    return load_budgets(connection, stored[0].version) if stored else BudgetContent()


def _changes(before: BudgetContent, after: BudgetContent) -> dict[str, list[str]]:
    """Names of budgets by what happened to them; the routes as one thing."""
    old = {item.budget_id: item for item in before.budgets}
    new = {item.budget_id: item for item in after.budgets}
    return {
        "added": sorted(new.keys() - old.keys()),
        "changed": sorted(name for name in new.keys() & old.keys() if new[name] != old[name])
        + (["routes"] if before.routes != after.routes else []),
        "removed": sorted(old.keys() - new.keys()),
    }


def _as_data(stored: StoredBudgets) -> dict[str, Any]:
    return {
        "version": stored.version,
        "applied_at": instant_text(stored.applied_us) if stored.applied_us else None,
        "author": stored.author,
        "note": stored.note,
        "content_hash": stored.content_hash,
    }


def _version_line(stored: StoredBudgets) -> str:
    at = f" applied {instant_text(stored.applied_us)}" if stored.applied_us else ""
    note = f" ({stored.note})" if stored.note else ""
    return f"version {stored.version}:{at} by {stored.author}{note}; {stored.content_hash}"


def _line(item: Budget) -> str:
    scope = f" on {scope_key(item.scope)}" if item.scope else ""
    unit = item.currency or item.meter or item.measure
    steps = ", ".join(
        threshold.name + ("" if threshold.action == "none" else f" {threshold.action}")
        for threshold in item.thresholds
    )
    return (
        f"{item.budget_id}: {', '.join(item.customers)}{scope}; {item.measure} of a {item.window},"
        f" limit {format_atto(item.limit_atto)} {unit}; {steps}"
    )
