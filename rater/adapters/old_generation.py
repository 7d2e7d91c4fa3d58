"""A generation of topics that is to end: where it stands, what it has not done yet, and all that it knows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from rater.adapters.assignment import TopicNames
from rater.adapters.log_reader import (
    END_KEY,
    HEAD_KEY,
    CoverageError,
    LogTopics,
    StateRecords,
    head_of,
    whole_frames,
)
from rater.core.frames import FrameError, check_follows, effects_of_record
from rater.core.growth import Entry, Standing, living, offset_before, owned
from rater.core.identity import identity_digest
from rater.core.lateness import Windows
from rater.core.work import Head
from runtime.kafka.offsets import Isolation, TopicAndPartition, list_offsets
from runtime.kafka.reading import PartitionReader
from runtime.kafka.topology import describe
from schemas.codec import CODEC
from schemas.topics import RATER_STATE, USAGE_DELTAS, USAGE_RATED, consumer_limits

_TAILS = (100, 10_000)  # a head is among the last records; where it is not, all are read
_ORIGINAL = "original"


@dataclass(frozen=True, slots=True)
class GenerationEnd:
    """Where the state of these topics went."""

    topic_prefix: str
    partitions: int
    deltas_topic_id: str


@dataclass(frozen=True, slots=True)
class Ends:
    """Each partition's head, and the generation's end where it has one."""

    heads: Mapping[int, Head]
    end: GenerationEnd | None


class OldGeneration:
    """Reads the rater's topics; writes nothing.

    Args:
        config: client settings as librdkafka names them.
        names: the topics.
        windows: the windows in force.

    Every method raises KafkaUnavailableError where the broker does not answer, and FrameError where the log
    contradicts itself.
    """

    def __init__(self, config: Mapping[str, Any], names: TopicNames, windows: Windows) -> None:
        self._config = dict(config)
        self._names = names
        self._windows = windows
        topology = describe(config, [*names.inputs, *names.outputs])
        counts = set(topology.partitions.values())
        if len(counts) != 1:
            raise FrameError(f"the topics have {dict(topology.partitions)} partitions: all must have as many")
        (self.partitions,) = counts
        ids = topology.topic_ids
        self._log = LogTopics(
            names.deltas, names.state, ids[names.events], ids[names.corrections], ids[names.deltas]
        )
        limits = consumer_limits(USAGE_DELTAS, USAGE_RATED, RATER_STATE)
        self._reader = PartitionReader(self._config | limits)
        self._beside = PartitionReader(self._config | limits)  # usage.rated beside usage.deltas

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._beside.close()

    def ends(self) -> Ends:
        """Where every partition stands."""
        state = self._names.state
        first, end = self._first(state), self._stable(state)
        heads: dict[int, Head] = {}
        found: GenerationEnd | None = None
        for where in end:
            for start in (*(max(end[where] - tail, first[where]) for tail in _TAILS), first[where]):
                newest = {record.key: record.value for record in self._reader.read(*where, start, end[where])}
                if END_KEY in newest:
                    told = CODEC.decode("GenerationEnd", newest[END_KEY])
                    found = GenerationEnd(**told)
                if HEAD_KEY in newest:
                    heads[where[1]] = head_of(CODEC.decode("PartitionHead", newest[HEAD_KEY]), self._log)
                    break
        return Ends(heads, found)

    @property
    def coverage_us(self) -> int:
        """How far back the digests must be known."""
        return self._windows.coverage_us

    def unrated(self, heads: Mapping[int, Head]) -> list[str]:
        """Events and corrections that are not behind the heads."""
        found = []
        for kind, topic in enumerate(self._names.inputs):
            for (_, partition), end in self._high(topic).items():
                head = heads.get(partition, Head())
                position = (head.events_next, head.corrections_next)[kind]
                if position < end:
                    found.append(
                        f"{topic} {partition}: {end - position} records wait to be rated, "
                        f"the raters stand at {position} of {end}"
                    )
        return found

    def waiting(self, heads: Mapping[int, Head]) -> list[str]:
        """What is not behind the heads: events, corrections, and transactions that are open."""
        found = self.unrated(heads)
        for topic in self._names.outputs:
            stable = self._stable(topic)
            found += [
                f"{topic} {partition}: a transaction is open"
                for (_, partition), end in self._high(topic).items()
                if stable[topic, partition] < end
            ]
        return found

    def standing(self, partition: int, head: Head) -> Standing:
        """Where the partition's customers stand."""
        found = Standing()
        records = StateRecords()
        where = (self._names.state, partition)
        first, end = self._first(where[0])[where], self._stable(where[0])[where]
        for record in self._reader.read(*where, first, end):
            if record.key != HEAD_KEY:
                records.take(record.key or b"", record.value, 0)
        for customer_id, (last_seq, _) in records.customers.items():
            found.tell_sequence(customer_id, last_seq)
        for key, period in records.periods.items():
            found.tell_period(key, period.state, period.frame_no)
        found.revisions |= {digest: held.revision for digest, held in records.revisions.items()}
        found.runs |= {key: held.run for key, held in records.runs.items() if held.run is not None}
        for frame in self._frames(partition, head):
            found.follow(effects_of_record(frame))
        return found

    def digests(self, partition: int, head: Head, highest_append_us: int) -> Iterator[tuple[str, Entry]]:
        """Every digest that an event may still repeat, with its customer.

        Raises:
            OwnerlessError: usage.rated does not tell whose one is.
            CoverageError: there are frames no more that would tell them.
        """
        # What may be repeated came no earlier than this, and was rated later than it came.
        windows = self._windows
        since_us = highest_append_us - windows.coverage_us - windows.digest_bucket_us
        originals = self._originals(partition, since_us)
        told = False
        for frame in self._frames(partition, head):
            told = True
            entries = living(effects_of_record(frame).digests, self._windows, highest_append_us)
            yield from owned(entries, originals, f"partition {partition} frame {frame['frame_no']}")
        if (
            not told
            and head.highest_append_us
            and head.highest_append_us >= highest_append_us - self.coverage_us
        ):
            raise CoverageError(
                f"partition {partition}: the head is at frame {head.frame_no}, and no frame is left to tell "
                "what may still be repeated: usage.deltas was deleted too early"
            )

    def _frames(self, partition: int, head: Head) -> Iterator[Mapping[str, Any]]:
        """The frames that are left, which lead to the head and reach back the whole window."""
        where = (self._names.deltas, partition)
        first, end = self._first(where[0])[where], self._stable(where[0])[where]
        reached: Head | None = None
        for _, frame in whole_frames(self._reader.read(*where, first, end)):
            if reached is None:
                self._check_reach(partition, frame, head)
            else:
                check_follows(reached, frame)
            reached = effects_of_record(frame).head
            yield frame
        if reached is not None and reached != head:
            raise FrameError(f"partition {partition}: the head is {head}, the frames lead to {reached}")

    def _check_reach(self, partition: int, oldest: Mapping[str, Any], head: Head) -> None:
        needed_us = head.highest_append_us - self._windows.coverage_us
        before_us = oldest["previous_highest_append_us"]
        if before_us and before_us >= needed_us:
            raise CoverageError(
                f"partition {partition}: the frames that are left begin with number {oldest['frame_no']}, "
                "which does not reach back the whole replay window: usage.deltas was deleted too early"
            )

    def _originals(self, partition: int, since_us: int) -> Iterator[tuple[bytes, str]]:
        """usage.rated is kept for years: what was appended before an instant is passed over unread."""
        where = (self._names.rated, partition)
        first, end = self._first(where[0])[where], self._stable(where[0])[where]

        def appended_us(offset: int) -> int | None:
            record = next(self._beside.read(*where, offset, end), None)
            return None if record is None else record.timestamp_us

        start = offset_before(first, end, since_us, appended_us)
        for record in self._beside.read(*where, start, end):
            rated = CODEC.decode("RatedUsage", record.value)
            if rated["rating"]["leg"] == _ORIGINAL:
                event = rated["event"]
                customer_id = event["customer_id"]
                yield identity_digest(customer_id, event["source"], event["event_id"]), customer_id

    def _where(self, topic: str) -> list[TopicAndPartition]:
        return [(topic, partition) for partition in range(self.partitions)]

    def _first(self, topic: str) -> dict[TopicAndPartition, int]:
        return list_offsets(self._config, self._where(topic), "earliest")

    def _stable(self, topic: str) -> dict[TopicAndPartition, int]:
        return list_offsets(self._config, self._where(topic), "latest", Isolation.COMMITTED)

    def _high(self, topic: str) -> dict[TopicAndPartition, int]:
        return list_offsets(self._config, self._where(topic), "latest", Isolation.UNCOMMITTED)
