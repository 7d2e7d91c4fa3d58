"""Roll-ups in a real PostgreSQL: the same sums in every grain, whatever the batches."""

from collections.abc import Iterator

import pytest

from runtime.postgres import Connection, connect, migrate
from tests.fix_postgres import PostgresFixture
from tests.ledger_rows import Made, Written, line, usd, write_rows

pytestmark = pytest.mark.postgres

LINES = (line("cost", "input_tokens", "1000", "0.002"), line("price", "input_tokens", "1000", "0.003"))


@pytest.fixture
def connection(postgres: PostgresFixture) -> Iterator[Connection]:
    with connect(postgres.dsn) as opened:
        migrate(opened)
        yield opened


def some(made: Made) -> list[Written]:
    """Two in a quarter of an hour, one a day later, one posted a month later, one of another customer."""
    return [
        made.rated({"customer_id": customer, "at": at}, usd("0.002"), usd("0.003"), LINES, posted=posted)
        for customer, at, posted in (
            ("c1", "2026-11-18T12:00:00Z", "2026-11-18T12:00:01Z"),
            ("c1", "2026-11-18T12:14:00Z", "2026-11-18T12:14:01Z"),
            ("c1", "2026-11-19T00:00:00Z", "2026-11-19T00:00:01Z"),
            ("c1", "2026-11-30T23:59:59Z", "2026-12-01T00:00:01Z"),
            ("c\t2\\", "2026-11-18T12:00:00Z", "2026-11-18T12:00:01Z"),
        )
    ]


@pytest.mark.parametrize("size", [1, 5])
def test_every_grain_has_the_same_sums(connection: Connection, size: int) -> None:
    rows = some(Made())
    for start in range(0, len(rows), size):
        write_rows(connection, rows[start : start + size])
    counts = []
    for view in ("rollup", "rollup_days", "rollup_months"):
        found = connection.execute(
            f"select count(*), sum(events), sum(cost)::text, sum(price)::text from ledger.{view}"  # noqa: S608 - a name of above
        ).fetchone()
        assert found is not None
        counts.append(found[0])
        assert found[1:] == (5, "0.010", "0.015")
        meters = view.replace("rollup", "rollup_meters")
        assert connection.execute(
            f"select sum(events), sum(quantity)::text, sum(cost)::text from ledger.{meters}"  # noqa: S608 - the same
        ).fetchone() == (5, "5000", "0.010")
    assert counts == [4, 4, 3]
    assert connection.execute("select distinct dimensions from ledger.rollup").fetchall() == [
        ({"project": None, "product": None, "feature": None},)
    ]
    assert connection.execute("select distinct customer_id from ledger.rollup order by 1").fetchall() == [
        ("c\t2\\",),
        ("c1",),
    ]


def test_a_quarter_of_an_hour_posted_on_two_days_is_one_row_of_its_month(connection: Connection) -> None:
    made = Made()
    rows = [
        made.rated({"customer_id": "c1", "at": at}, usd("0.002"), usd("0.003"), LINES, posted=posted)
        for at, posted in (
            ("2026-11-18T23:50:00Z", "2026-11-18T23:59:59Z"),
            ("2026-11-18T23:51:00Z", "2026-11-19T00:00:01Z"),
        )
    ]
    write_rows(connection, rows)
    for table, counted in (("15m", 2), ("day", 2), ("month", 1)):
        for name in ("sums", "meter_sums"):
            assert connection.execute(
                f"select count(*), sum(events), sum(cost)::text from ledger.{name}_{table}"  # noqa: S608 - names of above
            ).fetchone() == (counted, 2, "0.004")


def test_what_is_rolled_back_is_in_no_sum(connection: Connection) -> None:
    rows = some(Made())
    write_rows(connection, rows[:1])
    with connection.transaction(force_rollback=True):
        write_rows(connection, rows[1:])
    assert connection.execute("select sum(events) from ledger.rollup").fetchone() == (1,)
    write_rows(connection, rows[1:])
    assert connection.execute("select sum(events) from ledger.rollup").fetchone() == (5,)


def test_the_writer_may_add_to_sums_and_the_reader_may_not(connection: Connection) -> None:
    rows = some(Made())
    connection.execute("set role ratestream_ledger_writer")
    connection.commit()
    write_rows(connection, rows)
    connection.execute("set role ratestream_ledger_reader")
    assert connection.execute("select sum(events) from ledger.rollup").fetchone() == (5,)
    with pytest.raises(Exception, match="permission denied"):
        connection.execute("update ledger.sums_day set events = 0")


def test_sums_know_their_first_sequence_and_periods_their_ends(connection: Connection) -> None:
    """Whatever the batches: a later row of a sum changes nothing, an earlier one that comes later does."""
    rows = some(Made())
    write_rows(connection, rows[1:2])  # sequence 2, of the same quarter of an hour as 1
    write_rows(connection, rows[:1])
    write_rows(connection, rows[2:4])
    for grain, expected in (("15m", [1, 3, 4]), ("day", [1, 3, 4]), ("month", [1, 4])):
        found = connection.execute(
            f"select first_seq from ledger.sums_{grain} order by bucket_us, posted_day"  # noqa: S608 - a name of above
        ).fetchall()
        assert found == [(seq,) for seq in expected], grain
    start, end = rows[0].row.service_start_us, rows[0].row.service_end_us
    assert connection.execute("select * from ledger.periods").fetchall() == [("c1", start, end, 1)]
