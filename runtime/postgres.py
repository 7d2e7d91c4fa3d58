"""PostgreSQL: connections with sane options, bounded retries, and the migrations of every part.

Conventions: money and quantities are `numeric(38,18)` and reach Python as `Decimal`, never as float (a float
parameter is refused); instants are `timestamptz` in a session that is always UTC, or `bigint` microseconds
named `*_us`.
"""

import hashlib
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import TypeVar

import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from runtime.errors import InfrastructureError

log = logging.getLogger(__name__)

T = TypeVar("T")
Connection = psycopg.Connection[tuple[object, ...]]

MIGRATIONS_LOCK = (
    0x7261_7465_0001  # "rate": one advisory lock number a purpose, named here so that none collides
)
RATE_BOOK_LOCK = 0x7261_7465_0002
BUDGETS_LOCK = 0x7261_7465_0003

# Errors that a later try may not meet: connection (08), resources (53), intervention (57P), serialisation
# and deadlock (40), a session that was ended because this process had stood still (25P03, 25P04), a server
# that is not the primary now (25006). An error without a code comes from the client's side: refused, reset,
# timed out.
_INFRASTRUCTURE_SQLSTATES = ("08", "53", "57P", "40001", "40P01", "55P03", "25P03", "25P04", "25006")

# Whoever wants a table waits behind a migration that waits for it: for each table no longer than this.
_MIGRATION_LOCK_TIMEOUT_MS = 5_000

_MIGRATION_NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")


class DatabaseError(InfrastructureError):
    """Base of the errors of this module (exit code 3)."""


class DatabaseUnavailableError(DatabaseError):
    """PostgreSQL did not answer within the budget. Try again when it is back."""


class MigrationRefusedError(DatabaseError):
    """The migrations of this build and those that the database has seen contradict each other. Stop."""


class _RefuseFloat(Dumper):
    """No float reaches the database: a binary fraction is never an amount, a quantity or a rate."""

    def dump(self, obj: object) -> Buffer:
        raise TypeError(f"PostgreSQL parameter {obj!r}: a float is not exact; pass Decimal, int or text")


def connect(
    dsn: str,
    *,
    application_name: str = "ratestream",
    connect_timeout_s: int = 5,
    statement_timeout_ms: int = 60_000,
) -> Connection:
    """Open one connection, UTC, without autocommit. Raises DatabaseUnavailableError; never shows the
    password.
    """
    conninfo = make_conninfo(
        dsn,
        application_name=application_name,
        connect_timeout=connect_timeout_s,
        keepalives=1,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=10_000,  # ms: keepalives do not watch over data that was sent and not acknowledged
        options=f"-c TimeZone=UTC -c statement_timeout={statement_timeout_ms}"
        " -c idle_in_transaction_session_timeout=120000",
    )
    try:
        connection = psycopg.connect(conninfo)
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(f"postgres.dsn: cannot connect to {where(dsn)}: {error}") from error
    # Each statement sees what was committed before it: a lock that was waited for is worth its wait only so.
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    connection.adapters.register_dumper(float, _RefuseFloat)
    return connection


def where(dsn: str) -> str:
    """Host, port and database of a DSN for messages, without user and password."""
    parts = conninfo_to_dict(dsn)
    return f"{parts.get('host', 'localhost')}:{parts.get('port', '5432')}/{parts.get('dbname', '')}"


def is_infrastructure(error: BaseException) -> bool:
    """Whether a later try of the same work may succeed although nothing about the work changes."""
    if isinstance(error, DatabaseUnavailableError):
        return True
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | psycopg.InternalError):
        return False
    if error.sqlstate is None:
        return not isinstance(error, psycopg.InternalError)
    return error.sqlstate.startswith(_INFRASTRUCTURE_SQLSTATES)


