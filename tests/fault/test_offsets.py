"""The group's offsets fence old owners and nothing else: whatever is done to them changes nothing."""

from collections.abc import Callable

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from runtime.kafka.offsets import list_offsets
from schemas import topics
from tests.fault.checks import check_everything
from tests.fault.load import Load
from tests.fix_rater import PARTITIONS, Pipeline, wait_for


def _earliest(pipeline: Pipeline) -> None:
    _move(pipeline, lambda _end: 0)


def _latest(pipeline: Pipeline) -> None:
    _move(pipeline, lambda end: end)


def _beyond(pipeline: Pipeline) -> None:
    _move(pipeline, lambda end: end + 1000)


def _deleted(pipeline: Pipeline) -> None:
    admin = pipeline.kafka.admin()
    for future in admin.delete_consumer_groups([_group(pipeline)]).values():
        future.result()


@pytest.mark.parametrize(
    "reset",
    [
        _earliest,
        pytest.param(_latest, marks=pytest.mark.slow),
        pytest.param(_beyond, marks=pytest.mark.slow),
        pytest.param(_deleted, marks=pytest.mark.slow),
    ],
)
def test_the_groups_offsets_reset(pipeline: Pipeline, reset: Callable[[Pipeline], None]) -> None:
    load = Load(pipeline, at_once=200)
    first = pipeline.start()
    pipeline.wait_frames(2)
    assert first.terminate() == 0
    wait_for(lambda: _empty(pipeline), "the group is empty")
    # Some records wait, so that the ends are beyond what was rated.
    load.wait_more(30)
    load.flush()
    reset(pipeline)
    second = pipeline.start()
    load.wait_more(30)
    load.stop()
    pipeline.wait_drained()
    assert second.terminate() == 0
    check_everything(pipeline, load)


def _group(pipeline: Pipeline) -> str:
    return f"{pipeline.prefix}rater"


def _empty(pipeline: Pipeline) -> bool:
    group = _group(pipeline)
    return not pipeline.kafka.admin().describe_consumer_groups([group])[group].result().members


def _move(pipeline: Pipeline, to: Callable[[int], int]) -> None:
    wanted = [
        (pipeline.prefix + name, number)
        for name in (topics.USAGE_EVENTS, topics.USAGE_CORRECTIONS)
        for number in range(PARTITIONS)
    ]
    ends = list_offsets(pipeline.settings.client_config(), wanted, "latest")
    moved = [TopicPartition(*where, to(end)) for where, end in ends.items()]
    group = ConsumerGroupTopicPartitions(_group(pipeline), moved)
    for future in pipeline.kafka.admin().alter_consumer_group_offsets([group]).values():
        assert all(done.error is None for done in future.result().topic_partitions)
