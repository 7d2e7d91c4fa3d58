"""The reconciler inside a guard: a round each so many seconds, counted; and one on demand."""

import logging
from collections.abc import Callable

from budget_guard.adapters.alert_store import NotOwnerError
from budget_guard.adapters.reconciler import Reconciler, Report, Sources
from rate_book.errors import NoBookError
from rate_book.ledger_totals import LedgerMissingError
from runtime.clock import Clock
from runtime.metrics import Metrics

_LOG = logging.getLogger(__name__)
_US = 1_000_000


class Reconciling:
    """The work of one thread, a step at a time."""

    def __init__(
        self,
        reconciler: Reconciler,
        sources: Sources,
        clock: Clock,
        metrics: Metrics,
        *,
        every_s: float,
        wake: Callable[[], None],
    ) -> None:
        self._reconciler = reconciler
        self._sources = sources
        self._clock = clock
        self._metrics = metrics
        self._every_s = every_s
        self._wake = wake

    def step(self) -> float:
        """One round. Returns seconds until the next.

        Raises:
            DatabaseUnavailableError: nothing was lost; step again.
        """
        try:
            report = self._reconciler.round()
        except NotOwnerError as error:
            _LOG.warning("the round ends: %s", error)
            return self._every_s
        except (LedgerMissingError, NoBookError) as error:
            _LOG.warning("nothing to compare with yet: %s", error)
            return self._every_s
        self._tell(report)
        return self._every_s

    def close(self) -> None:
        """Let the connections go."""
        self._sources.close()

    def _tell(self, report: Report) -> None:
        add = self._metrics.add
        add("ratestream_guard_late_alerts_total", len(report.late))
        add("ratestream_guard_drift_total", len(report.drift) + len(report.stale))
        self._metrics.set("ratestream_guard_reconciled_timestamp_seconds", self._clock.now_us() / _US)
        if report.late or report.deliveries:
            self._wake()
        if report.looked_at:
            _LOG.info(
                "reconciled: %d of %d customers looked at, %d late alerts, %d of other totals, %d stale",
                report.looked_at,
                report.customers,
                len(report.late),
                len(report.drift),
                len(report.stale),
            )
