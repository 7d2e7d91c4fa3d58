"""The rater as a process, against the real Kafka and PostgreSQL."""

import pytest

from tests.fix_rater import Pipeline, check_exactly_once, usage_event

pytestmark = [pytest.mark.broker, pytest.mark.postgres]


def test_each_event_is_rated_once_and_a_repeated_one_is_a_duplicate(pipeline: Pipeline) -> None:
    events = [usage_event(number % 7, number) for number in range(200)]
    pipeline.emit([*events, *events[:50]])
    rater = pipeline.start()
    pipeline.wait_drained()
    check_exactly_once(pipeline, events)
    assert rater.terminate() == 0
