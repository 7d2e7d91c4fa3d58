"""`ratestream ledger`: the ledger's tables, for those who own them."""

from datetime import datetime

import click

from ledger.service import detach
from runtime.postgres import connect
from runtime.postgres import migrate as apply_migrations
from runtime.settings import PostgresSettings, SettingsLoader


@click.group()
def ledger() -> None:
    """Look after the ledger's tables, by a login that owns them.

    Example: ratestream ledger detach --before 2026-01-01
    """


@ledger.command()
def migrate() -> None:
    """Bring the database's tables to this version.

    Example: ratestream ledger migrate
    """
    with connect(_dsn()) as connection:
        applied = apply_migrations(connection)
    click.echo("\n".join(applied) if applied else "nothing to apply")


@ledger.command("detach")
@click.option(
    "--before",
    type=click.DateTime(["%Y-%m-%d"]),
    required=True,
    help="Days posted before this one, in UTC.",
)
def detach_days(before: datetime) -> None:
    """Take old days out of the ledger, each as a table of its own. Roll-ups and sequences stay.

    Example: ratestream ledger detach --before 2026-01-01
    """
    count = 0
    for table in detach(_dsn(), before.date()):
        click.echo(f"detached {table}")
        count += 1
    if not count:
        click.echo(f"no day before {before:%Y-%m-%d} is in the ledger")


def _dsn() -> str:
    return SettingsLoader.of_process().section("postgres", PostgresSettings).dsn.get_secret_value()
