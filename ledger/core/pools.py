"""Each customer's pools: a chain from record to record, told by frames, kept in rater.state."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger.core.findings import Reporter
from ledger.core.model import RatedRecord, frame_where

PeriodKey = tuple[str, str, int]
"""Customer, pool, start of the period in microseconds UTC."""


@dataclass(frozen=True, slots=True)
class PoolAt:
    """Where a customer's pool stands in a period: plain decimals as they are told."""

    quantity: str
    amount: str
    currency: str

    def __str__(self) -> str:
        return f"quantity {self.quantity}, amount {self.amount} {self.currency}"


def pool_at(told: Mapping[str, Any]) -> PoolAt:
    """Of a record, a frame or rater.state: they name these fields alike."""
    return PoolAt(told["quantity"], told["amount"], told["currency"])


def period_key(key: PeriodKey) -> bytes:
    """The key in rater.state: the length tells where the customer ends."""
    customer, pool, start_us = key
    return f"p/{len(customer.encode())}/{customer}/{pool}/{start_us}".encode()


class PoolChains:
    """Where every pool stands, record by record. Memory: one entry a customer, pool and period.

    Where a record cannot be computed again, or older ones are gone, where a pool stands is unknown until the
    next frame tells it.

    Args:
        report: takes the findings.
        stored: the periods of rater.state, each compared with the frames up to the one that it names.
        from_start: whether nothing of the log is gone, so that every pool begins at 0.
    """

    def __init__(
        self, report: Reporter, stored: Mapping[PeriodKey, Mapping[str, Any]], *, from_start: bool
    ) -> None:
        self._report = report
        self._from_start = from_start
        self._stored = stored
        self._due: dict[int, list[PeriodKey]] = {}
        for key, state in stored.items():
            self._due.setdefault(state["frame_no"], []).append(key)
        self._at: dict[PeriodKey, PoolAt | None] = {}
        self._moved: set[PeriodKey] = set()

    def follow(self, record: RatedRecord, after: Mapping[tuple[str, int], PoolAt] | None) -> None:
        """A record in the order of its customer's sequence; `after` as computed again, None where it could
        not be.
        """
        customer = record.event["customer_id"]
        for before in record.rating["pools_before"]:
            pool = before["pool"], before["period"]["start_us"]
            key = (customer, *pool)
            told, known = pool_at(before), self._known(key, before["currency"])
            if known is not None and known != told:
                self._report(
                    "pool_chain",
                    record.where,
                    f"{record.named}: {_named(key)} is told to stand at {told} before it, "
                    f"the record before left it at {known}",
                )
            self._at[key] = None if after is None else after.get(pool)
            self._moved.add(key)

    def close(self, frame: Mapping[str, Any], *, whole: bool = True) -> None:
        """The end of a frame: it tells every pool that its records moved, as they stand then, and no other.

        `whole` is whether its records have been followed.
        """
        told = {
            (delta["customer_id"], pool["pool"], pool["start_us"]): pool_at(pool)
            for delta in frame["customers"]
            for pool in delta["pools"]
        }
        if whole:
            self._compare(frame, told)
        self._at.update(told)
        self._moved.clear()
        for key in self._due.pop(frame["frame_no"], ()):
            self._compare_stored(key)

    def check_stored(self) -> None:
        """At the cut: every period that a frame tells has a record."""
        for key in self._at.keys() - self._stored.keys():
            self._report("state_missing", _where(key), f"no record of {_named(key)}; frames tell it")

    def finish(self, newest_frame: int) -> None:
        """After the last frame, those since the cut among them: rater.state is not ahead of it."""
        for frame_no, keys in self._due.items():
            for key in keys:
                if frame_no > newest_frame:
                    self._report(
                        "state_ahead",
                        _where(key),
                        f"written in frame {frame_no}, the log of frames ends at {newest_frame}",
                    )

    def _known(self, key: PeriodKey, currency: str) -> PoolAt | None:
        if key in self._at:
            return self._at[key]
        return PoolAt("0", "0", currency) if self._from_start else None

    def _compare(self, frame: Mapping[str, Any], told: Mapping[PeriodKey, PoolAt]) -> None:
        for key in sorted(self._moved | told.keys()):
            known = self._at.get(key)
            if key not in told:
                self._report("pools", frame_where(frame), f"{_named(key)} has moved, but is not in the frame")
            elif key not in self._moved:
                self._report("pools", frame_where(frame), f"{_named(key)} is told, but no record moved it")
            elif known is not None and known != told[key]:
                self._report(
                    "pools",
                    frame_where(frame),
                    f"{_named(key)}: the frame tells {told[key]}, its records lead to {known}",
                )

    def _compare_stored(self, key: PeriodKey) -> None:
        """The state as of the frame that was just closed."""
        stored, known = pool_at(self._stored[key]), self._at.get(key)
        if known is None:
            if self._from_start:
                self._report("state_ahead", _where(key), f"has {stored}, but no frame has told {_named(key)}")
        elif stored != known:
            self._report("state", _where(key), f"has {stored}, the frames say {known}")


def _named(key: PeriodKey) -> str:
    customer, pool, start_us = key
    return f"customer {customer!r} pool {pool!r} from {start_us} us"


def _where(key: PeriodKey) -> str:
    return f"rater.state {period_key(key).decode()}"
