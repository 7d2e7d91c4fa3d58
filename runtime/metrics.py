"""Prometheus metrics: every name in one table, and the object by which a service counts.

A service counts once a batch or transaction, never once an event. No label holds a customer, an event or an
alert: labels are few and known beforehand (reasons, sides, channels, partitions).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import Metric as Collected

from runtime.errors import UsageProblemError

Kind = Literal["counter", "gauge", "histogram"]
T = TypeVar("T")

_TRANSACTION_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LATENCY_S: Final = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 15.0, 60.0, 600.0, 3600.0)
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
ALL: Final = "process"  # the part of a name that belongs to every service


class UnknownMetricError(UsageProblemError):
    """A service counts under a name that is not in the table, or that is another service's."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the table. A counter's name ends in _total, every other in its unit."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()

    @property
    def service(self) -> str:
        """Whose it is: the second word of the name; `process` is everybody's."""
        return self.name.split("_")[1]


def _counter(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, "counter", labels, meaning)


def _gauge(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, "gauge", labels, meaning)


def _histogram(name: str, meaning: str, buckets: tuple[float, ...]) -> Metric:
    return Metric(name, "histogram", (), meaning, buckets)


METRICS: Final[tuple[Metric, ...]] = (
    # Every service. The label `service` is its name, `topic` has no prefix.
    _gauge("ratestream_process_lag_records", "Offsets between its position and the broker's end: records, "
           "and in topics of transactions their markers too", "service", "topic", "partition"),
    _gauge("ratestream_process_lag_seconds", "Age of the first record that is not done, by the broker's "
           "append time; 0 when there is none", "service", "topic", "partition"),
    _gauge("ratestream_process_partitions", "Partitions that this process owns", "service"),
    _gauge("ratestream_process_broker_reachable", "1 when the broker answered the last look at lag, else 0",
           "service"),
    _gauge("ratestream_process_loop_timestamp_seconds", "When the main loop last began a round, Unix time",
           "service"),
    _gauge("ratestream_process_ready", "1 when /readyz says so, else 0", "service"),
    # Rater.
    _counter("ratestream_rater_events_total", "Records of usage.events in committed frames, by outcome: "
             "rated, rejected or duplicate (a dedupe hit)", "outcome"),
    _counter("ratestream_rater_corrections_total", "Records of usage.corrections in committed frames, by "
             "outcome: applied, rejected or repeated", "outcome"),
    _counter("ratestream_rater_rejected_total", "Rejected records of both inputs by reason code", "reason"),
    _counter("ratestream_rater_unpriced_events_total", "Rated events without a full amount, by side (cost, "
             "price); less those that a correction reversed in the same frame", "side"),
    _counter("ratestream_rater_frames_total", "Frames committed"),
    _counter("ratestream_rater_aborted_total", "Transactions aborted; their input is read again"),
    _histogram("ratestream_rater_transaction_seconds", "From a transaction's begin to its commit's reply",
               _TRANSACTION_S),
    _gauge("ratestream_rater_book_version", "Version of the rate book that it rates with"),
    _gauge("ratestream_rater_waiting_partitions", "Partitions that wait for the rate book to be confirmed"),
    _gauge("ratestream_rater_book_horizon_timestamp_seconds", "Events up to here may be rated before the "
           "rate book is confirmed again, Unix time"),
    # Ledger.
    _counter("ratestream_ledger_rows_total", "Rows written, by table: rated, rejected or bad", "table"),
    _counter("ratestream_ledger_batches_total", "Database transactions committed"),
    _histogram("ratestream_ledger_commit_seconds", "One batch: from its first statement to its commit, "
               "waiting for PostgreSQL included", _TRANSACTION_S),
    _counter("ratestream_ledger_replies_lost_total", "Commits whose reply was lost and that were found done"),
    _counter("ratestream_ledger_moved_total", "Batches dropped because another process had moved positions"),
    # Aggregator.
    _counter("ratestream_aggregator_frames_total", "Frames applied"),
    _counter("ratestream_aggregator_customers_written_total", "Customers' values put into the table"),
    _counter("ratestream_aggregator_published_total", "RunningTotals sent to usage.totals"),
    _counter("ratestream_aggregator_gaps_total", "Gaps of sequences seen: each marks a customer for repair"),
    _gauge("ratestream_aggregator_repairs_open", "Customers whose totals are being rebuilt, not published"),
    _counter("ratestream_aggregator_repairs_done_total", "Customers whose totals were rebuilt"),
    _gauge("ratestream_aggregator_release_queue_frames", "Frames read and not yet acknowledged whole"),
    _gauge("ratestream_aggregator_recovery_seconds", "How long the last recovery of state took"),
    _histogram("ratestream_aggregator_publish_latency_seconds", "From the append time of a frame's "
               "newest event to the acknowledgement of the totals made from it", _LATENCY_S),
    # Totals sink.
    _counter("ratestream_totals_customers_written_total", "Rows of totals.customers written"),
    _histogram("ratestream_totals_commit_seconds", "One batch of totals into PostgreSQL", _TRANSACTION_S),
    # Budget guard.
    _counter("ratestream_guard_totals_evaluated_total", "RunningTotals held against budgets"),
    _counter("ratestream_guard_alerts_total", "Alerts raised, by kind and severity", "kind", "severity"),
    _counter("ratestream_guard_late_alerts_total", "Alerts that the reconciler found missing and raised"),
    _counter("ratestream_guard_drift_total", "Customers whose totals were not the ledger's; repaired"),
    _gauge("ratestream_guard_reconciled_timestamp_seconds", "When the reconciler last finished, Unix time"),
    # Delivery, a part of the guard's process.
    _counter("ratestream_delivery_attempts_total", "Attempts by channel and outcome: delivered, failed "
             "(again later) or dead", "channel", "outcome"),
    _gauge("ratestream_delivery_pending_alerts", "Alerts not yet delivered, by channel", "channel"),
    _gauge("ratestream_delivery_dead_alerts", "Dead letters that nobody has resent, by channel", "channel"),
    _histogram("ratestream_delivery_alert_latency_seconds", "From the append time of the newest event in "
               "the frame that crossed to the channel's acceptance of the alert", _LATENCY_S),
)  # fmt: skip

