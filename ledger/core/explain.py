"""One rated event, walked from where it came from to its amounts, everything computed again on the way.

Pure: the record, the book version that rated it and the rating computed again come in; facts come out, as
plain decimals and instants in text, for a page (`ratestream explain`) or as JSON.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ledger.core.amounts import atto
from ledger.core.explain_cards import (
    CardShown,
    ContractShown,
    card_shown,
    find_contract,
    find_version,
)
from ledger.core.explain_lines import Check, LeafShown, LineShown, leaves_shown, line_shown, sum_shown
from ledger.core.explain_pools import PoolShown, pool_shown
from pricing.cards import BookContent
from pricing.compile import CompiledBook
from pricing.errors import UsageError
from pricing.instants import instant_text
from pricing.rate import Rating

REVERSAL, REPLACEMENT = "reversal", "replacement"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for: an event's id, and where it is known its customer and source."""

    event_id: str
    customer: str | None = None
    source: str | None = None

    def fits(self, record: Mapping[str, Any]) -> bool:
        """Whether an event, or a rejected record, is meant."""
        return (
            record["event_id"] == self.event_id
            and self.customer in {None, record["customer_id"]}
            and self.source in {None, record["source"]}
        )


@dataclass(frozen=True, slots=True)
class Rated:
    """A record of usage.rated, decoded, and where it stands."""

    partition: int
    offset: int
    append_us: int
    event: Mapping[str, Any]
    rating: Mapping[str, Any]

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.event["customer_id"], self.event["source"], self.event["event_id"]

    @property
    def quantities_before(self) -> dict[tuple[str, int], int]:
        """By pool and start of its period: the recorded quantity before the event, in atto."""
        return {
            (pool["pool"], pool["period"]["start_us"]): atto(pool["quantity"])
            for pool in self.rating["pools_before"]
        }

    def is_current(self, corrected: Mapping[tuple[str, str, str], int | None]) -> bool:
        """Whether no later correction took this record back. `corrected` tells for each event that was
        corrected the revision that holds, None where it was voided.
        """
        if self.rating["leg"] == REVERSAL:
            return False
        revision: int = self.rating["revision"]
        return corrected.get(self.identity, revision) == revision


@dataclass(frozen=True, slots=True)
class Came:
    """Where the event stood in usage.events, as a frame tells; what is unknown is None, and `note` says
    why.
    """

    partition: int
    offset: int | None = None
    frame_no: int | None = None
    appended: str | None = None
    note: str = ""
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class BookFacts:
    """The version of the rate book that rated the event, and who recorded it when."""

    version: int
    content_hash: str
    recorded: str
    author: str


@dataclass(frozen=True, slots=True)
class Again:
    """The rating computed again under `content`, as the same record; the `reason` instead where it cannot
    be.
    """

    content: BookContent
    book: CompiledBook
    facts: BookFacts
    rating: Rating | None
    record: Mapping[str, Any] | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GroupShown:
    """Lines that one card version prices in one cell: `who` names it, `because` the context and the step."""

    who: str
    because: tuple[str, ...]
    card: CardShown | None
    lines: tuple[LineShown, ...]


@dataclass(frozen=True, slots=True)
class SideShown:
    """Cost or price: its lines, their sum, and what the record says."""

    side: str
    status: str
    amount: str | None
    currency: str | None
    contract: ContractShown | None
    groups: tuple[GroupShown, ...]
    pools: tuple[PoolShown, ...]
    sum: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything about one record of usage.rated. `equal`: every number computed again is as recorded."""

    event: Mapping[str, Any]
    rated: Mapping[str, Any]
    came: Came
    book: BookFacts | None
    leaves: tuple[LeafShown, ...]
    sides: tuple[SideShown, ...]
    service_period: tuple[str, str]
    checks: tuple[Check, ...]

    @property
    def equal(self) -> bool:
        return all(check.equal for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values, and `equal`."""
        return asdict(self) | {"equal": self.equal}


def explain(record: Rated, came: Came, again: Again | None, missing: str = "") -> Explanation:
    """The record explained. `again` None: its book version is not there, and `missing` says so."""
    event, rating = record.event, record.rating
    checks = [*came.checks]
    leaves: tuple[LeafShown, ...] = ()
    if again is None:
        checks.append(Check("book", equal=False, detail=missing))
    else:
        told, held = rating["book_hash"], again.facts.content_hash
        checks.append(Check("book hash", told == held, "" if told == held else f"the version's is {held}"))
        try:
            leaves, split = leaves_shown(again.book, event["usage_semantics"], event["usage"])
            checks.append(split)
        except UsageError as error:
            checks.append(Check("leaves", equal=False, detail=str(error)))
        checks += _recomputed(rating, again)
    sides = []
    for name in ("cost", "price"):
        side, found = _side(name, record, leaves, again)
        sides.append(side)
        checks += found
    period = rating["service_period"]
    return Explanation(
        _event_facts(event),
        _rated_facts(record),
        came,
        None if again is None else again.facts,
        leaves,
        tuple(sides),
        (instant_text(period["start_us"]), instant_text(period["end_us"])),
        tuple(checks),
    )


def _recomputed(rating: Mapping[str, Any], again: Again) -> list[Check]:
    """The whole record against the one computed again; a reversal is not rated, it negates a record."""
    if rating["leg"] == REVERSAL:
        return []
    if again.record is None:
        return [Check("rating", equal=False, detail=again.reason)]
    differ = sorted(
        name for name in rating.keys() | again.record.keys() if rating.get(name) != again.record.get(name)
    )
    detail = "; ".join(f"{n}: recorded {rating.get(n)!r}, computed {again.record.get(n)!r}" for n in differ)
    return [Check("rating", not differ, detail)]


