"""Delivers the outbox: one thread a channel, so that an endpoint that hangs holds up nobody else's alerts.

The order of one attempt: (1) the message's row is locked, (2) it is posted, (3) the outcome is written and
committed. A process that dies between (2) and (3) leaves the row as it was, and it is posted again under the
same id: at least once. Any number of processes share the work; what one of them holds is passed over by the
others, and PostgreSQL takes it back from one that stands still.
"""

import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from budget_guard.adapters import delivery_store as store
from budget_guard.adapters.channels.channel import Channel
from budget_guard.adapters.delivery_settings import DeliverySettings
from budget_guard.adapters.http_out import Answer
from budget_guard.adapters.session import GuardSession
from runtime.clock import Clock
from runtime.errors import InfrastructureError
from runtime.failpoints import AbortRequested, FailpointError, Failpoints, NoFailpoints
from runtime.postgres import Connection, DatabaseUnavailableError
from runtime.progress import end_stuck

FAILPOINTS: Final = frozenset({"before_post", "after_post_before_mark"})

_HELD_S: Final = 30  # above the longest attempt: a process that holds a message for longer has stopped
_AGAIN_S: Final = 1.0
_COUNTED_S: Final = 1.0  # counting what waits reads all of it
_SWEEP_S: Final = 30.0
_LOG = logging.getLogger(__name__)

_Done = tuple[str, int, list[int]]
"""Outcome of an attempt, when it was known, and the append times of what was accepted; microseconds."""


class Counts(Protocol):
    """Where delivery counts; runtime.metrics.Metrics is one."""

    def add(self, name: str, amount: int = 1, **labels: str) -> None: ...

    def set(self, name: str, value: float, **labels: str) -> None: ...

    def observe(self, name: str, seconds: float) -> None: ...


class NoCounts:
    """Counts nothing."""

    def add(self, name: str, amount: int = 1, **labels: str) -> None:
        """Do nothing."""

    def set(self, name: str, value: float, **labels: str) -> None:
        """Do nothing."""

    def observe(self, name: str, seconds: float) -> None:
        """Do nothing."""


class Lane:
    """The work of one channel, a step at a time."""

    def __init__(
        self,
        channel: Channel,
        session: GuardSession,
        settings: DeliverySettings,
        clock: Clock,
        *,
        failpoints: Failpoints,
        counts: Counts,
        jitter: Callable[[int], int],
        now_us: Callable[[Connection], int],
    ) -> None:
        self.channel = channel
        self._session = session
        self._schedule = settings.schedule
        self._poll_us = settings.poll_ms * 1000
        self._clock = clock
        self._failpoints = failpoints
        self._counts = counts
        self._jitter = jitter
        self._now_us = now_us
        self._count_at_s = 0.0

    def step(self) -> int:
        """Make one attempt, or decide what is new: that first only where it may be worse than what is due.

        Returns:
            For how many microseconds there is nothing to do, new alerts aside; 0: go on at once.

        Raises:
            DatabaseUnavailableError: nothing was lost; step again.
        """
        name = self.channel.name
        with self._session.transaction() as connection:
            now_us = self._now_us(connection)
            self._tell_pending(connection)
            load = store.load_of(connection, name)
            decide = load.group_due_us is not None and load.group_due_us <= now_us
            done = None if decide else self._attempt(connection, now_us, load.undecided)
            if done is None and (decide or load.undecided is not None):
                decide = True
                store.decide(connection, self.channel, now_us)
            idle = done is None and not decide
            next_us = store.next_due_us(connection, name, now_us) if idle else None
        if done is not None:
            self._count(done)
        if not idle:
            return 0
        # What is due and was passed over is held by somebody else.
        waits = [us - now_us for us in (load.group_due_us, next_us) if us is not None]
        return min([self._poll_us, *waits])

    def close(self) -> None:
        """Drop the connection: an open transaction is undone."""
        self._session.close()

    def _tell_pending(self, connection: Connection) -> None:
        now_s = self._clock.monotonic_s()
        if now_s >= self._count_at_s:
            self._count_at_s = now_s + _COUNTED_S
            waiting = store.open_count(connection, self.channel.name)
            self._counts.set("ratestream_delivery_pending_alerts", waiting, channel=self.channel.name)

    def _attempt(self, connection: Connection, now_us: int, than: int | None) -> _Done | None:
        due = store.take(connection, self.channel.name, now_us, than)
        if due is None:
            return None
        self._failpoints.hit("before_post")
        began_s = self._clock.monotonic_s()
        answer = self._post(due, now_us)
        duration_ms = round((self._clock.monotonic_s() - began_s) * 1000)
        self._failpoints.hit("after_post_before_mark")
        store.record(connection, self.channel.name, due, answer, at_us=now_us, duration_ms=duration_ms)
        return self._mark(connection, due, answer)

    def _count(self, done: _Done) -> None:
        outcome, accepted_us, appended = done
        self._counts.add("ratestream_delivery_attempts_total", channel=self.channel.name, outcome=outcome)
        for append_us in appended:
            waited_us = max(0, accepted_us - append_us)
            self._counts.observe("ratestream_delivery_alert_latency_seconds", waited_us / 1e6)

    def _post(self, due: store.Due, at_us: int) -> Answer:
        try:
            return self.channel.send(due.message_id, due.body, at_us)
        except Exception as error:  # noqa: BLE001 - a channel's own mistake fails the attempt, not the lane
            _LOG.critical("channel %s: a bug while sending", self.channel.name, exc_info=True)
            return Answer(error=f"a bug in the channel: {type(error).__name__}")

    def _mark(self, connection: Connection, due: store.Due, answer: Answer) -> _Done:
        name, now_us = self.channel.name, self._now_us(connection)
        if answer.error is None:
            _LOG.info("%s delivered to %s after %d attempts", due.message_id, name, due.failed + 1)
            return "delivered", now_us, store.delivered(connection, name, due, now_us)
        next_us = self._schedule.next_us(
            first_attempt_us=due.first_attempt_us,
            now_us=now_us,
            failed=due.failed + 1,
            retry_after_s=answer.retry_after_s,
            jitter=self._jitter,
        )
        store.failed(connection, name, due, answer.error, next_us)
        if next_us is None:
            _LOG.error(
                "%s is dead for %s after %d attempts: %s", due.message_id, name, due.failed + 1, answer.error
            )
            return "dead", now_us, []
        pause_s = (next_us - now_us) // 1_000_000
        _LOG.warning("%s not delivered to %s: %s; again in %d s", due.message_id, name, answer.error, pause_s)
        return "failed", now_us, []


