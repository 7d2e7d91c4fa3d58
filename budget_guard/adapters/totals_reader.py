"""totals.customers as the guard reads it: every customer's newest totals, as far as the sink has them."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.rows import dict_row

from budget_guard.adapters.session import GuardSession
from budget_guard.adapters.wire import entries_of
from budget_guard.core.firings import Totals

_COLUMNS = "customer_id, as_of_seq, as_of_us, watched, entries"


@dataclass(frozen=True, slots=True)
class Kept:
    """A customer's row. `watched` names the zone and scopes that the totals were made for."""

    totals: Totals
    watched: str


class TotalsReader:
    """Every method raises DatabaseUnavailableError where PostgreSQL is away."""

    def __init__(self, session: GuardSession) -> None:
        self._session = session

    def page(self, after: str, limit: int) -> list[Kept]:
        """The next customers by name."""
        return self._read(
            f"select {_COLUMNS} from totals.customers where customer_id > %s order by customer_id limit %s",  # noqa: S608 - constants
            (after, limit),
        )

    def of(self, customer_ids: Sequence[str]) -> dict[str, Kept]:
        """Those of these customers that have a row."""
        found = self._read(
            f"select {_COLUMNS} from totals.customers where customer_id = any(%s)",  # noqa: S608 - constants
            (list(customer_ids),),
        )
        return {kept.totals.customer_id: kept for kept in found}

    def heads(self, customer_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
        """The sequence, and what it was made for, of those that have a row."""
        with self._session.transaction() as connection:
            rows = connection.execute(
                "select customer_id, as_of_seq, watched from totals.customers where customer_id = any(%s)",
                (list(customer_ids),),
            ).fetchall()
        return {str(row[0]): (int(str(row[1])), str(row[2])) for row in rows}

    def close(self) -> None:
        """Let the connection go."""
        self._session.close()

    def _read(self, query: str, parameters: Sequence[object]) -> list[Kept]:
        with self._session.transaction() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return [
                Kept(
                    Totals(row["customer_id"], row["as_of_seq"], row["as_of_us"], entries_of(row["entries"])),
                    row["watched"],
                )
                for row in cursor.execute(query.encode(), parameters)
            ]
