"""What is released, and when; what is written again; what a missing frame does. No broker."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from aggregator.adapters.live_codec import customer_key, partition_key
from aggregator.adapters.states import head_bytes, needs_a_look, state_for
from aggregator.adapters.writer import Record, UnsentError, Writing
from aggregator.core.fold import Watched
from aggregator.core.held import Held
from aggregator.core.parts import Parts, PartsError
from aggregator.core.released import Released
from aggregator.service import Aggregator, Names, StateError
from pricing.calendar import zones
from pricing.totals import Scope
from runtime.clock import SystemClock
from runtime.failpoints import NoFailpoints
from runtime.monitoring import Monitoring
from schemas.codec import CODEC
from tests.fix_aggregator import frame, frame_row, parts

A = "customer-1"
UTC = zones([])("UTC")


class MemoryTable:
    """A table that is a dictionary."""

    def __init__(self) -> None:
        self.values: dict[tuple[int, bytes], bytes] = {}
        self.offsets: list[int] = []

    def local(self, partition: int, key: bytes) -> bytes | None:
        return self.values.get((partition, key))

    def keep(self, partition: int, values: Mapping[bytes, bytes]) -> None:
        self.values.update({(partition, key): value for key, value in values.items()})

    def wrote(self, partition: int, count: int, last: int) -> None:
        self.offsets.append(last)


class Sender:
    """Records go nowhere, until the test says how that ended."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Record]] = []
        self.waiting: dict[str, list[asyncio.Future[Any]]] = {"state": [], "totals": []}

    async def send(self, topic: str, partition: int, records: Iterable[Record]) -> Writing:
        given = list(records)
        self.sent += [(topic, record) for record in given]
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if given:
            self.waiting[topic].append(future)
        return Writing(topic, partition, [(future, len(given))] if given else [])

    def answer(self, topic: str) -> None:
        for future in self.waiting[topic]:
            if not future.done():
                future.set_result(type("Metadata", (), {"offset": 7})())

    def totals(self) -> list[tuple[str, int]]:
        records = [
            CODEC.decode("RunningTotals", value) for topic, (_, value) in self.sent if topic == "totals"
        ]
        return [(record["customer_id"], record["as_of_seq"]) for record in records]


class Fixed:
    """What is wanted of everybody."""

    def __init__(self, *scopes: Scope) -> None:
        self.value = Watched(UTC, scopes)

    def watched(self, _customer_id: str, _at_us: int) -> Watched:
        return self.value


class Bench:
    """An aggregator that owns partition 0, frame `frame_no` being the last it knew."""

    def __init__(self, frame_no: int | None = 0, table: MemoryTable | None = None) -> None:
        self.table = table or MemoryTable()
        self.sender = Sender()
        self.wanted = Fixed()
        self.released: Released[int] = Released()
        self.held = Held(2)
        self.service = Aggregator(
            table=self.table,
            sender=self.sender,
            wanted=self.wanted,
            names=Names("deltas", "state", "totals", "topic-id"),
            held=self.held,
            released=self.released,
            committed=dict,
            clock=SystemClock(),
            failpoints=NoFailpoints(),
            monitoring=Monitoring.silent("aggregator"),
            publish_s=0.01,
        )
        if frame_no is not None:
            self.table.keep(0, {partition_key(0): head_bytes(frame_no, 0, "topic-id")})
        self.service.assigning()
        self.service.restored([0])

    def take(self, offset: int, record: Mapping[str, Any], chunk_bytes: int = 1 << 19) -> int:
        for value in parts(record, chunk_bytes):
            self.service.take(0, offset, value)
            offset += 1
        return offset

    async def write(self) -> None:
        writing = asyncio.create_task(self.service.write())
        while not writing.done():
            await asyncio.sleep(0.001)
            self.sender.answer("state")
            self.sender.answer("totals")
        await writing


def one(frame_no: int, first: int, last: int, customer: str = A) -> dict[str, Any]:
    return frame(frame_no, 0, {customer: (first, last, [frame_row()])})


def test_totals_come_before_the_state_and_an_offset_is_released_behind_both() -> None:
    """A state that is whole and has no frame left to read would never be published again."""

    async def run() -> None:
        bench = Bench()
        bench.take(10, one(1, 1, 1))
        writing = asyncio.create_task(bench.service.write())
        for topic in ("totals", "state"):
            await asyncio.sleep(0.01)
            assert (writing.done(), bench.released.next_offset(0)) == (False, None)
            assert {sent for sent, _ in bench.sender.sent} == {"totals", topic}
            assert (bench.table.local(0, customer_key(A)) is None) == (topic == "totals")
            bench.sender.answer(topic)
        await writing
        assert bench.released.next_offset(0) == 11
        assert bench.table.offsets == [8]  # the customer's value at 7, then the head

    asyncio.run(run())


@pytest.mark.parametrize("topic", ["state", "totals"])
def test_a_record_that_kafka_refuses_is_an_error_and_releases_nothing(topic: str) -> None:
    async def run() -> None:
        bench = Bench()
        bench.take(10, one(1, 1, 1))
        writing = asyncio.create_task(bench.service.write())
        await asyncio.sleep(0.01)
        if topic == "state":
            bench.sender.answer("totals")
            await asyncio.sleep(0.01)
        bench.sender.waiting[topic][0].set_exception(RuntimeError("no leader"))
        with pytest.raises(UnsentError, match="no leader"):
            await writing
        assert bench.released.next_offset(0) is None

    asyncio.run(run())


