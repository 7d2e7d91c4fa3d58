"""`ratestream explain`: one event from its offset to its amounts, laid out to be checked with a pencil."""

import json
import textwrap
from collections.abc import Iterable, Sequence

import click
from tqdm import tqdm

from ledger.core.explain import Answer, Explanation, GroupShown, SideShown, Wanted
from ledger.core.explain_cards import CardShown, ContractShown
from ledger.core.explain_lines import LeafShown, LineShown, grouped
from ledger.core.explain_pools import PeriodPrice, PoolShown
from ledger.service import explain as explain_event
from ledger.settings import LedgerSettings
from runtime.settings import SettingsLoader

FINDINGS, AMBIGUOUS = 1, 2
_LABEL, _METER, _WIDTH = 10, 24, 100
_RULE = "-" * _WIDTH


@click.command()
@click.argument("event_id")
@click.option("--customer", help="The event's customer: only one partition is read then.")
@click.option("--source", help="The service that published it, where several used the id.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def explain(event_id: str, customer: str | None, source: str | None, *, as_json: bool) -> int:
    """Walk one rated event from its raw offset through card, version and arithmetic to its amounts.

    Every number is computed again on the way. Exit codes: 0 equal; 1 a number differs, or the event was not
    rated; 2 several events have the id: name the customer or the source.

    Example: ratestream explain chatcmpl-42 --customer acme
    """
    settings = LedgerSettings.load(SettingsLoader.of_process())
    with tqdm(unit=" records", desc="searching", leave=False, disable=True if as_json else None) as bar:

        def progress(done: int, bound: int) -> None:
            bar.total = bound
            bar.update(done)

        answer = explain_event(settings, Wanted(event_id, customer, source), progress=progress)
    click.echo(json.dumps(answer.as_json()) if as_json else describe(answer))
    if answer.several:
        return AMBIGUOUS
    return 0 if answer.equal else FINDINGS


def describe(answer: Answer) -> str:
    """The answer as text."""
    wanted = answer.wanted
    if answer.several:
        lines = [f"{len(answer.several)} events have the id {wanted.event_id}; name one of them:"]
        lines += [f"  --customer {customer} --source {source}" for customer, source, _ in answer.several]
        return "\n".join(lines)
    if answer.explanations:
        return "\n\n".join("\n".join(_explained(one)) for one in answer.explanations)
    lines = [f"no event {wanted.event_id} in usage.rated{_narrowed(wanted)}"]
    for one in answer.refused:
        lines.append(f"it was rejected as {one.reason}: {one.detail}")
        lines.append(f"  {one.topic} {one.partition} @ {one.offset}, appended {one.appended}")
        lines.append(f"  customer {one.customer_id or '?'}, source {one.source or '?'}")
    if not answer.refused:
        lines.append("nor in usage.rejected: it never came, is not rated yet, or retention deleted it")
    return "\n".join(lines)


def _narrowed(wanted: Wanted) -> str:
    named = [f"customer {wanted.customer}"] if wanted.customer else []
    named += [f"source {wanted.source}"] if wanted.source else []
    return f" of {', '.join(named)}" if named else ""


def _explained(one: Explanation) -> list[str]:
    lines = [*_head(one), "", *_usage(one)]
    for side in one.sides:
        lines += ["", *_side(side)]
    return [*lines, "", *_checks(one)]


def _head(one: Explanation) -> list[str]:
    event, rated, came = one.event, one.rated, one.came
    models = [
        f"{word} {event[f'{word}_model']}"
        for word in ("requested", "served", "billed")
        if event[f"{word}_model"] is not None
    ]
    context = [f"{key}={value}" for key, value in sorted(event["context"].items())]
    context += [f"{key}={event[key]}" for key in ("region", "endpoint") if event[key] is not None]
    place = f"usage.events {came.partition} @ {'?' if came.offset is None else came.offset}"
    place += f", appended {came.appended}" if came.appended else ""
    place += f", frame {came.frame_no}" if came.frame_no is not None else ""
    correction = f", correction {rated['correction_id']}" if rated["correction_id"] else ""
    lines = [
        f"event {event['event_id']} of {event['customer_id']}, source {event['source']}",
        _RULE,
        _fact("came", place),
        *([_fact("", came.note)] if came.note else []),
        _fact("rated", f"usage.rated {rated['partition']} @ {rated['offset']}, appended {rated['appended']}"),
        _fact(
            "", f"sequence {rated['customer_seq']}, {rated['leg']}, revision {rated['revision']}{correction}"
        ),
        _fact("happened", event["event_time"]),
        _fact("call", f"{event['provider']}: {', '.join(models) or 'no model'}; status {event['status']}"),
        _fact("context", ", ".join(context) or "none"),
    ]
    if event["query_id"] is not None:
        lines.append(_fact("query", event["query_id"]))
    if one.book is not None:
        book = one.book
        lines.append(_fact("book", f"version {book.version}, recorded {book.recorded} by {book.author}"))
    else:
        lines.append(_fact("book", f"version {rated['book_version']}"))
    lines.append(_fact("", f"hash {rated['book_hash']}"))
    lines.append(_fact("period", " to ".join(one.service_period)))
    return lines


def _fact(name: str, text: str) -> str:
    return f"{name:<{_LABEL}} {text}".rstrip()


def _usage(one: Explanation) -> list[str]:
    semantics = one.event["usage_semantics"]
    meaning = (
        "a part is counted in its whole too" if semantics == "inclusive" else "each meter excludes the others"
    )
    lines = [f"usage, counted {semantics}: {meaning}"]
    if not one.leaves and one.event["usage"]:
        lines += [f"  {meter:<{_METER}} {quantity}" for meter, quantity in sorted(one.event["usage"].items())]
    return lines + [f"  {leaf.meter:<{_METER}} {_leaf(leaf)}" for leaf in one.leaves]


def _leaf(leaf: LeafShown) -> str:
    if leaf.reported is None:
        return f"{grouped(leaf.quantity)}, which follows from the others"
    if not leaf.minus:
        return grouped(leaf.quantity)
    parts = "".join(f" - {grouped(quantity)} {meter}" for meter, quantity in leaf.minus)
    return f"{grouped(leaf.reported)}{parts} = {grouped(leaf.quantity)}"


def _side(side: SideShown) -> list[str]:
    amount = "no amount" if side.amount is None else f"{grouped(side.amount)} {side.currency}"
    lines = [f"{side.side}: {amount}, {side.status}"]
    if side.contract is not None:
        lines += _contract(side.contract)
    for group in side.groups:
        lines += _group(group)
    if side.sum:
        lines.append(f"  {'sum':<{_METER}} {side.sum} {side.currency}")
    for pool in side.pools:
        lines += ["", *_pool(pool)]
    return lines


def _contract(contract: ContractShown) -> list[str]:
    sold = ", then ".join(contract.price_cards)
    span = _span(contract.valid_from, contract.valid_to)
    return [
        f"  contract {contract.contract}, of {contract.assigned_to} {span}",
        f"    price cards {sold}; in {contract.currency}",
    ]


def _group(group: GroupShown) -> list[str]:
    lines = [f"  {group.who}"] if group.who else []
    if group.card is not None:
        lines += _card(group.card)
    lines += [f"    {words}" for words in group.because]
    for line in group.lines:
        lines += _line(line)
    return lines


def _card(card: CardShown) -> list[str]:
    where = f"of price card {card.price_card}, " if card.price_card else ""
    lines = [f"    {where}in force {_span(card.valid_from, card.valid_to)}; in {card.currency}"]
    if card.source:
        lines += _wrapped(f"source: {card.source}")
    for total in card.totals:
        parts = " + ".join(f"{grouped(quantity)} {meter}" for meter, quantity in total.parts)
        written = f"{parts} = {grouped(total.total)}" if len(total.parts) > 1 else grouped(total.total)
        steps = ", ".join(grouped(start) for start in total.starts)
        beyond = "over" if total.operator == "gt" else "from"
        lines.append(f"    total of {total.selector}: {written}; steps {beyond} {steps}")
    return lines


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent="    ", subsequent_indent="      ", break_long_words=False
    )


