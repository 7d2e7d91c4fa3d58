"""Broker and PostgreSQL killed under an aggregator, what feeds it and what stores its totals; and an
aggregator that is told to stop while it restores.
"""

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from cli.stack.local import LocalStack
from tests.fault.ledger_checks import ask, wait_rows
from tests.fault.supervisor import Supervisor
from tests.fault.test_aggregator import CUSTOMERS, MILLI, Traffic, skip_to_end
from tests.fault.test_broker import kill_between_ends
from tests.fix_aggregator import AggregatorRun
from tests.fix_rater import Pipeline, RaterProcess, wait_for

_AWAY = "the ledger does not answer, repairs wait"
_STOPS_WITHIN_S = 5.0
_EVENTS = 200 * CUSTOMERS
"""So many that the rater is at it for seconds."""


class StoredTraffic(Traffic):
    """Traffic whose totals end in PostgreSQL. A rater that a broker's death ends is started again."""

    def __init__(self, run: AggregatorRun) -> None:
        self.run = run
        self.sent: Counter[str] = Counter()
        self.supervisor = Supervisor(run.pipeline, 0, {"rater__batch_records_max": 20})
        self.ledger = run.pipeline.start(module="ledger", ledger__slot=0)
        self.sink = run.pipeline.start(module="aggregator.totals", totals__write_ms=50)
        self.supervisor.rater.wait_owner()

    def check(self) -> None:
        """In usage.totals, in the ledger and in PostgreSQL, with 0.003 and 0.0045 USD an event."""
        super().check()
        wait_for(lambda: self._stored_seq() == self.sent, "PostgreSQL has the totals")
        stored = ask(self.run.pipeline, "select customer_id, entries from totals.customers")
        for customer, entries in stored:
            live = self.run.live({"entries": entries})
            lifetime = live.entries["lifetime", 0, (), "USD", "USD"]
            count = self.sent[customer]
            assert (lifetime.events, lifetime.cost_atto) == (count, 3 * count * MILLI), customer
            assert lifetime.price_atto == 45 * count * MILLI // 10, customer
            assert live == self.run.ledger_live(customer), customer

    def _stored_seq(self) -> dict[str, int]:
        self.run.check_alive()
        self.run.pipeline.check_alive()
        return dict(ask(self.run.pipeline, "select customer_id, as_of_seq from totals.customers"))

    def end(self) -> None:
        """Everything ends as it should: nothing but the rater has been started twice."""
        self.supervisor.end()
        for process in (*self.run.processes, self.ledger, self.sink):
            if process.exit_code is None:
                assert process.terminate() == 0, process.log()


@pytest.fixture
def own_aggregators(own_pipeline: Pipeline) -> Iterator[AggregatorRun]:
    """On a stack whose broker and PostgreSQL may be killed."""
    own_pipeline.environment |= {
        # Longer than the broker takes to come back: see kill_between_ends.
        "RATESTREAM_RATER__TRANSACTION_TIMEOUT_MS": "30000",
        "RATESTREAM_RATER__BATCH_WAIT_MS": "50",
    }
    run = AggregatorRun(own_pipeline)
    yield run
    run.close()


@pytest.fixture
def stored(own_aggregators: AggregatorRun) -> StoredTraffic:
    return StoredTraffic(own_aggregators)


def leave_while_it_restores(process: RaterProcess) -> None:
    """Tell a process that was stopped in its restore to end, and let it go on."""
    process.process.terminate()
    process.resume()
    assert process.wait_dead(_STOPS_WITHIN_S) == 0, process.log()
    assert "never awaited" not in process.log()


