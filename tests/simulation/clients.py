"""The Kafka clients that the services are given: confluent_kafka's Consumer and Producer by their methods.

`Site` stands in the settings under "sim" and says which process of which world asks.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from runtime.kafka.offsets import Isolation
from runtime.kafka.topology import Topology
from tests.simulation.broker import Broker, Entry, Log, Where, visible
from tests.simulation.group import Group, Member, Metadata
from tests.simulation.schedule import SECOND_US, Process, Schedule

FETCHED_AT_ONCE = 24


@dataclass(eq=False)
class Site:
    """A process and the world that it is in."""

    schedule: Schedule
    broker: Broker
    process: Process
    groups: Mapping[str, Group] = field(default_factory=dict)


def site_of(config: Mapping[str, Any]) -> Site:
    found = config["sim"]
    assert isinstance(found, Site)
    return found


class Message:
    """A consumed record, or a report of the client."""

    __slots__ = ("_entry", "_error", "_where")

    def __init__(self, where: Where, entry: Entry, error: KafkaError | None = None) -> None:
        self._where = where
        self._entry = entry
        self._error = error

    def topic(self) -> str:
        return self._where[0]

    def partition(self) -> int:
        return self._where[1]

    def offset(self) -> int:
        return self._entry.offset

    def key(self) -> bytes | None:
        return self._entry.key

    def value(self) -> bytes | None:
        return self._entry.value

    def timestamp(self) -> tuple[int, int]:
        return 2, self._entry.append_us // 1000

    def headers(self) -> list[tuple[str, bytes]] | None:
        return list(self._entry.headers) or None

    def error(self) -> KafkaError | None:
        return self._error

    def __len__(self) -> int:
        return len(self._entry.value or b"")


class SimConsumer:
    """A consumer, in a group or assigned by hand."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._site = site_of(config)
        self._group = self._site.groups.get(config["group.id"])
        self._committed_only = config.get("isolation.level") != "read_uncommitted"
        self._tells_end = bool(config.get("enable.partition.eof"))
        self._told_end: dict[Where, int] = {}
        self._positions: dict[Where, int] = {}
        self._member: Member | None = None
        self._generation = -1
        self._outside = False
        self._topics: Sequence[str] = ()
        self._callbacks: dict[str, Callable[..., None]] = {}

    def subscribe(self, topics: Sequence[str], **callbacks: Callable[..., None]) -> None:
        self._topics, self._callbacks = topics, callbacks

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        self._positions = {(it.topic, it.partition): it.offset for it in partitions}
        self._told_end = {}

    def unassign(self) -> None:
        self._positions = {}

    def seek(self, to: TopicPartition) -> None:
        self._site.schedule.effect("seek")
        where = (to.topic, to.partition)
        if where not in self._positions:
            raise KafkaException(KafkaError(KafkaError._STATE, "not assigned"))
        self._positions[where] = to.offset

    def memberid(self) -> str:
        return "" if self._member is None or self._outside else self._member.name

    def consumer_group_metadata(self) -> Metadata:
        assert self._group is not None
        if self._member is None or self._outside:
            return Metadata(self._group.name, "", -1)
        return Metadata(self._group.name, self._member.name, self._generation)

    def committed(self, asked: Sequence[TopicPartition], timeout: float) -> list[TopicPartition]:
        """Waits while a transaction holds pending offsets of these partitions, as a broker has clients do."""
        assert self._group is not None
        schedule, name = self._site.schedule, self._group.name
        schedule.effect("fetch the group's offsets")
        wanted = {(it.topic, it.partition) for it in asked}
        pending = self._site.broker.pending.setdefault(name, [])

        def is_free() -> bool:
            return not any(wanted & transaction.offsets.keys() for transaction in pending)

        if not is_free():
            schedule.saw("waited for an old owner's pending offsets")
            schedule.wait(schedule.now_us + int(timeout * SECOND_US), is_free)
            if not is_free():
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "unstable offsets"))
        offsets = self._site.broker.group_offsets.get(name, {})
        return [
            TopicPartition(it.topic, it.partition, offsets.get((it.topic, it.partition), -1001))
            for it in asked
        ]

    def commit(self, *, offsets: Sequence[TopicPartition], asynchronous: bool) -> None:
        """Outside a transaction; of the generation now only."""
        assert self._group is not None
        self._site.schedule.effect("commit offsets")
        self._group.check(self.consumer_group_metadata())
        told = self._site.broker.group_offsets.setdefault(self._group.name, {})
        told.update({(it.topic, it.partition): it.offset for it in offsets})

    def consume(self, count: int, timeout: float) -> list[Message]:
        schedule = self._site.schedule
        schedule.effect("consume")
        deadline_us = schedule.now_us + int(timeout * SECOND_US)
        while True:
            if self._topics:
                self._serve()
            found = self._fetch(count)
            if found or schedule.now_us >= deadline_us:
                return found
            schedule.wait(deadline_us, self._has_something)

    def close(self) -> None:
        self._site.schedule.effect("leave")
        if self._member is not None and self._group is not None:
            if self._generation != -1:
                self._tell("on_revoke")
            self._group.leave(self._member)
            self._member = None

    # --- membership ---

    def _moves(self) -> bool:
        member, group = self._member, self._group
        assert group is not None
        if member is None or not group.knows(member):
            return True
        if group.rebalancing:
            return not member.joined
        return member.generation != self._generation

    def _serve(self) -> None:
        group = self._group
        assert group is not None
        while self._moves():
            member = self._member
            if member is None:
                self._member = group.join(self._site.process)
                self._generation = -1
            elif not group.knows(member):
                self._lost(member)
            elif group.rebalancing:
                if self._generation != -1:
                    self._tell("on_revoke")
                self._generation = -1
                group.rejoin(member)
            elif self._stands_still(group):
                schedule = self._site.schedule
                schedule.saw("stands still while its assignment waits to be taken")
                schedule.pause(self._site.process, int((11 + 10 * schedule.random.random()) * SECOND_US))
                schedule.wait(schedule.now_us)
            else:
                self._generation = member.generation
                self._tell("on_assign", member.partitions)

    def _stands_still(self, group: Group) -> bool:
        """Now and then where there are others, who then get its partitions."""
        schedule = self._site.schedule
        faulty = not schedule.quiet and schedule.pause_rate > 0 and len(group.members) > 1
        return faulty and schedule.random.random() < 0.03

    def _lost(self, member: Member) -> None:
        """Put out. An assignment that waited to be taken may still be told, without a membership."""
        if self._generation != -1:
            self._tell("on_lost")
        elif member.generation != -1 and self._site.schedule.random.random() < 0.5:
            self._site.schedule.saw("an assignment is told to who was put out")
            self._outside, self._generation = True, member.generation
            self._tell("on_assign", member.partitions)
            if self._positions:  # taken: it works on until the client joins anew
                delay_us = self._site.schedule.random.randrange(2, 20) * SECOND_US
                self._site.schedule.after(delay_us, self._forget)
                return
        self._forget()

    def _forget(self) -> None:
        self._site.schedule.changes += 1
        self._outside, self._generation, self._member = False, -1, None

    def _tell(self, callback: str, partitions: Sequence[int] = ()) -> None:
        self._site.schedule.effect(callback)
        told = [TopicPartition(topic, number) for topic in self._topics for number in partitions]
        self._site.schedule.note(f"{callback} {list(partitions)}")
        self._callbacks[callback](self, told)

    # --- records ---

    def _limit(self, log: Log) -> int:
        return log.stable if self._committed_only else log.end

    def _has_something(self) -> bool:
        if self._topics and self._moves():
            return True
        logs = self._site.broker.logs
        for where, position in self._positions.items():
            limit = self._limit(logs[where])
            if position < limit or (self._tells_end and self._told_end.get(where) != position):
                return True
        return False

    def _fetch(self, count: int) -> list[Message]:
        random = self._site.schedule.random
        wheres = list(self._positions)
        random.shuffle(wheres)
        wanted = min(count, 500 if self._tells_end else random.randint(1, FETCHED_AT_ONCE))
        found: list[Message] = []
        for where in wheres:
            log = self._site.broker.logs[where]
            limit, position = self._limit(log), self._positions[where]
            index = log.find(position)
            entries = log.entries
            while len(found) < wanted and index < len(entries) and entries[index].offset < limit:
                entry = entries[index]
                index += 1
                position = entry.offset + 1
                if visible(entry) or (not self._committed_only and not entry.marker):
                    found.append(Message(where, entry))
            if len(found) < wanted:
                position = max(position, limit)
                if self._tells_end and self._told_end.get(where) != position:
                    self._told_end[where] = position
                    end = Entry(position, 0, None, None)
                    found.append(Message(where, end, KafkaError(KafkaError._PARTITION_EOF)))
            self._positions[where] = position
        return found


def list_offsets(
    config: Mapping[str, Any],
    wanted: Iterable[Where],
    which: str,
    isolation: Isolation = Isolation.UNCOMMITTED,
) -> dict[Where, int]:
    """runtime.kafka.offsets.list_offsets."""
    site = site_of(config)
    site.schedule.effect(f"list offsets {which}")
    if which == "earliest":
        return dict.fromkeys(wanted, 0)
    committed = isolation is Isolation.COMMITTED
    logs = site.broker.logs
    return {where: logs[where].stable if committed else logs[where].end for where in wanted}


def describe(config: Mapping[str, Any], topics: Sequence[str]) -> Topology:
    """runtime.kafka.topology.describe: topics never change here."""
    site = site_of(config)
    return Topology(
        "cluster",
        {topic: f"{topic}-id" for topic in topics},
        {topic: site.broker.topics[topic] for topic in topics},
    )
