"""Takes usage.totals over into PostgreSQL: `python -m aggregator.totals`, or `ratestream run totals`.

A plain consumer beside the aggregator, without Faust. What came in a second is written at once, the newest of
each customer; then the group's positions are committed. What is read again after a crash is older than what
is stored, or the same: it changes nothing.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from aggregator.adapters.totals_sink import Newest, TotalsStore
from aggregator.totals_settings import TotalsSettings
from runtime.clock import Clock, SystemClock
from runtime.failpoints import failpoints_from
from runtime.kafka.clients import client_config, group_consumer_config
from runtime.kafka.following import FollowingGroup, Positions
from runtime.kafka.topology import describe
from runtime.monitoring import Monitoring
from runtime.postgres import DatabaseUnavailableError
from runtime.process import run_process
from runtime.settings import KafkaSettings, PostgresSettings, SettingsLoader
from schemas import topics
from schemas.topics import consumer_limits

FAILPOINTS = frozenset({"before_pg_commit", "after_pg_commit"})

_LOG = logging.getLogger(__name__)
_POLL_S = 0.2
_POLL_RECORDS = 5_000
_PAUSE_FIRST_S, _PAUSE_MAX_S = 0.1, 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is written at once and how often, and how long PostgreSQL may be away."""

    write_s: float
    records_max: int
    bytes_max: int
    postgres_wait_s: float


class Totals:
    """Follows usage.totals until told to stop."""

    def __init__(
        self,
        *,
        group: Callable[..., FollowingGroup],
        store: TotalsStore,
        limits: Limits,
        clock: Clock,
        monitoring: Monitoring,
        after_commit: Callable[[], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._limits = limits
        self._clock = clock
        self._monitoring = monitoring
        self._after_commit = after_commit
        self._sleep = sleep
        self._newest = Newest()
        self._values: list[bytes] = []
        self._bytes = 0
        self._done: dict[tuple[str, int], int] = {}  # where each partition owned goes on once all is written
        self._read: dict[tuple[str, int], int] = {}  # behind what was read and is not written
        self._due_s = clock.monotonic_s()
        self._group = group(opened=self._open, closed=self._close)

    def run(self, stopping: Callable[[], bool]) -> None:
        """Work until `stopping()`. What is not written then is read again by whoever comes next."""
        try:
            while not stopping():
                self.step()
        finally:
            self._group.close()
            self._store.close()
            self._monitoring.close()

    def step(self) -> None:
        """One round: read, and write where it is time."""
        for message in self._group.poll(_POLL_RECORDS, _POLL_S):
            self._take(message)
        full = len(self._values) >= self._limits.records_max or self._bytes >= self._limits.bytes_max
        if self._read and (full or self._clock.monotonic_s() >= self._due_s):
            self._write()
            self._due_s = self._clock.monotonic_s() + self._limits.write_s
        self._monitoring.progress.turned(assigned=self._group.assigned)

    def _take(self, message: Any) -> None:
        value = message.value()
        if value is not None:  # a customer that was deleted keeps its row: the ledger has it too
            self._values.append(value)
            self._bytes += len(value)
        self._read[message.topic(), message.partition()] = message.offset() + 1

    def _write(self) -> None:
        begun_s = self._clock.monotonic_s()
        newest = self._newest.of(self._values)
        if newest:
            written = self._retried(lambda: self._store.write(newest))
            metrics = self._monitoring.metrics
            metrics.add("ratestream_totals_customers_written_total", written)
            metrics.observe("ratestream_totals_commit_seconds", self._clock.monotonic_s() - begun_s)
        self._after_commit()
        self._values, self._bytes = [], 0
        read, self._read = self._read, {}
        self._group.commit(read)
        self._stands(self._done | read)

    def _retried(self, work: Callable[[], int]) -> int:
        """The work, again and again while PostgreSQL is away.

        Raises:
            DatabaseUnavailableError: it was away for longer than the budget.
        """
        wait_s = self._limits.postgres_wait_s
        deadline_s, pause_s = self._clock.monotonic_s() + wait_s, _PAUSE_FIRST_S
        progress = self._monitoring.progress
        with progress.budget("PostgreSQL is waited for", wait_s):
            while True:
                try:
                    done = work()
                except DatabaseUnavailableError as error:
                    progress.found("postgresql", "does not answer")
                    if self._clock.monotonic_s() + pause_s >= deadline_s:
                        raise DatabaseUnavailableError(f"not usable within {wait_s:g} s: {error}") from error
                    _LOG.warning("%s; again in %.1f s", error, pause_s)
                    self._sleep(pause_s)
                    pause_s = min(pause_s * 2, _PAUSE_MAX_S)
                else:
                    progress.found("postgresql", None)
                    return done

    def _stands(self, positions: dict[tuple[str, int], int]) -> None:
        self._done = positions
        self._monitoring.progress.stands(positions)

    def _open(self, positions: Positions) -> None:
        self._stands(dict(positions))

    def _close(self) -> None:
        """What was read of these partitions is another member's now, who reads it again."""
        self._values, self._bytes = [], 0
        self._read, self._done = {}, {}
        self._monitoring.progress.gave_up()


def main(loader: SettingsLoader | None = None) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        ReportedError: infrastructure failed beyond its budget, or a setting is wrong.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    assemble(loader or SettingsLoader.of_process()).run(stopping.is_set)


def assemble(loader: SettingsLoader) -> Totals:
    """A sink ready to run; `run` releases what it holds."""
    kafka = loader.section("kafka", KafkaSettings)
    postgres = loader.section("postgres", PostgresSettings)
    settings = loader.section("totals", TotalsSettings)
    failpoints = failpoints_from(loader.environ, FAILPOINTS)
    clock = SystemClock()
    process = f"{kafka.topic_prefix}totals-{settings.slot}"
    topic = kafka.topic_prefix + topics.USAGE_TOTALS
    config, limits = client_config(kafka, process), consumer_limits(topics.USAGE_TOTALS)
    describe(config, (topic,))  # a topic that is not there would be waited for without end
    consumer = group_consumer_config(
        kafka,
        group_id=kafka.topic_prefix + settings.group_id,
        client_id=process,
        session_timeout_ms=settings.session_timeout_ms,
        max_poll_interval_ms=settings.max_poll_interval_ms,
        limits=limits,
    )
    monitoring = Monitoring.start(
        loader, "totals", config=config, prefix=kafka.topic_prefix, limits=limits, clock=clock
    )
    return Totals(
        group=partial(FollowingGroup, consumer, (topic,)),
        store=TotalsStore(postgres.dsn.get_secret_value(), settings.role, failpoints),
        limits=Limits(
            write_s=settings.write_ms / 1000,
            records_max=settings.batch_records_max,
            bytes_max=settings.batch_mib_max << 20,
            postgres_wait_s=settings.postgres_wait_s,
        ),
        clock=clock,
        monitoring=monitoring,
        after_commit=partial(failpoints.hit, "after_pg_commit"),
    )


if __name__ == "__main__":
    run_process(main)
