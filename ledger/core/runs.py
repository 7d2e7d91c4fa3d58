"""The periods of re-rates that are under way: from nothing, by replacements, told by frames, until closed.

A rated record does not name its run: a replacement goes on from the state of one of the open runs.
"""

from collections.abc import Mapping
from typing import Any

from ledger.core.findings import Reporter
from ledger.core.model import frame_where
from ledger.core.periods import PeriodKey, PoolAt, pool_at

RunKey = tuple[str, str, str, int]
"""Customer, run, pool, start of the period in microseconds UTC."""


def run_key(key: RunKey) -> bytes:
    """The key in rater.state: the lengths tell where customer and run end."""
    customer, run, pool, start_us = key
    return f"u/{len(customer.encode())}/{customer}/{len(run.encode())}/{run}/{pool}/{start_us}".encode()


class Runs:
    """Where each open run's periods stand. Memory: one entry an open run, customer, pool and period."""

    def __init__(
        self, report: Reporter, stored: Mapping[RunKey, Mapping[str, Any]], *, from_start: bool
    ) -> None:
        self._report = report
        self._stored = stored
        self._from_start = from_start
        self._at: dict[RunKey, PoolAt] = {}
        self._reached: dict[PeriodKey, list[PoolAt]] = {}
        self._due: dict[int, list[RunKey]] = {}
        for key, state in stored.items():
            self._due.setdefault(state["frame_no"], []).append(key)

    def goes_on(self, key: PeriodKey, before: PoolAt, after: PoolAt | None) -> bool:
        """Whether a replacement that stood at `before` goes on from an open run, or begins one."""
        reached = self._reached.setdefault(key, [])
        if after is not None:
            reached.append(after)
        customer, pool, start_us = key
        return (
            not self._from_start
            or (before.quantity, before.amount) == ("0", "0")
            or before in reached[: len(reached) - (after is not None)]
            or any(
                before == state
                for (who, _, what, since), state in self._at.items()
                if (who, what, since) == (customer, pool, start_us)
            )
        )

    def close(self, frame: Mapping[str, Any], *, whole: bool = True) -> None:
        """The end of a frame: what it tells of runs is where its records led. `whole`: they were followed."""
        for delta in frame["customers"]:
            for told in delta["runs"]:
                key = delta["customer_id"], told["run_id"], told["pool"], told["start_us"]
                state = pool_at(told)
                reached = self._reached.get((key[0], key[2], key[3]), [])
                if whole and state not in reached and state != self._at.get(key):
                    self._report(
                        "runs",
                        frame_where(frame),
                        f"{_named(key)}: the frame tells {state}, no record led there",
                    )
                if told["closed"]:
                    self._at.pop(key, None)
                else:
                    self._at[key] = state
        self._reached.clear()
        for key in self._due.pop(frame["frame_no"], ()):
            stored, known = pool_at(self._stored[key]), self._at.get(key)
            if stored != known:
                self._report("state", _where(key), f"has {stored}, the frames say {known}")

    def finish(self, newest_frame: int) -> None:
        """After the last frame, those since the cut among them."""
        for key in self._at.keys() - self._stored.keys():
            self._report("state_missing", _where(key), f"no record of {_named(key)}; frames tell it")
        for frame_no, keys in self._due.items():
            for key in keys:
                if frame_no > newest_frame:
                    self._report(
                        "state_ahead",
                        _where(key),
                        f"written in frame {frame_no}, the log of frames ends at {newest_frame}",
                    )


def _named(key: RunKey) -> str:
    customer, run, pool, start_us = key
    return f"customer {customer!r} run {run!r} pool {pool!r} from {start_us} us"


def _where(key: RunKey) -> str:
    return f"rater.state {run_key(key).decode()}"
