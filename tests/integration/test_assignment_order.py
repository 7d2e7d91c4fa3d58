"""Taking over a partition in the one right order, against the real broker.

Each scene is played twice: with the rater as it is, and with one step of the order taken away, where it must
go wrong. Otherwise the scene would prove nothing about that step.
"""

import shutil
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from rater.adapters import assignment, log_reader
from rater.adapters.assignment import Assignment
from rater.adapters.log_reader import HEAD_KEY
from rater.core import batch
from rater.core.frames import FrameEffects, FrameError
from rater.core.work import GapError, Head
from rater.service import Rater
from runtime.kafka.errors import KafkaUnavailableError, PositionLostError
from runtime.kafka.group import PartitionGroup
from runtime.kafka.offsets import Isolation, list_offsets
from runtime.kafka.transactions import TransactionalProducer
from schemas import topics
from schemas.codec import CODEC
from tests.fix_rater import DEADLINE_S, PARTITIONS, Pipeline, check_exactly_once, whole
from tests.integration.takeover import (
    PARTITION,
    OldOwner,
    customer_on,
    delete_before,
    drain,
    drive,
    events_on,
    new_owner,
    sequences_of,
    taking_over,
)

pytestmark = [pytest.mark.broker, pytest.mark.postgres]

Scene = Callable[[Pipeline], None]
Patch = pytest.MonkeyPatch


def pending_offsets_are_waited_for(pipeline: Pipeline) -> None:
    """Step 1. The old owner has sent its offsets; its frame reaches the broker only afterwards."""
    pipeline.emit(events_on(PARTITION, range(2)))
    old = OldOwner(pipeline)
    old.commit_frame(1)
    frame = old.decide(1)
    old.begin()
    old.send_offsets(2)
    with taking_over(pipeline) as taking:
        assert taking.waits_for_pending_offsets()
        old.write(frame)
        old.commit()
        assert taking.result().head == old.memory.head


def an_open_transaction_s_frames_are_restored_when_it_commits(pipeline: Pipeline) -> None:
    """Step 2. Its frame lies beyond the last stable offset: who asks for that is not told of it."""
    pipeline.emit(events_on(PARTITION, range(2)))
    old = OldOwner(pipeline)
    old.commit_frame(1)
    frame = old.decide(1)
    old.begin()
    old.write(frame)
    with taking_over(pipeline) as taking:
        assert taking.waits_for_the_last_stable_offset()
        old.commit()
        owned = taking.result()
        assert owned.head == old.memory.head
        assert owned.head.frame_no == 2
        assert owned.last_sequences([customer_on(PARTITION)]) == {customer_on(PARTITION): 2}


def nothing_is_restored_while_a_transaction_is_open(pipeline: Pipeline) -> None:
    """Step 3. A restore may wait for its records only as long as a read may stall."""
    pipeline.emit(events_on(PARTITION, range(1)))
    old = OldOwner(pipeline)
    frame = old.decide(1)
    old.begin()
    old.write(frame)
    with taking_over(pipeline) as taking:
        try:
            assert taking.waits_for_the_last_stable_offset()
        finally:
            old.commit()
        assert taking.result().head == old.memory.head


def what_the_log_holds_is_known_before_the_first_decision(pipeline: Pipeline) -> None:
    """Steps 4 and 6. The old owner rated two events; both come again, and the new owner has no files."""
    events = events_on(PARTITION, range(3))
    pipeline.emit(events[:2])
    OldOwner(pipeline).commit_frame(2)
    pipeline.emit(events)
    with new_owner(pipeline) as rater:
        drain(rater, pipeline)
    check_exactly_once(pipeline, events)
    assert sequences_of(pipeline.rated()) == [("event-0", 1), ("event-1", 2), ("event-2", 3)]


def the_group_s_offsets_mean_nothing(pipeline: Pipeline) -> None:
    """Step 5. Somebody has set them further on than the head."""
    events = events_on(PARTITION, range(20))
    pipeline.emit(events[:10])
    with new_owner(pipeline) as rater:
        drain(rater, pipeline)
    set_group_offsets(pipeline, 15)
    pipeline.emit(events[10:])
    with new_owner(pipeline) as rater:
        drain(rater, pipeline)
    check_exactly_once(pipeline, events)


def each_transaction_writes_the_head(pipeline: Pipeline) -> None:
    """A rater without any files goes on where the one before it ended."""
    events = events_on(PARTITION, range(2))
    for number, event in enumerate(events):
        pipeline.emit([event])
        with new_owner(pipeline) as rater:
            drive(rater, lambda number=number: len(pipeline.rated()) > number)  # type: ignore[misc]  # bound now
        shutil.rmtree(pipeline.directory / "state")
    check_exactly_once(pipeline, events)


