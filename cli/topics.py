"""`ratestream topics`: bring the broker's topics to the declaration in `schemas/topics.py`."""

import json
import sys
from dataclasses import asdict

import click

from cli.topic_specs import specs
from cli.topics_acls import topics_acls
from cli.topics_grow import CLOSED, check_not_ended, grow
from cli.topics_password import topics_password
from runtime.kafka import admin
from runtime.kafka.admin import Change
from runtime.settings import KafkaSettings, SettingsLoader, TopicsSettings

__all__ = ["specs", "topics"]

_REFUSED = 1


@click.group()
def topics() -> None:
    """Create and change Kafka's topics from their one declaration.

    Example: ratestream topics apply --dry-run
    """


topics.add_command(topics_acls)
topics.add_command(grow)
topics.add_command(topics_password)


@topics.command("apply")
@click.option("--dry-run", is_flag=True, help="Say what would change, change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def apply_topics(*, dry_run: bool, as_json: bool) -> None:
    """Create every topic, change settings that may change, refuse to change a partition count.

    Exit code 1 where a topic has what cannot be changed, or was closed when these topics were grown; then
    nothing is changed.

    Example: ratestream topics apply
    """
    loader = SettingsLoader.of_process()
    kafka = loader.section("kafka", KafkaSettings)
    wanted = specs(kafka, loader.section("topics", TopicsSettings))
    client = admin.admin_client(kafka)
    changes = admin.plan(client, wanted)
    refused = [change for change in changes if change.action == "refuse"]
    applied = not dry_run and not refused
    closed = [change.topic for change in changes if (change.key, change.has) in CLOSED.items()]
    if applied and closed:
        check_not_ended(loader, kafka, closed)
    if applied:
        changes = admin.apply(client, wanted)
    _show(changes, len(wanted), applied=applied, as_json=as_json)
    if refused:
        sys.exit(_REFUSED)


def _show(changes: list[Change], total: int, *, applied: bool, as_json: bool) -> None:
    if as_json:
        rows = [asdict(change) for change in changes]
        click.echo(json.dumps({"topics": total, "applied": applied, "changes": rows}))
        return
    for change in changes:
        click.echo(change.sentence(), err=change.action == "refuse")
    as_declared = total - len({change.topic for change in changes})
    touched = "changed" if applied else "to change"
    click.echo(f"{total} topics: {as_declared} as declared, {total - as_declared} {touched}")