def run(
    dsn: str,
    work: Callable[[Connection], T],
    *,
    budget_s: int = 15,
    application_name: str = "ratestream",
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Do `work` in one transaction on its own connection; on infrastructure errors again, within `budget_s`.

    The work may be done twice where the connection breaks during its commit, so it must be idempotent.

    Raises:
        DatabaseUnavailableError: the budget is spent.
    """
    deadline_s = monotonic() + budget_s
    pause_s = 0.1
    while True:
        try:
            with connect(dsn, application_name=application_name) as connection:
                return work(connection)
        except (DatabaseUnavailableError, psycopg.Error) as error:
            if not is_infrastructure(error):
                raise
            if monotonic() + pause_s >= deadline_s:
                raise DatabaseUnavailableError(
                    f"postgres: {where(dsn)} not usable within {budget_s} s: {str(error).strip()}"
                ) from error
            log.warning("PostgreSQL at %s: %s; again in %.1f s", where(dsn), str(error).strip(), pause_s)
            sleep(pause_s)
            pause_s = min(pause_s * 2, 2.0)


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of `runtime/migrations`: a number that orders it, and text that never changes once applied."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def shipped_migrations() -> list[Migration]:
    """The migrations of this build in order. Raises MigrationRefusedError where their numbers are not 1, 2,
    3.
    """
    found = []
    for entry in resources.files("runtime").joinpath("migrations").iterdir():
        if not entry.name.endswith(".sql"):
            continue
        match = _MIGRATION_NAME.match(entry.name)
        if match is None:
            raise MigrationRefusedError(f"migration {entry.name}: the name must be NNNN_words.sql")
        found.append(Migration(int(match[1]), entry.name, entry.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.number)
    for expected, migration in enumerate(found, start=1):
        if migration.number != expected:
            raise MigrationRefusedError(
                f"migration {migration.name}: number {migration.number}, expected {expected}"
            )
    return found


def migrate(connection: Connection, migrations: list[Migration] | None = None) -> list[str]:
    """Apply what is pending and return its names; all or nothing, one process at a time.

    Commits. The connection must not be inside a transaction.

    Raises:
        MigrationRefusedError: a migration that the database has seen was edited, or this build does not know
            it, or the login may not make what a migration makes.
        DatabaseUnavailableError: another transaction kept a table that a migration changes for 5 s.
    """
    try:
        return _migrate(connection, shipped_migrations() if migrations is None else migrations)
    except psycopg.errors.LockNotAvailable as error:
        raise DatabaseUnavailableError(
            f"migrations: {_MIGRATION_LOCK_TIMEOUT_MS // 1_000} s in the way of a long transaction"
            f" ({error.diag.message_primary}); nothing was changed: run it again when that has ended"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise MigrationRefusedError(
            f"migrations: {error.diag.message_primary}; they are applied by the login that owns the tables"
        ) from error


def migrate_if_ours(connection: Connection) -> list[str]:
    """The same by a login that may look into the schema of migrations; by another one nothing.

    Operators who apply rate books and budgets need not own the tables: whoever does has migrated then.
    """
    may = connection.execute(
        "select coalesce(has_schema_privilege(to_regnamespace('ratestream')::oid, 'usage'), true)"
    ).fetchone()
    connection.rollback()
    return migrate(connection) if may == (True,) else []


def _migrate(connection: Connection, shipped: list[Migration]) -> list[str]:
    with connection.transaction():
        try:
            connection.execute("select pg_advisory_xact_lock(%s)", (MIGRATIONS_LOCK,))
        except psycopg.errors.QueryCanceled as error:
            raise DatabaseUnavailableError(
                "migrations: another process is applying them; run it again when that has ended"
            ) from error
        seen = _seen_migrations(connection)
        _check_history(shipped, seen)
        pending = [migration for migration in shipped if migration.number not in seen]
        connection.execute(f"set local lock_timeout = {_MIGRATION_LOCK_TIMEOUT_MS}".encode())
        connection.execute("set local statement_timeout = 0")  # a key over years of rows takes its time
        for migration in pending:
            connection.execute(migration.sql.encode())
            connection.execute(
                "insert into ratestream.migrations (number, name, sha256) values (%s, %s, %s)",
                (migration.number, migration.name, migration.sha256),
            )
    return [migration.name for migration in pending]


def _seen_migrations(connection: Connection) -> dict[int, tuple[str, str]]:
    exists = connection.execute("select to_regclass('ratestream.migrations') is not null").fetchone()
    if exists == (True,):
        rows = connection.execute("select number, name, sha256 from ratestream.migrations").fetchall()
        return {int(str(number)): (str(name), str(sha256)) for number, name, sha256 in rows}
    connection.execute("create schema if not exists ratestream")
    connection.execute(
        "create table ratestream.migrations (number integer primary key, name text not null,"
        " sha256 text not null, applied_at timestamptz not null default clock_timestamp())"
    )
    return {}


def _check_history(shipped: list[Migration], seen: dict[int, tuple[str, str]]) -> None:
    known = {migration.number: migration for migration in shipped}
    for number, (name, sha256) in sorted(seen.items()):
        migration = known.get(number)
        if migration is None:
            raise MigrationRefusedError(
                f"migration {name}: applied to the database, unknown to this build; deploy a newer one"
            )
        if migration.sha256 != sha256:
            raise MigrationRefusedError(
                f"migration {migration.name}: sha256 {migration.sha256}, the database applied {sha256};"
                " applied history is never edited, add a new migration instead"
            )
