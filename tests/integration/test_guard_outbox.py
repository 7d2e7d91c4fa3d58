"""The guard's tables as it writes them: once an id, fenced, and the newest state published last."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from budget_guard.adapters.alert_store import AlertStore, Effects, NotOwnerError
from budget_guard.adapters.judging import Judge
from budget_guard.adapters.publisher import Publisher
from budget_guard.adapters.session import GuardSession, NotMigratedError
from budget_guard.core.firings import Totals
from pricing.budgets import Budget, BudgetBook, Route, Threshold
from pricing.money import ATTO
from pricing.totals import Key, Sums
from rate_book.ledger_totals import LedgerTotals
from runtime.clock import SystemClock
from runtime.failpoints import NoFailpoints
from runtime.kafka.publishing import CheckedPublisher
from runtime.postgres import connect, migrate
from schemas.codec import CODEC
from tests.fix_postgres import PostgresFixture

pytestmark = pytest.mark.postgres

HOUR_US = 3_600_000_000
NOW_US = 1_800_000_000_000_000
START_US = NOW_US - HOUR_US // 2
TOPIC = "usage.totals"
BUDGET = Budget(
    "b",
    ("acme",),
    (),
    "price",
    "USD",
    "hour",
    100 * ATTO,
    (Threshold("80", 80 * ATTO, action="soft"), Threshold("100", 100 * ATTO, action="hard")),
)
BOOK = BudgetBook(1, [BUDGET], [Route(("oncall", "log"), severities=("warning",))])


class Clock(SystemClock):
    """Stands where the test puts it."""

    us = NOW_US

    def now_us(self) -> int:
        return self.us


def totals(seq: int, price: int, customer: str = "acme") -> Totals:
    key: Key = ("hour", START_US, (), "USD", "USD")
    return Totals(customer, seq, 5, {key: Sums(price_atto=price * ATTO, events=1, end_us=START_US + HOUR_US)})


@pytest.fixture
def dsn(postgres: PostgresFixture) -> str:
    with connect(postgres.dsn) as connection:
        migrate(connection)
    return postgres.dsn


@pytest.fixture
def store(dsn: str) -> Iterator[AlertStore]:
    made = AlertStore(GuardSession(dsn, "ratestream_guard", "test"), TOPIC, "one")
    yield made
    made.close()


@pytest.fixture
def judge(dsn: str, store: AlertStore) -> Iterator[Judge]:
    made = Judge(store, LedgerTotals(dsn), Clock(), kept_s=30)
    yield made
    made.close()


def effects(judge: Judge, *values: Totals) -> Effects:
    return judge.judge(values, BOOK, NOW_US).effects


def rows(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with connect(dsn) as connection:
        return connection.execute(query.encode()).fetchall()


def test_what_is_written_twice_is_there_once(dsn: str, store: AlertStore, judge: Judge) -> None:
    found = effects(judge, totals(3, 120))
    made = store.write(found)
    assert len(made) == 2
    assert store.write(found) == []
    assert rows(dsn, "select count(*) from guard.firings") == [(2,)]
    deliveries = "select channel, count(*)::int from guard.deliveries group by 1 order by 1"
    assert rows(dsn, deliveries) == [("log", 2), ("oncall", 2)]
    assert rows(dsn, "select state, as_of_seq, revision from guard.states") == [("hard", 3, 2)]


def test_older_totals_leave_a_newer_state_alone(dsn: str, store: AlertStore, judge: Judge) -> None:
    store.write(effects(judge, totals(5, 120)))
    older = effects(judge, totals(4, 85))
    store.write(Effects(states=older.states))
    assert rows(dsn, "select state, as_of_seq from guard.states") == [("hard", 5)]


def test_the_guard_makes_no_budgets_and_no_money(dsn: str) -> None:
    forbidden = (
        "insert into guard.budget_versions values (9, now(), 'guard', '', '{}', '')",
        "update guard.alerts set body = '{}'",
        "delete from guard.attempts",
        "update ledger.customers set contiguous_seq = 0",
        "update totals.customers set entries = '[]'",
    )
    with closing(GuardSession(dsn, "ratestream_guard", "test")) as session:
        for statement in forbidden:
            with pytest.raises(NotMigratedError, match="permission denied"), session.transaction() as made:
                made.execute(statement.encode())


def test_who_was_put_out_writes_nothing(dsn: str, store: AlertStore, judge: Judge) -> None:
    mine = {partition: epoch for partition, (epoch, _) in store.take_over([0, 1]).items()}
    other = AlertStore(GuardSession(dsn, "ratestream_guard", "test"), TOPIC, "two")
    theirs = {partition: epoch for partition, (epoch, _) in other.take_over([1]).items()}
    assert (mine, theirs) == ({0: 1, 1: 1}, {1: 2})
    with pytest.raises(NotOwnerError):
        store.write(effects(judge, totals(3, 120)), mine)
    assert rows(dsn, "select count(*) from guard.alerts") == [(0,)]
    assert len(other.write(effects(judge, totals(3, 120)), theirs)) == 2
    with pytest.raises(NotOwnerError):
        store.held_against(mine, 7)
    other.held_against(theirs, 7)
    assert other.take_over([1]) == {1: (3, 7)}
    other.close()


def test_what_fired_is_read_back_as_it_was(store: AlertStore, judge: Judge) -> None:
    found = effects(judge, totals(3, 120))
    store.write(found)
    known = store.load([totals(4, 1), totals(4, 1, "other")])
    assert set(known) == {"acme"}
    assert dict(known["acme"].firings) == {firing.key: firing for firing in found.firings}
    assert list(known["acme"].states.values()) == found.states
    later = totals(4, 1)
    ((key, sums),) = later.entries.items()
    moved: Key = (key[0], key[1] + HOUR_US, *key[2:])
    assert store.load([replace(later, entries={moved: sums})])["acme"].firings == {}


class Producer(CheckedPublisher):
    """Keeps what it is given; before it acknowledges, `meanwhile` happens."""

    def __init__(self, meanwhile: Any) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self._meanwhile = meanwhile

    def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Any, partition: int | None = None
    ) -> None:
        del key, headers, partition
        self.sent.append((topic, value or b""))

    def finish(self) -> None:
        meanwhile, self._meanwhile = self._meanwhile, lambda: None
        meanwhile()


def test_a_state_that_changed_while_it_was_published_is_published_again(
    dsn: str, store: AlertStore, judge: Judge
) -> None:
    store.write(Effects(states=effects(judge, totals(3, 85)).states))

    def meanwhile() -> None:
        store.write(Effects(states=effects(judge, totals(4, 120)).states))

    producer = Producer(meanwhile)
    session = GuardSession(dsn, "ratestream_guard", "test")
    publisher = Publisher(session, lambda: producer, ("alerts", "states"), Clock(), NoFailpoints())
    for _ in range(3):
        publisher.step()
    told = [
        CODEC.decode("BudgetState", value)["state"] for topic, value in producer.sent if topic == "states"
    ]
    assert told == ["soft", "hard"]
    assert rows(dsn, "select count(*) from guard.states where published_at is null") == [(0,)]
    publisher.close()


def test_a_state_rolls_when_the_clock_says_so(dsn: str, store: AlertStore, judge: Judge) -> None:
    store.write(Effects(states=effects(judge, totals(3, 120)).states))
    producer, clock = Producer(lambda: None), Clock()
    session = GuardSession(dsn, "ratestream_guard", "test")
    publisher = Publisher(session, lambda: producer, ("alerts", "states"), clock, NoFailpoints())
    clock.us = START_US + HOUR_US - 1
    publisher.step()
    clock.us += 1
    publisher.step()
    publisher.step()
    told = [CODEC.decode("BudgetState", value) for _, value in producer.sent]
    assert [(one["state"], one["at_us"]) for one in told] == [
        ("hard", NOW_US),
        ("ok", START_US + HOUR_US),
    ]
    publisher.close()


def test_a_fall_waits_for_the_ledger_and_no_longer(dsn: str, store: AlertStore, judge: Judge) -> None:
    for seq, price in ((3, 85), (4, 70)):
        round_ = judge.judge([totals(seq, price)], BOOK, NOW_US)
        store.write(round_.effects)
        judge.done(round_)
    assert judge.again(NOW_US) == []
    with connect(dsn) as connection:
        connection.execute("insert into ledger.customers values ('acme', 4, 4, null)")
    (waiting,) = judge.again(NOW_US)
    assert waiting.as_of_seq == 4
    round_ = judge.judge([waiting], BOOK, NOW_US)
    assert not round_.effects  # the ledger has no correction: it still holds
    judge.done(round_)
    assert judge.again(NOW_US) == []


def test_a_window_that_ends_is_looked_at_again(store: AlertStore, judge: Judge) -> None:
    round_ = judge.judge([totals(3, 120)], BOOK, NOW_US)
    store.write(round_.effects)
    judge.done(round_)
    end_us = START_US + HOUR_US
    assert judge.again(end_us - 1) == []
    (due,) = judge.again(end_us)
    (state,) = judge.judge([due], BOOK, end_us).effects.states
    assert state.state == "ok"


def test_a_database_without_the_tables_says_what_to_do(postgres: PostgresFixture) -> None:
    store = AlertStore(GuardSession(postgres.dsn, "", "test"), TOPIC, "one")
    with pytest.raises(NotMigratedError, match="ratestream ledger migrate"):
        store.take_over([0])
    store.close()
