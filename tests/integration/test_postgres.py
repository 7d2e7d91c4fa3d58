"""Connections and migrations against a real PostgreSQL."""

import select
from dataclasses import replace

import psycopg
import pytest

from runtime.postgres import (
    Connection,
    DatabaseUnavailableError,
    Migration,
    MigrationRefusedError,
    connect,
    is_infrastructure,
    migrate,
    run,
    shipped_migrations,
)
from tests.fix_postgres import PostgresFixture

pytestmark = pytest.mark.postgres

NOWHERE = "host=127.0.0.1 port=1 user=u password=hidden dbname=d"


def test_migrations_run_once_and_are_recorded(postgres: PostgresFixture) -> None:
    with connect(postgres.dsn) as connection:
        names = [migration.name for migration in shipped_migrations()]
        assert migrate(connection) == names
        assert migrate(connection) == []
        rows = connection.execute("select name, sha256 from ratestream.migrations order by number").fetchall()
        assert rows == [(migration.name, migration.sha256) for migration in shipped_migrations()]


def test_edited_and_unknown_history_is_refused(postgres: PostgresFixture) -> None:
    one = Migration(1, "0001_one.sql", "create table one (x integer)")
    two = Migration(2, "0002_two.sql", "create table two (x integer)")
    with connect(postgres.dsn) as connection:
        assert migrate(connection, [one]) == [one.name]
        with pytest.raises(MigrationRefusedError, match=r"0001_one.sql: sha256 .* never edited"):
            migrate(connection, [replace(one, sql="create table other (x integer)"), two])
        assert migrate(connection, [one, two]) == [two.name]
        with pytest.raises(MigrationRefusedError, match=r"0002_two.sql: applied to the database, unknown"):
            migrate(connection, [one])


def test_a_migration_that_fails_leaves_nothing(postgres: PostgresFixture) -> None:
    good = Migration(1, "0001_one.sql", "create table one (x integer)")
    bad = Migration(2, "0002_two.sql", "create table one (x integer)")
    with connect(postgres.dsn) as connection:
        with pytest.raises(psycopg.errors.DuplicateTable):
            migrate(connection, [good, bad])
        assert connection.execute("select to_regclass('one')").fetchone() == (None,)


def test_a_migration_does_not_wait_behind_a_long_reader(postgres: PostgresFixture) -> None:
    one = Migration(1, "0001_one.sql", "create table one (x integer)")
    two = Migration(2, "0002_two.sql", "alter table one add column y integer")
    with connect(postgres.dsn) as connection, connect(postgres.dsn) as reader:
        migrate(connection, [one])
        reader.execute("select * from one")
        with pytest.raises(DatabaseUnavailableError, match="nothing was changed: run it again"):
            migrate(connection, [one, two])
        reader.rollback()
        assert migrate(connection, [one, two]) == [two.name]


def test_a_migration_may_take_longer_than_a_statement(postgres: PostgresFixture) -> None:
    slow = Migration(1, "0001_slow.sql", "select pg_sleep(0.5)")
    with connect(postgres.dsn, statement_timeout_ms=200) as connection:
        assert migrate(connection, [slow]) == [slow.name]
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("select pg_sleep(0.5)")


def test_a_session_is_utc_and_takes_no_float(postgres: PostgresFixture) -> None:
    with connect(postgres.dsn) as connection:
        assert connection.execute("show timezone").fetchone() == ("UTC",)
        with pytest.raises(TypeError, match="a float is not exact"):
            connection.execute("select %s", (0.1,))


def test_no_database_is_an_infrastructure_error_that_hides_the_password() -> None:
    with pytest.raises(DatabaseUnavailableError) as caught:
        connect(NOWHERE)
    assert "127.0.0.1:1/d" in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert caught.value.exit_code == 3
    assert is_infrastructure(caught.value)


@pytest.mark.parametrize(
    ("setting", "value", "statement"),
    [
        ("idle_in_transaction_session_timeout", "50", "select 1"),
        ("transaction_read_only", "on", "create table t ()"),
    ],
)
def test_a_session_ended_while_the_process_stood_still_and_a_standby_are_met_again(
    postgres: PostgresFixture, setting: str, value: str, statement: str
) -> None:
    connection = connect(postgres.dsn)
    connection.execute("select set_config(%s, %s, false)", (setting, value))
    if setting.startswith("idle"):
        select.select([connection.fileno()], [], [], 10)  # until the server has said good-bye
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(statement.encode())
    connection.close()
    assert is_infrastructure(caught.value)
    assert not is_infrastructure(psycopg.errors.InternalError_("a bug"))


def test_tries_end_with_the_budget() -> None:
    """0.1 + 0.2 + 0.4 + 0.8 s of pauses fit into 3 s, another 1.6 s do not."""
    clock = [0.0]
    pauses: list[float] = []

    def sleep(pause_s: float) -> None:
        pauses.append(pause_s)
        clock[0] += pause_s

    with pytest.raises(DatabaseUnavailableError, match="not usable within 3 s"):
        run(NOWHERE, lambda connection: None, budget_s=3, monotonic=lambda: clock[0], sleep=sleep)
    assert pauses == [0.1, 0.2, 0.4, 0.8]


def test_work_is_done_again_when_its_connection_is_cut(postgres: PostgresFixture) -> None:
    attempts: list[int] = []

    def work(connection: Connection) -> int:
        attempts.append(1)
        if len(attempts) == 1:
            pid = connection.info.backend_pid
            with postgres.connect() as other:
                other.execute("select pg_terminate_backend(%s)", (pid,))
        connection.execute("create table if not exists done (x integer)")
        return 7

    assert run(postgres.dsn, work) == 7
    assert len(attempts) == 2
    with postgres.connect() as connection:
        assert connection.execute("select to_regclass('done') is not null").fetchone() == (True,)


def test_an_error_of_the_work_itself_is_not_tried_again(postgres: PostgresFixture) -> None:
    attempts: list[int] = []

    def work(connection: Connection) -> None:
        attempts.append(1)
        connection.execute("select nonsense")

    with pytest.raises(psycopg.errors.UndefinedColumn):
        run(postgres.dsn, work)
    assert attempts == [1]