def _side(
    name: str, record: Rated, leaves: Sequence[LeafShown], again: Again | None
) -> tuple[SideShown, list[Check]]:
    rating = record.rating
    lines = [line for line in rating["lines"] if line["side"] == name]
    at_us = record.event["event_time_us"]
    contract = None
    if again is not None and name == "price":
        contract = find_contract(again.content, record.event["customer_id"], at_us)
    groups = _groups(name, lines, leaves, again, contract, of_period=bool(rating["pools_before"]))
    pools = _pools(record, again) if name == "price" and again is not None else ()
    text, summed = sum_shown(lines, rating[name], name)
    wrong = [line.meter for group in groups for line in group.lines if not line.equal]
    checks = [Check(f"{name} lines", not wrong, ", ".join(wrong)), summed]
    side = rating[name]
    shown = SideShown(name, side["status"], side["amount"], side["currency"], contract, groups, pools, text)
    return shown, checks + [pool.check for pool in pools]


def _groups(
    side: str,
    lines: Sequence[Mapping[str, Any]],
    leaves: Sequence[LeafShown],
    again: Again | None,
    contract: ContractShown | None,
    *,
    of_period: bool,
) -> tuple[GroupShown, ...]:
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for line in lines:
        who, _, because = _words(line)
        found.setdefault((who, because), []).append(line)
    groups = []
    quantities = [(leaf.meter, leaf.quantity) for leaf in leaves]
    for (who, because), members in found.items():
        first = members[0]
        card = None
        if again is not None and first["card"] is not None:
            place = find_version(again.content, side, first["card"], first["version"], contract)
            if place is not None:
                card = card_shown(again.content, place, quantities)
        shown = tuple(line_shown(line, _words(line)[1], of_period=of_period) for line in members)
        groups.append(GroupShown(who, tuple(filter(None, because.split("; "))), card, shown))
    return tuple(groups)


def _words(line: Mapping[str, Any]) -> tuple[str, str, str]:
    """An explanation is WHO: WHICH RATE; BECAUSE; ... or a sentence that says why there is none."""
    who, colon, rest = line["explain"].partition(": ")
    if not colon:
        return "", who, ""
    rate, _, because = rest.partition("; ")
    return who, rate, because


def _pools(record: Rated, again: Again) -> tuple[PoolShown, ...]:
    if again.rating is None:
        return ()
    lines = record.rating["lines"]
    shown: list[PoolShown] = []
    for before, after in zip(again.rating.pools_before, again.rating.pools_after, strict=True):
        own = f", pool {before.pool}, "
        closed = any(pool.pool == before.pool for pool in shown) or not any(
            own in line["explain"] for line in lines
        )
        paid = (
            _adjusted(lines, before.pool, after.amount_atto - before.amount_atto)
            if closed
            else _paid(lines, before.pool)
        )
        at_us = before.start_us if closed else record.event["event_time_us"]
        shown.append(pool_shown(again.content, before, after, at_us=at_us, paid=paid))
    return tuple(shown)


def _adjusted(lines: Sequence[Mapping[str, Any]], pool: str, owed: int) -> int:
    """What a re-rate's last replacement writes for a period that it closes: one line, none where nothing is
    owed. Periods of one pool have lines alike but for the amount.
    """
    amounts = [atto(line["amount"] or "0") for line in lines if line["explain"].startswith(f"{pool}: ")]
    return owed if owed in amounts else sum(amounts)


def _paid(lines: Sequence[Mapping[str, Any]], pool: str) -> int:
    """The sum of the lines that name the pool, in atto."""
    return sum(
        atto(line["amount"])
        for line in lines
        if line["side"] == "price" and line["amount"] is not None and f", pool {pool}, " in line["explain"]
    )


def _event_facts(event: Mapping[str, Any]) -> dict[str, Any]:
    names = (
        "customer_id",
        "source",
        "event_id",
        "provider",
        "requested_model",
        "served_model",
        "billed_model",
    )
    facts = {name: event[name] for name in (*names, "query_id", "region", "endpoint", "status")}
    return facts | {
        "event_time": instant_text(event["event_time_us"]),
        "usage_semantics": event["usage_semantics"],
        "usage": dict(event["usage"]),
        "context": dict(event["context"]),
    }


def _rated_facts(record: Rated) -> dict[str, Any]:
    rating = record.rating
    names = ("customer_seq", "leg", "revision", "correction_id", "book_version", "book_hash")
    return {
        "topic": "usage.rated",
        "partition": record.partition,
        "offset": record.offset,
        "appended": instant_text(record.append_us),
    } | {name: rating[name] for name in names}


@dataclass(frozen=True, slots=True)
class Refused:
    """A record of usage.rejected of that id, and why the event was not rated."""

    customer_id: str | None
    source: str | None
    event_id: str | None
    reason: str
    detail: str
    topic: str
    partition: int
    offset: int
    appended: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found for an id.

    `several`: the identities that have it, where more than one customer or source does; nothing is then
    explained. `refused` is looked for only where nothing was rated.
    """

    wanted: Wanted
    explanations: tuple[Explanation, ...] = ()
    several: tuple[tuple[str, str, str], ...] = ()
    refused: tuple[Refused, ...] = ()

    @property
    def equal(self) -> bool:
        return bool(self.explanations) and all(one.equal for one in self.explanations)

    def as_json(self) -> dict[str, Any]:
        return {
            "event_id": self.wanted.event_id,
            "equal": self.equal,
            "records": [one.as_json() for one in self.explanations],
            "several": [
                {"customer_id": customer, "source": source, "event_id": event}
                for customer, source, event in self.several
            ],
            "rejected": [asdict(one) for one in self.refused],
        }