def nothing_is_rated_on_a_partition_that_is_not_its_customer_s(pipeline: Pipeline) -> None:
    """Two owners would count the same identity."""
    (event,) = events_on(PARTITION, range(1))
    key, value = event["customer_id"].encode(), CODEC.encode("UsageEvent", whole(event))
    pipeline.emit_raw([(b"somebody else", value)], partition=PARTITION)
    pipeline.emit_raw([(key, value)], partition=PARTITION + 1)
    pipeline.emit_raw([(key, value)])
    with new_owner(pipeline) as rater:
        drain(rater, pipeline)
    assert [(item["partition"], item["reason"]) for item in pipeline.rejected()] == [
        (PARTITION, "misrouted"),
        (PARTITION + 1, "misrouted"),
    ]
    check_exactly_once(pipeline, [event])


def input_records_that_were_deleted_unrated_stop_the_rater(pipeline: Pipeline) -> None:
    """Step 5. The head says 1; the broker holds 3 and later."""
    pipeline.emit(events_on(PARTITION, range(5)))
    OldOwner(pipeline).commit_frame(1)
    delete_before(pipeline, topics.USAGE_EVENTS, 3)
    with (
        taking_over(pipeline) as taking,
        pytest.raises(PositionLostError, match=r"position is 1, .* holds 3 to 5"),
    ):
        taking.result()


# --- the rater with one step taken away ---


def without_waiting_for_pending_offsets(patch: Patch) -> None:
    patch.setattr(PartitionGroup, "wait_for_pending_offsets", lambda *_: None)


def with_a_read_committed_request(patch: Patch) -> None:
    def ends(self: Assignment, partitions: list[int]) -> Mapping[tuple[str, int], int]:
        wanted = [(topic, partition) for topic in self._names.outputs for partition in partitions]
        return list_offsets(self._config, wanted, "latest", Isolation.COMMITTED)

    patch.setattr(Assignment, "_output_ends", ends)


def without_waiting_for_the_last_stable_offset(patch: Patch) -> None:
    patch.setattr(Assignment, "_wait_until_stable", lambda *_: None)


def without_restoring(patch: Patch) -> None:
    patch.setattr(assignment, "restore", lambda store, *_: store.meta.head)


def with_the_head_alone(patch: Patch) -> None:
    """Producing begins at the right position, and restoring never ends."""
    restore = log_reader.restore

    def head_only(store: Any, *arguments: Any) -> Head:
        head = restore(store, *arguments)
        store.discard(store.meta.log)
        store.apply(FrameEffects(head, {}, {}), at_us=1, coverage_from_us=0)
        return head

    patch.setattr(assignment, "restore", head_only)


def with_the_group_s_position(patch: Patch) -> None:
    opened = Rater._open

    def from_group(self: Rater, partitions: list[int]) -> Mapping[tuple[str, int], int]:
        starts = dict(opened(self, partitions))
        asked = [TopicPartition(*where) for where in starts]
        for answer in self._group._consumer.committed(asked, timeout=DEADLINE_S):
            if answer.offset >= 0:
                starts[answer.topic, answer.partition] = answer.offset
        return starts

    patch.setattr(Rater, "_open", from_group)


def without_heads(patch: Patch) -> None:
    produce = TransactionalProducer.produce

    def but_heads(self: TransactionalProducer, topic: str, partition: int, key: Any, *rest: Any) -> None:
        if key != HEAD_KEY:
            produce(self, topic, partition, key, *rest)

    patch.setattr(TransactionalProducer, "produce", but_heads)


def without_the_route(patch: Patch) -> None:
    patch.setattr(batch, "check_route", lambda *_: None)


def without_checking_positions(patch: Patch) -> None:
    patch.setattr(Assignment, "_check_positions", lambda *_: None)


STEPS: list[tuple[Scene, Callable[[Patch], None], type[BaseException]]] = [
    (pending_offsets_are_waited_for, without_waiting_for_pending_offsets, AssertionError),
    (
        an_open_transaction_s_frames_are_restored_when_it_commits,
        with_a_read_committed_request,
        AssertionError,
    ),
    (
        nothing_is_restored_while_a_transaction_is_open,
        without_waiting_for_the_last_stable_offset,
        AssertionError,
    ),
    (what_the_log_holds_is_known_before_the_first_decision, without_restoring, AssertionError),
    (what_the_log_holds_is_known_before_the_first_decision, with_the_head_alone, AssertionError),
    (the_group_s_offsets_mean_nothing, with_the_group_s_position, GapError),
    (each_transaction_writes_the_head, without_heads, FrameError),
    (nothing_is_rated_on_a_partition_that_is_not_its_customer_s, without_the_route, AssertionError),
    (
        input_records_that_were_deleted_unrated_stop_the_rater,
        without_checking_positions,
        pytest.fail.Exception,
    ),
]
SCENES = list(dict.fromkeys(scene for scene, _, _ in STEPS))


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_the_rater_as_it_is(scene: Scene, pipeline: Pipeline) -> None:
    scene(pipeline)


