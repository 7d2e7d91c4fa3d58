"""`ratestream emit`: publish usage events from a file of CloudEvents."""

import json
import sys
from dataclasses import asdict
from typing import BinaryIO

import click

from cli.lines import lines_of
from producers.__main__ import main as emit_lines
from producers.service import BadLine, Summary
from runtime.settings import SettingsLoader

_FINDINGS, _INFRASTRUCTURE = 1, 3


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def emit(*, file: BinaryIO, as_json: bool) -> None:
    """Publish the usage events in FILE (`-`: standard input), CloudEvents 1.0 in JSON, one a line.

    A bad line is told with its number, field, value and rule; the others are sent. Sending a file again bills
    nothing twice. Exit code 1 where a line was bad, 3 where an event was not acknowledged.

    Example: ratestream emit events.jsonl
    """
    summary = emit_lines(lines_of(file), SettingsLoader.of_process(), _quiet if as_json else _tell)
    show(summary, as_json=as_json)
    if summary.unacknowledged:
        sys.exit(_INFRASTRUCTURE)
    if summary.bad:
        sys.exit(_FINDINGS)


def show(summary: Summary, *, as_json: bool, extra: dict[str, object] | None = None) -> None:
    """Print what became of the events, for people or as one JSON object with `extra` in front."""
    if as_json:
        click.echo(json.dumps((extra or {}) | asdict(summary)))
        return
    for lost in summary.unacknowledged:
        click.echo(f"not acknowledged: {lost.customer_id} {lost.event_id}: {lost.why}", err=True)
    parts = [f"{summary.sent} events sent, {summary.acknowledged} acknowledged"]
    if summary.bad:
        parts.append(f"{len(summary.bad)} bad lines not sent")
    if summary.unacknowledged:
        parts.append(
            f"{len(summary.unacknowledged)} not acknowledged: send them again, their ids stay the same"
        )
    click.echo("; ".join(parts))


def _tell(bad: BadLine) -> None:
    click.echo(bad.sentence(), err=True)


def _quiet(_: BadLine) -> None:
    """The JSON object lists bad lines."""
