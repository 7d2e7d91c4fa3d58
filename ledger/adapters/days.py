"""Old days taken out of the ledger's tables, whole: their rows stay in tables of their own, to be kept
elsewhere or dropped. As the owner of the tables: the service's own role cannot.
"""

from collections.abc import Iterator
from datetime import date

import psycopg
from psycopg import sql

from runtime.errors import InfrastructureError, UsageProblemError
from runtime.postgres import Connection

PARENTS = ("rated", "rejected")
_LOCK_TIMEOUT_MS = 60_000


def detach_before(connection: Connection, before: date) -> Iterator[str]:
    """Detach each day's partitions before a day, oldest first, and yield each table's name as it is done.

    Readers and writers go on: it waits for those that began before it. A day that another run left half
    detached is completed. The connection is in autocommit mode from here on.

    Raises:
        UsageProblemError: `before` is later than today, in UTC by PostgreSQL's clock: rows still come in.
        InfrastructureError: there are no tables, this login does not own them, or a transaction was in the
            way for a minute.
    """
    connection.set_autocommit(True)
    ((today,),) = connection.execute("select current_date").fetchall()
    if not isinstance(today, date) or before > today:
        raise UsageProblemError(f"--before {before}: must not be later than today, {today} in UTC")
    if connection.execute("select to_regnamespace('ledger')").fetchone() == (None,):
        raise InfrastructureError("the database has no schema ledger; `ratestream ledger migrate` makes it")
    connection.execute(sql.SQL("set lock_timeout = {}").format(sql.Literal(_LOCK_TIMEOUT_MS)))
    try:
        for parent, table, day, pending in _attached(connection, before):
            # What an interrupted run began is finished, not begun again.
            how = sql.SQL("finalize") if pending else sql.SQL("concurrently")
            connection.execute(
                "insert into ledger.detached (posted_day) values (%s) on conflict do nothing", (day,)
            )
            connection.execute(
                sql.SQL("alter table {} detach partition {} {}").format(
                    sql.Identifier("ledger", parent), sql.Identifier("ledger", table), how
                )
            )
            yield f"ledger.{table}"
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.LockNotAvailable) as error:
        raise InfrastructureError(f"detaching: {error.diag.message_primary}") from error


def _attached(connection: Connection, before: date) -> list[tuple[str, str, date, bool]]:
    found = connection.execute(
        "select parent.relname, child.relname, to_date(right(child.relname, 8), 'YYYYMMDD'), inhdetachpending"
        " from pg_inherits join pg_class parent on parent.oid = inhparent"
        " join pg_class child on child.oid = inhrelid"
        " where parent.relnamespace = 'ledger'::regnamespace and parent.relname = any(%s)"
        " and parent.relkind = 'p' order by 3, 1",
        (list(PARENTS),),
    ).fetchall()
    return [
        (str(parent), str(table), day, bool(pending))
        for parent, table, day, pending in found
        if isinstance(day, date) and day < before
    ]
