"""`ratestream reconcile`: ledger, totals and alerts compared now, instead of when a guard does it next."""

import json
import time
from dataclasses import asdict

import click

from budget_guard.service import Report, reconciled
from runtime.errors import FindingError
from runtime.settings import SettingsLoader


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--patience",
    type=click.FloatRange(0, 600),
    default=5.0,
    show_default=True,
    help="Seconds between two looks: what is right at the second one was only on its way.",
)
def reconcile(as_json: bool, patience: float) -> None:
    """Compare ledger, totals and alerts; raise what is missing, have totals built anew where they differ.

    Ends with 1 where something was found.

    Example: ratestream reconcile --json
    """
    report = reconciled(SettingsLoader.of_process(), patience, time.sleep)
    found = bool(report.late or report.drift or report.stale)
    if as_json:
        click.echo(json.dumps(asdict(report), ensure_ascii=False))
    else:
        click.echo("\n".join(_lines(report)))
    if found:
        raise click.exceptions.Exit(FindingError.exit_code)


def _lines(report: Report) -> list[str]:
    lines = [f"{report.customers} customers in the ledger"]
    lines += [f"alert {alert_id} was missing: raised late" for alert_id in report.late]
    lines += [
        f"totals of {drift['customer_id']} at {drift['as_of_seq']} are not the ledger's: they are built anew"
        for drift in report.drift
    ]
    lines += [
        f"totals of {customer} stay behind the ledger: they are built anew" for customer in report.stale
    ]
    if report.deliveries:
        lines.append(f"{report.deliveries} deliveries were missing: made")
    if len(lines) == 1:
        lines.append("ledger, totals and alerts agree")
    return lines
