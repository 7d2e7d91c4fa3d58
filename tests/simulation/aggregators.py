"""The aggregator as the world runs it: its own service, repairs, writer and table, in a loop by the schedule.

Faust is not simulated: in its place stands a transport that calls the service as Faust's hooks do. Nothing
fences an aggregator: one that was put out goes on writing what it has.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

from confluent_kafka import KafkaException

from aggregator.adapters.live_codec import reached
from aggregator.adapters.repairs import Repairs
from aggregator.adapters.table import LiveStore
from aggregator.adapters.world import World
from aggregator.adapters.writer import UnsentError, Writer
from aggregator.core.fold import Watched
from aggregator.core.held import Held
from aggregator.core.released import Released
from aggregator.service import Aggregator, Names
from pricing.totals import Live, Row, Scope, parse_sum
from runtime.errors import InfrastructureError
from tests.simulation.books import SimBook
from tests.simulation.broker import visible
from tests.simulation.checks import need
from tests.simulation.clients import Site
from tests.simulation.decoding import decoded
from tests.simulation.disk import SimRdict
from tests.simulation.group import Member, Metadata
from tests.simulation.ledgers import Database
from tests.simulation.loop import SimLoop
from tests.simulation.raters import SimFailpoints, silent
from tests.simulation.schedule import SECOND_US, SimClock, SimulatedCrash
from tests.simulation.stream import PARTITIONS

NAMES = Names("usage.deltas", "aggregator.state", "usage.totals", "usage.deltas-id")
SCOPE: Scope = (("feature", "chat"),)
BUCKET_US = 900 * SECOND_US


class SimTable(LiveStore):
    """aggregator.adapters.table.LiveStore over the simulated disk, without Faust's store beneath."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._opened: dict[int, SimRdict] = {}
        self._dbs = cast("Any", self._opened)
        self._sequence = reached
        self.offset_key = b"offset"

    def open(self, numbers: Sequence[int]) -> None:
        self._opened.clear()
        for number in numbers:
            self._opened[number] = SimRdict(f"{self._directory}/{number}")

    def _db_for_partition(self, partition: int) -> Any:
        return self._opened[partition]

    def position(self, number: int) -> int:
        """Where the changelog goes on."""
        told = self.local(number, self.offset_key)
        return 0 if told is None else int(told) + 1

    def set_persisted_offset(self, tp: Any, offset: int) -> None:
        self._opened[tp.partition].put(self.offset_key, str(offset).encode())


@lru_cache(maxsize=1_024)
def _reached(key: bytes, value: bytes) -> int:
    return reached(key, value)


class _Place(NamedTuple):
    partition: int


class _Batch:
    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes]] = []

    def append(self, *, key: bytes, value: bytes, timestamp: None) -> object | None:
        if len(self.records) >= 3:  # full: the writer begins another
            return None
        self.records.append((key, value))
        return self

    def record_count(self) -> int:
        return len(self.records)


