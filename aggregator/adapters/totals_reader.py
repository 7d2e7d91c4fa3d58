"""What PostgreSQL has of a customer's totals, and how far the ledger is beside them, in one look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from aggregator.adapters.totals_sink import NoTotalsTableError
from runtime.postgres import Connection, run

_NO_TABLE = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.InvalidParameterValue,
)
_LOOK = """
select t.as_of_seq, t.as_of_us, t.zone, t.watched, t.entries,
    (extract(epoch from clock_timestamp() - t.updated_at) * 1000)::bigint,
    l.contiguous_seq, l.last_seq, r.reason
from (select %s::text as customer_id) as c
left join totals.customers t using (customer_id)
left join ledger.customers l using (customer_id)
left join totals.repairs r using (customer_id)
"""


@dataclass(frozen=True, slots=True)
class Held:
    """A value of usage.totals as it is stored; `entries` are TotalsEntry."""

    as_of_seq: int
    as_of_us: int
    zone: str
    watched: str
    entries: Sequence[Mapping[str, Any]]
    written_ms_ago: int


@dataclass(frozen=True, slots=True)
class Look:
    """`held` is None where there are no totals, `ledger_seq` and `ledger_last_seq` where the ledger does not
    know the customer; `repair` is why somebody asked for the totals to be built anew, until that begins.
    """

    held: Held | None
    ledger_seq: int | None
    ledger_last_seq: int | None
    repair: str | None


def look(dsn: str, customer_id: str, role: str = "ratestream_ledger_reader") -> Look:
    """Look once.

    Raises:
        DatabaseUnavailableError: PostgreSQL is away.
        NoTotalsTableError: there is no table of totals, or no right to read it.
    """

    def work(connection: Connection) -> Any:
        if role:
            connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
        return connection.execute(_LOOK, (customer_id,)).fetchone()

    try:
        row = run(dsn, work, application_name="ratestream-totals-look")
    except _NO_TABLE as error:
        raise NoTotalsTableError(
            f"totals.customers: {error.diag.message_primary}; `ratestream ledger migrate` makes it"
        ) from error
    return Look(None if row[0] is None else Held(*row[:6]), *row[6:])
