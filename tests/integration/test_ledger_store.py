"""The ledger's store by itself: batches by hand into a real PostgreSQL."""

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest

from ledger.adapters.days import detach_before
from ledger.adapters.intake import batch_of
from ledger.adapters.question_store import NoLedgerError, reading
from ledger.adapters.store import Counts, DetachedDayError, Outcome, Store
from ledger.core.batch import Where
from runtime.errors import InfrastructureError
from runtime.failpoints import failpoints_from
from runtime.postgres import MigrationRefusedError, connect, migrate
from schemas.codec import encode
from tests.fix_postgres import PostgresFixture
from tests.ledger_rows import Made, line, usd

pytestmark = pytest.mark.postgres

RATED, REJECTED = "usage.rated", "usage.rejected"
WHERE: Where = (RATED, 0)
DAY_MS = int(datetime(2026, 11, 18, tzinfo=UTC).timestamp()) * 1000


class Message:
    """What the store's intake asks of a consumed message."""

    def __init__(self, offset: int, value: bytes, append_ms: int = DAY_MS) -> None:
        self._offset, self._value, self._append_ms = offset, value, append_ms

    def topic(self) -> str:
        return RATED

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 2, self._append_ms

    def value(self) -> bytes:
        return self._value


@pytest.fixture
def store(postgres: PostgresFixture) -> Iterator[Store]:
    with connect(postgres.dsn) as connection:
        migrate(connection)
    made = Store(
        postgres.dsn,
        role="ratestream_ledger_writer",
        application_name="test",
        days_ahead=1,
        topic_ids={RATED: "id-of-rated", REJECTED: "id-of-rejected"},
        topics=(RATED, REJECTED),
        failpoints=failpoints_from({}, frozenset()),
    )
    made.begin({WHERE: 0})
    yield made
    made.close()


def write(store: Store, *messages: Message) -> tuple[Outcome, Counts]:
    return store.write(batch_of(messages, store.positions([WHERE]), RATED))


def value(made: Made, meter: str = "tokens", **event: str) -> bytes:
    fields = {"customer_id": "c1", "at": "2026-11-18T12:00:00Z"}
    record = made.rated(fields, usd("1"), usd("2"), (line("cost", meter, "1", "1"),)).record
    return encode("RatedUsage", {**record, "event": {**record["event"], **event}})


def test_no_record_stops_those_beside_it(store: Store, postgres: PostgresFixture) -> None:
    """What would break a key of a roll-up, of a query or of a customer: three between two good ones."""
    made, wide = Made(), "\N{GRINNING FACE}"
    values = [
        value(made),
        value(made, "to\0kens"),
        value(made, query_id=wide * 700),
        value(made, customer_id=wide * 700),
        value(made),
    ]
    messages = [Message(offset, each) for offset, each in enumerate(values)]
    assert write(store, *messages) == (Outcome.WRITTEN, Counts(rated=2, rejected=0, bad=3))
    with postgres.connect() as connection:
        assert connection.execute(
            "select kafka_offset, split_part(problem, ':', 1) from ledger.bad_records order by 1"
        ).fetchall() == [
            (1, "rating"),
            (2, "customer_id, query_id and currencies"),
            (3, "customer_id, query_id and currencies"),
        ]
        assert connection.execute("select sum(events), sum(cost)::int from ledger.rollup").fetchone() == (
            2,
            2,
        )


def test_positions_put_back_write_nothing_twice(store: Store, postgres: PostgresFixture) -> None:
    """Sequences refuse what came before, as often as it comes."""
    made = Made()
    messages = [Message(offset, value(made)) for offset in range(3)]
    assert write(store, *messages) == (Outcome.WRITTEN, Counts(rated=3))
    for _ in range(2):
        with postgres.connect() as connection:
            connection.execute("update ledger.positions set next_offset = 0")
        assert write(store, *messages) == (Outcome.WRITTEN, Counts(bad=3))
    with postgres.connect() as connection:
        assert connection.execute("select count(*) from ledger.rated").fetchone() == (3,)
        assert connection.execute("select sum(events) from ledger.rollup").fetchone() == (3,)


def test_a_day_that_was_detached_stops_it_with_a_sentence(store: Store, postgres: PostgresFixture) -> None:
    with connect(postgres.dsn) as connection:
        connection.execute("select ledger.make_day('2020-01-01')")
        connection.commit()
        assert len(list(detach_before(connection, date(2020, 1, 2)))) == 2
    then_ms = int(datetime(2020, 1, 1, 12, tzinfo=UTC).timestamp()) * 1000
    with pytest.raises(DetachedDayError, match="2020-01-01 was detached") as caught:
        write(store, Message(0, value(Made()), then_ms))
    assert caught.value.exit_code == 3


def test_tables_that_are_not_there_or_not_one_s_own_are_a_sentence(postgres: PostgresFixture) -> None:
    with connect(postgres.dsn) as connection, pytest.raises(InfrastructureError, match="ledger migrate"):
        list(detach_before(connection, date(2020, 1, 2)))
    with (
        pytest.raises(NoLedgerError, match="`ratestream ledger migrate` makes it"),
        reading(postgres.dsn, "") as asked,
    ):
        asked.execute("select from ledger.rated")
    with connect(postgres.dsn) as connection:
        connection.execute("set role pg_monitor")  # one that owns nothing
        with pytest.raises(MigrationRefusedError, match="by the login that owns the tables"):
            migrate(connection)
