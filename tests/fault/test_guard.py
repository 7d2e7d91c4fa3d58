"""The guard killed, stopped, put out of its group and cut off from PostgreSQL: a crossing is one alert row,
delivered, and none is of a crossing that did not happen.
"""

import signal

import pytest

from budget_guard.service import FAILPOINTS
from cli.stack.local import LocalStack
from tests.fix_guard import GuardRun, budget, entry, running_totals
from tests.fix_rater import KILLED, Pipeline, wait_for

_CUSTOMERS = [f"customer-{number}" for number in range(30)]
_LAST = 12
_PER_SEQ = 10  # the first crosses 80 at sequence 8 and 100 at 10
_MORE = [pytest.param(name, marks=pytest.mark.slow) for name in sorted(FAILPOINTS - {"after_pg_commit"})]


def spent(number: int, seq: int) -> int:
    """Every third customer spends a third as much, and crosses nothing."""
    return seq * _PER_SEQ if number % 3 else seq * _PER_SEQ // 3


def feed(guard: GuardRun, first: int, last: int) -> None:
    for seq in range(first, last + 1):
        guard.feed(
            *(
                running_totals(customer, seq, entry(str(spent(number, seq))))
                for number, customer in enumerate(_CUSTOMERS)
            )
        )


def check(guard: GuardRun) -> None:
    """Exactly the crossings that there were, one row each; delivered; published under the same ids."""
    expected = {
        (customer, name)
        for number, customer in enumerate(_CUSTOMERS)
        for name in ("80", "100")
        if spent(number, _LAST) >= int(name)
    }
    assert len(expected) == 40  # 20 of 30 customers, two thresholds each
    alerts = guard.wait_alerts(len(expected))
    assert {(alert["customer_id"], alert["threshold"]) for alert in alerts} == expected
    for alert in alerts:
        assert (alert["episode"], alert["late"]) == (1, False)
        assert int(alert["amount"]) >= int(alert["threshold"])
    ids = {alert["alert_id"] for alert in alerts}
    delivered = "select alert_id from guard.deliveries where status = 'delivered' and channel = 'log'"
    wait_for(lambda: {row[0] for row in guard.ask(delivered)} == ids, "each alert is delivered")
    wait_for(lambda: {alert["alert_id"] for alert in guard.published()} == ids, "each alert is published")
    hard = {(customer, ""): "hard" for customer, _ in expected}
    wait_for(
        lambda: {key: found[-1]["state"] for key, found in guard.all_states().items()} == hard,
        "each state is told",
    )
    assert guard.ask("select count(*) from guard.firings") == [(len(ids),)]


@pytest.mark.parametrize("name", ["after_pg_commit", *_MORE])
def test_killed_twice_at_a_failpoint(guard: GuardRun, name: str) -> None:
    guard.apply(budget())
    for first, last in ((1, 9), (10, _LAST)):
        killed = guard.start(failpoints=f"{name}:1:kill")
        feed(guard, first, last)
        assert killed.wait_dead() == KILLED
    guard.start()
    guard.wait_passed()
    check(guard)


@pytest.mark.parametrize("name", ["after_pg_commit", *_MORE])
def test_a_guard_that_stood_still_does_no_harm(guard: GuardRun, name: str) -> None:
    guard.apply(budget())
    zombie = guard.start(failpoints=f"{name}:1:stop")
    zombie.wait_owner()
    feed(guard, 1, 9)
    zombie.wait_stopped()
    heir = guard.start(slot=1)
    heir.wait_owner()
    feed(guard, 10, _LAST)
    guard.wait_passed()
    zombie.resume()
    check(guard)
    guard.feed(*(running_totals(customer, _LAST + 1, entry("1")) for customer in _CUSTOMERS[1:2]))
    guard.wait_passed()
    check(guard)


@pytest.mark.slow
def test_every_connection_to_postgresql_is_cut_again_and_again(guard: GuardRun) -> None:
    guard.apply(budget())
    process = guard.start()
    process.wait_owner()
    cut = (
        "select count(pg_terminate_backend(pid)) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
    ended = 0
    for seq in range(1, _LAST + 1):
        feed(guard, seq, seq)
        ((count,),) = guard.ask(cut)
        ended += count
    assert ended > 10, "it has many connections, and they were made again"
    guard.wait_passed()
    check(guard)
    assert process.terminate() == 0


def test_everything_comes_again_to_a_group_without_offsets(guard: GuardRun) -> None:
    guard.apply(budget())
    first = guard.start()
    feed(guard, 1, _LAST)
    guard.wait_passed()
    assert first.terminate() == 0
    group = f"{guard.pipeline.prefix}guard"
    guard.pipeline.kafka.admin().delete_consumer_groups([group])[group].result(30)
    guard.start()
    guard.wait_passed()
    check(guard)


@pytest.mark.slow
def test_guards_come_and_go(guard: GuardRun) -> None:
    guard.apply(budget())
    early = -signal.SIGTERM  # before it listened for it
    guard.pipeline.tolerated.add(early)
    running = {0: guard.start()}
    for seq in range(1, _LAST + 1):
        feed(guard, seq, seq)
        slot = seq % 3
        gone = running.pop(slot, None)
        if gone is None:
            running[slot] = guard.start(slot=slot)
        elif seq % 2:
            gone.kill9()
        else:
            assert gone.terminate() in {0, early}
    running[3] = guard.start(slot=3)
    guard.wait_passed()
    check(guard)


@pytest.fixture
def own_guard(own_pipeline: Pipeline) -> GuardRun:
    """On a stack whose PostgreSQL may be killed."""
    return GuardRun(own_pipeline)


@pytest.mark.slow
def test_postgresql_is_killed_in_mid_transaction(own_stack: LocalStack, own_guard: GuardRun) -> None:
    own_guard.apply(budget())
    process = own_guard.start(failpoints="before_pg_commit:1:sleep=2")
    process.wait_owner()
    feed(own_guard, 1, 9)
    wait_for(lambda: own_guard.pipeline.seen().total() == 1, "it is within its transaction")
    own_stack.kill9_postgres()
    own_stack.up()
    feed(own_guard, 10, _LAST)
    own_guard.wait_passed()
    check(own_guard)
    assert process.terminate() == 0


@pytest.mark.slow
def test_the_broker_is_killed(own_stack: LocalStack, own_guard: GuardRun) -> None:
    own_guard.apply(budget())
    process = own_guard.start()
    process.wait_owner()
    feed(own_guard, 1, 9)
    own_stack.kill9_kafka()
    own_stack.up()
    feed(own_guard, 10, _LAST)
    own_guard.wait_passed()
    check(own_guard)
    assert process.terminate() == 0