def _line(line: LineShown) -> list[str]:
    lines = [f"  {line.meter:<{_METER}} {line.arithmetic}"]
    under = " " * (_METER + 3)
    if line.billed is not None:
        lines.append(f"{under}{grouped(line.quantity)} counted, {grouped(line.billed)} billed")
    if line.rounding:
        lines.append(f"{under}rounded {line.rounding}")
    note = line.note.removeprefix(f"{line.meter} at its own rate").removeprefix(f"{line.meter} ")
    if note:
        lines.append(f"{under}{note.removeprefix(', ')}")
    return lines


def _pool(pool: PoolShown) -> list[str]:
    lines = [
        f"  pool {pool.pool}, {pool.shape or 'unknown shape'}, in {pool.currency}",
        f"    {pool.period_from} to {pool.period_to}",
    ]
    lines += _period_price("before", pool.before, pool.quantity_before, pool.amount_before)
    moved = f"{grouped(pool.quantity_before)} + {grouped(pool.quantity)} = {grouped(pool.quantity_after)}"
    lines.append(f"    {'this event':<12} {moved}")
    lines += _period_price("after", pool.after, pool.quantity_after, pool.amount_after)
    paid = f"{grouped(pool.amount_after)} - {grouped(pool.amount_before)}"
    return [*lines, f"    {'to pay':<12} {paid} = {grouped(pool.charged)}"]


def _period_price(name: str, price: PeriodPrice | None, quantity: str, amount: str) -> list[str]:
    lines = [f"    {name:<12} quantity {grouped(quantity)}, amount {grouped(amount)}"]
    if price is None:
        return lines
    lines += [f"    {'':<12}   {step}" for step in price.steps]
    rounded = ", rounded half-even to 18 places" if price.rounded else ""
    standing = "" if price.amount == amount else f"; the period stands at {grouped(amount)}"
    lines.append(f"    {'':<12}   P({grouped(quantity)}) = {grouped(price.amount)}{rounded}{standing}")
    return lines


def _checks(one: Explanation) -> list[str]:
    if one.equal:
        names = _listed(check.name for check in one.checks)
        return textwrap.wrap(f"recomputed: equal ({names})", _WIDTH, subsequent_indent="  ")
    lines = [f"recomputed: NOT EQUAL ({_listed(check.name for check in one.checks if not check.equal)})"]
    return lines + [f"  {check.name}: {check.detail}" for check in one.checks if not check.equal]


def _listed(names: Iterable[str]) -> str:
    found: Sequence[str] = tuple(names)
    return ", ".join(found)


def _span(valid_from: str | None, valid_to: str | None) -> str:
    since = "since ever" if valid_from is None else f"from {valid_from}"
    return since if valid_to is None else f"{since} to {valid_to}"
