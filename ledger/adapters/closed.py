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


def closed_until(connection: Connection, customer_ids: Sequence[str]) -> dict[str, Closed]:  # noqa: ARG001
    """The customers, among these, that have a closed period.

    Asked in the transaction that writes their rows, which holds their rows of ledger.customers: a close that
    takes the same locks is seen here, or waits until these rows are there. Nothing is closed yet: statements
    come with their own table.
    """
    return {}
