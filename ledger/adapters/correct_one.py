"""Void and amend: one event's current record, what is made of it, and the command's way into the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger.adapters.correction_rows import histories
from ledger.adapters.corrections import Refused, publish, publisher, refused, wait_for
from ledger.core.correction import Command, History, LedgerRecord, command_record, correction_id
from pricing.errors import UsageError
from pricing.rate import Rating, no_pools, rate
from rate_book.store import check_newest, load_compiled
from rate_book.translate import call_of_event, rating_record
from runtime.errors import FindingError, UsageProblemError
from runtime.postgres import Connection
from runtime.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class Amendment:
    """The event that takes the place of another: decoded, and in single-object encoding."""

    event: Mapping[str, Any]
    value: bytes


@dataclass(frozen=True, slots=True)
class Prepared:
    """A command that can be given.

    `after` is the rating of an amendment by the newest version of the book; its pools' part is decided by
    what their periods hold when it is applied.
    """

    command: Command
    correction_id: str
    target: LedgerRecord
    amendment: Amendment | None
    after: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the ledger has of a command: the legs that it wrote, or why it was refused."""

    correction_id: str
    legs: tuple[LedgerRecord, ...] = ()
    refused: Refused | None = None


def prepare(
    connection: Connection,
    dsn: str,
    event_id: str,
    customer: str,
    source: str | None,
    *,
    amendment: Amendment | None,
) -> Prepared | Outcome:
    """The command for the event as it stands; an Outcome where this very command was applied last.

    Raises:
        FindingError: no such event is in the ledger, or it was voided.
        UsageProblemError: several sources used the id, the amendment is of another event or changes nothing.
    """
    command: Command = "void" if amendment is None else "amend"
    content = b"" if amendment is None else amendment.value
    history = _find(connection, event_id, customer, source)
    if amendment is not None:
        _check_same(history.records[0], amendment)
    repeated = history.repeats(command, content)
    if repeated is not None:
        return Outcome(repeated, history.legs_of(repeated))
    target = history.current
    if target is None:
        last = history.records[-1]
        raise FindingError(f"{last.named}: voided before, by correction {last.rating['correction_id']}")
    if amendment is not None and amendment.event == target.event:
        raise UsageProblemError(f"{target.named}: the amended event is the one that stands")
    id_ = correction_id(command, target.event, target.revision, content)
    after = None if amendment is None else _rated(connection, dsn, amendment, target)
    return Prepared(command, id_, target, amendment, after)


def _find(connection: Connection, event_id: str, customer: str, source: str | None) -> History:
    found = histories(connection, customer, event_id, source)
    if not found:
        of = f" of source {source!r}" if source is not None else ""
        raise FindingError(
            f"no event {event_id!r} of customer {customer!r}{of} in the ledger: see `ratestream explain`"
        )
    if len(found) > 1:
        sources = ", ".join(str(one.records[0].event["source"]) for one in found)
        raise UsageProblemError(
            f"event {event_id!r}: several sources used this id: name one with --source: {sources}"
        )
    return found[0]


def _check_same(record: LedgerRecord, amendment: Amendment) -> None:
    for name in ("customer_id", "source", "event_id"):
        was, now = record.event[name], amendment.event[name]
        if was != now:
            raise UsageProblemError(f"--event: {name} is {now!r}: an amendment is of the same event, {was!r}")


def _rated(connection: Connection, dsn: str, amendment: Amendment, target: LedgerRecord) -> Mapping[str, Any]:
    newest = check_newest(connection)
    if newest is None:
        raise FindingError("rate book: no version is stored")
    book = load_compiled(connection, newest.version, dsn)
    try:
        rating: Rating = rate(book, call_of_event(amendment.event, book.attributes), no_pools)
    except UsageError as error:
        raise UsageProblemError(f"--event: {error}") from error
    seq = target.seq + 1
    return rating_record(rating, book, customer_seq=seq, leg="replacement", revision=target.revision + 1)


def apply(
    connection: Connection, prepared: Prepared, kafka: KafkaSettings, *, author: str, reason: str
) -> frozenset[tuple[int, int]]:
    """Publish the command; returns when it is acknowledged: the places where it was refused earlier.

    What was refused may be taken later, an event time in the future for one, and its id is the same then.

    Raises:
        UndeliveredError: it was not; given again it has one effect.
    """
    command = command_record(
        prepared.command,
        prepared.target,
        id_=prepared.correction_id,
        reason=reason,
        author=author,
        amended_event=None if prepared.amendment is None else prepared.amendment.value,
    )
    earlier = frozenset(one.place for one in _refusals(connection, prepared))
    with publisher(kafka) as out:
        publish(out, kafka, command)
    return earlier


def _refusals(connection: Connection, prepared: Prepared) -> list[Refused]:
    customer = prepared.target.event["customer_id"]
    return [one for one in refused(connection, [customer]) if one.correction_id == prepared.correction_id]


def wait(
    connection: Connection, prepared: Prepared, earlier: frozenset[tuple[int, int]], *, wait_s: float
) -> Outcome:
    """What became of the command, once the ledger has it; `earlier` is what `apply` returned.

    Raises:
        NotSettledError: it has not within `wait_s` seconds.
    """
    event = prepared.target.event
    legs_wanted = 1 if prepared.amendment is None else 2
    found: list[Outcome] = []

    def settled() -> bool:
        (history,) = histories(connection, event["customer_id"], event["event_id"], event["source"])
        legs = history.legs_of(prepared.correction_id)
        if len(legs) == legs_wanted:
            found.append(Outcome(prepared.correction_id, legs))
            return True
        for one in _refusals(connection, prepared):
            if one.place not in earlier:
                found.append(Outcome(prepared.correction_id, refused=one))
                return True
        return False

    wait_for(settled, f"correction {prepared.correction_id}", wait_s, lambda: 0)
    return found[0]