class Delivery:
    """All channels, each in a thread of its own.

    Args:
        dsn: of a login that is a member of the role of the settings.
        channels: by name.
        settings: section `delivery`.
        clock: the process's, for how long something takes.
        counts: metrics.
        failpoints: knows `FAILPOINTS`.
        jitter: n -> a random number from 0 to n - 1.
        now_us: the instant by which messages are due: PostgreSQL's clock, as guards' own may differ.
        died: called with a sentence where a thread cannot go on; it must end the process, which else would
            look alive and deliver nothing.
    """

    def __init__(
        self,
        dsn: str,
        channels: Mapping[str, Channel],
        settings: DeliverySettings,
        clock: Clock,
        *,
        counts: Counts | None = None,
        failpoints: Failpoints | None = None,
        jitter: Callable[[int], int] = secrets.randbelow,
        now_us: Callable[[Connection], int] = store.clock_us,
        died: Callable[[str], None] = end_stuck,
    ) -> None:
        self._settings = settings
        self._now_us = now_us
        self._counts = counts or NoCounts()
        self._died = died
        self._stopping = threading.Event()
        self._sweeper = GuardSession(dsn, settings.role, "ratestream-delivery")
        self._known = sorted(channels)
        self._lanes = [
            Lane(
                channel,
                GuardSession(dsn, settings.role, f"ratestream-delivery-{name}", idle_s=_HELD_S),
                settings,
                clock,
                failpoints=failpoints or NoFailpoints(),
                counts=self._counts,
                jitter=jitter,
                now_us=now_us,
            )
            for name, channel in sorted(channels.items())
        ]
        self._bells = {lane.channel.name: threading.Event() for lane in self._lanes}
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin. Whatever waits in PostgreSQL goes out, whoever raised it."""
        for lane in self._lanes:
            name = lane.channel.name
            work = (lane, self._bells[name])
            self._threads.append(
                threading.Thread(target=self._run, args=work, name=f"deliver-{name}", daemon=True)
            )
        self._threads.append(threading.Thread(target=self._sweep, name="deliver-sweep", daemon=True))
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """New alerts are committed: look at once. May be called from any thread, as often as one likes."""
        for bell in self._bells.values():
            bell.set()

    def stop(self, wait_s: float = 25.0) -> None:
        """Finish the attempts under way and end; those that take longer are made again by somebody else."""
        self._stopping.set()
        self.wake()
        for thread in self._threads:
            thread.join(wait_s)
        if not self._threads:
            self._sweeper.close()

    def _run(self, lane: Lane, bell: threading.Event) -> None:
        try:
            while not self._stopping.is_set():
                bell.clear()
                bell.wait(self._stepped(lane))
        except Exception as error:  # noqa: BLE001 - a thread that ends silently would deliver nothing
            _LOG.critical("channel %s", lane.channel.name, exc_info=True)
            self._died(f"delivery to {lane.channel.name} cannot go on: {type(error).__name__}: {error}")
        finally:
            lane.close()

    def _stepped(self, lane: Lane) -> float:
        """Steps until there is nothing to do. Returns the seconds to wait."""
        try:
            while not self._stopping.is_set():
                pause_us = lane.step()
                if pause_us:
                    return pause_us / 1e6
        except (DatabaseUnavailableError, FailpointError, AbortRequested) as error:
            _LOG.warning("delivery to %s: %s; again in %g s", lane.channel.name, str(error).strip(), _AGAIN_S)
            return _AGAIN_S
        return 0.0

    def _sweep(self) -> None:
        """Now and then: alerts for channels that nobody set up, and the gauges of dead letters."""
        while not self._stopping.is_set():
            try:
                self.sweep()
            except InfrastructureError as error:
                _LOG.warning("delivery: %s; again in %g s", str(error).strip(), _SWEEP_S)
            self._stopping.wait(_SWEEP_S)
        self._sweeper.close()

    def sweep(self) -> None:
        """Do it once. Raises InfrastructureError."""
        with self._sweeper.transaction() as connection:
            now_us = self._now_us(connection)
            for name, count in store.mark_unknown_channels(
                connection, self._known, now_us, self._settings.keep_trying_s
            ):
                _LOG.error("%d alerts wait for the channel %r, which no settings describe", count, name)
            dead = store.dead_counts(connection)
        for name in {*self._known, *dead}:
            self._counts.set("ratestream_delivery_dead_alerts", dead.get(name, 0), channel=name)
