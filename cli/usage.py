"""`ratestream usage` and `ratestream unpriced`: what was used, what it cost, and what has no price."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime

import click

from cli.ask import asked_of, dsn, filter_options, output_options, question_of, show, time_options
from ledger.adapters.question_store import reading, sums
from ledger.adapters.question_store import unpriced as unpriced_sums
from ledger.core.questions import unpriced_table, usage_table
from ledger.core.questions_time import Every

_BY = (
    "customer, plan, status, provider, model, meter, currency, or a dimension that the rate book declares"
    " (project, product, feature ...); several by commas."
)


@click.command()
@click.option("--by", multiple=True, metavar="NAME,...", help=_BY)
@time_options(every=True)
@filter_options
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Also what was known at the end of this UTC day.",
)
@output_options
def usage(
    *,
    by: Sequence[str],
    from_text: str | None,
    to_text: str | None,
    zone_name: str,
    every: Every,
    customers: Sequence[str],
    wheres: Sequence[str],
    as_of: datetime | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Usage and money, by anything that roll-ups know, over time.

    Rows are apart by currency of cost and of price. With --as-of each amount stands twice: as it was known
    then (`_then`) and as it is known now, after late events and corrections.

    Example: ratestream usage --by customer,model --every day --tz Europe/Berlin --from 2026-11-01
    """
    question = question_of(asked_of(from_text, to_text, zone_name, every), by, customers, wheres)
    if as_of is not None:
        question = replace(question, as_of=date(as_of.year, as_of.month, as_of.day))
    with reading(dsn()) as connection:
        found = sums(connection, question)
    show(usage_table(question, found), as_json=as_json, as_csv=as_csv)


@click.command()
@click.option("--by", multiple=True, metavar="NAME,...", help=f"In addition: {_BY}")
@time_options()
@filter_options
@output_options
def unpriced(
    *,
    by: Sequence[str],
    from_text: str | None,
    to_text: str | None,
    zone_name: str,
    customers: Sequence[str],
    wheres: Sequence[str],
    as_json: bool,
    as_csv: bool,
) -> int:
    """Usage that has no price: by side, provider, model, meter and the reason.

    Exit codes: 0 there is none, 4 there is some.

    Example: ratestream unpriced --by customer
    """
    question = question_of(asked_of(from_text, to_text, zone_name), by, customers, wheres)
    with reading(dsn()) as connection:
        table = unpriced_table(question, unpriced_sums(connection, question))
    show(table, as_json=as_json, as_csv=as_csv)
    return 4 if table.rows else 0