class SimAioProducer:
    """aiokafka's idempotent producer: batches are on their way for a while, in order."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._last_us = 0

    def create_batch(self) -> _Batch:
        return _Batch()

    async def send_batch(self, batch: _Batch, topic: str, *, partition: int) -> "asyncio.Future[Any]":
        schedule, random = self._site.schedule, self._site.schedule.random.random
        schedule.effect("send a batch")
        future = asyncio.get_running_loop().create_future()
        slow = not schedule.quiet and random() < 0.03
        at_us = schedule.now_us + int(random() * (30 * SECOND_US if slow else 30_000))
        self._last_us = at_us = max(at_us, self._last_us + 1)
        refused = not schedule.quiet and random() < 0.004

        def arrive() -> None:
            if self._site.process.dead and random() < 0.5:
                return  # it was still in the process
            offset = 0
            for index, (key, value) in enumerate(batch.records):
                appended = self._site.broker.append((topic, partition), key, value)
                offset = offset if index else appended
            schedule.changes += 1
            if future.done() or self._site.process.dead:
                return
            if refused:
                schedule.saw("a batch of the aggregator fails")
                future.set_exception(RuntimeError("refused"))
            else:
                future.set_result(SimpleNamespace(offset=offset))

        schedule.at(at_us, arrive)
        return future


class SimScopes:
    """rate_book.watched.WatchedScopes: budgets change at an instant of the world."""

    def __init__(self, clock: SimClock, change_us: int | None) -> None:
        self._clock = clock
        self._change_us = change_us

    @property
    def version(self) -> int:
        return int(self._change_us is not None and self._clock.now_us() >= self._change_us)

    def scopes(self, customer_id: str) -> tuple[Scope, ...]:
        return (SCOPE,) if self.version or customer_id in "ab" else ()


class SimSource:
    """The ledger as the aggregator asks it: folds of its rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def contiguous(self, customer_ids: Sequence[str]) -> dict[str, int]:
        self._database.ask("ask the ledger")
        held = self._database.customers
        return {name: held[name].contiguous_seq for name in customer_ids if name in held}

    async def known(self) -> list[tuple[str, int]]:
        self._database.ask("ask the ledger for everyone")
        return sorted((name, it.contiguous_seq) for name, it in self._database.customers.items())

    async def at(self, customer_id: str, seq: int, watched: Watched) -> Live | None:
        self._database.ask("ask the ledger for totals")
        records = [it for it in self._database.rated if it.customer_id == customer_id]
        live = Live()
        rows = [row_of(decoded("RatedUsage", it.record)) for it in records if it.customer_seq <= seq]
        live.fold(rows, watched.zone, watched.scopes)
        await asyncio.sleep(0.01)
        return live if len(rows) == seq else None

    async def requests(self) -> list[str]:
        return []

    async def taken(self, customer_ids: Sequence[str]) -> None: ...


def row_of(record: Mapping[str, Any]) -> Row:
    """A rated record as a row of its own."""
    event, rating = record["event"], record["rating"]
    sign = -1 if rating["leg"] == "reversal" else 1
    cost, price = (rating[side]["amount"] for side in ("cost", "price"))
    unpriced = [sign * (rating[side]["status"] in {"unpriced", "partial"}) for side in ("cost", "price")]
    return Row(
        event["event_time_us"] - event["event_time_us"] % BUCKET_US,
        rating["service_period"]["start_us"],
        rating["service_period"]["end_us"],
        rating["cost"]["currency"],
        rating["price"]["currency"],
        (("feature", event["feature"]),),
        None if cost is None else parse_sum(cost),
        None if price is None else parse_sum(price),
        sign,
        unpriced[0],
        unpriced[1],
        {meter: sign * parse_sum(quantity) for meter, quantity in event["usage"].items()},
    )


