"""Which billing periods of a customer are closed, as the sink asks before it posts a row."""

from collections.abc import Sequence
from typing import NamedTuple

from runtime.postgres import Connection


class Closed(NamedTuple):
    """A customer's last closed period ended at `until_us`, where the open one begins; that ends at
    `open_end_us`, by the calendar. Microseconds UTC.
    """

    until_us: int
    open_end_us: int


def closed_until(connection: Connection, customer_ids: Sequence[str]) -> dict[str, Closed]:
    """The customers, among these, that have a closed period.

    Asked in the transaction that writes their rows, which holds their rows of ledger.customers: a close that
    takes the same locks is seen here, or waits until these rows are there.
    """
    rows = connection.execute(
        "select distinct on (customer_id) customer_id, period_end_us, next_end_us from ledger.statements"
        " where customer_id = any(%s) order by customer_id, number desc",
        (list(customer_ids),),
    ).fetchall()
    return {
        str(customer_id): Closed(int(str(until_us)), int(str(end_us)))
        for customer_id, until_us, end_us in rows
    }
