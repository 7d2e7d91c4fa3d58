"""Adds to alerts what the ledger knows by then: the page never waits for it.

An alert whose details are there is published again under the same id.
"""

import json
import logging
from typing import Any

from psycopg.rows import dict_row

from budget_guard.adapters.session import GuardSession
from budget_guard.adapters.wire import instant, scope_of
from budget_guard.core.details import Crossing, Part, details
from pricing.totals import parse_sum
from rate_book.ledger_totals import LedgerTotals, Measured, RowsGoneError
from runtime.clock import Clock

_LOG = logging.getLogger(__name__)
_AT_ONCE = 20
_IDLE_S = 1.0
_ROWS_MAX = 200_000  # read to find one event; beyond, the range of sequences has to do
_US = 1_000_000

# A firing of the same budget and window tells a sequence at which the amount was not yet reached.
_DUE = """
select a.alert_id, a.body, c.contiguous_seq >= (a.body ->> 'last_seq')::bigint as passed,
       coalesce((a.body ->> 'first_seq')::bigint,
                (select max(f.fired_seq) from guard.firings f
                 where f.customer_id = a.customer_id and f.budget_id = a.body ->> 'budget_id'
                   and f.window_kind = a.body ->> 'window'
                   and f.period_start_us = (a.body ->> 'period_start_us')::bigint
                   and f.scope_key = (select g.scope_key from guard.firings g
                                      where g.alert_id = a.alert_id limit 1)
                   and f.threshold_amount < (a.body ->> 'threshold_amount')::numeric
                   and f.fired_seq < (a.body ->> 'last_seq')::bigint), 0) as first_seq
from guard.alerts a left join ledger.customers c using (customer_id)
where a.details is null and a.kind = 'threshold'
  and (c.contiguous_seq >= (a.body ->> 'last_seq')::bigint or a.raised_at < %s)
order by a.raised_at desc limit %s
"""


class DetailsWorker:
    """The work of one thread, a step at a time.

    Args:
        session: of this thread alone.
        ledger: of this thread alone.
        clock: says how old an alert is.
        wait_s: for how long the ledger is waited for.
    """

    def __init__(self, session: GuardSession, ledger: LedgerTotals, clock: Clock, *, wait_s: int) -> None:
        self._session = session
        self._ledger = ledger
        self._clock = clock
        self._wait_us = wait_s * _US

    def step(self) -> float:
        """Some alerts. Returns seconds after which to come again.

        Raises:
            InfrastructureError: nothing was lost; step again.
        """
        before_us = self._clock.now_us() - self._wait_us
        with self._session.transaction() as connection, connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(_DUE, (instant(before_us), _AT_ONCE)).fetchall()
        for row in rows:
            found = self._details(row) if row["passed"] else details(None, ())
            with self._session.transaction() as connection:
                connection.execute(
                    "update guard.alerts set details = %s::jsonb, published_at = null"
                    " where alert_id = %s and details is null",
                    (json.dumps(found), row["alert_id"]),
                )
        return 0.0 if len(rows) == _AT_ONCE else _IDLE_S

    def close(self) -> None:
        """Let the connections go."""
        self._ledger.close()
        self._session.close()

    def _details(self, row: dict[str, Any]) -> dict[str, Any]:
        body, first_seq = row["body"], int(row["first_seq"])
        measured = Measured(
            scope=scope_of(body["scope"]),
            window=body["window"],
            start_us=body["period_start_us"],
            end_us=body["period_end_us"],
            measure=body["measure"],
            currency=body["currency"],
        )
        customer_id, last_seq = body["customer_id"], body["last_seq"]
        crossing = None
        if last_seq - first_seq <= _ROWS_MAX:
            try:
                found = self._ledger.crossing(
                    customer_id, measured, parse_sum(body["threshold_amount"]), first_seq, last_seq
                )
            except RowsGoneError as error:
                _LOG.warning("alert %s: %s", body["alert_id"], error)
            else:
                if found is not None:
                    crossing = Crossing(found.source, found.event_id, found.customer_seq, found.event_time_us)
        parts = self._ledger.contributors(customer_id, measured)
        return details(
            crossing, [Part(part.dimension, part.value, part.amount_atto, part.share) for part in parts]
        )
