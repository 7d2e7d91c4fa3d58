"""`ratestream void` and `ratestream amend`: one event's record taken back, or replaced."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.lines import LINE_BYTES_MAX
from ledger.adapters.correct_one import Amendment, Outcome, Prepared, apply, prepare, wait
from ledger.adapters.corrections import check_said
from ledger.core.correction import LedgerRecord
from runtime.errors import UsageProblemError
from runtime.postgres import connect
from runtime.settings import KafkaSettings, PostgresSettings, SettingsLoader
from schemas.codec import encode
from schemas.errors import InvalidEvent
from schemas.models.usage_event import UsageEvent

_FINDINGS = 1

F = TypeVar("F", bound=Callable[..., Any])


def _options(command: F) -> F:
    for option in reversed(
        [
            click.option("--customer", required=True, help="The event's customer."),
            click.option("--source", help="The service that published it, where several used the id."),
            click.option("--reason", required=True, help="Why; it stands in the command."),
            click.option("--author", required=True, help="Who; it stands in the command."),
            click.option("--apply", "applying", is_flag=True, help="Do it; otherwise it is only shown."),
            click.option("--no-wait", is_flag=True, help="Return when the command is acknowledged."),
            click.option(
                "--wait",
                "wait_s",
                type=click.IntRange(min=1),
                default=60,
                show_default=True,
                help="Seconds for rater and ledger.",
            ),
            click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
        ]
    ):
        command = option(command)
    return command


@click.command()
@click.argument("event_id")
@_options
def void(*, event_id: str, customer: str, source: str | None, **how: Any) -> None:
    """Take back what an event cost, as if it never was; a period's price follows.

    Without --apply nothing is done. The same void given again changes nothing. Exit code 1 where the event is
    not in the ledger, was voided before, or the command was refused.

    Example: ratestream void chatcmpl-42 --customer acme --reason "test traffic" --author ops --apply
    """
    _correct(event_id, customer, source, None, **how)


@click.command()
@click.argument("event_id")
@click.option(
    "--event",
    "path",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The event as it should have been: one CloudEvents JSON object, as `ratestream emit` reads.",
)
@_options
def amend(*, event_id: str, path: Path, customer: str, source: str | None, **how: Any) -> None:
    """Replace an event by what it should have been, under the same id; it is rated by the newest version.

    Without --apply nothing is done. The same amendment given again changes nothing. Exit code 1 where the
    event is not in the ledger, was voided, or the command was refused.

    Example: ratestream amend call-42 --customer acme --event fixed.json --reason tokens --author ops --apply
    """
    _correct(event_id, customer, source, read_event(path), **how)


def read_event(path: Path) -> Amendment:
    """The event in a file. Raises UsageProblemError naming field, value and rule."""
    try:
        with path.open("rb") as file:
            text = file.read(LINE_BYTES_MAX + 1)
        if len(text) > LINE_BYTES_MAX:
            raise UsageProblemError(f"{path} has more than {LINE_BYTES_MAX} bytes; rule: at most so many")
        event = UsageEvent.from_json(text).to_avro()
    except InvalidEvent as error:
        raise UsageProblemError(f"{path}: {error}") from error
    value = encode("UsageEvent", event)
    return Amendment(event, value)


def _correct(
    event_id: str,
    customer: str,
    source: str | None,
    amendment: Amendment | None,
    *,
    reason: str,
    author: str,
    applying: bool,
    no_wait: bool,
    wait_s: int,
    as_json: bool,
) -> None:
    check_said(author, reason)
    loader = SettingsLoader.of_process()
    dsn = loader.section("postgres", PostgresSettings).dsn.get_secret_value()
    with connect(dsn, application_name="ratestream-correct") as connection:
        prepared = prepare(connection, dsn, event_id, customer, source, amendment=amendment)
        outcome = prepared if isinstance(prepared, Outcome) else None
        state = "applied before"
        if isinstance(prepared, Prepared):
            state = "not applied"
            if applying:
                kafka = loader.section("kafka", KafkaSettings)
                earlier = apply(connection, prepared, kafka, author=author, reason=reason)
                state = "published"
                if not no_wait:
                    outcome = wait(connection, prepared, earlier, wait_s=wait_s)
                    state = "refused" if outcome.refused else "applied"
    answer = _as_json(prepared, outcome, state)
    click.echo(json.dumps(answer) if as_json else "\n".join(_described(answer)))
    if outcome is not None and outcome.refused is not None:
        sys.exit(_FINDINGS)


def _as_json(prepared: Prepared | Outcome, outcome: Outcome | None, state: str) -> dict[str, Any]:
    legs = outcome.legs if outcome is not None else ()
    answer: dict[str, Any] = {"state": state, "correction_id": prepared.correction_id}
    if isinstance(prepared, Prepared):
        target = prepared.target
        answer |= {
            "command": prepared.command,
            "event": {name: target.event[name] for name in ("customer_id", "source", "event_id")},
            "before": _told(target.rating),
            "after": None if prepared.after is None else _told(prepared.after),
            "pools": sorted({pool["pool"] for pool in _pools(prepared)}),
        }
    if outcome is not None and outcome.refused is not None:
        answer |= {"reason": outcome.refused.reason, "detail": outcome.refused.detail}
    return answer | {"legs": [_told(leg.rating) | _place(leg) for leg in legs]}


def _pools(prepared: Prepared) -> Iterator[Mapping[str, Any]]:
    yield from prepared.target.rating["pools_before"]
    if prepared.after is not None:
        yield from prepared.after["pools_before"]


def _told(rating: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "leg": rating["leg"],
        "revision": rating["revision"],
        "book_version": rating["book_version"],
        "cost": dict(rating["cost"]),
        "price": dict(rating["price"]),
        "lines": [
            {name: line[name] for name in ("side", "meter", "quantity", "amount", "currency", "status")}
            for line in rating["lines"]
        ],
    }


def _place(leg: LedgerRecord) -> dict[str, Any]:
    return {"customer_seq": leg.seq, "partition": leg.partition, "offset": leg.offset}


_STATES = {
    "not applied": "nothing was done: give --apply",
    "published": "published; the ledger will have it when rater and ledger have run",
    "applied": "applied: the ledger has it",
    "applied before": "this command was applied before: nothing to do",
}


def _described(answer: Mapping[str, Any]) -> Iterator[str]:
    if "event" in answer:
        event = answer["event"]
        whose = f"{event['customer_id']}, source {event['source']}"
        yield f"{answer['command']} event {event['event_id']} of {whose}"
        yield from _side_lines("before", answer["before"])
        if answer["command"] == "amend":
            yield from _side_lines("after", answer["after"])
        else:
            yield "after     nothing"
        if answer["pools"]:
            pools = ", ".join(answer["pools"])
            yield f"pools     {pools}: their part is decided by what the periods hold when it is applied"
    for leg in answer["legs"]:
        yield from _side_lines(leg["leg"], leg)
    if "reason" in answer:
        yield f"refused as {answer['reason']}: {answer['detail']}"
    else:
        yield _STATES[answer["state"]]
    yield f"correction {answer['correction_id']}"


def _side_lines(word: str, told: Mapping[str, Any]) -> Iterator[str]:
    sequence = f", sequence {told['customer_seq']}" if "customer_seq" in told else ""
    yield f"{word:<10}revision {told['revision']}, version {told['book_version']}{sequence}"
    for side in ("cost", "price"):
        side_told = told[side]
        amount = "" if side_told["amount"] is None else f"{side_told['amount']} {side_told['currency']}, "
        yield f"  {side:<8}{amount}{side_told['status']}"
        for line in told["lines"]:
            if line["side"] == side:
                value = line["status"] if line["amount"] is None else line["amount"]
                yield f"    {line['meter']:<24}{line['quantity']:>14}  {value}"
