"""Kafka for tests: topics of a test's own on the shared broker, deleted at its end."""

import secrets
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from cli.topics import specs
from runtime.kafka import admin as topic_admin
from runtime.kafka.offsets import Isolation, list_offsets
from runtime.settings import KafkaSettings, TopicsSettings
from tests.fix_stack import settings_loader

READ_S = 30


class KafkaFixture:
    """One test's view of the broker."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._prefixes: list[str] = []
        self._consumers: list[Consumer] = []
        self._producers: list[Producer] = []
        self._admin = topic_admin.admin_client(settings)

    @property
    def bootstrap(self) -> str:
        return self._settings.bootstrap_servers

    def settings(self, prefix: str = "", partitions: int = 4) -> KafkaSettings:
        """Return settings whose topics carry the prefix."""
        return self._settings.model_copy(update={"topic_prefix": prefix, "partitions": partitions})

    def topic_prefix(self) -> str:
        """Return a prefix that no other test has; its topics are deleted when the test ends."""
        prefix = f"t-{secrets.token_hex(5)}."
        self._prefixes.append(prefix)
        return prefix

    def create_topics(
        self,
        prefix: str,
        *,
        partitions: int = 4,
        retention_s: Mapping[str, int] | None = None,
        segment_s: Mapping[str, int] | None = None,
    ) -> KafkaSettings:
        """Create every declared topic under the prefix and return the settings that name them."""
        settings = self.settings(prefix, partitions)
        shrunk = TopicsSettings(retention_s=dict(retention_s or {}), segment_s=dict(segment_s or {}))
        topic_admin.create(self._admin, specs(settings, shrunk))
        return settings

    def admin(self) -> AdminClient:
        return self._admin

    def producer(self, **config: Any) -> Producer:
        """Return a producer; names take underscores for dots."""
        given = {key.replace("_", "."): value for key, value in config.items()}
        defaults = {"partitioner": "murmur2_random", "acks": "all", "linger.ms": 5}
        producer = Producer(self._settings.client_config() | defaults | given)
        self._producers.append(producer)
        return producer

    def consumer(
        self, *topics: str, isolation: str = "read_committed", group: str | None = None, **config: Any
    ) -> Consumer:
        """Return a consumer, subscribed where topics are named."""
        given = {key.replace("_", "."): value for key, value in config.items()}
        defaults = {
            "group.id": group or f"t-{secrets.token_hex(5)}",
            "isolation.level": isolation,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "receive.message.max.bytes": 100_000_000,
            "fetch.wait.max.ms": 20,
        }
        consumer = Consumer(self._settings.client_config() | defaults | given)
        self._consumers.append(consumer)
        if topics:
            consumer.subscribe(list(topics))
        return consumer

    def read_all(self, topic: str, *, read_committed: bool = True) -> list[Message]:
        """Return what a consumer is given from the beginning to what is the end now, in order."""
        isolation = "read_committed" if read_committed else "read_uncommitted"
        consumer = self.consumer(isolation=isolation, enable_partition_eof=True)
        waiting = set(self._admin.list_topics(topic, timeout=READ_S).topics[topic].partitions)
        level = Isolation.COMMITTED if read_committed else Isolation.UNCOMMITTED
        wanted = [(topic, number) for number in waiting]
        ends = list_offsets(self._settings.client_config(), wanted, "latest", level)
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in waiting])
        found: list[Message] = []
        while waiting:
            message = consumer.poll(READ_S)
            assert message is not None, (
                f"{topic}: nothing for {READ_S} s, partitions {sorted(waiting)} not at end"
            )
            error = message.error()
            assert error is None or error.code() == KafkaError._PARTITION_EOF, error
            number, offset = message.partition() or 0, message.offset() or 0
            if error is None and offset < ends[topic, number]:
                found.append(message)
            else:
                # The end, or where it was: a topic that is written to all the time has no other.
                waiting.discard(number)
        consumer.close()
        self._consumers.remove(consumer)
        return sorted(found, key=lambda message: (message.partition() or 0, message.offset() or 0))

    def close(self) -> None:
        """Close what was handed out and delete the test's topics."""
        for producer in self._producers:
            producer.purge()
            producer.flush(5)
        for consumer in self._consumers:
            consumer.close()
        present = self._admin.list_topics(timeout=READ_S).topics
        topic_admin.delete(
            self._admin,
            [name for name in present if name.startswith(tuple(self._prefixes))] if self._prefixes else [],
        )


@pytest.fixture(scope="session")
def kafka_cluster(request: pytest.FixtureRequest) -> KafkaSettings:
    """The settings of the broker under test."""
    loader = settings_loader()
    if not loader.names_endpoint("kafka"):
        request.getfixturevalue("local_stack")
    return loader.section("kafka", KafkaSettings)


@pytest.fixture
def kafka(kafka_cluster: KafkaSettings) -> Iterator[KafkaFixture]:
    """Kafka, with topics of this test's own."""
    fixture = KafkaFixture(kafka_cluster)
    yield fixture
    fixture.close()
