"""What the commands that ask the ledger share: time, filters, and answers as text, JSON or CSV."""

import csv
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

import click

from ledger.core.amounts import BUCKET_US
from ledger.core.questions import Question, Table, Value
from ledger.core.questions_time import (
    EVERY,
    Asked,
    Every,
    QuestionError,
    asked,
    day_start,
    local_date,
)
from pricing.calendar import ZoneTable, zones
from rate_book.instants import parse_instant
from rate_book.zones import resolve
from runtime.clock import SystemClock
from runtime.settings import PostgresSettings, SettingsLoader

F = TypeVar("F", bound=Callable[..., Any])

_TIMES = "A date, local in --tz, or an instant like 2026-11-18T12:00:00Z."


def time_options(*, every: bool = False) -> Callable[[F], F]:
    """--from, --to, --tz and, where asked for, --every."""
    options = [
        click.option("--from", "from_text", help=f"Events from then on. {_TIMES} Default: this month."),
        click.option("--to", "to_text", help="Events before then. Default: now."),
        click.option("--tz", "zone_name", default="UTC", show_default=True, help="An IANA zone, or +05:30."),
    ]
    if every:
        options.append(click.option("--every", type=click.Choice(EVERY), default="all", show_default=True))
    return _all_of(options)


def filter_options(command: F) -> F:
    """--where NAME=VALUE and --customer."""
    return _all_of(
        [
            click.option("--customer", "customers", multiple=True, help="Only this one; may be repeated."),
            click.option(
                "--where",
                "wheres",
                multiple=True,
                metavar="NAME=VALUE",
                help="Only this value of a dimension; a name given twice means either.",
            ),
        ]
    )(command)


def output_options(command: F) -> F:
    """--json and --csv."""
    return _all_of(
        [
            click.option("--json", "as_json", is_flag=True, help="One JSON object; amounts are text, exact."),
            click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values with a heading."),
        ]
    )(command)


def _all_of(options: Sequence[Callable[[F], F]]) -> Callable[[F], F]:
    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def dsn() -> str:
    """Of the ledger's database, from the settings."""
    return SettingsLoader.of_process().section("postgres", PostgresSettings).dsn.get_secret_value()


def asked_of(from_text: str | None, to_text: str | None, zone_name: str, every: Every = "all") -> Asked:
    """The time of a question; without limits this local month until now.

    Raises:
        QuestionError: naming field, value and rule.
    """
    zone = zone_of(zone_name)
    now_us = SystemClock().now_us()
    now_us += -now_us % BUCKET_US  # the quarter of an hour that is under way counts
    first = local_date(now_us - 1, zone).replace(day=1)
    from_us = day_start(first, zone) if from_text is None else instant("from", from_text, zone)
    to_us = now_us if to_text is None else instant("to", to_text, zone)
    return asked(from_us, to_us, every, zone)


def zone_of(name: str) -> ZoneTable:
    """A zone of the pinned package tzdata, an offset, or UTC. Raises QuestionError."""
    try:
        return zones(resolve([name]))(name)
    except ValueError:
        raise QuestionError(f"tz {name}: must be UTC, an IANA zone, or an offset like +05:30") from None


def instant(field: str, text: str, zone: ZoneTable) -> int:
    """A date as its first local instant, or an instant with its own offset. Raises QuestionError."""
    try:
        return parse_instant(text) if "T" in text else day_start(date.fromisoformat(text), zone)
    except ValueError as error:
        rule = "must be a date like 2026-11-18, or an instant like 2026-11-18T12:00:00Z"
        raise QuestionError(f"{field} {text}: {rule} ({error})") from None


def filters_of(customers: Sequence[str], wheres: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Dimension and the values that may hold. Raises QuestionError."""
    found: dict[str, tuple[str, ...]] = {}
    for name, equals, value in (where.partition("=") for where in wheres):
        if not equals or not name:
            raise QuestionError(f"where {name}: must be NAME=VALUE")
        found[name] = (*found.get(name, ()), value)
    if customers:
        found["customer"] = (*found.get("customer", ()), *customers)
    return tuple(found.items())


def names_of(by: Sequence[str]) -> tuple[str, ...]:
    """`--by customer,plan --by meter` as names, each once."""
    return tuple(dict.fromkeys(name.strip() for text in by for name in text.split(",") if name.strip()))


def question_of(
    time: Asked, by: Sequence[str] = (), customers: Sequence[str] = (), wheres: Sequence[str] = ()
) -> Question:
    """A question about sums."""
    return Question(time, names_of(by), filters_of(customers, wheres))


def show(table: Table, *, as_json: bool, as_csv: bool) -> None:
    """The answer on standard output."""
    if as_json and as_csv:
        raise QuestionError("json, csv: one of them")
    if as_json:
        click.echo(json.dumps({**table.facts, "rows": table.objects()}))
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(table.columns)
        writer.writerows(["" if value is None else value for value in row] for row in table.rows)
    else:
        click.echo(text_of(table))


def text_of(table: Table) -> str:
    """Columns beside each other, numbers to the right; `-` where there is nothing."""
    lines = [_facts_text(table.facts)] if table.facts else []
    if not table.rows:
        return "\n".join([*lines, "nothing"])
    cells = [[_cell(value) for value in row] for row in table.rows]
    widths = [
        max(len(column), *(len(row[index]) for row in cells)) for index, column in enumerate(table.columns)
    ]
    right = [_is_numeric([row[index] for row in table.rows]) for index in range(len(table.columns))]
    for row in [list(table.columns), *cells]:
        padded = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(row, widths, right, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def _facts_text(facts: Mapping[str, Value]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())


def _cell(value: Value) -> str:
    return "-" if value is None else str(value)


def _is_numeric(values: Sequence[Value]) -> bool:
    told = [value for value in values if value is not None]
    return bool(told) and all(
        isinstance(value, int) or value.lstrip("-").replace(".", "", 1).isdigit() for value in told
    )
