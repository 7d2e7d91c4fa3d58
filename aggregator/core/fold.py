"""One customer's state and what a frame does to it: the fold, its gaps and their repair.

The rater numbers a customer's rated records 1, 2, 3 ... and each frame names the numbers it holds: what is a
duplicate, what comes next and what is missing follows from numbers alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from pricing.calendar import ZoneTable
from pricing.totals import Live, Row, Scope, Scopes, watched_hash


class Outcome(Enum):
    """What a frame was to a customer."""

    DUPLICATE = "duplicate"
    """Nothing new: the state is as it was, and is to be written back so that the changelog has it."""
    FOLDED = "folded"
    """The totals hold it."""
    GAP = "gap"
    """Records before it are missing, or it repeats some and adds others, which sums cannot tell apart: the
    customer is repairing, up to and with this frame."""
    WHILE_REPAIRING = "while_repairing"
    """Folded into what is added to the ledger's totals when they are there."""


class Watched:
    """What a customer's totals are made for: a time zone and the scopes that budgets name."""

    __slots__ = ("hash", "scopes", "zone")

    def __init__(self, zone: ZoneTable, scopes: Iterable[Scope]) -> None:
        self.zone = zone
        self.scopes = Scopes(scopes)
        self.hash = watched_hash(zone.name, self.scopes)


@dataclass(slots=True)
class CustomerState:
    """`live` holds the records in (since_seq or 0, seq].

    `seq` is the last sequence that needs no frame any more. `since_seq` is None where `live` is all that
    there is up to `seq`; else the customer is repairing: the records up to `since_seq`, with the missing ones
    among them, are to come from the ledger. `as_of_us` is the highest append time that its frames told.
    """

    customer_id: str
    watched: Watched
    live: Live
    seq: int = 0
    since_seq: int | None = None
    as_of_us: int = 0

    @property
    def repairing(self) -> bool:
        return self.since_seq is not None


def fresh(customer_id: str, watched: Watched) -> CustomerState:
    """The state of a customer that was never seen."""
    return CustomerState(customer_id, watched, Live())


def apply(state: CustomerState, first_seq: int, last_seq: int, rows: Sequence[Row], as_of_us: int) -> Outcome:
    """Fold what a frame holds of the customer; the state is changed in place."""
    if last_seq <= state.seq:
        return Outcome.DUPLICATE
    state.as_of_us = max(state.as_of_us, as_of_us)
    if first_seq != state.seq + 1:
        _restart(state, last_seq)
        return Outcome.GAP
    state.live.fold(rows, state.watched.zone, state.watched.scopes)
    state.seq = last_seq
    return Outcome.WHILE_REPAIRING if state.repairing else Outcome.FOLDED


def behind(state: CustomerState, ledger_seq: int) -> bool:
    """Mark the customer as repairing where the ledger holds records that the state has not seen: after a
    missing frame, a lost changelog or a cold start. True where that changed the state.
    """
    if ledger_seq <= state.seq:
        return False
    _restart(state, ledger_seq)
    return True


def must_rebuild(state: CustomerState, watched: Watched) -> bool:
    """Whether the state was made for another time zone or other scopes."""
    return state.watched.hash != watched.hash


def rebuild(state: CustomerState, watched: Watched) -> None:
    """Have everything up to here come from the ledger, for these zone and scopes: because they changed, or
    because somebody found the totals wrong.
    """
    state.watched = watched
    if state.seq:  # else there is nothing to rebuild
        _restart(state, state.seq)


def repaired(state: CustomerState, cut_seq: int, cut: Live, watched_hash: str) -> bool:
    """Complete the state with the ledger's totals at a sequence, which were asked for with the state's
    `since_seq` and `watched.hash`. Takes over `cut`.

    False, and nothing is changed, where the state has moved on since it was asked: a new gap, other scopes.
    """
    if state.since_seq != cut_seq or state.watched.hash != watched_hash:
        return False
    cut.add(state.live)
    state.live = cut
    state.since_seq = None
    return True


def _restart(state: CustomerState, seq: int) -> None:
    state.live = Live()
    state.seq = state.since_seq = seq
