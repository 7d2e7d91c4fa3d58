"""Watches the pipeline for its operators: records that wait or are rejected; one alert an episode.

Only the guard that owns partition 0 of usage.totals looks, so that several guards tell one thing once.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from budget_guard.adapters.alert_store import insert_alerts
from budget_guard.adapters.session import GuardSession
from budget_guard.core.operations import Episodes, Trouble, operations_body
from budget_guard.settings import OperationsSettings
from pricing.budgets import BudgetBook
from runtime.clock import Clock
from runtime.kafka.errors import KafkaUnavailableError
from runtime.metrics import Metrics
from runtime.progress import LagUnknownError

_LOG = logging.getLogger(__name__)

_POSITIONS = "select kafka_partition, next_offset from ledger.positions where topic = %s"
_NEWEST = "generation = (select coalesce(max(generation), 0) from ledger.generations)"
_REJECTED_ENDS = f"select kafka_partition, max(kafka_offset) from ledger.rejected where {_NEWEST} group by 1"  # noqa: S608 - a constant
_REJECTED = f"""
select r.kafka_partition, max(r.kafka_offset), count(*) from ledger.rejected r
left join unnest(%s::int[], %s::bigint[]) as k(kafka_partition, kafka_offset) using (kafka_partition)
where r.kafka_offset > coalesce(k.kafka_offset, -1) and r.{_NEWEST} group by 1
"""  # noqa: S608 - a constant


@dataclass(frozen=True, slots=True)
class Lags:
    """How many records wait, asked of the broker; each raises LagUnknownError."""

    rater: Callable[[], int]
    totals: Callable[[], int]
    rated_ends: Callable[[], Mapping[int, int]]
    """Where each partition of usage.rated ends."""


class PipelineWatch:
    """The work of one thread, a step at a time."""

    def __init__(
        self,
        session: GuardSession,
        lags: Lags,
        settings: OperationsSettings,
        clock: Clock,
        metrics: Metrics,
        *,
        rated_topic: str,
        leads: Callable[[], bool],
        book: Callable[[], BudgetBook],
        wake: Callable[[], None],
    ) -> None:
        self._session = session
        self._lags = lags
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._rated_topic = rated_topic
        self._leads = leads
        self._book = book
        self._wake = wake
        self._episodes = Episodes(settings.for_s)
        self._rejected_ends: dict[int, int] | None = None
        self._rejected: deque[tuple[float, int]] = deque()

    def step(self) -> float:
        """One look. Returns seconds until the next.

        Raises:
            DatabaseUnavailableError: nothing was lost; step again.
        """
        if not self._leads():
            self._episodes = Episodes(self._settings.for_s)
            self._rejected_ends = None
            return self._settings.look_s
        found, unknown = self._lag_troubles()
        found += self._reject_troubles()
        troubles = {trouble.what: trouble for trouble in found}
        with self._session.transaction() as connection:
            rows = connection.execute("select what from guard.episodes where closed_at is null").fetchall()
        still_open = frozenset(str(row[0]) for row in rows)
        # What cannot be measured is not over.
        opened, closed = self._episodes.look(troubles, still_open - unknown, self._clock.monotonic_s())
        for trouble in opened:
            self._open(trouble)
        if closed:
            with self._session.transaction() as connection:
                connection.execute(
                    "update guard.episodes set closed_at = clock_timestamp()"
                    " where what = any(%s) and closed_at is null",
                    (closed,),
                )
            _LOG.info("over: %s", ", ".join(closed))
        return self._settings.look_s

    def close(self) -> None:
        """Let the connection go."""
        self._session.close()

    def _lag_troubles(self) -> tuple[list[Trouble], frozenset[str]]:
        """What waits too long, and the names of what nobody could measure."""
        settings = self._settings
        lags: tuple[tuple[str, Callable[[], int], int, str], ...] = (
            (
                "rater_lag",
                self._lags.rater,
                settings.rater_lag_records,
                "events and corrections wait to be rated",
            ),
            (
                "ledger_lag",
                self._ledger_lag,
                settings.ledger_lag_records,
                "rated records wait to be in the ledger",
            ),
            (
                "totals_lag",
                self._lags.totals,
                settings.totals_lag_records,
                "running totals wait to be held against budgets",
            ),
        )
        found, unknown = [], set()
        for what, measured, limit, words in lags:
            try:
                waiting = measured()
            except (LagUnknownError, KafkaUnavailableError) as error:
                _LOG.warning("%s is unknown: %s", what, error)
                unknown.add(what)
                continue
            if waiting > limit:
                found.append(Trouble(what, f"{waiting} {words}", "ratestream verify", waiting, limit))
        return found, frozenset(unknown)

    def _reject_troubles(self) -> list[Trouble]:
        settings, rejected = self._settings, self._rejected_lately()
        if rejected <= settings.rejects:
            return []
        text = f"{rejected} records were rejected within {settings.rejects_s} s"
        return [Trouble("rejects", text, "ratestream rejected list", rejected, settings.rejects)]

    def _ledger_lag(self) -> int:
        ends = self._lags.rated_ends()
        with self._session.transaction() as connection:
            rows = connection.execute(_POSITIONS, (self._rated_topic,)).fetchall()
        positions = {int(str(partition)): int(str(offset)) for partition, offset in rows}
        return sum(max(end - positions.get(partition, 0), 0) for partition, end in ends.items())

    def _rejected_lately(self) -> int:
        now_s = self._clock.monotonic_s()
        ends = self._rejected_ends
        with self._session.transaction() as connection:
            if ends is None:
                rows = connection.execute(_REJECTED_ENDS).fetchall()
                self._rejected_ends = {int(str(row[0])): int(str(row[1])) for row in rows}
                self._rejected.clear()
                return 0
            rows = connection.execute(_REJECTED, (list(ends), list(ends.values()))).fetchall()
        for partition, end, count in rows:
            ends[int(str(partition))] = int(str(end))
            self._rejected.append((now_s, int(str(count))))
        while self._rejected and now_s - self._rejected[0][0] > self._settings.rejects_s:
            self._rejected.popleft()
        return sum(count for _, count in self._rejected)

    def _open(self, trouble: Trouble) -> None:
        now_us = self._clock.now_us()
        with self._session.transaction() as connection:
            row = connection.execute(
                "select coalesce(max(episode), 0) + 1 from guard.episodes where what = %s", (trouble.what,)
            ).fetchone()
            episode = int(str(row[0])) if row is not None else 1
            body = operations_body(trouble, episode, now_us)
            channels = self._book().channels_for(None, body["severity"])
            made = insert_alerts(connection, [(body, channels)])
            connection.execute(
                "insert into guard.episodes (what, episode, alert_id, opened_at)"
                " values (%s, %s, %s, clock_timestamp()) on conflict do nothing",
                (trouble.what, episode, body["alert_id"]),
            )
        if made:
            _LOG.warning("operators are told: %s", trouble.text)
            self._metrics.add("ratestream_guard_alerts_total", kind="operations", severity=body["severity"])
            self._wake()
