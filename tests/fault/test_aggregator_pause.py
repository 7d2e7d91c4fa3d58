"""An aggregator that stands still for longer than its session, and goes on beside its successor; and a ledger
that does while a gap waits for it.
"""

from collections.abc import Iterator

import pytest

from tests.fault.ledger_checks import ask, wait_rows
from tests.fault.test_aggregator import CUSTOMERS, Traffic, skip_to_end
from tests.fix_aggregator import AggregatorRun
from tests.fix_rater import STOPPED_LOUDLY, RaterProcess, wait_for

_STUCK = 70
"""The exit code of an aggregator that ends itself."""


@pytest.fixture
def traffic(aggregators: AggregatorRun) -> Iterator[Traffic]:
    yield Traffic(aggregators)
    aggregators.close()


def check_published(run: AggregatorRun) -> None:
    """Nothing that was ever published is wrong as of its sequence."""
    for customer, records in run.published().items():
        for record in records:
            (lifetime,) = (entry for entry in record["entries"] if entry["window"] == "lifetime")
            assert lifetime["events"] == record["as_of_seq"], (customer, record)


def heir_and_zombie(run: AggregatorRun, traffic: Traffic, zombie: RaterProcess) -> None:
    """One worker stands still: another takes over, then both run, then the state comes from the changelog."""
    run.pipeline.tolerated |= {STOPPED_LOUDLY, _STUCK}  # it may end itself, put out of the group
    run.start(slot=1)
    traffic.emit(5 * CUSTOMERS)
    traffic.check()  # by the heir, after the session has timed out
    zombie.resume()
    for _ in range(3):
        traffic.emit(CUSTOMERS)
        traffic.check()
    zombie.terminate()
    traffic.check_all()
    check_published(run)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "after_read",
        "after_table_put",  # its changelog records and totals come after those of its successor
        "before_changelog_ack",
        "after_publish",
        "before_commit",
        "after_commit",
    ],
)
def test_stopped_at_a_failpoint(aggregators: AggregatorRun, traffic: Traffic, name: str) -> None:
    zombie = aggregators.start(failpoints=f"{name}:3:stop")

    def stopped() -> bool:
        traffic.emit(CUSTOMERS)
        wait_for(lambda: aggregators.pipeline.pending() == 0, "the events are rated")
        return aggregators.pipeline.seen()[name, "stop"] > 0

    wait_for(stopped, "it stands still")
    zombie.wait_stopped()
    heir_and_zombie(aggregators, traffic, zombie)


@pytest.mark.slow
def test_stopped_while_it_restores(aggregators: AggregatorRun, traffic: Traffic) -> None:
    first = aggregators.start()
    traffic.emit(5 * CUSTOMERS)
    traffic.check()
    first.kill9()
    aggregators.delete_state()
    zombie = aggregators.start(failpoints="in_recovery:1:stop")
    zombie.wait_stopped()
    heir_and_zombie(aggregators, traffic, zombie)


@pytest.mark.slow
def test_stopped_while_it_gives_partitions_away(aggregators: AggregatorRun, traffic: Traffic) -> None:
    zombie = aggregators.start(failpoints="in_revoke:1:stop")
    traffic.emit(5 * CUSTOMERS)
    traffic.check()
    aggregators.start(slot=2)
    traffic.emit(CUSTOMERS)
    zombie.wait_stopped()
    heir_and_zombie(aggregators, traffic, zombie)


@pytest.mark.parametrize(
    "missing_too", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["of_the_gap", "of_all"]
)
def test_a_gap_waits_for_a_ledger_that_lags(
    aggregators: AggregatorRun, traffic: Traffic, *, missing_too: bool
) -> None:
    """Frames are missing. The ledger stands still before it has them, or has them and not F, the frame behind
    the gap: in both cases no sum of what there is would be right, and nothing is published.
    """
    process = aggregators.start()
    traffic.emit(5 * CUSTOMERS)
    traffic.check()
    before = {customer: record["as_of_seq"] for customer, record in aggregators.totals().items()}
    aggregators.wait_applied(markers=1)
    assert process.terminate() == 0
    if missing_too:
        traffic.ledger.pause()
    traffic.emit(5 * CUSTOMERS)
    wait_for(lambda: aggregators.pipeline.pending() == 0, "the events are rated")
    if not missing_too:
        wait_rows(aggregators.pipeline, traffic.sent.total())
        traffic.ledger.pause()
    skip_to_end(aggregators)
    aggregators.start()
    reached = dict(ask(aggregators.pipeline, "select customer_id, contiguous_seq from ledger.customers"))
    assert reached == dict.fromkeys(traffic.sent, 5 if missing_too else 10)
    for _ in range(3):  # F, and two that are kept beside it
        traffic.emit(CUSTOMERS)
        wait_for(lambda: aggregators.pipeline.pending() == 0, "the events are rated")
        aggregators.wait_applied(markers=1)
    published = aggregators.totals()
    assert {customer: record["as_of_seq"] for customer, record in published.items()} == before
    traffic.ledger.resume()
    traffic.check()
    check_published(aggregators)
    traffic.emit(2 * CUSTOMERS)
    traffic.check_all()
    check_published(aggregators)
