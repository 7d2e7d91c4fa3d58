"""What is asked of the ledger, and what its answers and its errors do. No broker, no database."""

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from aggregator.adapters.repairs import Repairs
from aggregator.adapters.world import World
from aggregator.core.fold import Watched
from aggregator.core.frame_rows import rows_of
from pricing.calendar import zones
from pricing.totals import Live, Scope
from rate_book.ledger_live import RollupsBrokenError
from rate_book.ledger_totals import RowsGoneError
from runtime.clock import SystemClock
from runtime.monitoring import Monitoring
from tests.fix_aggregator import frame, frame_row
from tests.unit.aggregator.test_service import Bench, MemoryTable

A, B = "customer-a", "customer-b"
UTC = zones([])("UTC")
NAMES = ["project", "product", "feature", "model"]


class Ledger:
    """Each customer with as many records of one row as are told."""

    def __init__(self, **seqs: int) -> None:
        self.seqs = {name.replace("_", "-"): seq for name, seq in seqs.items()}
        self.errors: dict[tuple[str, int], Exception] = {}
        self.asked_for: list[str] = []

    async def contiguous(self, customer_ids: Sequence[str]) -> dict[str, int]:
        return {name: self.seqs[name] for name in customer_ids if name in self.seqs}

    async def known(self) -> list[tuple[str, int]]:
        return sorted(self.seqs.items())

    async def at(self, customer_id: str, seq: int, watched: Watched) -> Live | None:
        error = self.errors.get((customer_id, seq))
        if error is not None:
            raise error
        if self.seqs[customer_id] < seq:
            return None
        live = Live()
        live.fold(rows_of(NAMES, [frame_row()] * seq), watched.zone, watched.scopes)
        return live

    async def requests(self) -> list[str]:
        return list(self.asked_for)

    async def taken(self, customer_ids: Sequence[str]) -> None:
        self.asked_for = [name for name in self.asked_for if name not in customer_ids]


class Stored(MemoryTable):
    """The table of the bench, in the order of its keys."""

    def stored(self, partition: int, after: bytes, at_most: int) -> list[tuple[bytes, bytes]]:
        found = sorted((key, value) for (_, key), value in self.values.items() if key > after)
        return found[:at_most]


class Wanted(World):
    """Scopes that a test changes."""

    def __init__(self) -> None:
        self.value = Watched(UTC, [])
        self.number = 1

    @property
    def version(self) -> tuple[int, int]:
        return 1, self.number

    def watched(self, customer_id: str, at_us: int) -> Watched:
        return self.value

    def change(self, *scopes: Scope) -> None:
        self.value, self.number = Watched(UTC, scopes), self.number + 1


class Scene:
    """An aggregator of the one partition that there is, and its repairs."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.table = Stored()
        self.bench = Bench(0, self.table)
        self.world = Wanted()
        self.bench.service._wanted = self.world
        self.partition = self.bench.held.partitions[0]
        self.repairs = Repairs(
            service=self.bench.service,
            held=self.bench.held,
            ledger=ledger,
            table=self.table,
            world=self.world,
            partitions=1,
            clock=SystemClock(),
            monitoring=Monitoring.silent("aggregator"),
            every_s=0.01,
        )

    async def answered(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it while Kafka acknowledges what it is given."""
        task = asyncio.create_task(work)
        while not task.done():
            await asyncio.sleep(0.001)
            self.bench.sender.answer("state")
            self.bench.sender.answer("totals")
        await task

    async def published(self) -> dict[str, int]:
        await self.answered(self.bench.service.write())
        return dict(self.bench.sender.totals())

    def take(self, frame_no: int, **customers: tuple[int, int]) -> None:
        told = {name.replace("_", "-"): (*seqs, [frame_row()]) for name, seqs in customers.items()}
        self.bench.take(frame_no, frame(frame_no, 0, told))


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


@pytest.mark.parametrize("error", [RollupsBrokenError("no sums"), RowsGoneError("a day is gone")])
def test_a_customer_that_cannot_be_told_keeps_no_other_waiting(error: Exception) -> None:
    async def test() -> None:
        scene = Scene(Ledger(customer_a=2, customer_b=2))
        scene.ledger.errors[A, 2] = error
        scene.take(1, customer_a=(2, 2), customer_b=(2, 2))
        await scene.repairs.repair()
        assert await scene.published() == {B: 2}
        assert scene.partition.repairing == {A: 2}

    run(test)


