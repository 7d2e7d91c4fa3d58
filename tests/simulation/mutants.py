"""The services with one guard taken out: each must be found within so many seeds, or the simulator is blind.

`python -m tests.simulation.mutants` tries them all, each until it is found.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from aggregator.adapters.table import LiveStore
from aggregator.core import fold
from aggregator.service import Aggregator
from ledger.adapters.store import Outcome
from ledger.core.batch import Batch
from rate_book.source import Confirmed
from rater.adapters.assignment import Assignment
from rater.adapters.state import StateStore
from rater.service import Rater
from runtime.kafka.group import PartitionGroup
from runtime.kafka.offsets import Isolation
from runtime.kafka.transactions import TransactionalProducer
from tests.simulation import aggregators, ledgers
from tests.simulation.clients import list_offsets
from tests.simulation.patches import patched
from tests.simulation.world import run

Taken = tuple[object, str, Any]
"""What has it, its name, what is there instead."""


def no_rewind() -> list[Taken]:
    """After an abort the rater goes on where the client is."""
    return [(Rater, "_rewind", lambda *_: None)]


def unfenced_offsets() -> list[Taken]:
    """No input offset is in the transaction: an old owner can commit."""
    return [(TransactionalProducer, "send_offsets", lambda *_: None)]


def metadata_of_now() -> list[Taken]:
    """An assignment is taken without a membership, whose offsets nobody checks."""

    def on_assign(self: Any, consumer: Any, assigned: Any) -> None:
        with patch.object(consumer, "memberid", lambda: "somebody"):
            told(self, consumer, assigned)

    told = PartitionGroup._on_assign
    return [(PartitionGroup, "_on_assign", on_assign)]


def never_retired() -> list[Taken]:
    """A producer whose end was unclear goes on: a late request ends its next transaction."""

    def begin(self: Any) -> None:
        self._doubtful = False
        told(self)

    told = TransactionalProducer.begin
    return [(TransactionalProducer, "begin", begin)]


def apply_before_commit() -> list[Taken]:
    """Local state is written before the transaction is."""

    def transact(self: Any, works: Any) -> None:
        for work in works:
            self._apply(work)
        with patch.object(self, "_apply", lambda _work: None):
            told(self, works)

    told = Rater._transact
    return [(Rater, "_transact", transact)]


def no_wait_for_stable() -> list[Taken]:
    """State is restored while an old owner's transaction is open."""

    def ends(self: Any, partitions: Any) -> Any:
        wanted = [(topic, partition) for topic in self._names.outputs for partition in partitions]
        return list_offsets(self._config, wanted, "latest", Isolation.COMMITTED)

    return [
        (Assignment, "_wait_until_stable", lambda *_: None),
        (Assignment, "_output_ends", ends),
        (PartitionGroup, "wait_for_pending_offsets", lambda *_: None),
    ]


def no_digests() -> list[Taken]:
    """A restart forgets which ids were rated."""
    return [(StateStore, "known", lambda *_: {})]


def no_horizon() -> list[Taken]:
    """Events are rated however far ahead of the book's confirmation."""
    return [(Confirmed, "horizon_us", property(lambda _self: 2**62))]


def no_compare_and_set() -> list[Taken]:
    """The ledger writes whatever its positions are."""

    def write(self: Any, batch: Batch) -> Any:
        now = {where: self._database.positions.get(where) for where in batch.before}
        return told(self, replace(batch, before=now) if now != batch.after else batch)

    told = ledgers.SimStore.write
    unchecked: Taken = (ledgers, "repeated", lambda *_: {})
    return [(ledgers.SimStore, "write", write), unchecked]


def reply_means_done() -> list[Taken]:
    """The ledger takes positions that moved for its own lost reply."""

    def account(self: Any, batch: Any, outcome: Any, counts: Any) -> bool:
        return told(self, batch, Outcome.ALREADY if outcome is Outcome.MOVED else outcome, counts)

    from ledger.service import Ledger  # noqa: PLC0415 - beside what it changes

    told = Ledger._account
    return [(Ledger, "_account", account)]


def folded_twice() -> list[Taken]:
    """A frame at or below a customer's sequence is folded again."""

    def apply(state: Any, first_seq: int, last_seq: int, rows: Any, as_of_us: int) -> Any:
        state.live.fold(rows, state.watched.zone, state.watched.scopes)
        state.seq = max(state.seq, last_seq)
        return fold.Outcome.FOLDED

    from aggregator import service  # noqa: PLC0415 - beside what it changes

    always = (Aggregator, "fold", _fold_always(apply))
    return [always, (service, "apply", apply)]


def _fold_always(apply: Callable[..., Any]) -> Callable[..., None]:
    from aggregator.core.frame_rows import rows_of  # noqa: PLC0415 - of this mutant alone

    def folded(self: Any, partition: Any, frame: Mapping[str, Any]) -> None:
        at_us = frame["highest_append_us"]
        partition.frame_no = frame["frame_no"]
        for customer in frame["customers"]:
            state = self.state(partition, customer["customer_id"], at_us)
            rows = rows_of(tuple(frame["dimensions"]), customer["rows"])
            apply(state, customer["first_seq"], customer["last_seq"], rows, at_us)
            partition.change(state)

    return folded


def last_record_holds() -> list[Taken]:
    """A restore takes the last record of the changelog, though an older owner wrote it."""

    def restore(self: Any, messages: Any) -> None:
        with patch.object(self, "_sequence", lambda _key, _value: 0):
            told(self, messages)

    told = LiveStore._restore
    return [(aggregators.SimTable, "_restore", restore)]


def own_offsets() -> list[Taken]:
    """A table counts the changelog as read up to its own last record, whoever wrote between."""

    def wrote(self: Any, partition: int, count: int, last: int) -> None:
        del count
        self._db_for_partition(partition).put(self.offset_key, str(last).encode())

    return [(aggregators.SimTable, "wrote", wrote)]


def released_unwritten() -> list[Taken]:
    """Offsets are released as soon as frames are folded."""

    def fold_and_release(self: Any, number: int, offset: int, value: bytes | None) -> None:
        told(self, number, offset, value)
        self._released.release(number, offset + 1)

    told = Aggregator.take
    return [(Aggregator, "take", fold_and_release), (Aggregator, "suspect", lambda *_: None)]


MUTANTS: Mapping[str, Callable[[], list[Taken]]] = {
    it.__name__: it
    for it in (
        no_rewind, unfenced_offsets, metadata_of_now, never_retired, apply_before_commit, no_wait_for_stable,
        no_digests, no_horizon, no_compare_and_set, reply_means_done, folded_twice, last_record_holds,
        own_offsets, released_unwritten,
    )
}  # fmt: skip


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """The services without that guard."""
    with ExitStack() as stack:
        for owner, attribute, instead in MUTANTS[name]():
            stack.enter_context(patch.object(owner, attribute, instead))
        yield


def found_by(name: str, seeds: Sequence[int]) -> tuple[int, str] | None:
    """The first seed that finds a mutant, and by which invariant."""
    with patched(), mutated(name):
        for seed in seeds:
            result = run(seed)
            if result.problem:
                return seed, result.problem
    return None


def main(arguments: Sequence[str]) -> int:
    """Each mutant until it is found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="at most")
    parser.add_argument("names", nargs="*", default=list(MUTANTS))
    told = parser.parse_args(arguments)
    missed = 0
    for name in told.names:
        found = found_by(name, range(told.seeds))
        missed += found is None
        words = "NOT FOUND" if found is None else f"seed {found[0]}: {found[1][:110]}"
        print(f"{name:<22} {words}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