class SimTransport:
    """What Faust does for the service: membership, recovery, records, commits."""

    def __init__(self, site: Site, service: Aggregator, table: SimTable, released: Released[int]) -> None:
        self._site = site
        self._group = site.groups["aggregator"]
        self._service = service
        self._table = table
        self._released = released
        self._member: Member | None = None
        self._generation = -1
        self._positions: dict[int, int] = {}
        self._commit_s = 0.0

    async def run(self) -> None:
        """Round and round."""
        schedule = self._site.schedule
        self._service.assigning()
        while True:
            await self._membership()
            self._read()
            loop = asyncio.get_running_loop()
            if loop.time() >= self._commit_s:
                self._commit_s = loop.time() + 1.5
                self._commit()
            await asyncio.sleep(0.05 + schedule.random.random() * (3 if schedule.quiet else 1.6))

    async def _membership(self) -> None:
        group, member = self._group, self._member
        self._site.schedule.effect("poll")
        if member is None:
            self._member, self._generation = group.join(self._site.process), -1
        elif not group.knows(member):
            self._site.schedule.saw("an aggregator was put out")
            self._revoked()
            self._member = None
        elif group.rebalancing:
            if not member.joined:
                if self._generation != -1:
                    self._service.passed("in_revoke")
                    await self._service.settle()
                    self._commit()
                self._revoked()
                group.rejoin(member)
        elif member.generation != self._generation:
            await self._assigned(member)

    def _revoked(self) -> None:
        self._positions, self._generation = {}, -1
        self._service.assigning()

    async def _assigned(self, member: Member) -> None:
        generation, numbers = member.generation, list(member.partitions)
        self._generation = generation
        self._table.open(numbers)
        for number in numbers:
            await self._recover(number)
        told = self._site.broker.group_offsets.get("aggregator", {})
        self._positions = {number: told.get((NAMES.deltas, number), 0) for number in numbers}
        self._service.restored(numbers)
        await self._service.follow()

    async def _recover(self, number: int) -> None:
        log = self._site.broker.logs[NAMES.state, number]
        end = log.end
        entries = [it for it in log.entries if self._table.position(number) <= it.offset < end]
        size = self._site.schedule.random.randint(1, 20)
        for start in range(0, len(entries), size):
            self._service.passed("in_recovery")
            self._table._restore(
                [
                    cast("Any", SimpleNamespace(
                        partition=number, offset=it.offset, key=it.key, value=it.value,
                        tp=_Place(number),
                    ))
                    for it in entries[start : start + size]
                ]
            )  # fmt: skip
            await asyncio.sleep(0)
        for it in log.entries[: log.find(end)]:
            held = self._table.local(number, it.key or b"")
            behind = held is None or _reached(it.key or b"", held) < _reached(it.key or b"", it.value or b"")
            need(not behind, "a restored state is the furthest that its changelog has", key=it.key)

    def _read(self) -> None:
        random = self._site.schedule.random
        for number in list(self._positions):
            log = self._site.broker.logs[NAMES.deltas, number]
            entries = log.entries[log.find(self._positions[number]) :]
            for entry in entries[: random.randint(1, 12)]:
                if entry.offset >= log.stable:
                    break
                self._positions[number] = entry.offset + 1
                if visible(entry):
                    self._service.take(number, entry.offset, entry.value)

    def _commit(self) -> None:
        member = self._member
        positions = {
            (NAMES.deltas, number): at
            for number in self._released.partitions()
            if (at := self._released.next_offset(number)) is not None
        }
        if member is None or not positions:
            return
        self._service.passed("before_commit")
        try:
            self._group.check(Metadata("aggregator", member.name, self._generation))
        except KafkaException:
            return
        self._site.broker.group_offsets.setdefault("aggregator", {}).update(positions)
        self._service.passed("after_commit")


def aggregate(site: Site, slot: int, book: SimBook, database: Database, change_us: int | None) -> None:
    """Live as an aggregator's process until it ends."""
    loop = SimLoop(site.schedule)
    loop.run(_live(site, slot, book, database, change_us))


async def _live(site: Site, slot: int, book: SimBook, database: Database, change_us: int | None) -> None:
    schedule, clock = site.schedule, SimClock(site.schedule)
    table, released = SimTable(f"disk/aggregator-{slot}"), Released[int]()
    held = Held(schedule.random.choice((2, 100)))
    world = World(book, SimScopes(clock, change_us))
    producer = SimAioProducer(site)
    service = Aggregator(
        table=table,
        sender=Writer(cast("Callable[[], Any]", lambda: producer)),
        wanted=world,
        names=NAMES,
        held=held,
        released=released,
        committed=dict,
        clock=clock,
        failpoints=SimFailpoints(schedule),
        monitoring=silent(clock),
        publish_s=0.5,
    )
    repairs = Repairs(
        service=service,
        held=held,
        ledger=SimSource(database),
        table=table,
        world=world,
        partitions=PARTITIONS,
        clock=clock,
        monitoring=silent(clock),
        every_s=2.0,
    )
    transport = SimTransport(site, service, table, released)
    tasks = [
        asyncio.create_task(work)
        for work in (service.write_forever(), repairs.run_forever(), transport.run())
    ]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        error = task.exception()
        if isinstance(error, UnsentError):
            raise InfrastructureError(str(error))
        if error is not None and not isinstance(error, SimulatedCrash):
            raise error