@pytest.mark.parametrize(
    ("scene", "mutilate", "ends"), STEPS, ids=[f"{change.__name__}" for _, change, _ in STEPS]
)
def test_the_scene_goes_wrong(
    scene: Scene,
    mutilate: Callable[[Patch], None],
    ends: type[BaseException],
    pipeline: Pipeline,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mutilate(monkeypatch)
    with pytest.raises(ends):
        scene(pipeline)


# --- what else a new owner may find ---


def test_an_aborted_transaction_s_frames_are_not_restored(pipeline: Pipeline) -> None:
    pipeline.emit(events_on(PARTITION, range(2)))
    old = OldOwner(pipeline)
    old.commit_frame(1)
    before = old.memory.head
    frame = old.decide(1)
    old.begin()
    old.write(frame)
    with taking_over(pipeline) as taking:
        assert taking.waits_for_the_last_stable_offset()
        old.abort()
        assert taking.result().head == before


def test_group_offsets_set_back_repeat_nothing(pipeline: Pipeline) -> None:
    events = events_on(PARTITION, range(6))
    pipeline.emit(events)
    with new_owner(pipeline) as rater:
        drain(rater, pipeline)
    set_group_offsets(pipeline, 2)
    with new_owner(pipeline, slot=1) as rater:
        drive(rater, lambda: bool(rater._owned))
        for _ in range(5):
            assert not rater.step()
    check_exactly_once(pipeline, events)
    assert pipeline.heads()[PARTITION]["events_next"] == 6


def test_a_frame_without_its_head_stops_the_new_owner(pipeline: Pipeline) -> None:
    pipeline.emit(events_on(PARTITION, range(2)))
    old = OldOwner(pipeline)
    old.commit_frame(1)
    old.begin()
    old.write(old.decide(1), head=False)
    old.commit()
    with taking_over(pipeline) as taking, pytest.raises(FrameError, match="the frames lead to"):
        taking.result()


def test_a_head_beyond_the_input_stops_the_new_owner(pipeline: Pipeline) -> None:
    """The input topic was truncated, or the head is another cluster's."""
    old = OldOwner(pipeline)
    old.memory.head = Head()
    old.begin()
    frame = old.decide(1)
    frame.head = Head(1, 50, 0, 0, 1)
    old.write(frame)
    old.commit()
    with (
        taking_over(pipeline) as taking,
        pytest.raises(PositionLostError, match=r"position is 50, .* 0 to 0"),
    ):
        taking.result()


def test_a_transaction_that_never_ends_is_given_up(pipeline: Pipeline) -> None:
    pipeline.emit(events_on(PARTITION, range(1)))
    old = OldOwner(pipeline)
    frame = old.decide(1)
    old.begin()
    old.write(frame)

    def hurried(rater: Rater) -> None:
        rater._assignment._timeout_s = 0.5

    with (
        taking_over(pipeline, hurried) as taking,
        pytest.raises(KafkaUnavailableError, match="stayed open for"),
    ):
        taking.result()
    old.abort()


def test_offsets_that_stay_pending_are_given_up(pipeline: Pipeline) -> None:
    old = OldOwner(pipeline)
    old.begin()
    old.send_offsets(0)

    def hurried(rater: Rater) -> None:
        rater._assignment._timeout_s = 0.5

    with (
        taking_over(pipeline, hurried) as taking,
        pytest.raises(KafkaUnavailableError, match="stayed pending"),
    ):
        taking.result()
    old.abort()


def test_frames_that_were_deleted_too_early_stop_the_rater_at_the_next_event(pipeline: Pipeline) -> None:
    pipeline.emit(events_on(PARTITION, range(2)))
    old = OldOwner(pipeline)
    old.commit_frame(1)
    old.commit_frame(1)
    delete_before(pipeline, topics.USAGE_DELTAS, 1)  # frame 1; frame 2 is left
    with new_owner(pipeline) as rater:
        drive(rater, lambda: bool(rater._owned))
        pipeline.emit(events_on(PARTITION, range(2, 3)))
        with pytest.raises(Exception, match=r"usage\.deltas was deleted too early; restore it"):
            drive(rater, lambda: pipeline.pending() == 0)


def test_nothing_is_produced_while_a_partition_is_restored(pipeline: Pipeline) -> None:
    """Step 6."""
    events = events_on(PARTITION, range(3))
    pipeline.emit(events[:2])
    old = OldOwner(pipeline)
    old.commit_frame(1)
    old.commit_frame(1)
    pipeline.emit(events[2:])
    config = pipeline.settings.client_config()
    outputs = [(name, partition) for name in old.names.outputs for partition in range(PARTITIONS)]
    before = list_offsets(config, outputs, "latest")
    seen = []
    with new_owner(pipeline) as rater:
        rater._assignment._in_restore = lambda: seen.append(list_offsets(config, outputs, "latest"))
        drain(rater, pipeline)
    assert seen == [before, before]
    check_exactly_once(pipeline, events)


def set_group_offsets(pipeline: Pipeline, offset: int) -> None:
    """As an operator's tool does; the group must be empty."""
    where = TopicPartition(pipeline.prefix + topics.USAGE_EVENTS, PARTITION, offset)
    asked = ConsumerGroupTopicPartitions(f"{pipeline.prefix}rater", [where])
    for future in pipeline.kafka.admin().alter_consumer_group_offsets([asked]).values():
        (answer,) = future.result(DEADLINE_S).topic_partitions
        assert answer.error is None
