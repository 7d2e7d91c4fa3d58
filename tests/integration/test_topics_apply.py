"""`topics apply`: every topic from one declaration; what may change is changed, what may not is refused."""

import json

import pytest
from click.testing import CliRunner, Result
from confluent_kafka.admin import ConfigResource, ResourceType

from cli.topics import specs, topics
from runtime.kafka import admin
from runtime.kafka.admin import TopicSpec
from runtime.settings import KafkaSettings, TopicsSettings
from schemas.topics import TOPICS, USAGE_EVENTS
from tests.fix_kafka import KafkaFixture

pytestmark = pytest.mark.broker


def run(settings: KafkaSettings, *arguments: str, **environment: str) -> Result:
    values = {
        "RATESTREAM_KAFKA__BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "RATESTREAM_KAFKA__TOPIC_PREFIX": settings.topic_prefix,
        "RATESTREAM_KAFKA__PARTITIONS": str(settings.partitions),
        "RATESTREAM_KAFKA__REPLICATION_FACTOR": "1",
    }
    return CliRunner().invoke(topics, ["apply", *arguments], env=values | environment)


def config_of(kafka: KafkaFixture, topic: str) -> dict[str, str | None]:
    future = kafka.admin().describe_configs([ConfigResource(ResourceType.TOPIC, topic)])
    (entries,) = (one.result() for one in future.values())
    return {key: entry.value for key, entry in entries.items()}


def test_every_declared_topic_is_created_with_its_settings(kafka: KafkaFixture) -> None:
    settings = kafka.settings(kafka.topic_prefix(), partitions=3)
    done = run(settings, "--json")
    assert done.exit_code == 0, done.output
    present = kafka.admin().list_topics(timeout=10).topics
    for topic in TOPICS:
        name = settings.topic_prefix + topic.name
        assert len(present[name].partitions) == 3
        config = config_of(kafka, name)
        assert config["message.timestamp.type"] == "LogAppendTime"
        assert config["cleanup.policy"] == topic.cleanup.value
        assert config["max.message.bytes"] == str(topic.message_bytes_max)
        assert config["min.insync.replicas"] == "1"
    # 50 days: 50 * 86,400 * 1,000 ms; one MiB and 64 KiB: 1,048,576 + 65,536 bytes
    events = config_of(kafka, settings.topic_prefix + USAGE_EVENTS)
    assert events["retention.ms"] == "4320000000"
    assert events["max.message.bytes"] == "1114112"


def test_a_second_apply_changes_nothing(kafka: KafkaFixture) -> None:
    settings = kafka.settings(kafka.topic_prefix())
    assert run(settings).exit_code == 0
    again = run(settings, "--json")
    assert json.loads(again.output) == {"topics": len(TOPICS), "applied": True, "changes": []}


def test_a_dry_run_says_what_it_would_do_and_does_not(kafka: KafkaFixture) -> None:
    settings = kafka.settings(kafka.topic_prefix())
    done = run(settings, "--dry-run")
    assert f"{settings.topic_prefix}usage.events: create with partitions 4" in done.output
    assert not [
        name
        for name in kafka.admin().list_topics(timeout=10).topics
        if name.startswith(settings.topic_prefix)
    ]


def test_a_changed_retention_is_changed_and_reported(kafka: KafkaFixture) -> None:
    settings = kafka.create_topics(kafka.topic_prefix())
    done = run(settings, RATESTREAM_TOPICS__RETENTION_S='{"usage.events": 5}')
    name = settings.topic_prefix + USAGE_EVENTS
    assert f"{name}: retention.ms 4320000000 -> 5000\n" in done.output
    assert config_of(kafka, name)["retention.ms"] == "5000"


def test_another_partition_count_is_refused_and_nothing_is_changed(kafka: KafkaFixture) -> None:
    settings = kafka.create_topics(kafka.topic_prefix())
    more = settings.model_copy(update={"partitions": 5})
    done = run(more, RATESTREAM_TOPICS__RETENTION_S='{"usage.events": 5}')
    name = settings.topic_prefix + USAGE_EVENTS
    assert done.exit_code == 1
    assert f"{name}: has partitions 4, wants 5: fixed at creation" in done.output
    assert len(kafka.admin().list_topics(timeout=10).topics[name].partitions) == 4
    assert config_of(kafka, name)["retention.ms"] == "4320000000"
    with pytest.raises(admin.TopicRefused, match="wants 5"):
        admin.apply(kafka.admin(), specs(more, TopicsSettings()))


def test_one_missing_topic_is_created_beside_the_others(kafka: KafkaFixture) -> None:
    settings = kafka.settings(kafka.topic_prefix())
    bare = TopicSpec(settings.topic_prefix + USAGE_EVENTS, partitions=4, replication_factor=1, config={})
    admin.create(kafka.admin(), [bare])
    changes = admin.apply(kafka.admin(), specs(settings, TopicsSettings()))
    created = [change.topic for change in changes if change.action == "create"]
    altered = {change.key for change in changes if change.action == "alter"}
    assert len(created) == len(TOPICS) - 1
    assert "message.timestamp.type" in altered
    assert admin.plan(kafka.admin(), specs(settings, TopicsSettings())) == []


def test_an_undeclared_topic_in_the_settings_is_named(kafka: KafkaFixture) -> None:
    done = run(kafka.settings("x."), "--dry-run", RATESTREAM_TOPICS__RETENTION_S='{"usage.event": 5}')
    assert "topics.retention_s names usage.event: declared are aggregator.probe" in str(done.exception)


def test_a_broker_that_is_not_there_is_an_infrastructure_failure(
    kafka: KafkaFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "REQUEST_S", 1)
    nowhere = kafka.settings("x.").model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    done = run(nowhere)
    assert getattr(done.exception, "exit_code", None) == 3
    assert "Kafka does not answer" in str(done.exception)
