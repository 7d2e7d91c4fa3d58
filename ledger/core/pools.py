"""Each customer's pools: a chain from record to record, told by frames, kept in rater.state."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ledger.core.amounts import atto, plain
from ledger.core.findings import Reporter
from ledger.core.model import RatedRecord, frame_where
from ledger.core.periods import PeriodKey, PoolAt, period_key, pool_at
from ledger.core.recomputed import Recomputed
from ledger.core.runs import RunKey, Runs

__all__ = ["PeriodKey", "PoolAt", "PoolChains", "period_key", "pool_at"]


class PoolChains:
    """Where every pool stands, record by record. Memory: one entry a customer, pool and period.

    Where a record cannot be computed again, or older ones are gone, where a pool stands is unknown until the
    next frame tells it.

    Args:
        report: takes the findings.
        stored: the periods of rater.state, each compared with the frames up to the one that it names.
        runs: the periods of open re-rates in rater.state.
        from_start: whether nothing of the log is gone, so that every pool begins at 0.
    """

    def __init__(
        self,
        report: Reporter,
        stored: Mapping[PeriodKey, Mapping[str, Any]],
        runs: Mapping[RunKey, Mapping[str, Any]] = MappingProxyType({}),
        *,
        from_start: bool,
    ) -> None:
        self._runs = Runs(report, runs, from_start=from_start)
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
            self._continues(record, key, pool_at(before))
            self._at[key] = None if after is None else after.get(pool)
            self._moved.add(key)

    def follow_replacement(self, record: RatedRecord, again: Recomputed | None) -> None:
        """A replacement: rated from the live pools (an amend) or in the periods of its run (a re-rate).

        What it names beyond the pools of its call are live periods, with itself in them, that it closes. The
        live pools move by what it takes up.
        """
        customer = record.event["customer_id"]
        before = record.rating["pools_before"]
        own = len(before) if again is None else again.own_pools
        for told in before[:own]:
            key = customer, told["pool"], told["period"]["start_us"]
            state = pool_at(told)
            after = None if again is None else again.own_after.get(key[1:])
            in_run = self._runs.goes_on(key, state, after)
            live = self._known(key, told["currency"])
            if not in_run and live is not None and state != live:
                self._report(
                    "pool_chain",
                    record.where,
                    f"{record.named}: {_named(key)} is told to stand at {state} before it: "
                    f"no run stands there, nor the live pool, which is at {live}",
                )
        for told in before if again is None else ():
            self._lose((customer, told["pool"], told["period"]["start_us"]))
        if again is None:
            return
        for pool, (quantity, amount, currency) in again.own_share.items():
            self._add((customer, *pool), quantity, amount, currency)
        for told in before[own:]:
            key = customer, told["pool"], told["period"]["start_us"]
            self._continues(record, key, pool_at(told))
            self._at[key] = again.pools_after.get(key[1:])
            self._moved.add(key)

    def _lose(self, key: PeriodKey) -> None:
        self._at[key] = None
        self._moved.add(key)

    def _add(self, key: PeriodKey, quantity: int, amount: int, currency: str) -> None:
        live = self._known(key, currency)
        self._moved.add(key)
        self._at[key] = (
            None
            if live is None
            else PoolAt(plain(atto(live.quantity) + quantity), plain(atto(live.amount) + amount), currency)
        )

    def _continues(self, record: RatedRecord, key: PeriodKey, told: PoolAt) -> None:
        known = self._known(key, told.currency)
        if known is not None and known != told:
            self._report(
                "pool_chain",
                record.where,
                f"{record.named}: {_named(key)} is told to stand at {told} before it, "
                f"the record before left it at {known}",
            )

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
        self._runs.close(frame, whole=whole)
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
        self._runs.finish(newest_frame)
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
