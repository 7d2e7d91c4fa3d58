"""`ratestream alerts`: what was raised, how its delivery went, and to have it sent again."""

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from budget_guard.adapters.channels import channels_from
from budget_guard.adapters.delivery_reader import (
    Row,
    Wanted,
    alert_and_attempts,
    newest,
    outbox,
    resend,
)
from budget_guard.core.messages import Message, facts, one_line, sentence
from runtime.clock import SystemClock
from runtime.settings import PostgresSettings, SettingsLoader

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
_SEVERITY = click.Choice(["info", "warning", "critical"])


@click.group()
def alerts() -> None:
    """See alerts and how their delivery went; send them again.

    Example: ratestream alerts list --dead
    """


@alerts.command("list")
@click.option("--customer", "customer_id", help="Only this customer's.")
@click.option("--severity", type=_SEVERITY, help="Only these.")
@click.option("--channel", help="Only those for this channel.")
@click.option("--dead", is_flag=True, help="Only those that a channel gave up after 72 hours.")
@click.option("--undelivered", is_flag=True, help="Only those that a channel does not have: waiting or dead.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Show at most so many."
)
@_JSON
def list_alerts(
    *,
    customer_id: str | None,
    severity: str | None,
    channel: str | None,
    dead: bool,
    undelivered: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Show the newest alerts, each with what became of it in each channel.

    Example: ratestream alerts list --customer acme --severity critical
    """
    wanted = Wanted(customer_id, severity, channel, dead=dead, undelivered=undelivered)
    with outbox(_dsn()) as connection:
        found = newest(connection, wanted, limit)
    for row in found:
        if as_json:
            click.echo(json.dumps(row, default=_text))
            continue
        late = " (late)" if row["late"] else ""
        click.echo(
            f"{_text(row['raised_at'])} {row['alert_id']} {row['severity']}{late}: {sentence(row['alert'])}"
        )
        for delivery in row["deliveries"]:
            click.echo(f"    {_delivery(delivery)}")
    if not as_json and not found:
        click.echo("no such alerts")


@alerts.command()
@click.argument("alert_id")
@_JSON
def show(*, alert_id: str, as_json: bool) -> None:
    """Show one alert, or the alerts of one group's message, and every attempt to deliver.

    Example: ratestream alerts show alr_0f3c9a
    """
    with outbox(_dsn()) as connection:
        found, attempts = alert_and_attempts(connection, alert_id)
    if as_json:
        click.echo(json.dumps({"alerts": found, "attempts": attempts}, default=_text))
        return
    for row in found:
        click.echo(sentence(row["alert"]))
        for name, value in facts(row["alert"]):
            click.echo(f"  {name:<10} {value}")
        if row["alert"].get("look_closer"):
            click.echo(f"  {'Look at':<10} {one_line(str(row['alert']['look_closer']))}")
        for delivery in row["deliveries"]:
            click.echo(f"  {'Channel':<10} {_delivery(delivery)}")
    for attempt in attempts:
        click.echo(
            f"{_text(attempt['at'])} {attempt['message_id']} to {attempt['channel']}, {_attempt(attempt)}"
        )


@alerts.command("resend")
@click.argument("alert_ids", nargs=-1)
@click.option("--channel", help="Only to this channel, even if the alert was not for it.")
@click.option("--dead", "all_dead", is_flag=True, help="Every alert that a channel gave up.")
@_JSON
def resend_alerts(*, alert_ids: Sequence[str], channel: str | None, all_dead: bool, as_json: bool) -> None:
    """Send alerts again, under the ids that they have: a receiver that keeps ids sees each once.

    The running guard sends them within a second, by the rules of grouping.

    Example: ratestream alerts resend --dead --channel oncall
    """
    if bool(alert_ids) == all_dead:
        raise click.UsageError("name alerts, or give --dead")
    loader = SettingsLoader.of_process()
    if channel is not None:
        _known(loader, channel)
    with outbox(_dsn()) as connection:
        sent = resend(connection, alert_ids, channel, all_dead=all_dead)
    for alert_id, name in sent:
        click.echo(
            json.dumps({"alert_id": alert_id, "channel": name}) if as_json else f"{alert_id} to {name}"
        )
    if not as_json:
        click.echo(f"{len(sent):,} to be sent again")


@alerts.command("test-channel")
@click.argument("channel")
@_JSON
def test_channel(*, channel: str, as_json: bool) -> None:
    """Send a test message from here, at once, and tell how the channel answered. Exit code 1: not accepted.

    Example: ratestream alerts test-channel oncall
    """
    clock = SystemClock()
    loader = SettingsLoader.of_process()
    _known(loader, channel)
    to = channels_from(loader, clock)[channel]
    now_us, began_s = clock.now_us(), clock.monotonic_s()
    message_id = f"test_{now_us}"
    alert = {
        "alert_id": message_id,
        "kind": "test",
        "severity": "info",
        "text": f"Test of the channel {channel}: nothing is wrong.",
        "raised_at_us": now_us,
    }
    body = to.render(Message(message_id, now_us, (alert,), grouped=False))
    answer = to.send(message_id, body, now_us)
    took_ms = round((clock.monotonic_s() - began_s) * 1000)
    if as_json:
        result = {
            "channel": channel,
            "message_id": message_id,
            "delivered": answer.error is None,
            "status_code": answer.status,
            "error": answer.error,
            "duration_ms": took_ms,
        }
        click.echo(json.dumps(result))
    else:
        said = "accepted" if answer.error is None else f"not accepted: {answer.error}"
        click.echo(f"{message_id} to {channel} ({to.place}): {said}, {took_ms:,} ms")
    if answer.error is not None:
        sys.exit(1)


def _known(loader: SettingsLoader, channel: str) -> None:
    names = sorted(channels_from(loader, SystemClock()))
    if channel not in names:
        raise click.UsageError(
            f"channel {channel!r}: no such channel in the settings; there are {', '.join(names)}"
        )


def _dsn() -> str:
    return SettingsLoader.of_process().section("postgres", PostgresSettings).dsn.get_secret_value()


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(value)


def _delivery(delivery: Row) -> str:
    count = delivery["attempts"]
    tries = f", {count:,} attempt{'' if count == 1 else 's'}" if count else ""
    carried = delivery["message_id"] or ""
    group = f" in {carried}" if carried.startswith("grp_") else ""
    when = ""
    if delivery["status"] == "delivered":
        when = f" at {delivery['delivered_at']}"
    elif delivery["status"] in {"pending", "grouped"}:
        when = f", next at {delivery['next_attempt_at']}"
    error = f": {one_line(str(delivery['last_error']))}" if delivery["last_error"] else ""
    return f"{delivery['channel']}: {delivery['status']}{when}{group}{tries}{error}"


def _attempt(attempt: Row) -> str:
    status = "" if attempt["status_code"] is None else f" {attempt['status_code']}"
    said = "accepted" if attempt["error"] is None else one_line(str(attempt["error"]))
    return f"attempt {attempt['attempt']}:{status} {said} ({attempt['duration_ms']:,} ms)"
