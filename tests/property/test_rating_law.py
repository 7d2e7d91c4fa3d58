"""The law of rating: for each customer, the same sequence of distinct events under the same versions gives
the same bytes, whatever the batching, duplication and interleaving, and whoever died meanwhile.
"""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rater.adapters.state import StateStore
from rater.core.batch import PartitionBatch
from rater.core.frames import check_follows, effects_of_record, effects_of_result, frame_record
from rater.core.work import BatchResult, Head
from schemas.codec import CODEC
from tests.property.rating_model import (
    CUSTOMERS,
    RATEABLE,
    TOOLS,
    Said,
    by_customer,
    check_amounts_of_periods,
    check_conservation,
    expected_of,
    record_of,
    said_of,
)
from tests.unit.rater.fake_log import CACHE, LOG, FakeLog
from tests.unit.rater.fakes import WINDOWS, RamMemory

STREAMS = st.lists(said_of(), max_size=40)
# For each batch: how many records, and how often it is decided and thrown away before it is committed.
CUTS = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 2)), min_size=1, max_size=40)


@given(STREAMS, CUTS, st.booleans())
@settings(deadline=None)
def test_batching_duplication_interleaving_and_aborts_change_no_byte(
    stream: list[Said],
    cuts: list[tuple[int, int]],
    read_back: bool,
) -> None:
    memory = RamMemory()
    records = [record_of(said, offset) for offset, said in enumerate(stream)]
    memory.values = {record.offset: record.value for record in records}
    committed: list[BatchResult] = []
    turn = 0
    while memory.head.events_next < len(records):
        count, thrown_away = cuts[turn % len(cuts)]
        turn += 1
        at = memory.head.events_next

        def decide(count: int, at: int = at) -> BatchResult:
            return PartitionBatch(0, memory.head, WINDOWS, memory, TOOLS).run(
                records[at : at + count], [], "usage.events", "usage.corrections"
            )

        for attempt in range(thrown_away):
            decide(count + attempt)
        result = decide(count)
        frame = CODEC.decode("DeltaFrame", CODEC.encode("DeltaFrame", frame_record(result, "p", "b")))
        check_follows(memory.head, frame)
        check_conservation(result)
        memory.apply(effects_of_record(frame) if read_back else effects_of_result(result))
        committed.append(result)
    expected = expected_of(stream)
    rated = [it for result in committed for it in result.rated]
    assert by_customer(rated) == expected.values
    check_amounts_of_periods(rated)
    assert sum(len(result.duplicates) for result in committed) == expected.duplicates
    assert sum(len(result.rejected) for result in committed) == expected.rejected


