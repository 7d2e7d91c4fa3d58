"""Delivery of the outbox: real PostgreSQL, a real endpoint, and one clock that the test moves."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from budget_guard.adapters.channels.channel import Channel
from budget_guard.adapters.delivery import FAILPOINTS, Delivery, Lane
from budget_guard.adapters.delivery_reader import (
    NoSuchAlertError,
    Wanted,
    alert_and_attempts,
    newest,
    outbox,
    resend,
)
from budget_guard.adapters.delivery_settings import DeliverySettings
from budget_guard.adapters.delivery_store import clock_us
from runtime.clock import SystemClock
from runtime.failpoints import ArmedFailpoints, FailpointError, NoFailpoints
from runtime.postgres import Connection, DatabaseUnavailableError, connect, migrate
from tests.delivery_world import HOUR_US, SECOND_US, START_US, World
from tests.fix_postgres import PostgresFixture
from tests.fix_rater import wait_for
from tests.fix_receiver import Received, Receiver, answer

pytestmark = pytest.mark.postgres


def drain(lane: Lane) -> None:
    """Steps until there is nothing to do at this instant."""
    for _ in range(1_000):
        if lane.step():
            return
    raise AssertionError("there is always something to do")


@pytest.fixture
def world(postgres: PostgresFixture, receiver: Receiver) -> Iterator[World]:
    with connect(postgres.dsn) as connection:
        migrate(connection)
    made = World(postgres, receiver)
    yield made
    for lane in made.lanes:
        lane.close()


def test_an_alert_is_delivered_once_with_its_id_and_its_latency_measured(world: World) -> None:
    """The frame came 250 ms before: the latency that is counted."""
    (alert_id,) = world.raise_alerts("critical")
    lane = world.lane()
    drain(lane)
    drain(lane)
    (request,) = world.receiver.received
    told = json.loads(request.body)
    assert (request.headers["webhook-id"], told["data"]["alert_id"]) == (alert_id, alert_id)
    assert world.rows() == [(alert_id, "delivered", 1)]
    assert world.counted.observed == [0.25]
    outcome = ("ratestream_delivery_attempts_total", {"channel": "oncall", "outcome": "delivered"})
    assert world.counted.added == [outcome]


def test_a_guard_with_a_wrong_clock_keeps_no_alert_from_the_next_one(world: World) -> None:
    """Found by `make prove`: what a guard whose clock was an hour ahead had tried waited for an hour."""
    world.receiver.behave = answer(500)
    (alert_id,) = world.raise_alerts("critical")
    wrong = delivery(world, world.channel(), clock=SystemClock(3600))
    wrong.start()
    wait_for(lambda: world.rows("attempts") == [(1,)], "the first attempt failed")
    wrong.stop()
    world.receiver.behave = answer(200)
    behind = delivery(world, world.channel(), clock=SystemClock(-3600))
    behind.start()
    wait_for(lambda: world.rows() == [(alert_id, "delivered", 2)], "it is tried again within seconds")
    behind.stop()


def test_an_alert_of_no_known_record_has_no_latency(world: World) -> None:
    """Those about the pipeline, and those that the ledger alone told, say 0: that is no time of a frame."""
    world.raise_alerts("critical", append_us=0)
    drain(world.lane())
    assert world.rows("status") == [("delivered",)]
    assert world.counted.observed == []


def test_a_failure_is_tried_again_later_with_the_same_id_and_bytes(world: World) -> None:
    """Pauses without jitter are 3/4 of 2 s and of 4 s."""
    world.raise_alerts("warning")
    world.receiver.behave = answer(500, "down")
    lane = world.lane()
    drain(lane)
    drain(lane)
    assert world.rows("status, attempts, last_error") == [("pending", 1, "answered 500: down")]
    assert world.next_us() == START_US + 1_500_000
    with connect(world.dsn) as connection:
        connection.execute("update guard.alerts set details = '{\"details_complete\": true}'")
    world.clock.us = world.next_us()
    drain(lane)
    assert world.next_us() == START_US + 4_500_000
    world.receiver.behave = answer(204)
    world.clock.us = world.next_us()
    drain(lane)
    assert world.rows("status, attempts, last_error") == [("delivered", 3, None)]
    assert len(set(world.ids())) == 1
    assert len({request.body for request in world.receiver.received}) == 1
    assert len({request.headers["webhook-timestamp"] for request in world.receiver.received}) == 3


def test_the_other_side_may_ask_for_a_longer_pause(world: World) -> None:
    world.raise_alerts("warning")
    world.receiver.behave = answer(429, Retry_After="120")
    drain(world.lane())
    assert world.next_us() == START_US + 120 * SECOND_US


@pytest.mark.parametrize("status", [302, 410, 500])
def test_after_72_hours_it_is_dead_and_visible_whatever_the_status(world: World, status: int) -> None:
    (alert_id,) = world.raise_alerts("warning")
    world.receiver.behave = answer(status)
    lane = world.lane()
    while world.rows("status") == [("pending",)]:
        drain(lane)
        assert world.clock.us <= START_US + 72 * HOUR_US
        world.clock.us = max(world.next_us(), world.clock.us)
    assert world.clock.us == START_US + 72 * HOUR_US
    assert world.counted.added[-1][1]["outcome"] == "dead"
    with outbox(world.dsn) as connection:
        (shown,) = newest(connection, Wanted(dead=True), 10)
        _, attempts = alert_and_attempts(connection, alert_id)
    assert shown["alert_id"] == alert_id
    assert [each["attempt"] for each in attempts] == list(range(1, len(attempts) + 1))
    assert {each["status_code"] for each in attempts} == {status}
    assert len(attempts) == len(world.receiver.received)
    drain(lane)
    assert len(attempts) == len(world.receiver.received)


def test_a_storm_is_a_few_pages_and_one_message_with_the_rest(world: World) -> None:
    """Five go at once, 35 after 30 s as one; the worst first."""
    alert_ids = world.raise_alerts(*["warning"] * 20, *["critical"] * 20)
    lane = world.lane()
    drain(lane)
    assert world.ids() == alert_ids[20:25]
    world.clock.us += 29 * SECOND_US
    drain(lane)
    assert len(world.ids()) == 5
    world.clock.us += SECOND_US
    drain(lane)
    request = world.receiver.received[-1]
    assert len(world.ids()) == 6
    told = json.loads(request.body)
    assert request.headers["webhook-id"] == told["data"]["group_id"]
    assert (told["data"]["count"], told["data"]["severity"]) == (35, "critical")
    assert told["data"]["by_severity"] == {"critical": 15, "warning": 20}
    assert {row[1] for row in world.rows()} == {"delivered"}
    carried = {each["alert_id"] for each in told["data"]["alerts"]}
    assert carried | set(world.ids()[:5]) == set(alert_ids)


def test_a_group_that_fails_comes_again_with_the_same_id_and_bytes(world: World) -> None:
    world.raise_alerts(*["warning"] * 8)
    lane = world.lane(world.channel(group_after=1))
    drain(lane)
    world.receiver.behave = answer(503)
    world.clock.us += 30 * SECOND_US
    drain(lane)
    world.raise_alerts("warning", first=100)
    world.receiver.behave = answer(200)
    world.clock.us += 2 * SECOND_US
    drain(lane)
    _, first, again = world.receiver.received
    assert (first.headers["webhook-id"], first.body) == (again.headers["webhook-id"], again.body)
    assert first.headers["webhook-id"].startswith("grp_")
    with outbox(world.dsn) as connection:
        found, attempts = alert_and_attempts(connection, first.headers["webhook-id"])
    assert len(found) == 7
    assert [each["status_code"] for each in attempts] == [503, 200]


def test_a_window_later_alerts_go_one_by_one_again(world: World) -> None:
    lane = world.lane(world.channel(group_after=2))
    world.raise_alerts("warning", "warning")
    drain(lane)
    world.clock.us += 60 * SECOND_US
    world.raise_alerts("warning", "warning", first=10)
    drain(lane)
    assert world.ids() == ["alr_0000", "alr_0001", "alr_0010", "alr_0011"]


def test_a_critical_alert_is_not_held_back_by_milder_ones(world: World) -> None:
    lane = world.lane(world.channel(group_after=1))
    world.raise_alerts("info", "info")
    drain(lane)
    world.raise_alerts("critical", first=10)
    drain(lane)
    assert world.ids() == ["alr_0000", "alr_0010"]


def test_a_channel_takes_only_what_is_severe_enough(world: World) -> None:
    world.raise_alerts("info", "warning", "critical")
    drain(world.lane(world.channel(severity="warning")))
    assert world.ids() == ["alr_0002", "alr_0001"]
    assert [row[1] for row in world.rows()] == ["skipped", "delivered", "delivered"]


def test_a_process_that_dies_after_the_post_sends_again_under_the_same_id(world: World) -> None:
    (alert_id,) = world.raise_alerts("critical")
    dying = world.lane(failpoints=ArmedFailpoints("after_post_before_mark:1:raise", FAILPOINTS))
    with pytest.raises(FailpointError):
        drain(dying)
    dying.close()
    assert world.rows() == [(alert_id, "pending", 0)]
    drain(world.lane())
    assert world.ids() == [alert_id, alert_id]
    assert world.rows() == [(alert_id, "delivered", 1)]


def test_two_guards_share_the_work_and_neither_sends_what_the_other_holds(world: World) -> None:
    """The first one hangs in its post: the second passes over that message, and sends what comes after it."""
    released, posted = threading.Event(), threading.Event()

    def slow_first(connection: Any, request: Received) -> None:
        if request.headers["webhook-id"] == "alr_0000":
            posted.set()
            released.wait(20)
        answer(200)(connection, request)

    world.receiver.behave = slow_first
    world.raise_alerts("critical")
    hanging = threading.Thread(target=drain, args=(world.lane(),))
    hanging.start()
    assert posted.wait(20)
    world.raise_alerts("critical", first=1)
    drain(world.lane())
    assert sorted(world.ids()) == ["alr_0000", "alr_0001"]
    released.set()
    hanging.join(20)
    assert world.rows() == [("alr_0000", "delivered", 1), ("alr_0001", "delivered", 1)]
    assert len(world.ids()) == 2


def test_what_a_process_holds_that_stands_still_is_taken_back_from_it(world: World) -> None:
    """It posted, then stood still: PostgreSQL ends its session, another one sends, its mark is refused."""
    stood_still = threading.Event()
    refused: list[Exception] = []

    class Stopped(NoFailpoints):
        def hit(self, name: str) -> None:
            if name == "after_post_before_mark":
                stood_still.wait(20)

    def run(lane: Lane) -> None:
        try:
            drain(lane)
        except DatabaseUnavailableError as error:
            refused.append(error)

    (alert_id,) = world.raise_alerts("critical")
    stopped = threading.Thread(target=run, args=(world.lane(failpoints=Stopped(), idle_s=1),))
    stopped.start()
    world.receiver.wait(1)
    other = world.lane()
    deadline_s = world.clock.monotonic_s() + 20
    while len(world.ids()) < 2 and world.clock.monotonic_s() < deadline_s:
        drain(other)
    stood_still.set()
    stopped.join(20)
    assert world.ids() == [alert_id, alert_id]
    assert len(refused) == 1
    assert world.rows() == [(alert_id, "delivered", 1)]


def test_an_alert_that_a_channel_cannot_tell_silences_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = world.channel()
    render = channel.render

    def picky(message: Any) -> str:
        if any(alert["alert_id"] == "alr_0001" for alert in message.alerts):
            raise KeyError("a field")
        return render(message)

    monkeypatch.setattr(channel, "render", picky)
    world.raise_alerts(*["warning"] * 8)
    lane = world.lane(channel)
    drain(lane)
    world.clock.us += 30 * SECOND_US
    drain(lane)
    assert [row[1] for row in world.rows()] == ["delivered", "dead", *["delivered"] * 6]


def test_dead_alerts_are_sent_again_on_demand_with_72_hours_before_them(world: World) -> None:
    alert_ids = world.raise_alerts("warning", "warning")
    with connect(world.dsn) as connection:
        connection.execute(
            "update guard.deliveries set status = 'dead', attempts = 99, first_attempt_at = '2020-01-01',"
            " last_error = 'x', message_id = alert_id"
        )
    with outbox(world.dsn) as connection:
        assert resend(connection, [], None, all_dead=True) == [(alert_id, "oncall") for alert_id in alert_ids]
    world.receiver.behave = answer(500)
    world.clock.us = START_US + 1_000 * HOUR_US
    drain(world.lane())
    assert world.ids() == alert_ids
    assert {row[1:] for row in world.rows()} == {("pending", 1)}


def test_an_alert_can_be_sent_to_a_channel_that_it_was_not_for(world: World) -> None:
    (alert_id,) = world.raise_alerts("warning")
    with outbox(world.dsn) as connection:
        assert resend(connection, [alert_id], "room", all_dead=False) == [(alert_id, "room")]
    assert world.rows("channel, status") == [("oncall", "pending"), ("room", "pending")]
    with pytest.raises(NoSuchAlertError, match="alr_none"), outbox(world.dsn) as connection:
        resend(connection, ["alr_none"], None, all_dead=False)


def delivery(
    world: World,
    *channels: Channel,
    keep_trying_s: int = 259_200,
    clock: Any = None,
    now_us: Callable[[Connection], int] | None = None,
) -> Delivery:
    return Delivery(
        world.dsn,
        {channel.name: channel for channel in channels},
        DeliverySettings(keep_trying_s=keep_trying_s),
        clock or SystemClock(),
        died=pytest.fail,
        now_us=now_us or clock_us,
    )


def test_an_endpoint_that_hangs_holds_up_no_other_channel(world: World) -> None:
    released = threading.Event()

    def hang_on_one(connection: Any, request: Received) -> None:
        if json.loads(request.body)["data"]["alert_id"] == "alr_0000":
            released.wait(20)
        answer(200)(connection, request)

    world.receiver.behave = hang_on_one
    world.raise_alerts("critical", channel="hanging")
    running = delivery(world, world.channel("hanging", timeout_s=20), world.channel("oncall"))
    running.start()
    try:
        world.receiver.wait(1)
        world.raise_alerts("critical", first=1)
        running.wake()
        assert world.receiver.wait(2)[-1].headers["webhook-id"] == "alr_0001"
    finally:
        released.set()
        running.stop()
    assert {row[1] for row in world.rows()} == {"delivered"}


def test_alerts_for_a_channel_that_nobody_set_up_say_so_and_die_in_their_time(world: World) -> None:
    world.raise_alerts("warning", channel="nobody")
    running = delivery(world, world.channel(), now_us=lambda _: world.clock.us)
    running.sweep()
    assert world.rows("status, last_error") == [("pending", "no channel of this name is set up")]
    world.clock.us += 72 * HOUR_US
    running.sweep()
    assert world.rows("status") == [("dead",)]
    running.stop()
