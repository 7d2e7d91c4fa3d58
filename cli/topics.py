"""`ratestream topics`: bring the broker's topics to the declaration in `schemas/topics.py`."""

import json
import sys
from dataclasses import asdict

import click

from cli.topics_acls import topics_acls
from cli.topics_password import topics_password
from runtime.kafka import admin
from runtime.kafka.admin import Change, TopicSpec
from runtime.settings import KafkaSettings, SettingsError, SettingsLoader, TopicsSettings
from schemas.topics import TOPICS

_REFUSED = 1


def specs(kafka: KafkaSettings, shrunk: TopicsSettings) -> list[TopicSpec]:
    """Return every declared topic as it should be on this cluster.

    Raises:
        SettingsError: a setting names a topic that is not declared, or gives a compacted topic a retention.
    """
    declared = {topic.name for topic in TOPICS}
    for key, given in (("retention_s", shrunk.retention_s), ("segment_s", shrunk.segment_s)):
        unknown = sorted(given.keys() - declared)
        if unknown:
            known = ", ".join(sorted(declared))
            raise SettingsError(f"topics.{key} names {', '.join(unknown)}: declared are {known}")
    try:
        return [
            TopicSpec(
                topic.on(kafka.topic_prefix),
                kafka.partitions,
                kafka.replication_factor,
                topic.config(
                    retention_s=shrunk.retention_s.get(topic.name), segment_s=shrunk.segment_s.get(topic.name)
                )
                | {"min.insync.replicas": str(kafka.in_sync)},
            )
            for topic in TOPICS
        ]
    except ValueError as error:
        raise SettingsError(f"topics: {error}") from error


@click.group()
def topics() -> None:
    """Create and change Kafka's topics from their one declaration.

    Example: ratestream topics apply --dry-run
    """


topics.add_command(topics_acls)
topics.add_command(topics_password)


@topics.command("apply")
@click.option("--dry-run", is_flag=True, help="Say what would change, change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def apply_topics(*, dry_run: bool, as_json: bool) -> None:
    """Create every topic, change settings that may change, refuse to change a partition count.

    Exit code 1 where a topic has what cannot be changed; then nothing is changed.

    Example: ratestream topics apply
    """
    loader = SettingsLoader.of_process()
    kafka = loader.section("kafka", KafkaSettings)
    wanted = specs(kafka, loader.section("topics", TopicsSettings))
    client = admin.admin_client(kafka)
    changes = admin.plan(client, wanted)
    refused = [change for change in changes if change.action == "refuse"]
    applied = not dry_run and not refused
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
