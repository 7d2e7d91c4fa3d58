"""`ratestream price`: one call, or a file of calls, priced from the shipped book or another; nothing need be
running.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import click

from cli.lines import lines_of
from pricing.instants import instant_text
from rate_book.errors import CallInvalidError
from rate_book.price_call import Pricer, error_answer, parse_call, read_json
from runtime.clock import SystemClock

UNPRICED = 4


@click.command()
@click.option("--provider", help="As in the book: openai, anthropic, google ...")
@click.option("--model", help="The billed, else served, else requested model.")
@click.option("--at", help="When the call started, like 2026-11-18T12:00:00Z. Default: now.")
@click.option("--usage", help='Meters and quantities as JSON: {"input_tokens": 1200, "output_tokens": 350}.')
@click.option("--context", help='What else selects a price, as JSON: {"processing": "batch"}.')
@click.option(
    "--semantics",
    help="inclusive (default): parts are counted in their whole, as OpenAI does; exclusive: they are not.",
)
@click.option("--customer", help="Also what the call is worth to this customer.")
@click.option(
    "--book",
    "books",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A book's directory, in place of the shipped one; may be given several times.",
)
@click.option("--batch", type=click.File("rb"), help="A file (or -) of calls as JSON objects, one a line.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON, on one line.")
def price(
    *,
    provider: str | None,
    model: str | None,
    at: str | None,
    usage: str | None,
    context: str | None,
    semantics: str | None,
    customer: str | None,
    books: tuple[Path, ...],
    batch: IO[bytes] | None,
    as_json: bool,
) -> int:
    """Price one call, line by line.

    Exit codes: 0 priced, 4 unpriced or priced in part, 2 the call is malformed. With --batch each line is a
    JSON object with the keys provider, model, at, usage, context, semantics, customer, and is answered by
    one line of JSON, a bad one by an error; the exit code is then 2 if any was bad, else 4 if any was not
    fully priced.

    Example: ratestream price --provider openai --model gpt-4o --at 2026-11-18T12:00:00Z
    --usage '{"input_tokens":1200,"output_tokens":350}' --json
    """
    pricer = Pricer(books) if books else Pricer()
    now_us = SystemClock().now_us()
    options = {
        "provider": provider,
        "model": model,
        "at": at,
        "usage": usage,
        "context": context,
        "semantics": semantics,
        "customer": customer,
    }
    if batch is not None:
        if any(value is not None for value in options.values()):
            raise click.UsageError(
                "--batch takes its calls from the file: leave the options of a single call out"
            )
        return _batch(pricer, batch, now_us)
    data: dict[str, object] = {key: value for key, value in options.items() if value is not None}
    try:
        for key in ("usage", "context"):
            if options[key] is not None:
                data[key] = read_json(str(options[key]), key)
        call = parse_call(data, now_us)
        found = pricer.answer(call)
    except CallInvalidError as error:
        if not as_json:
            raise
        click.echo(json.dumps(error_answer(error)))
        return error.exit_code
    if as_json:
        click.echo(json.dumps(found))
    else:
        click.echo(f"{call.provider}/{call.model} at {instant_text(call.at_us)}")
        for line in _readable(found):
            click.echo(line)
    return 0 if found["status"] == "priced" else UNPRICED


def _batch(pricer: Pricer, lines: IO[bytes], now_us: int) -> int:
    malformed = unpriced = False
    for number, raw in enumerate(lines_of(lines), start=1):
        try:
            found = pricer.answer(parse_call(read_json(_decoded(raw, number), f"line {number}"), now_us))
            unpriced = unpriced or found["status"] != "priced"
        except CallInvalidError as error:
            found = error_answer(error)
            malformed = True
        click.echo(json.dumps(found))
    if malformed:
        return CallInvalidError.exit_code
    return UNPRICED if unpriced else 0


def _decoded(raw: bytes, number: int) -> str:
    try:
        return raw.decode().strip()
    except UnicodeDecodeError as error:
        raise CallInvalidError(f"line {number}", repr(raw[:80]), "must be UTF-8") from error


def _readable(found: dict[str, Any]) -> Iterator[str]:
    for side in ("cost", "price"):
        total = found[side]
        if total is None:
            continue
        amount = f"{total['amount']} {total['currency']}" if total["amount"] is not None else "no amount"
        yield f"{side}: {amount} ({total['status']})"
        for line in found["lines"]:
            if line["side"] != side:
                continue
            rated = (
                f"{line['quantity']} x {line['rate']} per {line['per']} = {line['amount']} {line['currency']}"
                if line["amount"] is not None
                else f"{line['quantity']}, {line['status']}"
            )
            yield f"  {line['meter']}: {rated}"
            yield f"    {line['explain']}"
