"""A generation's state written into the next one: all of it in one transaction, which ends the old one too.

    1. every partition's state is read, and spooled by the partition that it goes to
    2. the old generation still stands where it stood
    3. one transaction: frames, records of rater.state, heads; and in the old rater.state the end

So the new generation has everything or nothing, and at no moment may raters go on in both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from rater.adapters.assignment import TopicNames
from rater.adapters.log_reader import END_KEY
from rater.adapters.meta import LogIdentity
from rater.adapters.old_generation import Ends, GenerationEnd, OldGeneration
from rater.adapters.outputs import (
    Output,
    correction_outputs,
    customer_outputs,
    frame_outputs,
    head_output,
    period_outputs,
)
from rater.adapters.spool import Spool
from rater.core.growth import Repartition, newest
from rater.core.identity import ENTRY_BYTES
from rater.core.work import BatchResult
from runtime.errors import InfrastructureError
from runtime.failpoints import Failpoints
from runtime.kafka.errors import AbortNeededError
from runtime.kafka.topology import describe
from runtime.kafka.transactions import TransactionalProducer
from schemas.codec import CODEC
from schemas.partitioning import partition_of

FAILPOINTS = frozenset({"mid_produce", "before_commit", "after_commit"})
_PROCESS = "topics-grow"

Check = Callable[[Mapping[str, int]], None]
"""Told the last sequence of each customer of a partition; raises where somebody else is behind."""


@dataclass(slots=True)
class Carried:
    """How much the new generation begins with."""

    customers: int = 0
    digests: int = 0
    pools: int = 0
    revisions: int = 0
    runs: int = 0
    frames: int = 0


class Growth:
    """Takes the state of one generation to another one, once.

    Args:
        config: client settings as librdkafka names them.
        old: the generation that ends; its topics stay as they are.
        names: the topics of the new one; all but usage.rated are there.
        prefix: of the new one.
        partitions: of each topic there.
        build: which version does it, for the frames.
    """

    def __init__(  # noqa: PLR0917 - from where to where
        self,
        config: Mapping[str, Any],
        old: OldGeneration,
        old_state: str,
        names: TopicNames,
        prefix: str,
        partitions: int,
        build: str,
    ) -> None:
        self._old = old
        self._old_state = old_state
        self._names = names
        self._partitions = partitions
        self._build = build
        there = (names.events, names.corrections, names.deltas, names.state)
        topology = describe(config, there)
        ids = topology.topic_ids
        self._log = LogIdentity(topology.cluster_id, *(ids[name] for name in there))
        self._end = GenerationEnd(prefix, partitions, ids[names.deltas])
        self.carried = Carried()

    def prepare(self, ends: Ends, spool: Spool, check: Check) -> None:
        """Spool all that the transaction will write.

        Raises:
            OwnerlessError, CoverageError, FrameError: the old log does not tell all.
        """
        at = newest(ends.heads)
        taken = partial(self._take, spool)
        growing = Repartition(
            self._partitions,
            lambda key: partition_of(key, self._partitions),
            at,
            self._old.coverage_us,
            taken,
        )
        for partition, head in sorted(ends.heads.items()):
            standing = self._old.standing(partition, head)
            check(standing.last_seqs)
            for customer_id, entry in self._old.digests(partition, head, at.highest_append_us):
                growing.entry(customer_id, entry)
            for customer_id, delta in standing.customers():
                growing.customer(customer_id, delta)
        for partition, head in enumerate(growing.finish()):
            spool.put(partition, head_output(self._names.state, head, self._log))
        end = CODEC.encode(
            "GenerationEnd",
            {
                "topic_prefix": self._end.topic_prefix,
                "partitions": self._end.partitions,
                "deltas_topic_id": self._end.deltas_topic_id,
            },
        )
        for partition in range(self._old.partitions):
            spool.put(partition, Output(self._old_state, END_KEY, end))

    def write(self, spool: Spool, writer: TransactionalProducer, failpoints: Failpoints) -> None:
        """The transaction. When it returns, the new generation has everything and the old one has ended.

        Raises:
            InfrastructureError: it was not committed, or it is not known; the old rater.state tells.
        """
        writer.begin()
        try:
            for number, (partition, output) in enumerate(spool.read()):
                writer.produce(output.topic, partition, output.key, output.value)
                if number == spool.records // 2:
                    failpoints.hit("mid_produce")
            writer.flush()
            failpoints.hit("before_commit")
            writer.commit()
        except AbortNeededError as error:
            writer.abort()
            raise InfrastructureError(
                f"nothing was written: {error}; grow again, the old inputs stay closed"
            ) from error
        failpoints.hit("after_commit")

    def _take(self, spool: Spool, result: BatchResult) -> None:
        """A frame and the records of rater.state that its transaction would have had."""
        partition, frame_no = result.partition, result.head.frame_no
        state = self._names.state
        for output in frame_outputs(self._names.deltas, result, _PROCESS, self._build):
            spool.put(partition, output)
        sequences = {customer_id: delta.last_seq for customer_id, delta in result.customers.items()}
        for output in customer_outputs(state, sequences, frame_no):
            spool.put(partition, output)
        for output in period_outputs(state, result.periods, frame_no):
            spool.put(partition, output)
        for output in correction_outputs(state, result):
            spool.put(partition, output)
        self.carried.customers += len(result.customers)
        self.carried.digests += (
            sum(len(entry) for entries in result.digests.values() for entry in entries) // ENTRY_BYTES
        )
        self.carried.pools += len(result.periods)
        self.carried.revisions += len(result.revisions)
        self.carried.runs += len(result.runs)
        self.carried.frames += 1
