"""`ratestream stack`: start, stop, look at and empty the local Kafka and PostgreSQL."""

import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from cli.stack.layout import BROKERS_MAX
from cli.stack.local import LocalStack
from runtime.settings import SettingsLoader

_NOT_READY = 1

_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group()
def stack() -> None:
    """Run a real Kafka and a real PostgreSQL for this project, without containers.

    Everything lives below .ratestream in the project; data and ports are kept over down and up.

    Example: ratestream stack up
    """


@stack.command()
@click.option(
    "--brokers",
    type=click.IntRange(1, BROKERS_MAX),
    help="Kafka's brokers; as before where not given, 1 at first. From 3 on, 3 copies of everything.",
)
@click.option(
    "--secure/--open",
    default=None,
    help="TLS, and a login with its own rights for each part; as before where not given, open at first.",
)
@_json_option
def up(*, brokers: int | None, secure: bool | None, as_json: bool) -> None:
    """Start what does not run and wait until it answers.

    With --secure, .ratestream/secure holds a file of settings for each part, printed at the end.

    Example: ratestream stack up --brokers 3
    """
    _act(partial(LocalStack.up, brokers=brokers, secure=secure), as_json=as_json)


@stack.command()
@_json_option
def down(*, as_json: bool) -> None:
    """Stop both; the data stays.

    Example: ratestream stack down
    """
    _act(LocalStack.down, as_json=as_json)


@stack.command()
@_json_option
def reset(*, as_json: bool) -> None:
    """Stop both and delete their data and all else in .ratestream but jars and logs.

    Example: ratestream stack reset
    """
    _act(LocalStack.reset, as_json=as_json)


@stack.command()
@_json_option
def status(*, as_json: bool) -> None:
    """Say what runs; exit code 1 where either does not answer.

    Example: ratestream stack status --json
    """
    found = LocalStack(SettingsLoader.of_process().project_dir).status()
    _show(found, as_json=as_json)
    if not (found["kafka"]["ready"] and found["postgres"]["ready"]):
        sys.exit(_NOT_READY)


def _act(action: Callable[[LocalStack, Callable[[str], None]], dict[str, Any]], *, as_json: bool) -> None:
    """Do it, with progress on a terminal: one line that is written over."""
    terminal = sys.stderr.isatty()

    def progress(step: str) -> None:
        if terminal:
            click.echo(f"\r\x1b[K{step} ...", err=True, nl=False)

    found = action(LocalStack(SettingsLoader.of_process().project_dir), progress)
    if terminal:
        click.echo("\r\x1b[K", err=True, nl=False)
    _show(found, as_json=as_json)


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found))
        return
    kafka, postgres = found["kafka"], found["postgres"]
    for broker in kafka["brokers"]:
        number = f", {broker['broker']}" if len(kafka["brokers"]) > 1 else ""
        _line(f"Kafka {kafka['version']}{number}", broker)
    _line(f"PostgreSQL {postgres['version'] or ''}".strip(), postgres)
    for principal, file in (found["secure"] or {}).items():
        click.echo(f"{'settings of':<18}{principal}: {file}")


def _line(label: str, service: dict[str, Any]) -> None:
    if service["ready"]:
        text = f"answers at {service['endpoint']} (process {service['pid']})"
    elif service["running"]:
        text = f"runs (process {service['pid']}) but does not answer; see {service['log']}"
    else:
        text = "down"
    click.echo(f"{label:<18}{text}")