@given(st.lists(said_of(sorted(RATEABLE)), max_size=20), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_another_interleaving_of_the_same_customers_changes_no_byte(
    stream: list[Said], random: object
) -> None:
    queues = {name: [it for it in stream if it.customer == name] for name in CUSTOMERS}
    other: list[Said] = []
    while any(queues.values()):
        name = random.choice([name for name, queue in queues.items() if queue])  # type: ignore[attr-defined]  # hypothesis gives a Random
        other.append(queues[name].pop(0))
    passes = [
        by_customer(
            PartitionBatch(0, Head(), WINDOWS, RamMemory(), TOOLS)
            .run([record_of(it, n) for n, it in enumerate(order)], [], "e", "c")
            .rated
        )
        for order in (stream, other)
    ]
    assert passes[0] == passes[1]


class Owner:
    """A rater as far as one partition goes: its local state, on its own disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store: StateStore | None = None

    def open(self, log: FakeLog) -> Head:
        self.close()
        self.store = StateStore(self.path, LOG, WINDOWS, CACHE)
        return log.follow(self.store)

    def close(self) -> None:
        if self.store is not None:
            self.store.close()
            self.store = None


class Partition(RuleBasedStateMachine):
    """One partition of two raters, one of which owns it, over a log that both restore from."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="rating-law-"))
        self.owners = [Owner(self.directory / name) for name in ("one", "two")]
        self.owner = self.owners[0]
        self.log = FakeLog()
        self.stream: list[Said] = []
        self.rated: list[tuple[bytes, bytes]] = []
        self.tallies = [0, 0, 0]
        self.head = Head()

    @initialize()
    def assign(self) -> None:
        self.head = self.owner.open(self.log)

    def teardown(self) -> None:
        try:
            if self.owner.store is not None:
                self.work(len(self.stream) + 1)
                expected = expected_of(self.stream)
                assert by_customer(self.rated) == expected.values
                assert self.tallies == [expected.rated, expected.duplicates, expected.rejected]
                check_amounts_of_periods(self.rated)
                self.lose_everything_local()
        finally:
            for owner in self.owners:
                owner.close()
            shutil.rmtree(self.directory)

    # --- what comes in ---

    @rule(said=said_of())
    def deliver(self, said: Said) -> None:
        self.stream.append(said)

    @precondition(lambda self: self.stream)
    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        self.stream.append(data.draw(st.sampled_from(self.stream)))

    # --- what the owner does ---

    @rule(count=st.integers(0, 6))
    def work(self, count: int) -> None:
        result = self.decide(count)
        self.commit(result)
        assert self.owner.store is not None
        self.owner.store.apply(
            effects_of_result(result),
            at_us=1,
            deltas_next=self.log.end("deltas"),
            state_next=self.log.end("state"),
            coverage_from_us=0 if result.head.frame_no == 1 else None,
        )
        self.head = result.head

    @rule(count=st.integers(1, 6))
    def abort(self, count: int) -> None:
        self.decide(count)

    # --- what goes wrong ---

    @rule(count=st.integers(1, 6))
    def die_before_the_commit(self, count: int) -> None:
        self.decide(count)
        self.head = self.owner.open(self.log)

    @rule(count=st.integers(0, 6))
    def die_after_the_commit(self, count: int) -> None:
        self.commit(self.decide(count))
        self.head = self.owner.open(self.log)

    @rule(count=st.integers(0, 6))
    def die_after_the_commit_and_another_takes_over(self, count: int) -> None:
        self.commit(self.decide(count))
        self.rebalance()

    @rule()
    def restart(self) -> None:
        self.head = self.owner.open(self.log)

    @rule()
    def lose_everything_local(self) -> None:
        self.owner.close()
        shutil.rmtree(self.owner.path)
        self.head = self.owner.open(self.log)

    @rule()
    def rebalance(self) -> None:
        """The other one has what it had when it owned the partition last, if ever."""
        self.owner.close()
        self.owner = self.owners[1 - self.owners.index(self.owner)]
        self.head = self.owner.open(self.log)

    @rule()
    def compact(self) -> None:
        self.log.compact()

    # --- what always holds ---

    @invariant()
    def committed_records_are_a_prefix(self) -> None:
        seen = self.stream[: self.head.events_next]
        expected = expected_of(seen)
        assert by_customer(self.rated) == expected.values
        assert self.tallies == [expected.rated, expected.duplicates, expected.rejected]

    def decide(self, count: int) -> BatchResult:
        at = self.head.events_next
        records = [
            record_of(said, offset) for offset, said in enumerate(self.stream[at : at + count], start=at)
        ]
        return PartitionBatch(0, self.head, WINDOWS, self, TOOLS).run(
            records, [], "usage.events", "usage.corrections"
        )

    def commit(self, result: BatchResult) -> None:
        check_conservation(result)
        self.log.commit(result)
        self.rated += result.rated
        counts = (len(result.rated), len(result.duplicates), len(result.rejected))
        self.tallies = [before + count for before, count in zip(self.tallies, counts, strict=True)]

    # --- rater.core.work.Memory ---

    @property
    def known(self):  # type: ignore[no-untyped-def]  # noqa: ANN201 - the store's own method
        assert self.owner.store is not None
        return self.owner.store.known

    @property
    def last_sequences(self):  # type: ignore[no-untyped-def]  # noqa: ANN201 - the store's own method
        assert self.owner.store is not None
        return self.owner.store.last_sequences

    @property
    def period(self):  # type: ignore[no-untyped-def]  # noqa: ANN201 - the store's own method
        assert self.owner.store is not None
        return self.owner.store.period

    @property
    def revision(self):  # type: ignore[no-untyped-def]  # noqa: ANN201 - the store's own method
        assert self.owner.store is not None
        return self.owner.store.revision

    @property
    def run(self):  # type: ignore[no-untyped-def]  # noqa: ANN201 - the store's own method
        assert self.owner.store is not None
        return self.owner.store.run

    def covers(self, append_us: int) -> bool:
        assert self.owner.store is not None
        return self.owner.store.covers(append_us)

    def first_record(self, offset: int) -> bytes | None:
        return record_of(self.stream[offset], offset).value


TestPartition = Partition.TestCase
TestPartition.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
