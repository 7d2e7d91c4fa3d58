"""A closed statement is never altered, and closes and the ledger's transactions take turns."""

import threading

import psycopg
import pytest

from ledger.adapters.statement_store import Answer, ContradictionError, close
from runtime.postgres import connect
from tests.fix_postgres import PostgresFixture
from tests.fix_rater import wait_for
from tests.statement_world import AUGUST, JO, SEPTEMBER, WRITER, Holding, World, make_world

pytestmark = pytest.mark.postgres


@pytest.fixture
def world(postgres: PostgresFixture) -> World:
    return make_world(postgres.dsn)


def test_a_statement_is_never_altered(world: World) -> None:
    world.close()
    for command in (
        "update ledger.statements set author = 'x'",
        "delete from ledger.statements",
        "truncate ledger.statements",
        "set session_replication_role = replica; delete from ledger.statements",
    ):
        with (
            connect(world.dsn) as connection,
            pytest.raises(psycopg.errors.RestrictViolation, match="append-only"),
        ):
            connection.execute(command.encode())
    for change, words in (("number + 2", "does not follow"), ("number + 1", "begins before")):
        with connect(world.dsn) as connection, pytest.raises(psycopg.errors.RestrictViolation, match=words):
            connection.execute(
                "insert into ledger.statements select customer_id, "  # noqa: S608 - constants of the test
                f"{change}, currency, period_start_us + 1, period_end_us, next_end_us, total, through_seq,"
                " content, content_sha256, early, author, reason, closed_at from ledger.statements".encode()
            )
    with connect(world.dsn) as connection:
        connection.execute("set role ratestream_ledger_reader")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("insert into ledger.statements select * from ledger.statements")


def test_a_content_that_does_not_have_its_hash_is_not_shown(world: World) -> None:
    """Whoever owns the table can take its triggers and checks away; the hash still tells."""
    world.close()
    with connect(world.dsn) as connection:
        connection.execute("alter table ledger.statements disable trigger all")
        connection.execute("alter table ledger.statements drop constraint statements_check2")
        connection.execute("update ledger.statements set content = replace(content, 'jo', 'al')")
    with pytest.raises(ContradictionError, match="does not have the sha256"):
        world.show()


def test_two_concurrent_closes_make_one_statement(world: World) -> None:
    world.write(world.usage("3", "2026-08-05T00:00:00Z"))
    barrier, answers = threading.Barrier(2), []

    def work() -> None:
        def both(_: object) -> None:
            barrier.wait(30)

        answers.append(close(world.dsn, AUGUST, JO, behind=both, role=WRITER))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(answer.new for answer in answers) == [False, True]
    assert answers[0].statements == answers[1].statements
    with connect(world.dsn) as connection:
        assert connection.execute("select count(*) from ledger.statements").fetchone() == (1,)


def test_a_close_waits_for_the_ledgers_transaction_and_has_its_rows(world: World) -> None:
    """The ledger holds the customer's row, 1 USD copied and not committed: the close has it. 3 + 1 - 0.5."""
    world.write(world.usage("3", "2026-08-05T00:00:00Z"))
    holding = Holding("before_pg_commit")
    store, batch = world.store(holding), world.batch([world.usage("1", "2026-08-06T00:00:00Z")])
    writer = threading.Thread(target=lambda: store.write(batch))
    writer.start()
    assert holding.reached.wait(30)
    answers: list[Answer] = []
    closer = threading.Thread(target=lambda: answers.append(world.close()))
    closer.start()
    wait_for(lambda: waiting(world.dsn) == 1, "the close waits for the customer's row")
    holding.go.set()
    writer.join(30)
    closer.join(30)
    store.close()
    assert (answers[0].statements[0]["total"], answers[0].statements[0]["through_seq"]) == ("3.5", 2)


def test_the_ledger_waits_for_a_close_and_posts_to_the_next_period(world: World) -> None:
    world.write(world.usage("3", "2026-08-05T00:00:00Z"))
    store, batch = world.store(), world.batch([world.usage("1", "2026-08-06T00:00:00Z")])
    writer = threading.Thread(target=lambda: store.write(batch))
    with connect(world.dsn) as other:  # stands for a close that has the lock, and is seen only once committed
        other.execute("select from ledger.customers where customer_id = 'acme' for update")
        closer = threading.Thread(target=world.close)
        closer.start()
        wait_for(lambda: waiting(world.dsn) == 1, "the close waits")
        writer.start()
        wait_for(lambda: waiting(world.dsn) == 2, "the ledger waits behind it")
    closer.join(30)
    writer.join(30)
    store.close()
    (august,) = world.show().statements
    (september,) = world.show(SEPTEMBER).statements
    assert (august["status"], september["status"]) == ("closed", "open")
    late = [(one["amount"], one["statement"]) for one in september["lines"] if one["kind"] == "difference"]
    assert (august["lines"][0]["amount"], late) == ("3", [("1", 1)])


def waiting(dsn: str) -> int:
    """Sessions that wait for another's lock."""
    with connect(dsn) as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and wait_event_type = 'Lock'"
        ).fetchone()
    return int(str((row or (0,))[0]))
