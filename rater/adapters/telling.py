"""What the rater tells of itself: counted once a transaction, never once an event."""

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rate_book.source import Confirmed
from rater.core.work import BatchResult, Head
from runtime.clock import Clock
from runtime.monitoring import Monitoring
from schemas.reasons import REASONS

_LOG = logging.getLogger("rater.service")
_REPORT_S = 10.0
_US = 1_000_000


@dataclass(slots=True)
class Counters:
    """Since the start of the process."""

    rated: int = 0
    corrected: int = 0
    rejected: int = 0
    duplicates: int = 0
    transactions: int = 0
    aborted: int = 0


class Telling:
    """The rater's counters, metrics and progress, and a line of log now and then.

    Args:
        monitoring: where to.
        inputs: usage.events and usage.corrections, as they are named on the broker.
        clock: of the process.
    """

    def __init__(self, monitoring: Monitoring, inputs: tuple[str, str], clock: Clock) -> None:
        self._metrics = monitoring.metrics
        self._inputs = inputs
        self._clock = clock
        self._report_due_s = clock.monotonic_s() + _REPORT_S
        self._waiting_due_s = 0.0
        self.progress = monitoring.progress
        self.counters = Counters()
        begin = self._metrics.begin
        begin("ratestream_rater_events_total", "outcome", ("rated", "rejected", "duplicate"))
        begin("ratestream_rater_corrections_total", "outcome", ("applied", "rejected", "repeated"))
        begin("ratestream_rater_rejected_total", "reason", REASONS)
        begin("ratestream_rater_unpriced_events_total", "side", ("cost", "price"))

    def round(self, confirmed: Confirmed, *, assigned: bool) -> None:
        """The loop goes on, with this rate book; `assigned`: the group has answered."""
        self.progress.turned(assigned=assigned)
        self._metrics.set("ratestream_rater_book_version", confirmed.book.version)
        self._metrics.set("ratestream_rater_book_horizon_timestamp_seconds", confirmed.horizon_us / _US)
        now_s = self._clock.monotonic_s()
        if now_s >= self._report_due_s:
            self._report_due_s = now_s + _REPORT_S
            _LOG.info("%s", self.counters)

    def stands(self, heads: Mapping[int, Head]) -> None:
        """The partitions owned go on behind these heads."""
        events, corrections = self._inputs
        self.progress.stands(
            {(events, partition): head.events_next for partition, head in heads.items()}
            | {(corrections, partition): head.corrections_next for partition, head in heads.items()}
        )

    def waiting(self, partitions: Collection[int], confirmed: Confirmed, heads: Mapping[int, Head]) -> None:
        """These partitions wait for the rate book: said now and then, because a rater that waits in silence
        looks like one that hangs; and known to the watchdog, because no restart helps.
        """
        self._metrics.set("ratestream_rater_waiting_partitions", len(partitions))
        self.progress.excuse(dict.fromkeys(partitions, "waits for the rate book to be confirmed"))
        now_s = self._clock.monotonic_s()
        if partitions and now_s >= self._waiting_due_s:
            self._waiting_due_s = now_s + _REPORT_S
            _LOG.warning(
                "partitions %s wait for the rate book: version %d is confirmed up to event time %d us, "
                "their heads were written with versions up to %d",
                ", ".join(map(str, sorted(partitions))),
                confirmed.book.version,
                confirmed.horizon_us,
                max(heads[partition].book_version for partition in partitions),
            )

    def aborted(self) -> None:
        """A transaction was aborted."""
        self.counters.aborted += 1
        self._metrics.add("ratestream_rater_aborted_total")

    def committed(self, results: Iterable[BatchResult], took_s: float) -> None:
        """A transaction with these frames was committed, so long after it began."""
        self._metrics.observe("ratestream_rater_transaction_seconds", took_s)
        self._count(tuple(results))

    def _count(self, results: Sequence[BatchResult]) -> None:
        """A metric takes microseconds: each is told once for all partitions."""
        counters, add = self.counters, self._metrics.add
        rated = sum(it.events_rated for it in results)
        duplicates = sum(len(it.duplicates) for it in results)
        applied = sum(it.corrections_applied for it in results)
        counters.rated += rated
        counters.corrected += applied
        counters.rejected += sum(len(it.rejected) for it in results)
        counters.duplicates += duplicates
        counters.transactions += len(results)
        add("ratestream_rater_frames_total", len(results))
        name = "ratestream_rater_events_total"
        add(name, rated, outcome="rated")
        add(name, sum(it.events_rejected for it in results), outcome="rejected")
        add(name, duplicates, outcome="duplicate")
        name = "ratestream_rater_corrections_total"
        add(name, applied, outcome="applied")
        add(name, sum(it.corrections_rejected for it in results), outcome="rejected")
        add(name, sum(it.corrections_repeated for it in results), outcome="repeated")
        for reason, times in sum((it.reasons for it in results), Counter[str]()).items():
            add("ratestream_rater_rejected_total", times, reason=reason)
        unpriced = [_unpriced(it) for it in results]
        for side in ("cost", "price"):
            events = sum(max(of[side], 0) for of in unpriced)
            add("ratestream_rater_unpriced_events_total", events, side=side)


def _unpriced(result: BatchResult) -> Counter[str]:
    found: Counter[str] = Counter(cost=0, price=0)
    for customer in result.customers.values():
        for row in customer.rows.values():
            found["cost"] += row.unpriced_cost_events
            found["price"] += row.unpriced_price_events
    return found
