"""Inputs that are gone, and topics that are not the ones they were: the rater stops loudly."""

import pytest

from cli.topics import specs
from runtime.kafka import admin as topic_admin
from runtime.kafka.offsets import list_offsets
from runtime.settings import TopicsSettings
from schemas import topics
from tests.fault.checks import check_rated
from tests.fault.load import Load
from tests.fault.retention import delete_before
from tests.fix_rater import PARTITIONS, STOPPED_LOUDLY, Pipeline, usage_event


def _ends(pipeline: Pipeline) -> dict[tuple[str, int], int]:
    wanted = [(pipeline.prefix + topics.USAGE_EVENTS, number) for number in range(PARTITIONS)]
    return list_offsets(pipeline.settings.client_config(), wanted, "latest")


def test_events_deleted_before_any_rater_ran(pipeline: Pipeline) -> None:
    Load(pipeline, at_once=100, paced=False)
    delete_before(pipeline, _ends(pipeline))
    rater = pipeline.start()
    assert rater.wait_dead() == STOPPED_LOUDLY
    assert "PositionLostError" in rater.log()
    assert pipeline.rated() == []


@pytest.mark.slow
def test_events_deleted_under_a_rater_that_stood_still(pipeline: Pipeline) -> None:
    pipeline.environment |= {
        "RATESTREAM_RATER__SESSION_TIMEOUT_MS": "30000",
        "RATESTREAM_RATER__TRANSACTION_TIMEOUT_MS": "40000",
    }
    before = Load(pipeline, at_once=100, paced=False, bad=False)
    rater = pipeline.start()
    pipeline.wait_drained()
    rater.pause()
    missed = Load(pipeline, at_once=500, paced=False, bad=False)
    delete_before(pipeline, {where: end - 1 for where, end in _ends(pipeline).items()})
    rater.resume()
    assert rater.wait_dead() == STOPPED_LOUDLY
    assert "PositionLostError" in rater.log() or "GapError" in rater.log()
    check_rated(pipeline, before.events)
    assert missed.sent > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [topics.USAGE_EVENTS, topics.USAGE_CORRECTIONS, topics.USAGE_DELTAS, topics.RATER_STATE]
)
def test_a_topic_deleted_and_created_anew_while_no_rater_ran(pipeline: Pipeline, name: str) -> None:
    load = Load(pipeline, at_once=200, paced=False)
    first = pipeline.start()
    pipeline.wait_drained()
    assert first.terminate() == 0
    _create_anew(pipeline, name)
    pipeline.emit([usage_event(number, 10_000 + number) for number in range(50)])
    second = pipeline.start()
    assert second.wait_dead() == STOPPED_LOUDLY, second.log()
    assert "FrameError" in second.log()
    check_rated(pipeline, load.events)


@pytest.mark.slow
def test_the_input_deleted_and_created_anew_under_a_rater(pipeline: Pipeline) -> None:
    """The new topic has more records than the position: a consumer goes on there and skips the rest."""
    load = Load(pipeline, at_once=200, paced=False, bad=False)
    rater = pipeline.start()
    pipeline.wait_drained()
    _create_anew(pipeline, topics.USAGE_EVENTS)
    anew = [usage_event(number % 11, 10_000 + number) for number in range(2000)]
    pipeline.emit(anew)
    assert rater.wait_dead() == STOPPED_LOUDLY, rater.log()
    assert "TopicChangedError" in rater.log()
    # What it took for a part of the old topic before it noticed stops every restart too.
    again = pipeline.start()
    assert again.wait_dead() == STOPPED_LOUDLY, again.log()
    assert load.sent > 0


def _create_anew(pipeline: Pipeline, name: str) -> None:
    """Delete a topic and create it with the same name and settings."""
    admin, full = pipeline.kafka.admin(), pipeline.prefix + name
    topic_admin.delete(admin, [full])
    wanted = [spec for spec in specs(pipeline.settings, TopicsSettings()) if spec.name == full]
    topic_admin.create(admin, wanted)