@pytest.mark.parametrize("ledger_seq", [3, 5])
def test_a_cut_below_rows_that_are_gone_is_moved_to_a_later_sequence(ledger_seq: int) -> None:
    async def test() -> None:
        scene = Scene(Ledger(customer_a=ledger_seq))
        scene.ledger.errors[A, 2] = RowsGoneError("a day is gone")
        scene.take(1, customer_a=(2, 2))
        scene.take(2, customer_a=(3, 3))
        await scene.repairs.repair()
        await scene.repairs.repair()
        assert await scene.published() == {A: ledger_seq}

    run(test)


@pytest.mark.parametrize("known", [0, 1])
def test_whoever_is_asked_for_comes_as_far_as_the_ledger_is(known: int) -> None:
    """The frame of the second record is lost, the partition was not suspect: only a request heals it."""

    async def test() -> None:
        scene = Scene(Ledger(customer_a=2))
        if known:
            scene.take(1, customer_a=(1, 1))
        scene.ledger.asked_for = [A]
        await scene.answered(scene.repairs.take_requests())
        await scene.repairs.repair()
        assert await scene.published() == {A: 2}
        assert scene.ledger.asked_for == []

    run(test)


def test_nothing_is_published_of_a_customer_that_nobody_knows() -> None:
    async def test() -> None:
        scene = Scene(Ledger())
        scene.ledger.asked_for = [A]
        await scene.answered(scene.repairs.take_requests())
        assert await scene.published() == {}
        assert scene.ledger.asked_for == []

    run(test)


def test_new_scopes_find_a_customer_that_is_not_written_yet() -> None:
    async def test() -> None:
        scene = Scene(Ledger(customer_a=1))
        await scene.repairs.sweep()
        scene.take(1, customer_a=(1, 1))
        scene.world.change((("feature", "chat"),))
        await scene.repairs.sweep()
        assert scene.partition.repairing == {A: 1}

    run(test)


def test_a_restart_while_the_ledger_lags_asks_again_about_a_missing_frame() -> None:
    """Found by the simulator: the changelog was told of the frames behind the gap, and who restored it knew
    of no gap any more.
    """

    async def test() -> None:
        scene = Scene(Ledger(customer_a=1, customer_b=1))
        scene.take(1, customer_a=(1, 1))
        scene.take(3, customer_b=(1, 1))  # frame 2, with the second record of A, is lost
        await scene.answered(scene.repairs.ask_suspects())
        assert await scene.published() == {A: 1, B: 1}

        scene.bench.service.restored([0])
        scene.take(4, customer_b=(2, 2))
        scene.ledger.seqs[A] = scene.ledger.seqs[B] = 2
        await scene.answered(scene.repairs.ask_suspects())
        await scene.repairs.repair()
        assert (await scene.published())[A] == 2

    run(test)


def test_frames_behind_a_gap_are_told_of_once_the_ledger_was_asked_for_the_last_time() -> None:
    async def test() -> None:
        scene = Scene(Ledger(customer_a=1))
        scene.take(1, customer_a=(1, 1))
        scene.take(3, customer_a=(2, 2))
        assert (scene.partition.frame_no, scene.partition.told_no) == (3, 1)
        await scene.answered(scene.repairs.ask_suspects())
        assert scene.partition.told_no == 1
        scene.repairs._again[0][1][:] = [0.0]  # the last of its instants, and it has come
        await scene.answered(scene.repairs.ask_suspects())
        assert scene.partition.told_no == 3

    run(test)


def test_to_be_told_of_without_a_frame_is_no_publication() -> None:
    """A partition that has no frame would count as published as late as the epoch is long ago."""

    async def test() -> None:
        bench = Bench(None)
        partition = bench.held.partitions[0]
        partition.trust()
        partition.moved = True  # as when the ledger was asked for the last time
        await bench.write()
        assert latencies(bench) == 0
        bench.take(1, frame(1, 0, {A: (1, 1, [frame_row()])}))
        await bench.write()
        assert latencies(bench) == 1

    run(test)


def latencies(bench: Bench) -> int:
    told = bench.service._monitoring.metrics.exposition().decode()
    (count,) = re.findall(
        r"^ratestream_aggregator_publish_latency_seconds_count(?:\{.*\})? (\d+)", told, re.MULTILINE
    ) or ["0"]
    return int(count)
