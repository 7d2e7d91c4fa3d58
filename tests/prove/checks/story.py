"""The journal in the order in which checks ask of it: what was published, and what has to follow."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.oracle.books import Books
from tests.prove.checks.facts import Json, Place

Identity = tuple[str, str, str]


class KnownBooks(Books):
    """Books that remember periods: an instant within a period that was found is in that period."""

    def __init__(self, texts: Iterable[str]) -> None:
        super().__init__(texts=texts)
        self._periods: dict[tuple[str, str | None], list[tuple[int, int]]] = {}

    def period(self, customer: str, at_us: int, price_card: str | None = None) -> tuple[int, int]:
        """The billing period, as the oracle finds it."""
        known = self._periods.setdefault((customer, price_card), [])
        for start_us, end_us in known:
            if start_us <= at_us < end_us:
                return start_us, end_us
        found = super().period(customer, at_us, price_card)
        known.append(found)
        return found


@dataclass(slots=True)
class Story:
    """A journal by what it tells."""

    events: dict[Identity, Json] = field(default_factory=dict)
    by_place: dict[Place, Json] = field(default_factory=dict)
    """Everything published to usage.events."""
    unacked: list[Json] = field(default_factory=list)
    books: dict[int, KnownBooks] = field(default_factory=dict)
    budgets: dict[int, list[Json]] = field(default_factory=dict)
    routes: dict[int, list[Json]] = field(default_factory=dict)
    corrections: list[Json] = field(default_factory=list)
    deliveries: list[Json] = field(default_factory=list)
    quiet_after_us: int = 0
    gap: bool = False
    """Whether frames were kept from the aggregator: for five minutes its changelog tells of none after."""
    faults: list[tuple[int, int]] = field(default_factory=list)
    """Microseconds UTC from which until which a fault was on, or its effect may last."""
    drained_s: float | None = None

    def event_of(self, identity: Identity) -> Json:
        """What was published under an identity, acknowledged or not. Raises KeyError."""
        if identity not in self.events:
            for entry in self.unacked:
                told = entry["entry"]
                if told.get("event") is not None and identity_of(told["event"]) == identity:
                    unsure: Json = told["event"]
                    return unsure
        found: Json = self.events[identity]["event"]
        return found

    @property
    def repeats(self) -> list[Json]:
        return [entry for entry in self.by_place.values() if entry["kind"] == "repeat"]

    def is_unsure(self, place: Place) -> bool:
        """Whether a record there may be one that was never acknowledged."""
        return bool(self.unacked) and place not in self.by_place


PUBLISHED = ("event", "repeat", "conflict", "late", "poison")
AFTER_FAULT_S = 30.0
"""A fault without an end in the journal counts for so long; so does its echo after the end."""


def story(entries: Iterable[Json]) -> Story:
    """Everything that the journal says. Later versions of books and budgets stand beside earlier ones."""
    found, listed = Story(), with_copies(list(entries))
    for entry in listed:
        kind = entry["kind"]
        if kind in PUBLISHED:
            found.by_place[entry["partition"], entry["offset"]] = entry
        if kind == "event":
            found.events[identity_of(entry)] = entry
        elif kind == "unacked":
            found.unacked.append(entry)
        elif kind == "book":
            found.books[entry["version"]] = KnownBooks(entry["texts"])
        elif kind == "budget":
            found.budgets[entry["version"]] = list(entry["budgets"])
        elif kind == "correction":
            found.corrections.append(entry)
        elif kind == "delivery":
            found.deliveries.append(entry)
        elif kind == "phase" and entry["name"] == "drained":
            found.drained_s = entry.get("after_s")
    found.faults = _faults(listed)
    found.gap = any(entry["kind"] == "fault" and entry["name"] == "frames are missing" for entry in listed)
    return found


def with_copies(entries: list[Json]) -> list[Json]:
    """The journal as if the client had told of every copy: the first is the event, the others repeat it."""
    copies = [entry for entry in entries if entry["kind"] == "copy"]
    if not copies:
        return entries
    made = [dict(entry) for entry in entries if entry["kind"] != "copy"]
    at = {(entry["partition"], entry["offset"]): entry for entry in made if entry["kind"] in PUBLISHED}
    for copy in copies:
        known = at[copy["partition"], copy["of"]]
        place = {name: copy[name] for name in ("partition", "offset", "append_us")}
        twin = {**known, **place}
        if known["kind"] == "event" and copy["offset"] < known["offset"]:
            first, later, old = twin, known, known["offset"]
            for entry in made:
                if entry.get("of") == old and entry.get("partition") == copy["partition"]:
                    entry["of"] = copy["offset"]
            later |= {"kind": "repeat", "encoding": "bytes", "of": copy["offset"]}
            made.append(first)
        else:
            if known["kind"] == "event":
                twin |= {"kind": "repeat", "encoding": "bytes", "of": known["offset"]}
            made.append(twin)
        at[copy["partition"], copy["offset"]] = made[-1]
    return made


def identity_of(record: Json) -> Identity:
    return record["customer_id"], record["source"], record["event_id"]


def number(text: Any) -> Fraction | None:
    """A decimal as text, or what PostgreSQL gives, exactly; None stays None."""
    return None if text is None else Fraction(str(text))


def exact(text: Any) -> Fraction:
    """A decimal that is there."""
    return Fraction(str(text))


def _faults(entries: list[Json]) -> list[tuple[int, int]]:
    """When faults were on, on the clock of append times."""
    shifts = [
        entry["append_us"] / 1e6 - entry["at"]
        for entry in entries
        if entry["kind"] == "event" and "append_us" in entry
    ]
    if not shifts:
        return []
    shift = statistics.median(shifts)
    spans: list[tuple[float, float]] = []
    open_: dict[tuple[Any, Any], float] = {}
    for entry in entries:
        if entry["kind"] in {"fault", "recovered"}:
            key = entry["name"], entry.get("target")
            if entry["kind"] == "fault":
                open_[key] = entry["at"]
            elif key in open_:
                spans.append((open_.pop(key), entry["at"] + AFTER_FAULT_S))
    spans += [(at, at + 2 * AFTER_FAULT_S) for at in open_.values()]
    spans += [
        (entry["at"], entry["at"] + AFTER_FAULT_S)
        for entry in entries
        if entry["kind"] in {"failpoint", "ended"}
    ]
    return [(round((begin + shift) * 1e6), round((end + shift) * 1e6)) for begin, end in spans]
