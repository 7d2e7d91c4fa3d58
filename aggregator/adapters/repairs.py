"""What only the ledger knows: totals of customers with a gap, of suspect partitions, of new scopes, and those
that somebody found wrong.

The questions are asked in a thread; what the answers change is changed in the event loop, between two frames.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from aggregator.adapters.live_codec import CUSTOMER_KEY
from aggregator.adapters.states import needs_a_look
from aggregator.adapters.world import World
from aggregator.core.fold import CustomerState, Watched, behind, rebuild, repaired
from aggregator.core.held import Held, Partition
from pricing.totals import Live
from rate_book.ledger_live import RollupsBrokenError
from rate_book.ledger_totals import RowsGoneError
from runtime.clock import Clock
from runtime.errors import InfrastructureError
from runtime.monitoring import Monitoring
from schemas.partitioning import partition_of

_LOG = logging.getLogger(__name__)
_ASKED_AT_ONCE = 500
_SWEPT_AT_ONCE = 1_000
_SWEEP_PAUSE_S = 0.01
_SUSPECT_AGAIN_S = (5.0, 15.0, 60.0, 300.0)
_REQUESTS_EVERY_S = 2.0


class Source(Protocol):
    """The ledger."""

    async def contiguous(self, customer_ids: Sequence[str]) -> dict[str, int]: ...
    async def known(self) -> list[tuple[str, int]]: ...
    async def at(self, customer_id: str, seq: int, watched: Watched) -> Live | None: ...
    async def requests(self) -> list[str]: ...
    async def taken(self, customer_ids: Sequence[str]) -> None: ...


class Stored(Protocol):
    """The local table, in the order of its keys."""

    def stored(self, partition: int, after: bytes, at_most: int) -> list[tuple[bytes, bytes]]: ...


class Service(Protocol):
    """The aggregator, as repairs use it."""

    def state(self, partition: Partition, customer_id: str, at_us: int) -> CustomerState: ...
    def changed(self) -> None: ...
    async def write(self) -> None: ...


class Repairs:
    """Tasks beside the frames."""

    def __init__(
        self,
        *,
        service: Service,
        held: Held,
        ledger: Source,
        table: Stored,
        world: World,
        partitions: int,
        clock: Clock,
        monitoring: Monitoring,
        every_s: float,
    ) -> None:
        self._service = service
        self._held = held
        self._ledger = ledger
        self._table = table
        self._world = world
        self._partitions = partitions
        self._clock = clock
        self._monitoring = monitoring
        self._every_s = every_s
        self._swept: dict[int, tuple[Partition, object]] = {}
        self._again: dict[int, tuple[Partition, list[float]]] = {}
        self._requests_s = 0.0
        self._away = False
        self._broken: set[str] = set()  # customers that the ledger cannot tell about, each logged once

    async def run_forever(self) -> None:
        """Look, repair, wait."""
        while True:
            await self.sweep()
            try:
                await self.ask_suspects()
                await self.take_requests()
                await self.repair()
            except InfrastructureError as error:
                self._ledger_away(str(error))
            else:
                self._ledger_away(None)
            await asyncio.sleep(self._every_s)

    async def repair(self) -> None:
        """Complete every waiting customer that the ledger has come far enough for."""
        waiting = [
            (partition, customer_id, since)
            for partition in self._held.partitions.values()
            for customer_id, since in partition.repairing.items()
        ]
        for start in range(0, len(waiting), _ASKED_AT_ONCE):
            some = waiting[start : start + _ASKED_AT_ONCE]
            reached = await self._ledger.contiguous([customer_id for _, customer_id, _ in some])
            for partition, customer_id, since in some:
                if reached.get(customer_id, 0) < since:
                    continue
                try:
                    await self._complete(partition, customer_id, since)
                except RowsGoneError as error:
                    self._move_on(partition, customer_id, reached[customer_id], error)
                except RollupsBrokenError as error:
                    # One customer's trouble must not keep the others waiting.
                    self._tell_broken(customer_id, error)
                else:
                    self._broken.discard(customer_id)

    async def _complete(self, partition: Partition, customer_id: str, since: int) -> None:
        if not self._owned(partition):
            return
        state = self._service.state(partition, customer_id, self._at_us(partition))
        watched = state.watched
        if state.since_seq != since:
            return
        live = await self._ledger.at(customer_id, since, watched)
        if live is None or not self._owned(partition):
            return
        # It may have been written and forgotten meanwhile: what counts is the state as it is now.
        state = self._service.state(partition, customer_id, self._at_us(partition))
        if repaired(state, since, live, watched.hash):
            partition.change(state)
            self._service.changed()
            self._monitoring.metrics.add("ratestream_aggregator_repairs_done_total")

    def _move_on(self, partition: Partition, customer_id: str, ledger_seq: int, error: Exception) -> None:
        """The ledger cannot tell any more what was there at that sequence: ask for a later one."""
        if not self._owned(partition):
            return
        _LOG.warning("%s: %s; the repair begins anew at a later sequence", customer_id, error)
        self._restart(partition, customer_id, ledger_seq)
        self._service.changed()

    def _restart(self, partition: Partition, customer_id: str, ledger_seq: int) -> None:
        """Have everything up to here come from the ledger, and what it has beyond that."""
        state = self._service.state(partition, customer_id, self._at_us(partition))
        rebuild(state, state.watched)
        behind(state, ledger_seq)
        if state.seq:  # else nobody knows anything of the customer
            partition.change(state)

    def _tell_broken(self, customer_id: str, error: Exception) -> None:
        if customer_id not in self._broken:
            self._broken.add(customer_id)
            _LOG.error("%s stays without totals: %s", customer_id, error)

    async def ask_suspects(self) -> None:
        """Hold suspect partitions against everything that the ledger knows; again later, for it may lag."""
        due = self._due()
        if not due:
            return
        try:
            known = await self._ledger.known()
        except InfrastructureError:
            for partition in due.values():
                partition.suspect = True
            raise
        marked = 0
        for count, (customer_id, ledger_seq) in enumerate(known, 1):
            if count % _SWEPT_AT_ONCE == 0:
                await asyncio.sleep(0)
            owner = due.get(partition_of(customer_id.encode(), self._partitions))
            if owner is None or not self._owned(owner):
                continue
            state = self._service.state(owner, customer_id, self._at_us(owner))
            if behind(state, ledger_seq):
                owner.change(state)
                marked += 1
        self._trust(due)
        if marked:
            _LOG.info("%d customers are behind the ledger: repairing", marked)
            self._service.changed()

    def _trust(self, asked: Mapping[int, Partition]) -> None:
        """Those asked about for the last time: from now on the changelog is told of their frames."""
        for number, partition in asked.items():
            if not self._again[number][1] and not partition.suspect:
                partition.trust()
                partition.moved = True
                self._service.changed()

    def _due(self) -> dict[int, Partition]:
        """The partitions that are suspect, and those that were a while ago."""
        now_s = self._clock.monotonic_s()
        due = {}
        for number, partition in self._held.partitions.items():
            if partition.suspect:
                partition.suspect = False
                self._again[number] = partition, [now_s + after_s for after_s in _SUSPECT_AGAIN_S]
                due[number] = partition
                continue
            before, instants = self._again.get(number, (None, []))
            if before is partition and instants and now_s >= instants[0]:
                del instants[0]
                due[number] = partition
        return due

    async def take_requests(self) -> None:
        """Rebuild who is asked for, and say so once that is written."""
        now_s = self._clock.monotonic_s()
        if now_s < self._requests_s:
            return
        self._requests_s = now_s + _REQUESTS_EVERY_S
        asked = await self._ledger.requests()
        if not asked:
            return
        reached = await self._ledger.contiguous(asked)
        taken = []
        for customer_id in asked:
            partition = self._held.partitions.get(partition_of(customer_id.encode(), self._partitions))
            if partition is None:
                continue
            # Also up to where the ledger is: what is missing here may never have come as a frame.
            self._restart(partition, customer_id, reached.get(customer_id, 0))
            taken.append(customer_id)
        if taken:
            _LOG.info("rebuilding %s, as asked for", ", ".join(taken))
            await self._service.write()
            await self._ledger.taken(taken)

    async def sweep(self) -> None:
        """Find the waiting customers of new partitions, and whose zone or scopes have changed."""
        version = self._world.version
        for number, partition in list(self._held.partitions.items()):
            before = self._swept.get(number)
            if before is not None and before[0] is partition and before[1] == version:
                continue
            await self._sweep_partition(partition)
            self._swept[number] = partition, version

    async def _sweep_partition(self, partition: Partition) -> None:
        for customer_id in [*partition.changed, *partition.writing]:  # the table may not have them yet
            self._service.state(partition, customer_id, self._at_us(partition))
        after = CUSTOMER_KEY
        while self._owned(partition):
            found = self._table.stored(partition.number, after, _SWEPT_AT_ONCE)
            for key, value in found:
                if not key.startswith(CUSTOMER_KEY):
                    break
                customer_id = key.removeprefix(CUSTOMER_KEY).decode()
                if needs_a_look(value, self._world.watched(customer_id, self._at_us(partition))):
                    # Loading it marks it where it was made for another zone or other scopes.
                    state = self._service.state(partition, customer_id, self._at_us(partition))
                    if state.since_seq is not None:
                        partition.repairing[customer_id] = state.since_seq
            if len(found) < _SWEPT_AT_ONCE:
                break
            after = found[-1][0]
            await asyncio.sleep(_SWEEP_PAUSE_S)
        self._service.changed()

    def _owned(self, partition: Partition) -> bool:
        return self._held.partitions.get(partition.number) is partition

    def _at_us(self, partition: Partition) -> int:
        """The instant at which contracts are looked up: that of the newest frame, else now."""
        return partition.at_us or self._clock.now_us()

    def _ledger_away(self, why: str | None) -> None:
        if why is not None and not self._away:
            _LOG.warning("the ledger does not answer, repairs wait: %s", why)
        self._away = why is not None
        self._monitoring.progress.found("ledger", why)
