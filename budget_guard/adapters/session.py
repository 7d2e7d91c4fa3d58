"""One connection to PostgreSQL as the guard's role: made when needed, and again after it broke."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg import sql

from runtime.errors import InfrastructureError
from runtime.postgres import Connection, DatabaseUnavailableError, connect, is_infrastructure

_NOT_THERE = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.InvalidParameterValue,
)
_IDLE_S = 5  # a process that stands still inside a transaction holds up its successor no longer


class NotMigratedError(InfrastructureError):
    """The database has no tables of this build's guard, or this login may not use them."""


class GuardSession:
    """Not for several threads. Transactions raise DatabaseUnavailableError where a later try may succeed.

    A process that stands still inside a transaction for more than `idle_s` loses it.
    """

    def __init__(self, dsn: str, role: str, application_name: str, *, idle_s: int = _IDLE_S) -> None:
        self._dsn = dsn
        self._role = role
        self._application_name = application_name
        self._idle_s = idle_s
        self._connection: Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction: committed at the end of the body, undone by any exception.

        Raises:
            DatabaseUnavailableError: PostgreSQL is away, or ended the session.
            NotMigratedError: the tables are not there or may not be used.
        """
        try:
            connection = self._opened()
            with connection.transaction():
                yield connection
        except _NOT_THERE as error:
            self.close()
            raise NotMigratedError(
                f"the guard's tables cannot be used: {error.diag.message_primary}; "
                "`ratestream ledger migrate` makes what is missing"
            ) from error
        except psycopg.Error as error:
            self.close()
            if isinstance(error, psycopg.errors.QueryCanceled) or is_infrastructure(error):
                raise DatabaseUnavailableError(f"postgres: {str(error).strip()}") from error
            raise

    def close(self) -> None:
        """Drop the connection: what was open on it is undone."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def _opened(self) -> Connection:
        connection = self._connection
        if connection is None or connection.closed:
            connection = connect(self._dsn, application_name=self._application_name)
            self._connection = connection
            if self._role:
                connection.execute(sql.SQL("set role {}").format(sql.Identifier(self._role)))
            connection.execute(f"set idle_in_transaction_session_timeout = '{self._idle_s}s'".encode())
            connection.commit()
        return connection
