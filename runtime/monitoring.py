"""What makes a service observable, put together: metrics, probes, lag from the broker, the watchdog.

In a service's `__main__` (`limits`: `consumer_limits` of the topics it consumes):

    monitoring = Monitoring.start(
        loader, "guard", "delivery", config=config, prefix=kafka.topic_prefix, limits=limits, clock=clock
    )

and in its loop:

    progress.turned(assigned=group.group_metadata is not None)     # each round
    progress.stands({(topic, partition): next_offset, ...})        # what is done for good, after each commit
    progress.gave_up()                                             # partitions are taken away
    with progress.budget("PostgreSQL is waited for", 300): ...     # what may take long
    progress.found("postgresql", None)                             # or what is wrong with it
    metrics.add("ratestream_guard_totals_evaluated_total", count)  # a name of runtime.metrics.METRICS
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Self

from runtime.clock import Clock, SystemClock
from runtime.health import Health, HealthServer, TelemetrySettings
from runtime.kafka.lag import BrokerLag
from runtime.metrics import Metrics
from runtime.progress import Lag, Progress, ProgressWatchdog, Where
from runtime.settings import SettingsLoader

_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Monitoring:
    """What a service tells of itself, and to what. `close` ends its threads."""

    metrics: Metrics
    progress: Progress
    server: HealthServer | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def silent(cls, *services: str, clock: Clock | None = None) -> Self:
        """Counts, and tells nobody: for tests, and for a service run inside another process."""
        return cls(Metrics(*services), Progress(clock or SystemClock()))

    @classmethod
    def start(
        cls,
        loader: SettingsLoader,
        *services: str,
        config: Mapping[str, Any],
        prefix: str,
        limits: Mapping[str, int],
        clock: Clock,
    ) -> Self:
        """Section `telemetry` in force: the endpoint, where it has an address, and the watchdog, always.

        Args:
            loader: the settings.
            services: whose metrics this process has, its own first.
            config: client settings as librdkafka names them.
            prefix: of the topics' names, left out in labels.
            limits: a consumer's, for the topics whose positions `progress.stands` is told.
            clock: of the process.

        Raises:
            SettingsError: a setting breaks a rule.
            InfrastructureError: the address cannot be listened on.
        """
        settings = loader.section("telemetry", TelemetrySettings)
        metrics, progress = Metrics(*services), Progress(clock)
        health = Health(progress, clock, limit_s=settings.stuck_s)
        lag = BrokerLag(config, clock, limits)
        watchdog = ProgressWatchdog(
            progress,
            lag,
            clock,
            limit_s=settings.stuck_s,
            look_s=settings.look_s,
            looked=_Gauges(metrics, progress, health, prefix).tell,
            ended=lag.close,
        )
        listen = settings.listen_of(services[0])
        stack = ExitStack()
        server = None if listen is None else HealthServer(listen, metrics, health)
        if server is not None:
            stack.callback(server.close)
        watchdog.start()
        stack.callback(watchdog.stop)
        return cls(metrics, progress, server, stack)

    def close(self) -> None:
        """Tell and watch no more."""
        self._stack.close()


class _Gauges:
    """After each look, what every service tells. In the watchdog's thread."""

    def __init__(self, metrics: Metrics, progress: Progress, health: Health, prefix: str) -> None:
        self._metrics = metrics
        self._progress = progress
        self._health = health
        self._prefix = prefix
        self._told: frozenset[Where] = frozenset()

    def tell(self, lags: Mapping[Where, Lag] | None) -> None:
        """Set the gauges; without an answer of the broker, lag stays as it was last known."""
        tell, service = self._metrics.set, self._metrics.service
        progress = self._progress
        progress.found("kafka", None if lags is not None else "the broker did not answer")
        tell("ratestream_process_broker_reachable", int(lags is not None), service=service)
        tell(
            "ratestream_process_partitions",
            len({number for _, number in progress.positions}),
            service=service,
        )
        tell("ratestream_process_loop_timestamp_seconds", progress.turned_us / _US, service=service)
        tell("ratestream_process_ready", int(self._health.ready().ok), service=service)
        if lags is None:
            return
        for where, lag in lags.items():
            labels = self._labels(where)
            tell("ratestream_process_lag_records", lag.records, **labels)
            tell("ratestream_process_lag_seconds", lag.seconds, **labels)
        for where in self._told - lags.keys():
            for name in ("ratestream_process_lag_records", "ratestream_process_lag_seconds"):
                self._metrics.forget(name, **self._labels(where))
        self._told = frozenset(lags)

    def _labels(self, where: Where) -> dict[str, str]:
        topic, partition = where
        return {
            "service": self._metrics.service,
            "topic": topic.removeprefix(self._prefix),
            "partition": str(partition),
        }
