"""`ratestream topics acls`: the rights of every principal, printed or made, from `schemas/access.py`."""

import json
import sys
from dataclasses import asdict

import click

from runtime.kafka import access
from runtime.kafka.access import Right
from runtime.kafka.admin import admin_client
from runtime.settings import KafkaSettings, SettingsLoader
from schemas.access import acls as declared

_DIFFERENT = 1


def rights(prefix: str) -> list[Right]:
    """Return every declared right on a cluster whose names carry `prefix`."""
    return [
        Right(acl.principal, acl.resource, acl.name, acl.pattern, acl.operation) for acl in declared(prefix)
    ]


@click.command("acls")
@click.option("--apply", "applying", is_flag=True, help="Make what is missing. Nothing is ever taken away.")
@click.option(
    "--check", "checking", is_flag=True, help="Compare with the cluster; exit code 1 if it differs."
)
@click.option("--prefix", default=None, help="Of topics, groups and ids; default: kafka.topic_prefix.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def topics_acls(*, applying: bool, checking: bool, prefix: str | None, as_json: bool) -> None:
    """Print each principal's rights; with --apply or --check at the cluster that the settings name.

    A principal's rights beyond the declaration are told and left: take them away with Kafka's own tools.

    Example: ratestream topics acls --check
    """
    if not (applying or checking):
        wanted = rights(_prefix_or_none() if prefix is None else prefix)
        _show(wanted, as_json=as_json)
        return
    kafka = SettingsLoader.of_process().section("kafka", KafkaSettings)
    prefix = kafka.topic_prefix if prefix is None else prefix
    wanted = rights(prefix)
    admin = admin_client(kafka)
    plan = access.plan(admin, wanted, prefix)
    if applying:
        access.grant(admin, plan.missing)
    if as_json:
        told = {
            "applied": applying,
            "missing": [asdict(right) for right in plan.missing],
            "surplus": [asdict(right) for right in plan.surplus],
        }
        click.echo(json.dumps(told))
    else:
        word = "made" if applying else "missing"
        for right in plan.missing:
            click.echo(f"{word}: {right.sentence()}")
        for right in plan.surplus:
            click.echo(f"not declared: {right.sentence()}", err=True)
        click.echo(
            f"{len(wanted)} rights: {len(plan.missing)} {word}, {len(plan.surplus)} beyond the declaration"
        )
    if checking and (plan.surplus or (plan.missing and not applying)):
        sys.exit(_DIFFERENT)


def _prefix_or_none() -> str:
    """Return the prefix of the settings; none is needed to print the declaration."""
    loader = SettingsLoader.of_process()
    return loader.section("kafka", KafkaSettings).topic_prefix if loader.names_endpoint("kafka") else ""


def _show(wanted: list[Right], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"acls": [asdict(right) for right in wanted]}))
        return
    for right in wanted:
        click.echo(right.sentence())
