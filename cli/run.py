"""`ratestream run SERVICE`: the same as `python -m SERVICE`."""

import click

from aggregator.totals import main as totals_main
from budget_guard.__main__ import main as guard_main
from ledger.__main__ import main as ledger_main
from rater.__main__ import main as rater_main
from runtime.settings import SettingsLoader


@click.group()
def run() -> None:
    """Run a service in the foreground until SIGTERM or Ctrl-C.

    Example: ratestream run rater --slot 0
    """


@run.command()
@click.option(
    "--slot", type=click.IntRange(0, 63), help="Which rater of this machine; default: the lowest free."
)
def rater(slot: int | None) -> None:
    """Rate usage.events into usage.rated, exactly once.

    Example: ratestream run rater --slot 0
    """
    rater_main(SettingsLoader.of_process({"rater": {"slot": slot}}))


@run.command()
@click.option("--slot", type=click.IntRange(0, 63), help="Which ledger of this machine; default: 0.")
def ledger(slot: int | None) -> None:
    """Take usage.rated and usage.rejected over into PostgreSQL.

    Example: ratestream run ledger --slot 0
    """
    ledger_main(SettingsLoader.of_process({"ledger": {"slot": slot}}))


@run.command()
@click.option(
    "--slot", type=click.IntRange(0, 63), help="Which aggregator of this machine; default: the lowest free."
)
def aggregator(slot: int | None) -> None:
    """Fold the frames of usage.deltas into the running totals of usage.totals.

    Example: ratestream run aggregator --slot 0
    """
    from aggregator.__main__ import main  # noqa: PLC0415 - Faust takes half a second to import

    main(SettingsLoader.of_process({"aggregator": {"slot": slot}}))


@run.command()
@click.option("--slot", type=click.IntRange(0, 63), help="Which totals sink of this machine; default: 0.")
def totals(slot: int | None) -> None:
    """Take usage.totals over into PostgreSQL, where `ratestream totals` reads them.

    Example: ratestream run totals --slot 0
    """
    totals_main(SettingsLoader.of_process({"totals": {"slot": slot}}))


@run.command()
@click.option("--slot", type=click.IntRange(0, 63), help="Which guard of this machine; default: 0.")
def guard(slot: int | None) -> None:
    """Hold usage.totals against budgets, raise alerts and deliver them.

    Example: ratestream run guard --slot 0
    """
    guard_main(SettingsLoader.of_process({"guard": {"slot": slot}}))
