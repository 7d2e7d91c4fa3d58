"""`ratestream margin` and `ratestream concentration`: what is earned, and who makes the cost."""

from collections.abc import Sequence

import click

from cli.ask import asked_of, dsn, filter_options, output_options, question_of, show, time_options
from ledger.adapters.question_store import reading, sums
from ledger.core.questions import concentration_table, margin_question, margin_table


@click.command()
@click.option(
    "--by",
    multiple=True,
    default=["customer"],
    show_default=True,
    metavar="NAME,...",
    help="customer, plan, provider, model, or a declared dimension (product, feature ...).",
)
@time_options()
@filter_options
@output_options
def margin(
    *,
    by: Sequence[str],
    from_text: str | None,
    to_text: str | None,
    zone_name: str,
    customers: Sequence[str],
    wheres: Sequence[str],
    as_json: bool,
    as_csv: bool,
) -> None:
    """Price less cost, where both are in one currency.

    Costs whose price is in another currency, is included in a query's price or is missing stand apart with
    the reason and have no margin: nothing is converted.

    Example: ratestream margin --by product,feature --from 2026-11-01
    """
    question = question_of(asked_of(from_text, to_text, zone_name), by, customers, wheres)
    with reading(dsn()) as connection:
        found = sums(connection, margin_question(question))
    show(margin_table(question, found), as_json=as_json, as_csv=as_csv)


@click.command()
@click.option("--share", type=click.IntRange(1, 100), default=80, show_default=True, help="Percent.")
@click.option("--of", "side", type=click.Choice(["cost", "price"]), default="cost", show_default=True)
@time_options()
@filter_options
@output_options
def concentration(
    *,
    share: int,
    side: str,
    from_text: str | None,
    to_text: str | None,
    zone_name: str,
    customers: Sequence[str],
    wheres: Sequence[str],
    as_json: bool,
    as_csv: bool,
) -> None:
    """The fewest customers that together make 80 % of the cost, in each currency.

    Example: ratestream concentration --share 50
    """
    question = question_of(asked_of(from_text, to_text, zone_name), ["customer"], customers, wheres)
    with reading(dsn()) as connection:
        found = sums(connection, question)
    table = concentration_table(question, found, side=side, share_percent=share)
    show(table, as_json=as_json, as_csv=as_csv)
