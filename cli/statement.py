"""`ratestream statement`: a customer's billing period, as it is now or as it was closed."""

import json
from functools import partial
from typing import Any

import click

from ledger.adapters.statement_heads import behind
from ledger.adapters.statement_rows import position
from ledger.adapters.statement_store import Answer, Close, Wanted, close, compare, show
from ledger.core.explain_lines import grouped
from ledger.core.statement_period import PeriodError
from ledger.core.statement_text import csv_text
from ledger.settings import SinkSettings
from rate_book.instants import parse_instant
from runtime.errors import UsageProblemError
from runtime.postgres import Connection
from runtime.settings import KafkaSettings, PostgresSettings, SettingsLoader, WindowSettings

FINDINGS = 1
_SECOND_US = 1_000_000
_LAST_US = 253_370_764_800 * _SECOND_US  # 9999-01-01
_WHAT, _QUANTITY, _AMOUNT = 62, 20, 26

_NOTES = {
    "allowance": "allowance",
    "commitment": "commitment not used",
    "minimum": "up to the minimum",
    "rounding": "rounding",
}


@click.command()
@click.argument("customer")
@click.option("--period", "month", metavar="YYYY-MM", help="The billing period that begins in this month.")
@click.option("--at", "at_text", metavar="INSTANT", help="The billing period that holds this instant.")
@click.option("--close", "closing", is_flag=True, help="Close the period: it is never altered afterwards.")
@click.option("--author", help="With --close: who answers for it.")
@click.option("--reason", help="With --close: why; kept with the statement.")
@click.option("--early", is_flag=True, help="With --close: although events of the period may still come.")
@click.option("--compare", "comparing", is_flag=True, help="What came since the period was closed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object; numbers are text, exact.")
@click.option("--csv", "as_csv", is_flag=True, help="The lines as comma-separated values with a heading.")
def statement(
    customer: str,
    month: str | None,
    at_text: str | None,
    author: str | None,
    reason: str | None,
    *,
    closing: bool,
    early: bool,
    comparing: bool,
    as_json: bool,
    as_csv: bool,
) -> int:
    """Show a customer's billing period line by line, or close it. Without a period: the one under way.

    Exit codes: 0 fine; 1 it cannot be closed now, or something stored contradicts itself; 4 usage of the
    period is unpriced, so that it cannot be closed.

    Example: ratestream statement acme --period 2026-11 --close --author jo --reason "month end"
    """
    _refuse(
        (month is not None and at_text is not None, "--period and --at exclude each other"),
        (closing and not (author and reason), "--close needs --author and --reason"),
        (closing and comparing, "--close and --compare exclude each other"),
        (not closing and bool(author or reason or early), "--author, --reason, --early belong to --close"),
        (as_csv and (as_json or comparing), "--csv excludes --json and --compare"),
    )
    loader = SettingsLoader.of_process()
    dsn = loader.section("postgres", PostgresSettings).dsn.get_secret_value()
    wanted = Wanted(customer, month, _instant(at_text))
    try:
        if comparing:
            return _compared(compare(dsn, wanted), as_json=as_json)
        if closing:
            answer = _close(loader, dsn, wanted, (author or "", reason or ""), early=early)
        else:
            answer = show(dsn, wanted)
    except PeriodError as error:
        raise UsageProblemError(str(error)) from error
    if as_json:
        click.echo(json.dumps({"statements": answer.statements, "new": answer.new}))
    elif as_csv:
        click.echo(csv_text(answer.statements), nl=False)
    else:
        click.echo("\n\n".join(describe(one) for one in answer.statements) or "nothing to state")
        if closing and not answer.new:
            click.echo("\nit was closed before: nothing was changed")
    return 0


def _refuse(*rules: tuple[bool, str]) -> None:
    for broken, rule in rules:
        if broken:
            raise click.UsageError(rule)


def _close(loader: SettingsLoader, dsn: str, wanted: Wanted, who: tuple[str, str], *, early: bool) -> Answer:
    kafka = loader.section("kafka", KafkaSettings)
    windows = loader.section("windows", WindowSettings)

    def missing(connection: Connection) -> str | None:
        return behind(kafka, wanted.customer, partial(position, connection))

    order = Close(*who, early, windows.late_s * _SECOND_US)
    return close(dsn, wanted, order, behind=missing, role=loader.section("ledger", SinkSettings).role)


def _instant(text: str | None) -> int | None:
    try:
        at_us = None if text is None else parse_instant(text)
    except ValueError as error:
        raise UsageProblemError(f"--at = {text!r}: {error}") from error
    if at_us is not None and at_us >= _LAST_US:
        raise UsageProblemError(f"--at = {text!r}: must be before 9999-01-01, that its period has an end")
    return at_us


def describe(data: dict[str, Any]) -> str:
    """The statement as text."""
    period, number = data["period"], data.get("number")
    name = f"statement {number}" if number is not None else "open, not a statement yet"
    lines = [
        f"{data['customer']}, {period['from']} to {period['to']}, {data['currency']}: {name}",
        f"contract {data['contract'] or 'none'}, rate book version {data['book_version']}",
    ]
    if number is not None:
        early = ", early" if data["early"] else ""
        lines.append(f"closed {data['closed_at']}{early} by {data['author']}: {data['reason']}")
        lines.append(f"through sequence {data['through_seq']}, sha256 {data['sha256']}")
    lines.append("")
    lines += [_line(line) for line in data["lines"]]
    lines += [f"{'total':<{_WHAT}} {'':>{_QUANTITY}} {grouped(data['total']):>{_AMOUNT}} {data['currency']}"]
    for one in data.get("unpriced", ()):
        lines.append(
            f"{one['status']}: {one['events']} events, {one['provider']} {one['model'] or ''} {one['meter']}:"
            f" {one['reason']}"
        )
    return "\n".join(lines)


def _line(line: dict[str, Any]) -> str:
    names = (line["plan"], line["product"], line["provider"], line["model"], line["meter"])
    what = _NOTES.get(line["kind"]) or " / ".join(name or "-" for name in names)
    if line["statement"] is not None:
        what = f"to statement {line['statement']}: {what}"
    elif line["kind"] == "difference":
        what = f"older than all statements: {what}"
    quantity = "" if line["quantity"] is None else grouped(line["quantity"])
    amount = "-" if line["amount"] is None else grouped(line["amount"])
    return f"{what:<{_WHAT}} {quantity:>{_QUANTITY}} {amount:>{_AMOUNT}}"


def _compared(found: list[dict[str, Any]], *, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps({"compared": found}))
    else:
        click.echo("\n\n".join(map(_difference, found)))
    return 0 if all(one["unaltered"] for one in found) else FINDINGS


def _difference(one: dict[str, Any]) -> str:
    period = one["period"]
    span = f"{period['from']} to {period['to']}"
    lines = [
        f"statement {one['number']} of {one['customer']}, {span}: {grouped(one['total'])} {one['currency']}",
        "its hash is right; the ledger makes the same lines of what was posted to it"
        if one["unaltered"]
        else "the ledger makes other lines of what was posted to it:",
    ]
    lines += [f"- {_line(line)}" for line in one["missing"]]
    lines += [f"+ {_line(line)}" for line in one["added"]]
    if one["since"]:
        lines.append(
            f"since then {grouped(one['since_sum'])} {one['currency']} came, posted to later periods:"
        )
        lines += [f"  {_line(line)}" for line in one["since"]]
    else:
        lines.append("nothing came since")
    return "\n".join(lines)