_BY_NAME: Final = {metric.name: metric for metric in METRICS}


class Metrics:
    """The metrics of one process, in a registry of its own. Its methods may be called from any thread.

    Args:
        services: whose names it knows, e.g. "rater", or "guard", "delivery"; those of every process aside.
    """

    def __init__(self, *services: str) -> None:
        unknown = set(services) - {metric.service for metric in METRICS}
        if unknown:
            raise UnknownMetricError(f"services {sorted(unknown)!r}: no metric has such a name")
        # A second series for each counter, which nothing reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # no annotations in the library
        self.service = services[0]
        self._registry = CollectorRegistry(auto_describe=True)
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for metric in METRICS:
            if metric.service in {*services, ALL}:
                self._register(metric)

    def _register(self, metric: Metric) -> None:
        name, text, labels = metric.name, metric.meaning, metric.labels
        if metric.kind == "counter":
            self._counters[name] = Counter(name, text, labels, registry=self._registry)
        elif metric.kind == "gauge":
            self._gauges[name] = Gauge(name, text, labels, registry=self._registry)
        else:
            self._histograms[name] = Histogram(
                name, text, labels, registry=self._registry, buckets=metric.buckets
            )

    def add(self, name: str, amount: int = 1, **labels: str) -> None:
        """Count up by 0 or more.

        Raises:
            UnknownMetricError: no counter of this process has the name.
        """
        counter = _found(self._counters, name)
        (counter.labels(**labels) if labels else counter).inc(amount)

    def begin(self, name: str, label: str, values: Iterable[str]) -> None:
        """A counter's series stand at 0 from now on, so that the first increase of each is seen as one."""
        for value in values:
            self.add(name, 0, **{label: value})

    def set(self, name: str, value: float, **labels: str) -> None:
        """Say how large a gauge is now. Raises UnknownMetricError."""
        gauge = _found(self._gauges, name)
        (gauge.labels(**labels) if labels else gauge).set(value)

    def observe(self, name: str, seconds: float) -> None:
        """Take one measurement into a histogram. Raises UnknownMetricError."""
        _found(self._histograms, name).observe(seconds)

    def forget(self, name: str, **labels: str) -> None:
        """A gauge of these labels is no longer told, as of a partition that was given up."""
        _found(self._gauges, name).remove_by_labels(labels)

    def collected(self) -> list[Collected]:
        """Every metric and its samples, as a scrape shows them."""
        return list(self._registry.collect())

    def exposition(self) -> bytes:
        """What a scrape gets: Prometheus' text format, `CONTENT_TYPE`."""
        return generate_latest(self._registry)


def _found(kept: Mapping[str, T], name: str) -> T:
    try:
        return kept[name]
    except KeyError:
        raise UnknownMetricError(f"{name!r}: not one of {', '.join(sorted(kept))}") from None