def test_nothing_is_released_for_whoever_owns_the_partition_next() -> None:
    async def run() -> None:
        bench = Bench()
        bench.take(10, one(1, 1, 1))
        writing = asyncio.create_task(bench.service.write())
        await asyncio.sleep(0.01)
        bench.service.assigning()
        bench.sender.answer("state")
        bench.sender.answer("totals")
        await writing
        assert bench.released.next_offset(0) is None
        assert bench.table.offsets == []

    asyncio.run(run())


def test_a_frame_in_parts_counts_when_its_last_part_is_there() -> None:
    async def run() -> None:
        bench = Bench()
        pieces = parts(one(1, 1, 1), 50)
        assert len(pieces) > 2
        for offset, value in enumerate(pieces[:-1]):
            bench.service.take(0, offset, value)
        await bench.write()
        assert (bench.released.next_offset(0), bench.sender.sent) == (None, [])
        bench.service.take(0, len(pieces) - 1, pieces[-1])
        await bench.write()
        assert (bench.released.next_offset(0), bench.sender.totals()) == (len(pieces), [(A, 1)])

    asyncio.run(run())


def test_a_frame_that_is_read_again_is_written_again_and_changes_nothing() -> None:
    async def run() -> None:
        bench = Bench()
        bench.take(0, one(1, 1, 1))
        await bench.write()
        before = dict(bench.table.values)
        bench.sender.sent.clear()
        bench.take(0, one(1, 1, 1))
        await bench.write()
        assert bench.table.values == before
        keys = [key for topic, (key, _) in bench.sender.sent if topic == "state"]
        assert keys == [customer_key(A), partition_key(0)]  # the head last, so that it is never ahead
        assert bench.sender.totals() == [(A, 1)]

    asyncio.run(run())


def test_a_missing_frame_makes_the_partition_suspect_and_a_gap_publishes_nothing() -> None:
    async def run() -> None:
        bench = Bench()
        bench.take(0, one(1, 1, 1))
        bench.take(1, one(3, 3, 3))
        await bench.write()
        partition = bench.held.partitions[0]
        assert (partition.suspect, partition.repairing, bench.sender.totals()) == (True, {A: 3}, [])
        assert bench.released.next_offset(0) == 2

    asyncio.run(run())


@pytest.mark.parametrize(("known", "first", "suspect"), [(None, 1, False), (None, 2, True), (5, 6, False)])
def test_a_start_without_a_head_is_suspect_until_frame_1_is_read(
    known: int | None, first: int, suspect: bool
) -> None:
    bench = Bench(known)
    assert bench.held.partitions[0].suspect is (known is None)
    bench.take(0, one(first, 1, 1))
    assert bench.held.partitions[0].suspect is suspect


def test_a_restore_that_was_overtaken_leaves_nothing() -> None:
    """It told of other partitions, and of a table that was not restored yet."""
    bench = Bench(None)
    bench.service.restored([0, 1])
    bench.service.state(bench.held.partitions[0], A, 0)
    restored = Bench(1)
    restored.take(0, one(1, 1, 1))
    asyncio.run(restored.write())
    bench.table.values.update(restored.table.values)
    bench.service.restored([0])
    assert list(bench.held.partitions) == [0]
    assert bench.service.state(bench.held.partitions[0], A, 0).seq == 1


def test_a_state_of_another_usage_deltas_is_refused() -> None:
    table = MemoryTable()
    table.keep(0, {partition_key(0): head_bytes(5, 0, "another")})
    with pytest.raises(StateError, match="created anew"):
        Bench(None, table)


def test_other_scopes_have_a_customer_rebuilt_from_the_ledger() -> None:
    async def run() -> None:
        bench = Bench()
        bench.take(0, one(1, 1, 1))
        await bench.write()
        bench.wanted = bench.service._wanted = Fixed((("feature", "chat"),))
        bench.take(1, one(2, 2, 2))
        await bench.write()
        partition = bench.held.partitions[0]
        assert partition.repairing == {A: 1}
        value = bench.table.local(0, customer_key(A))
        assert value is not None
        state, same = state_for(value, bench.wanted.value)
        assert (state.seq, state.since_seq, same) == (2, 1, True)
        assert needs_a_look(value, bench.wanted.value)
        assert state_for(value, Fixed().value)[1] is False

    asyncio.run(run())


def test_a_state_that_left_the_memory_is_loaded_again() -> None:
    async def run() -> None:
        bench = Bench()
        for number in range(5):  # two are kept in memory
            bench.take(number, one(number + 1, 1, 1, f"customer-{number}"))
        await bench.write()
        for number in range(5):
            bench.take(5 + number, one(number + 6, 2, 2, f"customer-{number}"))
        await bench.write()
        assert bench.sender.totals() == [(f"customer-{number}", seq) for seq in (1, 2) for number in range(5)]

    asyncio.run(run())


def test_parts_that_do_not_follow_each_other_are_refused_and_a_beginning_that_is_gone_is_skipped() -> None:
    reader = Parts()
    assert reader.add(4, 1, 2, b"b") is None  # read from the middle on
    assert reader.add(5, 0, 2, b"a") is None
    with pytest.raises(PartsError, match="frame 6 begins before frame 5 is complete"):
        reader.add(6, 0, 1, b"a")
    with pytest.raises(PartsError, match="part 2 of frame 5 follows part 0"):
        reader.add(5, 2, 3, b"c")
    assert reader.add(5, 1, 2, b"b") == b"ab"
