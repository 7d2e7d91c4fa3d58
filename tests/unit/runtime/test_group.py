"""Assignments as the group's callbacks bring them, with a consumer that says what it is told to say."""

from typing import Any

import pytest
from confluent_kafka import TopicPartition

from runtime.clock import SystemClock
from runtime.kafka import group as module
from runtime.kafka.errors import KafkaUnavailableError
from runtime.kafka.group import PartitionGroup

TOPICS = ("events", "corrections")


class FakeConsumer:
    """A member of generation `generation`, until `member` is None."""

    def __init__(self, _config: Any) -> None:
        self.member: str | None = "member"
        self.generation = 1
        self.assigned: list[tuple[str, int, int]] | None = None
        self.callbacks: dict[str, Any] = {}

    def subscribe(self, _topics: list[str], **callbacks: Any) -> None:
        self.callbacks = callbacks

    def memberid(self) -> str | None:
        return self.member

    def consumer_group_metadata(self) -> str:
        if self.generation == 0:
            raise RuntimeError("Consumer group metadata not available")
        return f"generation {self.generation}"

    def assign(self, positions: list[TopicPartition]) -> None:
        self.assigned = [(item.topic, item.partition, item.offset) for item in positions]

    def unassign(self) -> None:
        self.assigned = None

    def give(self, *partitions: int, topics: tuple[str, ...] = TOPICS) -> None:
        self.callbacks["on_assign"](
            self, [TopicPartition(topic, number) for topic in topics for number in partitions]
        )


class Member:
    """A group with its consumer, and what the group opened and closed."""

    def __init__(self) -> None:
        self.opened: list[list[int]] = []
        self.closed: list[list[int]] = []
        self.group = PartitionGroup({}, TOPICS, self._open, self._close, SystemClock())
        consumer: Any = self.group._consumer
        assert isinstance(consumer, FakeConsumer)
        self.consumer = consumer

    def _open(self, partitions: Any) -> dict[tuple[str, int], int]:
        self.opened.append(list(partitions))
        return {(topic, number): 10 + number for topic in TOPICS for number in partitions}

    def _close(self, partitions: Any) -> None:
        self.closed.append(list(partitions))


@pytest.fixture
def member(monkeypatch: pytest.MonkeyPatch) -> Member:
    monkeypatch.setattr(module, "Consumer", FakeConsumer)
    return Member()


def test_an_assignment_is_opened_and_begins_where_its_owner_says(member: Member) -> None:
    member.consumer.give(0, 2)
    assert member.opened == [[0, 2]]
    assert member.consumer.assigned == [
        ("events", 0, 10),
        ("events", 2, 12),
        ("corrections", 0, 10),
        ("corrections", 2, 12),
    ]


def test_the_metadata_is_of_the_generation_of_the_assignment(member: Member) -> None:
    member.consumer.give(0)
    member.consumer.generation = 2
    told = [member.group.group_metadata]
    member.consumer.callbacks["on_revoke"](member.consumer, [])
    told.append(member.group.group_metadata)
    member.consumer.give(1)
    told.append(member.group.group_metadata)
    assert told == ["generation 1", None, "generation 2"]
    assert member.closed == [[0]]


def test_an_assignment_that_arrives_after_its_membership_has_ended_is_not_taken(member: Member) -> None:
    """A broker takes the offsets of who has no generation unchecked: nothing would fence such an owner."""
    member.consumer.member = None
    member.consumer.give(0, 1)
    assert member.opened == []
    assert member.consumer.assigned == []
    # librdkafka takes back what it gave, and the next assignment is taken.
    member.consumer.callbacks["on_lost"](member.consumer, [])
    member.consumer.member = "member again"
    member.consumer.give(1)
    assert (member.opened, member.closed) == ([[1]], [[]])


def test_an_assignment_that_reaches_a_consumer_that_closes_is_not_taken(member: Member) -> None:
    """confluent-kafka has no metadata then, and its error would hide the one that the process ends with."""
    member.consumer.generation = 0
    member.consumer.give(0, 1)
    assert member.opened == []
    assert member.consumer.assigned == []


def test_inputs_assigned_apart_are_refused(member: Member) -> None:
    with pytest.raises(KafkaUnavailableError, match="differ between topics"):
        member.consumer.give(0, topics=("events",))
    assert member.opened == []
