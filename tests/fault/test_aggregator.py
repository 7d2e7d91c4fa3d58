"""The aggregator killed, paused and robbed of its state: its totals end equal to the ledger."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from rocksdict import Options, Rdict

from aggregator.adapters.live_codec import CUSTOMER_KEY
from cli.topics import specs
from pricing.money import ATTO
from runtime.kafka import admin as topic_admin
from runtime.kafka.offsets import list_offsets
from runtime.settings import TopicsSettings
from schemas import topics
from schemas.codec import CODEC
from tests.fault.ledger_checks import wait_rows
from tests.fix_aggregator import AggregatorRun
from tests.fix_rater import KILLED, PARTITIONS, Pipeline, RaterProcess, usage_event, wait_for

CUSTOMERS = 12
MILLI = ATTO // 1000


class Traffic:
    """Events of twelve customers through a rater and a ledger, and what they sum up to."""

    def __init__(self, run: AggregatorRun) -> None:
        self.run = run
        self.sent: Counter[str] = Counter()
        self.rater = run.pipeline.start()
        self.ledger = run.pipeline.start(module="ledger", ledger__slot=0)
        self.rater.wait_owner()

    def emit(self, count: int) -> None:
        first = self.sent.total()
        events = [usage_event(number % CUSTOMERS, number) for number in range(first, first + count)]
        self.sent.update(event["customer_id"] for event in events)
        self.run.pipeline.emit(events)

    def emit_until_dead(self, process: RaterProcess) -> None:
        """What is written together counts once, so it must go on."""

        def dead() -> bool:
            self.emit(CUSTOMERS)
            wait_for(lambda: self.run.pipeline.pending() == 0, "the events are rated")
            return process.exit_code is not None

        wait_for(dead, "it dies")

    def check(self) -> None:
        """Totals as of the last event, equal to the ledger, and 0.003 and 0.0045 USD an event."""
        found = self.run.wait_seq(self.sent)
        wait_rows(self.run.pipeline, self.sent.total())
        for customer, count in self.sent.items():
            live = self.run.live(found[customer])
            lifetime = live.entries["lifetime", 0, (), "USD", "USD"]
            assert (lifetime.events, lifetime.cost_atto) == (count, 3 * count * MILLI), customer
            assert lifetime.price_atto == 45 * count * MILLI // 10
            assert live == self.run.ledger_live(customer), customer

    def check_all(self) -> None:
        """And once more from the changelog alone."""
        self.check()
        for process in self.run.processes:
            if process.exit_code is None:
                assert process.terminate() == 0, process.log()
        self.run.delete_state()
        self.run.start()
        self.emit(CUSTOMERS)
        self.check()


@pytest.fixture
def traffic(aggregators: AggregatorRun) -> Iterator[Traffic]:
    yield Traffic(aggregators)
    aggregators.close()


@pytest.mark.parametrize(
    "name",
    [
        "after_table_put",
        "after_publish",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("after_read", "before_changelog_ack", "before_commit", "after_commit")
        ),
    ],
)
def test_killed_twice_at_a_failpoint(aggregators: AggregatorRun, traffic: Traffic, name: str) -> None:
    for nth in (1, 3):
        process = aggregators.start(failpoints=f"{name}:{nth}:kill")
        traffic.emit_until_dead(process)
        assert process.exit_code == KILLED
    aggregators.start()
    traffic.emit(CUSTOMERS)
    traffic.check_all()


@pytest.mark.slow
def test_killed_while_it_restores(aggregators: AggregatorRun, traffic: Traffic) -> None:
    first = aggregators.start()
    traffic.emit(60)
    traffic.check()
    first.kill9()
    aggregators.delete_state()
    assert aggregators.start(failpoints="in_recovery:1:kill").wait_dead() == KILLED
    aggregators.start()
    traffic.emit(60)
    traffic.check_all()


def test_a_second_worker_joins_and_the_first_is_killed_in_the_revoke(
    aggregators: AggregatorRun, traffic: Traffic
) -> None:
    first = aggregators.start(failpoints="in_revoke:1:kill")
    traffic.emit(60)
    traffic.check()
    aggregators.start(slot=1)
    traffic.emit(60)
    assert first.wait_dead() == KILLED
    traffic.check()


@pytest.mark.slow
def test_workers_come_and_go(aggregators: AggregatorRun, traffic: Traffic) -> None:
    aggregators.start()
    traffic.emit(60)
    traffic.check()
    second = aggregators.start(slot=1)
    for _ in range(10):
        traffic.emit(24)
        wait_for(lambda: aggregators.pipeline.pending() == 0, "the events are rated")
    second.wait_owner()
    traffic.check()
    assert second.terminate() == 0
    traffic.emit(60)
    traffic.check()


@pytest.mark.slow
def test_a_paused_worker_that_goes_on_changes_nothing(aggregators: AggregatorRun, traffic: Traffic) -> None:
    zombie = aggregators.start()
    traffic.emit(60)
    traffic.check()
    traffic.emit(60)
    zombie.pause()
    aggregators.start(slot=1)
    traffic.emit(60)
    traffic.check()
    zombie.resume()
    traffic.emit(60)
    traffic.check()
    aggregators.pipeline.tolerated |= {3, 70}  # it may end itself, fenced


@pytest.mark.parametrize(
    "delete",
    ["both", *(pytest.param(it, marks=pytest.mark.slow) for it in ("directory", "changelog", "offsets"))],
)
def test_what_it_keeps_is_deleted(aggregators: AggregatorRun, traffic: Traffic, delete: str) -> None:
    process = aggregators.start()
    traffic.emit(60)
    traffic.check()
    aggregators.wait_applied(markers=1)
    process.kill9()
    if delete in {"directory", "both"}:
        aggregators.delete_state()
    if delete in {"changelog", "both"}:
        recreate(aggregators.pipeline, topics.AGGREGATOR_STATE)
    if delete == "offsets":
        wait_for(lambda: forgotten(aggregators), "the group is gone")
    traffic.emit(60)
    aggregators.start()
    traffic.check_all()


def test_a_state_is_whole_only_when_its_totals_are_out(aggregators: AggregatorRun, traffic: Traffic) -> None:
    """Behind a repair there is no frame that would be read again: only the state tells what is to be done."""
    process = aggregators.start()
    traffic.emit(60)
    traffic.check()
    aggregators.wait_applied(markers=1)
    process.kill9()
    traffic.emit(60)
    wait_rows(aggregators.pipeline, traffic.sent.total())
    aggregators.delete_state()
    recreate(aggregators.pipeline, topics.AGGREGATOR_STATE)
    skip_to_end(aggregators)
    # The first write of each partition marks who is behind the ledger, the next have repairs.
    assert aggregators.start(failpoints="after_table_put:6:kill").wait_dead() == KILLED
    published = aggregators.totals()
    whole = {
        state["customer_id"]: state["seq"] for state in local_states(aggregators) if not state["since_seq"]
    }
    assert whole
    assert {name: published[name]["as_of_seq"] for name in whole} == whole
    aggregators.start()
    traffic.check()


def local_states(run: AggregatorRun) -> Iterator[dict[str, Any]]:
    """Every LiveCustomer in the local tables; no aggregator runs."""
    for path in (run.pipeline.directory / "aggregator").rglob("*.db"):
        database = Rdict(str(path), options=Options(raw_mode=True))
        for key, value in database.items():
            if isinstance(key, bytes) and key.startswith(CUSTOMER_KEY):
                yield CODEC.decode("LiveCustomer", value)
        database.close()


@pytest.mark.slow
def test_frames_that_are_missing_come_from_the_ledger(aggregators: AggregatorRun, traffic: Traffic) -> None:
    process = aggregators.start()
    traffic.emit(60)
    traffic.check()
    aggregators.wait_applied(markers=1)
    assert process.terminate() == 0
    for _ in range(3):
        traffic.emit(60)
        wait_for(lambda: aggregators.pipeline.pending() == 0, "the events are rated")
    skip_to_end(aggregators)
    heir = aggregators.start()
    traffic.emit(24)
    traffic.check()
    assert "what is missing comes from the ledger" in heir.log()
    traffic.check_all()


def recreate(pipeline: Pipeline, name: str) -> None:
    """Delete a topic, and create it as `ratestream topics apply` does."""
    full = pipeline.prefix + name
    admin = pipeline.kafka.admin()
    topic_admin.delete(admin, [full])
    wait_for(lambda: full not in admin.list_topics(timeout=30).topics, "the topic is gone")
    wanted = [spec for spec in specs(pipeline.settings, TopicsSettings()) if spec.name == full]
    topic_admin.create(admin, wanted)


def forgotten(run: AggregatorRun) -> bool:
    """Delete the group's offsets, as soon as it has no member."""
    group = f"{run.pipeline.prefix}aggregator"
    future = run.pipeline.kafka.admin().delete_consumer_groups([group])[group]
    return future.exception(30) is None


def skip_to_end(run: AggregatorRun) -> None:
    """Move the group's offsets behind everything; nobody is in the group."""
    names = [(run.pipeline.prefix + topics.USAGE_DELTAS, number) for number in range(PARTITIONS)]
    ends = list_offsets(run.pipeline.settings.client_config(), names, "latest")
    group = f"{run.pipeline.prefix}aggregator"
    wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(*where, end) for where, end in ends.items()])

    def moved() -> bool:
        future = run.pipeline.kafka.admin().alter_consumer_group_offsets([wanted])[group]
        # One partition after the other is refused until the last member's session is over.
        return all(item.error is None for item in future.result(30).topic_partitions)

    wait_for(moved, "the group's offsets are moved")
    assert run.committed() == {number: end for (_, number), end in ends.items()}
