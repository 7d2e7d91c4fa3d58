"""What the client tells of a broker that does not answer."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from runtime.kafka import offsets
from runtime.kafka.offsets import OffsetsUnknownError, list_offsets

SILENT = -1001  # librdkafka's OFFSET_INVALID
WHERE = [("a", 0), ("a", 1)]


class Told:
    """A consumer without a broker, whose answers are given, question by question."""

    def __init__(self, *answers: Callable[[list[TopicPartition]], Any]) -> None:
        self.answers = list(answers)
        self.asked: list[list[tuple[str, int, int]]] = []

    def __call__(self, _config: Any) -> "Told":
        return self

    def poll(self, _timeout: float) -> None:
        """Nothing to tell."""

    def close(self) -> None:
        """Nothing to close."""

    def offsets_for_times(self, asked: Sequence[TopicPartition], timeout: float) -> Any:
        assert timeout > 0
        self.asked.append([(item.topic, item.partition, item.offset) for item in asked])
        return self.answers.pop(0)(list(asked))


def with_offsets(*found: int) -> Callable[[list[TopicPartition]], Any]:
    return lambda asked: [
        TopicPartition(it.topic, it.partition, at) for it, at in zip(asked, found, strict=True)
    ]


def failed(code: int) -> Callable[[list[TopicPartition]], Any]:
    def answer(_: list[TopicPartition]) -> Any:
        raise KafkaException(KafkaError(code, "as told"))

    return answer


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Told]:
    def tells(*answers: Callable[[list[TopicPartition]], Any]) -> Told:
        told = Told(*answers)
        monkeypatch.setattr(offsets, "Consumer", told)
        return told

    return tells


def test_what_the_broker_told(broker: Callable[..., Told]) -> None:
    told = broker(with_offsets(7, 0))
    assert list_offsets({}, WHERE, "latest") == {("a", 0): 7, ("a", 1): 0}
    assert told.asked == [[("a", 0, -1), ("a", 1, -1)]], "the protocol's instant of a log's end"


def test_a_broker_that_stays_silent_has_told_no_offset(broker: Callable[..., Told]) -> None:
    """Taken for an offset it would be the end of an empty log: a rater would begin anew and bill twice."""
    broker(with_offsets(7, SILENT))
    with pytest.raises(OffsetsUnknownError, match="latest offset of a 1: no answer within 5 s"):
        list_offsets({}, WHERE, "latest", timeout_s=5)


def test_a_partition_between_two_leaders_is_asked_again(broker: Callable[..., Told]) -> None:
    told = broker(failed(KafkaError.NOT_LEADER_FOR_PARTITION), with_offsets(7, 9))
    assert list_offsets({}, WHERE, "earliest") == {("a", 0): 7, ("a", 1): 9}
    assert len(told.asked) == 2


def test_a_topic_that_does_not_exist_is_not(broker: Callable[..., Told]) -> None:
    broker(failed(KafkaError._UNKNOWN_PARTITION))
    with pytest.raises(OffsetsUnknownError, match="earliest offset of a 0: as told"):
        list_offsets({}, WHERE, "earliest")
