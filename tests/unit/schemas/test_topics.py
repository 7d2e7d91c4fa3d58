"""The declaration of topics and the limits that follow from it."""

import pytest

from schemas import topics
from schemas.topics import KIB, MIB, TOPICS, Cleanup

DAY_MS = 86_400_000


def test_all_eleven_topics_are_declared_once() -> None:
    names = [topic.name for topic in TOPICS]
    assert names == [
        "usage.events", "usage.corrections", "usage.rated", "usage.rejected", "usage.deltas",
        "rater.state", "usage.totals", "budget.alerts", "budget.state",
        "aggregator.state", "aggregator.probe",
    ]  # fmt: skip


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_a_topic_is_kept_fifty_days_or_compacted_or_for_ever(topic: topics.Topic) -> None:
    config = topic.config()
    assert config["message.timestamp.type"] == "LogAppendTime"
    compacted = topic.name in {"rater.state", "usage.totals", "budget.state", "aggregator.state"}
    assert config["cleanup.policy"] == ("compact" if compacted else "delete")
    days = 1 if topic.name == "aggregator.probe" else 50
    expected = None if compacted else "-1" if topic.name == "usage.rated" else str(days * DAY_MS)
    assert config.get("retention.ms") == expected


def test_sizes_leave_room_beside_the_largest_value() -> None:
    bytes_max = {topic.name: topic.message_bytes_max for topic in TOPICS}
    assert bytes_max.pop("usage.events") == MIB + 64 * KIB
    assert bytes_max.pop("usage.deltas") == 512 * KIB + 64 * KIB
    assert bytes_max.pop("aggregator.probe") == 4 * KIB + 64 * KIB
    assert set(bytes_max.values()) == {4 * MIB + 64 * KIB}


def test_a_test_may_shrink_time_but_not_give_a_compacted_topic_a_retention() -> None:
    config = topics.topic(topics.USAGE_DELTAS).config(retention_s=3, segment_s=1)
    assert (config["retention.ms"], config["segment.ms"]) == ("3000", "1000")
    with pytest.raises(ValueError, match="a compacted topic has none"):
        topics.topic(topics.RATER_STATE).config(retention_s=3)
    assert topics.topic(topics.RATER_STATE).cleanup is Cleanup.COMPACT


def test_the_aggregators_state_is_compacted_after_an_hour() -> None:
    assert topics.topic(topics.AGGREGATOR_STATE).config()["min.compaction.lag.ms"] == "3600000"
    assert "min.compaction.lag.ms" not in topics.topic(topics.USAGE_TOTALS).config()


def test_limits_follow_the_topics_that_a_client_uses() -> None:
    events, deltas = topics.USAGE_EVENTS, topics.USAGE_DELTAS
    assert topics.producer_limits(events) == {"message.max.bytes": MIB + 64 * KIB, "batch.size": MIB}
    assert topics.producer_limits(events, deltas)["batch.size"] == 512 * KIB
    limits = topics.consumer_limits(events, topics.USAGE_RATED)
    assert limits["fetch.message.max.bytes"] == 4 * MIB + 64 * KIB
    assert limits["receive.message.max.bytes"] >= limits["fetch.max.bytes"] + 512


def test_a_prefix_stands_before_the_name() -> None:
    assert topics.topic(topics.USAGE_EVENTS).on("t-1.") == "t-1.usage.events"
