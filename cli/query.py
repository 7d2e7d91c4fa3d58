"""`ratestream query`, `queries` and `whatif`: single queries and their calls."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from cli.ask import asked_of, dsn, instant, output_options, show, text_of, time_options, zone_of
from ledger.adapters.question_events import (
    Target,
    customers_of,
    elsewhere,
    newest_book,
    query_answer,
    standing_of,
)
from ledger.adapters.question_store import costliest, reading
from ledger.core.amounts import plain
from ledger.core.questions import Table
from ledger.core.questions_events import QueryAnswer, WhatIf, model_of, routing_text, standing
from ledger.core.questions_time import QuestionError, local_text
from pricing.instants import instant_text
from runtime.errors import FindingError
from runtime.postgres import Connection


@click.command()
@click.argument("query_id")
@click.option("--customer", help="Whose query; needed where several have one of this id.")
@output_options
def query(query_id: str, *, customer: str | None, as_json: bool, as_csv: bool) -> None:
    """One query: its model calls, how each was routed, and what each cost and was charged.

    Exit codes: 0 found, 1 not in the ledger, 2 several customers have one.

    Example: ratestream query q-7f3a --customer acme
    """
    with reading(dsn()) as connection:
        answer = _found(connection, query_id, customer)
    if as_json or as_csv:
        if as_json and as_csv:
            raise QuestionError("json, csv: one of them")
        if as_csv:
            show(answer.table(), as_json=False, as_csv=True)
        else:
            click.echo(json.dumps(answer.as_json()))
        return
    click.echo(_described(answer))


@click.command()
@click.option("--top", type=click.IntRange(1, 1000), default=10, show_default=True, help="In each currency.")
@time_options()
@click.option("--customer", "customers", multiple=True, help="Only this one; may be repeated.")
@output_options
def queries(
    *,
    top: int,
    from_text: str | None,
    to_text: str | None,
    zone_name: str,
    customers: Sequence[str],
    as_json: bool,
    as_csv: bool,
) -> None:
    """The queries that cost most; a query counts where its first call is.

    Example: ratestream queries --top 20 --from 2026-11-01
    """
    asked = asked_of(from_text, to_text, zone_name)
    with reading(dsn()) as connection:
        found = costliest(connection, asked, top, customers)
    columns = ("currency", "cost", "price", "calls", "customer", "query", "first_call", "last_call")
    rows = [
        (
            it.currency,
            plain(it.cost),
            plain(it.price),
            it.calls,
            it.customer_id,
            it.query_id,
            instant_text(it.first_us),
            instant_text(it.last_us),
        )
        for it in found
    ]
    facts = {"from": asked.label(0), "to": local_text(asked.end_us, asked.zone), "zone": asked.zone.name}
    show(Table(columns, list(rows), facts), as_json=as_json, as_csv=as_csv)


@click.command()
@click.option("--model", "target_text", required=True, metavar="PROVIDER/MODEL", help="The other model.")
@click.option("--query", "query_ids", multiple=True, help="Calls of this query; may be repeated.")
@click.option("--customer", help="Whose calls; needed without --query.")
@time_options()
@click.option("--at", "at_text", help="Prices of this instant. Default: of each call's own time.")
@click.option(
    "--context",
    "contexts",
    multiple=True,
    metavar="KEY=VALUE",
    help="What else selects the price, like processing=batch. Default: the call's own at the same provider,"
    " none at another.",
)
@output_options
def whatif(
    *,
    target_text: str,
    query_ids: Sequence[str],
    customer: str | None,
    from_text: str | None,
    to_text: str | None,
    zone_name: str,
    at_text: str | None,
    contexts: Sequence[str],
    as_json: bool,
    as_csv: bool,
) -> int:
    """What calls would have cost on another model: their recorded usage at the newest book's provider prices.

    A model that takes other counts of tokens for the same text is not guessed at. Exit codes: 0 all was
    priced, 4 some was not.

    Example: ratestream whatif --model openai/gpt-4o-mini --customer acme --from 2026-11-01
    """
    if not query_ids and customer is None:
        raise QuestionError("customer: must be given, or query: the calls to price")
    asked = asked_of(from_text, to_text, zone_name)
    target = _target(target_text, contexts, at_text, zone_name)
    found = WhatIf(f"{target.provider}/{target.model}")
    login = dsn()
    with reading(login) as connection:
        book = newest_book(connection, login)
        records: Iterable[Mapping[str, Any]]
        if query_ids:
            answers = [_found(connection, query_id, customer) for query_id in dict.fromkeys(query_ids)]
            records = [record for answer in answers for record in standing(answer.records)]
        else:
            records = standing_of(connection, customer or "", asked.start_us, asked.end_us)
        for record in records:
            found.add(record, elsewhere(book, record["event"], target))
    table, missing = found.table(), found.missing()
    if as_json and not as_csv:
        click.echo(json.dumps({**table.facts, "rows": table.objects(), "not_priced": missing}))
    else:
        show(table, as_json=as_json, as_csv=as_csv)
        if missing and not as_csv:
            rows = [(it["events"], it["meter"], it["reason"]) for it in missing]
            click.echo("not priced there:\n" + text_of(Table(("events", "meter", "reason"), rows)))
    return 4 if missing else 0


def _found(connection: Connection, query_id: str, customer: str | None) -> QueryAnswer:
    customers = customers_of(connection, query_id) if customer is None else [customer]
    if len(customers) > 1:
        raise QuestionError(f"customer: several have a query {query_id}; name one of {', '.join(customers)}")
    answer = query_answer(connection, customers[0], query_id) if customers else None
    if answer is None:
        raise FindingError(f"query {query_id}: not in the ledger" + (f" for {customer}" if customer else ""))
    return answer


def _target(text: str, contexts: Sequence[str], at_text: str | None, zone_name: str) -> Target:
    provider, slash, model = text.partition("/")
    if not (provider and slash and model):
        raise QuestionError(f"model {text}: must be PROVIDER/MODEL")
    context = None
    if contexts:
        pairs = [item.partition("=") for item in contexts]
        if not all(key and equals for key, equals, _ in pairs):
            raise QuestionError("context: must be KEY=VALUE")
        context = {key: value for key, _, value in pairs}
    at_us = None if at_text is None else instant("at", at_text, zone_of(zone_name))
    return Target(provider, model, context, at_us)


def _described(answer: QueryAnswer) -> str:
    lines = [f"query {answer.query_id} of {answer.customer_id}: {len(answer.records)} records"]
    for currency, (cost, price) in sorted(answer.totals().items()):
        lines.append(f"  {currency}: cost {plain(cost)}, price {plain(price)}")
    depths: dict[str, int] = {}
    for record in sorted(
        answer.records, key=lambda it: (it["event"]["event_time_us"], it["rating"]["customer_seq"])
    ):
        event, rating = record["event"], record["rating"]
        depth = depths.get(event["parent_event_id"] or "", -1) + 1
        depths[event["event_id"]] = depth
        indent = "  " * (depth + 1)
        attempt = f", attempt {event['attempt']}" if event["attempt"] else ""
        leg = "" if rating["leg"] == "original" else f", {rating['leg']} {rating['revision']}"
        lines.append(
            f"{indent}{instant_text(event['event_time_us'])} {event['event_id']}"
            f" {event['provider']}/{model_of(event) or '?'} {event['status']}{attempt}{leg}"
        )
        routed = routing_text(event["routing"])
        if routed is not None:
            lines.append(f"{indent}  routed: {routed}")
        lines.append(f"{indent}  cost {_side(rating['cost'])}, price {_side(rating['price'])}")
        lines += [
            f"{indent}    {line['side']:<5} {line['meter']} {line['quantity']}: {_amount(line)}"
            for line in rating["lines"]
        ]
    return "\n".join(lines)


def _side(side: Mapping[str, Any]) -> str:
    if side["amount"] is None:
        return str(side["status"])
    partial = " (partial)" if side["status"] == "partial" else ""
    return f"{side['amount']} {side['currency']}{partial}"


def _amount(line: Mapping[str, Any]) -> str:
    return (
        f"{line['status']}, {line['explain']}"
        if line["amount"] is None
        else f"{line['amount']} {line['currency']}"
    )
