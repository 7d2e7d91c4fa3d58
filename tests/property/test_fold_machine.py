"""The fold of frames against totals made from scratch: frames delivered, lost and repeated, states restored.

At every step a customer that is not repairing has exactly the totals of its records up to its sequence, and
one that is has exactly what the ledger will not bring. In the end everything is whole. The judge is
tests/oracle/totals.py, which is also the ledger that repairs read.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from aggregator.adapters.live_codec import CUSTOMER_KEY, decode_state, encode_state, reached
from aggregator.core.fold import (
    CustomerState,
    Outcome,
    Watched,
    apply,
    behind,
    fresh,
    must_rebuild,
    rebuild,
    repaired,
)
from aggregator.core.frame_rows import rows_of
from pricing.calendar import zones
from pricing.totals import Live, Sums
from rate_book.zones import resolve
from tests.oracle import totals as oracle
from tests.unit.pricing.local_times import at

DIMENSIONS = ["feature", "product"]
NAMES = ["UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe"]
ZONES = zones(resolve(NAMES))
SCOPES = [{"feature": "chat"}, {"product": "x"}, {"feature": "chat", "product": "x"}]
CUSTOMERS = ["amber", "blue"]
ATTO = 10**18
# Around clock changes of Berlin and Lord Howe Island, a Monday, a new year.
BUCKETS = [
    at(text)
    for text in (
        "2026-10-03T15:00", "2026-10-03T15:15", "2026-10-03T15:30", "2026-10-03T16:00", "2026-10-24T21:45",
        "2026-10-24T22:00", "2026-10-25T00:45", "2026-10-25T01:00", "2026-10-25T01:45", "2026-10-25T02:00",
        "2026-10-25T23:00", "2026-12-31T22:45", "2026-12-31T23:00", "2027-01-01T00:00", "2027-01-03T23:15",
    )
]  # fmt: skip
PERIODS = [
    (at("2026-10-01T00:00"), at("2026-11-01T00:00")),
    (at("2026-10-01T00:00"), at("2026-10-15T00:00")),
    (at("2026-10-15T00:00"), at("2026-11-01T00:00")),
    (at("2026-12-01T00:00"), at("2027-01-01T00:00")),
]
amounts = st.none() | st.sampled_from(["0", "0.5", "12.000000000000000001", "99999999999999999999.25"])
records = st.fixed_dictionaries(
    {
        "bucket_us": st.sampled_from(BUCKETS),
        "period": st.sampled_from(PERIODS),
        "cost_currency": st.sampled_from([None, "USD"]),
        "price_currency": st.sampled_from(["USD", "EUR"]),
        "dimensions": st.fixed_dictionaries(
            {"feature": st.sampled_from([None, "chat", "search"]), "product": st.sampled_from([None, "x"])}
        ),
        "cost": amounts,
        "price": amounts,
        "unpriced_cost_events": st.integers(0, 1),
        "unpriced_price_events": st.integers(0, 1),
        "quantities": st.dictionaries(
            st.sampled_from(["input_tokens", "images"]), st.sampled_from(["1", "0.5"])
        ),
    }
)
customers = st.sampled_from(CUSTOMERS)
back = st.integers(0, 4)


def rated(made: dict[str, Any]) -> dict[str, Any]:
    start_us, end_us = made["period"]
    row = {name: value for name, value in made.items() if name != "period"}
    return row | {"period_start_us": start_us, "period_end_us": end_us, "events": 1}


def reversal(row: dict[str, Any]) -> dict[str, Any]:
    """The same with every number negated."""

    def negated(text: str | None) -> str | None:
        return text if text in {None, "0"} else text[1:] if text.startswith("-") else "-" + text

    counts = {name: -row[name] for name in ("events", "unpriced_cost_events", "unpriced_price_events")}
    quantities = {meter: negated(quantity) for meter, quantity in row["quantities"].items()}
    return (
        row
        | counts
        | {"cost": negated(row["cost"]), "price": negated(row["price"]), "quantities": quantities}
    )


def wanted(rows: list[dict[str, Any]], zone: str, scopes: list[dict[str, str]]) -> dict[Any, Sums]:
    """The oracle's totals in the project's own terms."""

    def atto(value: Fraction | None) -> int | None:
        return None if value is None else int(value * ATTO)

    return {
        key: Sums(
            atto(entry["cost"]),
            atto(entry["price"]),
            entry["events"],
            entry["unpriced_cost_events"],
            entry["unpriced_price_events"],
            {meter: int(quantity * ATTO) for meter, quantity in entry["quantities"].items()},
            entry["end_us"],
        )
        for key, entry in oracle.totals(rows, zone, scopes).items()
    }


@dataclass
class Lane:
    """One customer: what was rated, how far delivery, changelog and ledger are, and what is in memory."""

    state: CustomerState
    rows: list[dict[str, Any]] = field(default_factory=list)
    frames: list[tuple[int, int]] = field(default_factory=list)
    cursor: int = 0
    ledger_seq: int = 0
    changelog: list[bytes] = field(default_factory=list)
    committed: tuple[int, int] = (0, 0)
    """Offset of the input and records of the changelog that are surely there."""
    asked: tuple[int, str, list[dict[str, str]], str] | None = None
    """What a repair has read the ledger for: sequence, zone, scopes and their hash."""


class FoldMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.zone, self.scopes = "UTC", [SCOPES[0]]
        self.lanes = {name: Lane(fresh(name, self.watched())) for name in CUSTOMERS}

    def watched(self) -> Watched:
        return Watched(ZONES(self.zone), [tuple(sorted(scope.items())) for scope in self.scopes])

    def write(self, lane: Lane) -> None:
        value = encode_state(lane.state)
        assert decode_state(value, ZONES).live == lane.state.live
        lane.changelog.append(value)

    def deliver_frames(self, lane: Lane, first: int, last: int) -> Outcome:
        """Frames first to last as one: the rater does not cut what it repeats as it did before."""
        first_seq, last_seq = lane.frames[first][0], lane.frames[last][1]
        rows = [
            row | {"dimensions": [row["dimensions"][name] for name in DIMENSIONS]}
            for row in lane.rows[first_seq - 1 : last_seq]
        ]
        before = encode_state(lane.state)
        outcome = apply(lane.state, first_seq, last_seq, rows_of(DIMENSIONS, rows), last_seq)
        assert (outcome is Outcome.DUPLICATE) == (encode_state(lane.state) == before)
        self.write(lane)  # a duplicate too
        return outcome

    @rule(
        name=customers,
        made=st.lists(records, min_size=1, max_size=3),
        reverse=st.none() | back,
        delivered=st.integers(0, 2),
    )
    def rate(self, name: str, made: list[dict[str, Any]], reverse: int | None, delivered: int) -> None:
        lane = self.lanes[name]
        first_seq = len(lane.rows) + 1
        lane.rows += map(rated, made)
        if reverse is not None and reverse < first_seq - 1:
            lane.rows.append(reversal(lane.rows[reverse]))
        lane.frames.append((first_seq, len(lane.rows)))
        for _ in range(delivered):
            self.deliver(name)

    @rule(name=customers)
    def deliver(self, name: str) -> None:
        lane = self.lanes[name]
        if lane.cursor < len(lane.frames):
            following = lane.frames[lane.cursor][0] == lane.state.seq + 1
            known = lane.frames[lane.cursor][1] <= lane.state.seq
            outcome = self.deliver_frames(lane, lane.cursor, lane.cursor)
            assert (outcome is Outcome.DUPLICATE) == known
            assert (outcome in {Outcome.FOLDED, Outcome.WHILE_REPAIRING}) == following
            lane.cursor += 1

    @rule(name=customers, many=back)
    def redeliver(self, name: str, many: int) -> None:
        lane = self.lanes[name]
        lane.cursor = max(0, lane.cursor - many)

    @rule(name=customers, many=back, more=st.integers(0, 1))
    def deliver_cut_otherwise(self, name: str, many: int, more: int) -> None:
        lane = self.lanes[name]
        first, last = max(0, lane.cursor - many), lane.cursor + more - 1
        if first <= last < len(lane.frames):
            self.deliver_frames(lane, first, last)
            lane.cursor = last + 1

    @rule(name=customers, made=records)
    def lose_a_frame(self, name: str, made: dict[str, Any]) -> None:
        lane = self.lanes[name]
        self.rate(name, [made], None, delivered=0)
        lane.cursor += 1

    @rule(name=customers)
    def commit(self, name: str) -> None:
        lane = self.lanes[name]
        if lane.changelog:  # what a new owner needs is there: a state is written before its offset
            lane.committed = (lane.cursor, len(lane.changelog))

    @rule(name=customers, which=st.integers(0, 30))
    def zombie_writes(self, name: str, which: int) -> None:
        lane = self.lanes[name]
        if lane.changelog:
            lane.changelog.append(lane.changelog[which % len(lane.changelog)])

    @rule(name=customers, lost=st.integers(0, 5), disk=st.booleans())
    def crash(self, name: str, lost: int, disk: bool) -> None:
        """Changelog records not committed may be lost; the local disk may have what the changelog has not."""
        lane = self.lanes[name]
        offset, sure = lane.committed
        local = encode_state(lane.state)
        del lane.changelog[max(sure, len(lane.changelog) - lost) :]
        newest = local if disk else None
        for value in lane.changelog:
            if newest is None or reached(CUSTOMER_KEY, value) >= reached(CUSTOMER_KEY, newest):
                newest = value
        lane.state = decode_state(newest, ZONES) if newest else fresh(name, self.watched())
        lane.cursor = offset
        self.rebuild_if_needed(lane)

    @rule(name=customers)
    def lose_the_changelog(self, name: str) -> None:
        lane = self.lanes[name]
        lane.state, lane.changelog = fresh(name, self.watched()), []
        behind(lane.state, lane.ledger_seq)
        self.write(lane)
        lane.committed = (lane.committed[0], 1)
        lane.cursor = lane.committed[0]

    @rule(name=customers, behind_by=back)
    def read_the_ledger(self, name: str, behind_by: int) -> None:
        """It lags, and never goes back."""
        lane = self.lanes[name]
        lane.ledger_seq = max(lane.ledger_seq, len(lane.rows) - behind_by)
        since_seq = lane.state.since_seq
        if since_seq is not None and since_seq <= lane.ledger_seq:
            lane.asked = (since_seq, self.zone, self.scopes, lane.state.watched.hash)

    @rule(name=customers)
    def repair(self, name: str) -> None:
        """With an answer that may be out of date by now, or have been used before."""
        lane = self.lanes[name]
        if lane.asked is not None:
            since_seq, zone, scopes, watched_hash = lane.asked
            cut = Live(wanted(lane.rows[:since_seq], zone, scopes))
            repaired(lane.state, since_seq, cut, watched_hash)
            self.write(lane)

    @rule(name=customers)
    def ask_for_a_rebuild(self, name: str) -> None:
        lane = self.lanes[name]
        rebuild(lane.state, self.watched())
        self.write(lane)

    @rule(zone=st.sampled_from(NAMES), scopes=st.sets(st.sampled_from(range(len(SCOPES)))))
    def change_what_is_watched(self, zone: str, scopes: set[int]) -> None:
        self.zone, self.scopes = zone, [SCOPES[number] for number in sorted(scopes)]
        for lane in self.lanes.values():
            self.rebuild_if_needed(lane)

    def rebuild_if_needed(self, lane: Lane) -> None:
        if must_rebuild(lane.state, self.watched()):
            rebuild(lane.state, self.watched())
            self.write(lane)

    @invariant()
    def every_state_holds_what_it_says(self) -> None:
        for lane in self.lanes.values():
            state = lane.state
            rows = lane.rows[state.since_seq or 0 : state.seq]
            assert state.live.entries == wanted(rows, self.zone, self.scopes)

    def teardown(self) -> None:
        for name, lane in self.lanes.items():
            while lane.cursor < len(lane.frames):
                self.deliver(name)
            behind(lane.state, len(lane.rows))
            self.read_the_ledger(name, 0)
            self.repair(name)
            assert (lane.state.seq, lane.state.since_seq) == (len(lane.rows), None)
        self.every_state_holds_what_it_says()


TestFold = FoldMachine.TestCase
TestFold.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
