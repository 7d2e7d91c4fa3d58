"""Each login of a secure stack does in PostgreSQL what is declared for it, and everything else is refused."""

from collections.abc import Iterator, Mapping

import psycopg
import pytest
from psycopg import sql

from tests.fix_secure import SecureStack
from tests.integration.secure_tables import TABLES

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(900)]

SCHEMAS = ["guard", "ledger", "rate_book", "ratestream", "totals"]
REFUSED = "42501"  # insufficient privilege
# What nobody could do: write to a view, truncate one, give a value to a column that is always generated.
NOT_FOR_ANYBODY = {"55000", "42809", "428C9"}

Columns = Mapping[str, list[str]]


@pytest.fixture(scope="module")
def columns(secure_stack: SecureStack) -> Columns:
    """Every table and view with its columns, a day's partitions among them."""
    with psycopg.connect(secure_stack.dsn("admin")) as owner:
        owner.execute("select ledger.make_day('2026-01-02')")
        found = owner.execute(
            "select n.nspname || '.' || c.relname, array_agg(a.attname::text order by a.attnum)"
            " from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
            " where n.nspname = any(%s) and c.relkind in ('r', 'p', 'v', 'm') group by 1",
            (SCHEMAS,),
        ).fetchall()
    return dict(found)


def tried(connection: psycopg.Connection[tuple[object, ...]], statement: sql.Composed) -> bool:
    """Whether the server lets this login do it; what it did is taken back."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement)
    except psycopg.Error as error:
        return error.sqlstate != REFUSED and error.sqlstate not in NOT_FOR_ANYBODY
    return True


def attempts(table: str, columns: list[str]) -> Iterator[tuple[str, str, sql.Composed]]:
    """Each statement that a login could give about a table: its kind, the column, and the text."""
    name = sql.Identifier(*table.split("."))
    yield "select", "", sql.SQL("select 1 from {} limit 0").format(name)
    yield "delete", "", sql.SQL("delete from {} where false").format(name)
    yield "truncate", "", sql.SQL("truncate {}").format(name)
    yield "lock", "", sql.SQL("lock table {} in access exclusive mode").format(name)
    for column in columns:
        each = sql.Identifier(column)
        yield "update", column, sql.SQL("update {} set {} = default where false").format(name, each)
        yield "insert", column, sql.SQL("insert into {} ({}) select null where false").format(name, each)


@pytest.mark.parametrize("login", sorted(TABLES))
def test_a_login_does_what_is_declared_and_nothing_else(
    secure_stack: SecureStack, columns: Columns, login: str
) -> None:
    declared = {
        (kind, table.partition(":")[0], column)
        for kind, tables in TABLES[login].items()
        for table in tables
        for column in (
            (table.partition(":")[2].split(",") if ":" in table else columns[table])
            if kind in {"insert", "update"}
            else [""]
        )
    }
    # Whoever may delete or update a table may lock it.
    declared |= {
        ("lock", table, "")
        for kind in ("update", "delete")
        for table in TABLES[login].get(kind, ())
        if ":" not in table
    }
    # A column that the server makes itself takes no value from anybody.
    made = {("totals.drift", "id"), ("guard.attempts", "id"), ("ledger.queries", "day_us")}
    declared -= {("insert", *column) for column in made}
    allowed = set()
    with psycopg.connect(secure_stack.dsn(login)) as connection:
        for table, its_columns in columns.items():
            for kind, column, statement in attempts(table, its_columns):
                if tried(connection, statement):
                    allowed.add((kind, table, column))
    assert allowed - declared == set(), "allowed, and not declared"
    assert declared - allowed == set(), "declared, and refused"


@pytest.mark.parametrize("login", sorted(TABLES))
def test_a_login_makes_nothing_and_becomes_nobody_else(secure_stack: SecureStack, login: str) -> None:
    with psycopg.connect(secure_stack.dsn(login)) as connection:
        statements = [
            "create schema own",
            "create table public.own (id integer)",
            "create table ledger.own (id integer)",
            *(["create temporary table own (id integer)"] if login != "ledger" else []),  # its batches
            "create role own",
            "alter role admin password 'own'",
            "set role admin",
            "set role ratestream",
            "set session_replication_role = replica",
            "alter table ledger.rated disable trigger all",
            "copy (select 1) to program 'true'",
            "select pg_read_file('postgresql.conf')",
            *(f"set role {other}" for other in TABLES if other != login),
        ]
        assert [text for text in statements if tried(connection, sql.Composed([sql.SQL(text)]))] == []
    for database in ("postgres", "template1"):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(secure_stack.dsn(login).replace("/ratestream?", f"/{database}?"))


def test_there_is_no_way_to_postgresql_without_tls_and_its_own_name(secure_stack: SecureStack) -> None:
    dsn = secure_stack.dsn("finance")
    with psycopg.connect(dsn) as connection:
        assert connection.pgconn.ssl_in_use
    for change, reason in (
        ({"sslmode": "disable"}, "connections without TLS are refused"),
        ({"host": "elsewhere.example", "hostaddr": "127.0.0.1"}, "does not match host name"),
        ({"sslrootcert": "system"}, "certificate verify failed"),
        ({"password": "guess"}, "password authentication failed"),
        ({"user": "ratestream"}, "password authentication failed"),
    ):
        with pytest.raises(psycopg.OperationalError, match=reason):
            psycopg.connect(dsn, **change)  # type: ignore[arg-type]  # keywords of libpq
