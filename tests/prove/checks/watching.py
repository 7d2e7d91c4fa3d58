"""While the run goes on: frames account for what they received, and nothing that is up stands still."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import psycopg
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaException,
    TopicPartition,
)

from tests.prove.checks.conservation import frame_problems
from tests.prove.checks.facts import Item, Json
from tests.prove.checks.reading import Broker, asker, assembled, log_ends, partitions

STUCK_S = 60.0
ASK_S = 8.0
INPUTS = {
    "rater": ("usage.events", "usage.corrections"),
    "ledger": ("usage.rated", "usage.rejected"),
    "aggregator": ("usage.deltas",),
    "totals": ("usage.totals",),
    "guard": ("usage.totals",),
}
"""Topics of each consumer group, named without the prefix. The ledger's positions are PostgreSQL's."""


Left = dict[tuple[str, int], tuple[int, int]]
"""(position, end) by topic without prefix, and partition."""


@dataclass(slots=True)
class Progress:
    """How far each stage is, and since when it has not moved although there was something to do."""

    positions: dict[str, int] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)

    def look(
        self, behind: dict[str, int], positions: dict[str, int], excused_until: float, now: float
    ) -> dict[str, str]:
        """Stages that were behind and stood still for longer than allowed, no fault excusing them."""
        found = {}
        for stage, lag in behind.items():
            if lag <= 0 or positions[stage] != self.positions.get(stage):
                self.since[stage] = now
            self.positions[stage] = positions[stage]
            stood = now - max(self.since.setdefault(stage, now), excused_until)
            if stood > STUCK_S:
                found[stage] = f"I12: {stage} is {lag} records behind and has stood still for {stood:.0f} s"
        return found


@dataclass(slots=True)
class Watch:
    """What was seen so far of one run."""

    kafka: Broker
    dsn: str
    progress: Progress = field(default_factory=Progress)
    chunks: dict[int, list[bytes]] = field(default_factory=dict)
    last: dict[int, Json] = field(default_factory=dict)
    consumer: Consumer | None = None
    assigned: bool = False

    def look(self, entries: Iterable[Json]) -> list[str]:
        """What is wrong now. Whoever cannot be asked, because a fault is on, is asked at the next look."""
        problems = self._frames()
        try:
            left = self._left()
            behind = {stage: sum(end - at for at, end in found.values()) for stage, found in left.items()}
            positions = {stage: sum(at for at, _ in found.values()) for stage, found in left.items()}
            stuck = self.progress.look(behind, positions, excused(entries), time.monotonic())
            # Markers and aborted records take offsets too: whoever has only those left is done.
            return problems + [told for stage, told in stuck.items() if self._any_record(left[stage])]
        except (KafkaException, psycopg.Error):
            return problems

    def _frames(self) -> list[str]:
        problems: list[str] = []
        try:
            consumer = self._reader()
            until = time.monotonic() + ASK_S
            while time.monotonic() < until and (messages := consumer.consume(500, timeout=0.2)):
                for message in messages:
                    if message.error() is not None:
                        continue  # asked again by the client itself
                    partition = message.partition() or 0
                    item = Item(partition, message.offset() or 0, 0, None, message.value())
                    frame = assembled(self.chunks, item, problems)
                    if frame is not None:
                        problems += [
                            f"I3: {problem}" for problem in frame_problems(self.last.get(partition), frame)
                        ]
                        self.last[partition] = frame
        except KafkaException:
            return problems
        return problems

    def _reader(self) -> Consumer:
        if self.consumer is None:
            self.consumer = Consumer(
                self.kafka.client_config()
                | {
                    "group.id": "prove-watch",  # the client wants one; it is never joined
                    "enable.auto.commit": False,
                    "isolation.level": "read_committed",
                }
            )
        if not self.assigned:
            name = self.kafka.topic_prefix + "usage.deltas"
            partitions = self.consumer.list_topics(name, timeout=ASK_S).topics[name].partitions
            self.consumer.assign([TopicPartition(name, number, OFFSET_BEGINNING) for number in partitions])
            self.assigned = bool(partitions)
        return self.consumer

    def _left(self) -> dict[str, Left]:
        """How far each stage is in each partition of its input, and where that ends."""
        names = sorted({topic for topics in INPUTS.values() for topic in topics})
        ends = log_ends(self.kafka, names, "read_uncommitted", ASK_S)
        found = {}
        for stage, topics in INPUTS.items():
            known = self._ledger() if stage == "ledger" else self._group(stage, topics)
            if stage == "rater":
                for topic in ("events", "corrections"):
                    known |= {
                        (f"usage.{topic}", p): frame[topic]["to_offset"] for p, frame in self.last.items()
                    }
            found[stage] = {
                where: (min(end, max(0, known.get(where, 0))), end)
                for where, end in ends.items()
                if where[0] in topics
            }
        return found

    def _any_record(self, left: Left) -> bool:
        """Whether any committed record stands in what is left."""
        consumer = Consumer(
            self.kafka.client_config()
            | {
                "group.id": "prove-watch",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        try:
            wanted = {where: at for where, (at, end) in left.items() if at < end}
            prefix = self.kafka.topic_prefix
            consumer.assign(
                [TopicPartition(prefix + name, number, at) for (name, number), at in wanted.items()]
            )
            ended, until = 0, time.monotonic() + 5 * ASK_S
            while ended < len(wanted) and time.monotonic() < until:
                for message in consumer.consume(1, timeout=0.5):
                    if message.error() is None:
                        return True
                    ended += 1
            return False
        finally:
            consumer.close()

    def _group(self, stage: str, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        prefix = self.kafka.topic_prefix
        with asker(self.kafka, prefix + stage) as consumer:
            asked = [
                TopicPartition(prefix + name, p)
                for name, p in partitions(consumer, self.kafka, topics, ASK_S)
            ]
            found = consumer.committed(asked, timeout=ASK_S)
        return {(one.topic[len(prefix) :], one.partition): one.offset for one in found}

    def _ledger(self) -> dict[tuple[str, int], int]:
        with psycopg.connect(self.dsn, connect_timeout=int(ASK_S)) as connection:
            rows = connection.execute(
                b"select topic, kafka_partition, next_offset from ledger.positions"
            ).fetchall()
        return {
            (name.removeprefix(self.kafka.topic_prefix), partition): offset
            for name, partition, offset in rows
        }


def excused(entries: Iterable[Json]) -> float:
    """Until when (seconds of the journal's clock) standing still is a fault's doing: its last word counts."""
    told = ("fault", "recovered", "started", "ended", "failpoint")
    return max((entry["at"] for entry in entries if entry["kind"] in told), default=0.0)
