"""What a step of a channel reads, however much waits: rows that PostgreSQL counted, not time."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import pytest

from budget_guard.adapters import delivery_store as store
from budget_guard.adapters.delivery import Lane
from budget_guard.adapters.delivery_settings import DeliverySettings
from budget_guard.adapters.session import GuardSession
from runtime.failpoints import NoFailpoints
from runtime.postgres import Connection, connect, migrate
from tests.delivery_world import SECOND_US, START_US, Clock, World
from tests.fix_postgres import PostgresFixture
from tests.fix_receiver import Receiver, answer

pytestmark = pytest.mark.postgres

BACKLOG = 3_000
FEW = 60  # a step's queries have limits of 4 rows for each of 6 places in the line
_READ = (
    "select coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::int from pg_stat_xact_user_tables"
    " where schemaname = 'guard'"
)


class Still(Clock):
    """Counting what waits for the gauge, once a second, happens in the first step only."""

    def monotonic_s(self) -> float:
        return 1.0


class Counting(GuardSession):
    """Knows how many rows of the guard's tables each transaction read."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn, "ratestream_guard", "test", idle_s=30)
        self.read: list[int] = []

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with super().transaction() as connection:
            before = _read(connection)
            yield connection
            self.read.append(_read(connection) - before)


def _read(connection: Connection) -> int:
    row = connection.execute(_READ).fetchone()
    assert row is not None
    return int(str(row[0]))


@pytest.fixture
def world(postgres: PostgresFixture, receiver: Receiver) -> Iterator[World]:
    with connect(postgres.dsn) as connection:
        migrate(connection)
    made = World(postgres, receiver, clock=Still())
    yield made
    for lane in made.lanes:
        lane.close()


def fill(world: World, count: int) -> None:
    """So many warnings, alr_1000000 and on."""
    with connect(world.dsn) as connection:
        connection.execute(
            "insert into guard.alerts (alert_id, kind, severity, customer_id, body, raised_at)"
            " select 'alr_' || n, 'threshold', 'warning', 'c', jsonb_build_object('kind', 'threshold',"
            " 'severity', 'warning', 'customer_id', 'c', 'text', 'crossed', 'source_append_us', 0), %s"
            " from generate_series(1000000, 999999 + %s::int) as n",
            (store.at_of(START_US), count),
        )
        connection.execute(
            "insert into guard.deliveries (alert_id, channel) select alert_id, 'oncall' from guard.alerts"
        )


def counting_lane(world: World) -> tuple[Lane, Counting]:
    session = Counting(world.dsn)
    lane = Lane(
        world.channel(group_after=10_000),
        session,
        DeliverySettings(),
        world.clock,
        failpoints=NoFailpoints(),
        counts=world.counted,
        jitter=lambda _n: 0,
        now_us=lambda _: world.clock.us,
    )
    world.lanes.append(lane)
    return lane, session


def test_a_message_costs_the_same_however_many_wait(world: World) -> None:
    """One step decides about the first thousand; each after it sends one, two thousand being undecided."""
    fill(world, BACKLOG)
    lane, session = counting_lane(world)
    lane.step()
    assert world.ids() == []
    session.read.clear()
    for _ in range(5):
        assert lane.step() == 0
    assert world.ids() == [f"alr_{1_000_000 + place}" for place in range(5)]
    assert max(session.read) <= FEW


def test_a_critical_alert_passes_whatever_waits(world: World) -> None:
    """One step decides about it, before the milder ones, and the next sends it."""
    fill(world, BACKLOG)
    lane, session = counting_lane(world)
    for _ in range(3):
        lane.step()
    world.raise_alerts("critical", first=1)
    lane.step()
    session.read.clear()
    lane.step()
    assert world.ids()[2:] == ["alr_0001"]
    assert max(session.read) <= FEW


def test_messages_that_failed_cost_a_look_nothing(world: World) -> None:
    """The next of them is due in 5 s, 3,000 of them."""
    fill(world, BACKLOG)
    due = store.at_of(START_US + 5 * SECOND_US)
    with connect(world.dsn) as connection:
        connection.execute(
            "update guard.deliveries set message_id = alert_id, attempts = 1, first_attempt_at = %s,"
            " next_attempt_at = %s + (right(alert_id, 4) || ' seconds')::interval",
            (store.at_of(START_US), due),
        )
    lane, session = counting_lane(world)
    assert lane.step() == SECOND_US  # poll_ms
    world.clock.us += 5 * SECOND_US - 300_000
    session.read.clear()
    assert lane.step() == 300_000
    assert max(session.read) <= FEW


def test_a_group_that_another_holds_is_passed_over_with_all_its_rows(world: World) -> None:
    """Of eight alerts one goes alone and seven as a group; both fail, and the group is due first."""
    world.raise_alerts(*["warning"] * 8)
    lane = world.lane(world.channel(group_after=1))
    world.receiver.behave = answer(503)
    _until_idle(lane)
    world.clock.us += 30 * SECOND_US
    _until_idle(lane)
    now_us = world.clock.us + 60 * SECOND_US
    with connect(world.dsn) as one, connect(world.dsn) as other, connect(world.dsn) as third:
        first, second = store.take(one, "oncall", now_us), store.take(other, "oncall", now_us)
        assert first is not None
        assert second is not None
        assert first.message_id.startswith("grp_")
        assert second.message_id == "alr_0000"
        assert store.take(third, "oncall", now_us) is None


def _until_idle(lane: Lane) -> None:
    assert any(islice(iter(lane.step, -1), 100))
