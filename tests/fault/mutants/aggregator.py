"""Aggregators with one line wrong: `python -m tests.fault.mutants.aggregator NAME`."""

import sys
from collections.abc import Callable
from typing import Any

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

from aggregator import __main__ as wiring
from aggregator import service
from aggregator.adapters.transport import CommittedThread
from aggregator.adapters.writer import Writing
from aggregator.core.fold import CustomerState, Outcome
from aggregator.core.held import Partition
from runtime.process import run_process
from schemas import topics


def read_uncommitted() -> None:
    """Without the line that hides aborted records."""
    thread: Any = CommittedThread
    thread._create_worker_consumer = AIOKafkaConsumerThread._create_worker_consumer


def unproved() -> None:
    """And without the proof at the start."""

    async def proved(*_: Any) -> None:
        pass

    read_uncommitted()
    module: Any = wiring
    module.check_committed_reads = proved


def no_write_back() -> None:
    """A frame that was folded before is not written again."""
    aggregator: Any = service.Aggregator
    real = aggregator.fold

    def fold(self: service.Aggregator, partition: Partition, frame: dict[str, Any]) -> None:
        before = dict(partition.changed)
        was = {name: self.state(partition, name, 0).seq for name in _names(frame)}
        real(self, partition, frame)
        for name, seq in was.items():
            if partition.changed[name].seq == seq and name not in before:
                del partition.changed[name]
                partition.publish.discard(name)

    aggregator.fold = fold


def no_repair() -> None:
    """A gap is folded as if nothing were missing."""
    module: Any = service
    real = module.apply

    def apply(state: CustomerState, first_seq: int, *rest: Any) -> Outcome:
        state.seq = max(state.seq, first_seq - 1)
        return Outcome(real(state, first_seq, *rest))

    module.apply = apply


def part_release() -> None:
    """The offset of each record counts, as where each message is acknowledged when its turn is over."""
    aggregator: Any = service.Aggregator
    real = aggregator.take

    def take(self: service.Aggregator, number: int, offset: int, value: bytes | None) -> None:
        real(self, number, offset, value)
        self._released.release(number, offset + 1)

    aggregator.take = take


def ungated() -> None:
    """What the changelog has not acknowledged keeps no offset back."""
    writing: Any = Writing
    real = writing.acknowledged

    async def acknowledged(self: Writing) -> int | None:
        return None if self.topic.endswith(topics.AGGREGATOR_STATE) else await real(self)

    writing.acknowledged = acknowledged


def _names(frame: dict[str, Any]) -> list[str]:
    return [customer["customer_id"] for customer in frame["customers"]]


MUTANTS: dict[str, Callable[[], None]] = {
    mutant.__name__: mutant
    for mutant in (read_uncommitted, unproved, no_write_back, no_repair, part_release, ungated)
}

if __name__ == "__main__":
    MUTANTS[sys.argv[1]]()
    run_process(wiring.main)