def missing_frames(run: AggregatorRun, traffic: StoredTraffic) -> None:
    """Frames that no aggregator reads, and that the ledger does not have yet."""
    first = run.start()
    traffic.emit(5 * CUSTOMERS)
    traffic.check()
    run.wait_applied(markers=1)
    assert first.terminate() == 0
    traffic.ledger.pause()
    traffic.emit(5 * CUSTOMERS)
    wait_for(lambda: run.pipeline.pending() == 0, "the events are rated")
    skip_to_end(run)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_broker_is_killed_twice_while_frames_flow(
    own_stack: LocalStack, own_aggregators: AggregatorRun, stored: StoredTraffic
) -> None:
    aggregator = own_aggregators.start()
    for _ in range(2):
        before = sum(record["as_of_seq"] for record in own_aggregators.totals().values())
        stored.emit(_EVENTS)
        wait_for(
            lambda: sum(record["as_of_seq"] for record in own_aggregators.totals().values()) > before,  # noqa: B023 - called here
            "frames flow",
        )
        kill_between_ends(own_stack, [stored.supervisor.rater])
        assert own_aggregators.pipeline.pending() > 0, "they flowed when it was killed"
        own_aggregators.pipeline.wait_drained(180)
        stored.check()
    assert aggregator.exit_code is None, aggregator.log()
    stored.end()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_postgresql_is_killed_while_a_gap_is_repaired(
    own_stack: LocalStack, own_aggregators: AggregatorRun, stored: StoredTraffic
) -> None:
    missing_frames(own_aggregators, stored)
    heir = own_aggregators.start()
    stored.emit(CUSTOMERS)
    wait_for(lambda: "what is missing comes from the ledger" in heir.log(), "the repair begins")
    own_stack.postgres.kill9()
    wait_for(lambda: _AWAY in heir.log(), "the repair misses PostgreSQL")
    stored.emit(CUSTOMERS)  # a frame that is kept beside the gap
    own_aggregators.pipeline.wait_drained()
    own_aggregators.wait_applied(markers=1)
    own_stack.up()
    stored.ledger.resume()
    wait_rows(own_aggregators.pipeline, stored.sent.total())
    stored.check()
    stored.emit(CUSTOMERS)
    stored.check()
    stored.end()


def test_told_to_stop_while_it_restores(aggregators: AggregatorRun) -> None:
    traffic = Traffic(aggregators)
    first = aggregators.start()
    traffic.emit(5 * CUSTOMERS)
    traffic.check()
    first.kill9()
    aggregators.delete_state()
    restoring = aggregators.start(failpoints="in_recovery:1:stop")
    restoring.wait_stopped()
    leave_while_it_restores(restoring)
    traffic.emit(CUSTOMERS)
    aggregators.start()
    traffic.check_all()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_told_to_stop_while_it_restores_without_a_broker(
    own_stack: LocalStack, own_aggregators: AggregatorRun, stored: StoredTraffic
) -> None:
    """Its restore cannot end."""
    first = own_aggregators.start()
    stored.emit(5 * CUSTOMERS)
    stored.check()
    first.kill9()
    own_aggregators.delete_state()
    restoring = own_aggregators.start(failpoints="in_recovery:1:stop")
    restoring.wait_stopped()
    began = time.monotonic()
    wait_for(lambda: time.monotonic() > began + 1, "the last transactions have ended")
    own_stack.kafka.kill9()
    leave_while_it_restores(restoring)
    own_stack.up()
    stored.emit(CUSTOMERS)
    own_aggregators.start()
    stored.check()
    stored.end()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_told_to_stop_without_postgresql(
    own_stack: LocalStack, own_aggregators: AggregatorRun, stored: StoredTraffic
) -> None:
    """While a repair asks for it, while it waits for its first rate book, and while it restores."""
    missing_frames(own_aggregators, stored)
    repairing = own_aggregators.start()
    stored.emit(CUSTOMERS)
    wait_for(lambda: "what is missing comes from the ledger" in repairing.log(), "the repair begins")
    own_stack.postgres.kill9()
    wait_for(lambda: _AWAY in repairing.log(), "the repair misses PostgreSQL")
    assert repairing.terminate(_STOPS_WITHIN_S) == 0, repairing.log()
    waiting = own_aggregators.start()
    wait_for(lambda: "rate book: " in waiting.log(), "it waits for a rate book")
    assert waiting.terminate(_STOPS_WITHIN_S) == 0, waiting.log()
    own_stack.up()
    own_aggregators.delete_state()
    restoring = own_aggregators.start(failpoints="in_recovery:1:stop")
    restoring.wait_stopped()
    own_stack.postgres.kill9()
    leave_while_it_restores(restoring)
    own_stack.up()
    stored.ledger.resume()
    own_aggregators.start()
    stored.check()
    stored.end()
