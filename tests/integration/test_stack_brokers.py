"""A stack of three brokers: a leader killed while records are written, a listener behind proxies."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from confluent_kafka import KafkaError, Message, Producer

from cli.stack.local import LocalStack
from cli.stack.ports import choose
from cli.stack.process import StackError
from runtime.kafka import admin
from runtime.kafka.admin import TopicSpec
from runtime.settings import KafkaSettings, SettingsLoader
from tests.fault.proxy import Proxy
from tests.fix_kafka import KafkaFixture
from tests.fix_rater import wait_for
from tests.fix_stack import stack_of_its_own

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(900)]

BROKERS = 3
TOPIC = "written-through"


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalStack]:
    """Three brokers whose second listener is reached through proxies on ports that this test chose."""
    with stack_of_its_own() as stack:
        names = [str(broker) for broker in range(BROKERS)]
        ports = list(choose(stack.project_dir / "proxies", names, {}).values())
        stack.up(brokers=BROKERS, proxied=ports)
        yield stack


def kafka_of(stack: LocalStack) -> KafkaFixture:
    return KafkaFixture(SettingsLoader(stack.project_dir, {}).section("kafka", KafkaSettings))


class Writing:
    """Records written one after another by a producer that waits for every replica in sync."""

    def __init__(self, producer: Producer, topic: str) -> None:
        self._producer, self._topic = producer, topic
        self._end = threading.Event()
        self.acknowledged: list[bytes] = []
        self.failed: list[KafkaError] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._end.wait(0.005):
            self._producer.produce(self._topic, b"%d" % number, partition=0, on_delivery=self._told)
            self._producer.poll(0)
            number += 1
        self._producer.flush(60)

    def _told(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.failed.append(error)
        else:
            self.acknowledged.append(message.value() or b"")

    def wait_more(self, count: int) -> None:
        """Wait until as many more are acknowledged."""
        wanted = len(self.acknowledged) + count
        wait_for(lambda: len(self.acknowledged) >= wanted, f"{wanted} records acknowledged", 60)

    def end(self) -> None:
        """Send the last ones."""
        self._end.set()
        self._thread.join(90)


def leader(kafka: KafkaFixture, topic: str) -> int:
    return kafka.admin().list_topics(topic, timeout=30).topics[topic].partitions[0].leader


def in_sync(kafka: KafkaFixture, topic: str) -> set[int]:
    return set(kafka.admin().list_topics(topic, timeout=30).topics[topic].partitions[0].isrs)


def test_settings_name_all_brokers_and_three_copies(cluster: LocalStack) -> None:
    settings = SettingsLoader(cluster.project_dir, {}).section("kafka", KafkaSettings)
    assert len(settings.bootstrap_servers.split(",")) == BROKERS
    assert (settings.replication_factor, settings.in_sync) == (3, 2)
    status = cluster.status()["kafka"]
    assert status["ready"]
    assert [broker["broker"] for broker in status["brokers"]] == [1, 2, 3]
    assert len({broker["pid"] for broker in status["brokers"]}) == BROKERS


def test_a_killed_leader_loses_nothing_that_was_acknowledged(cluster: LocalStack) -> None:
    kafka = kafka_of(cluster)
    admin.create(kafka.admin(), [TopicSpec(TOPIC, 1, BROKERS, {"min.insync.replicas": "2"})])
    for _ in range(2):
        writing = Writing(kafka.producer(enable_idempotence=True), TOPIC)
        writing.wait_more(50)
        first = leader(kafka, TOPIC)
        cluster.kill9(first)
        assert cluster.pid(first) is None
        assert not cluster.is_up()
        writing.wait_more(50)
        assert leader(kafka, TOPIC) != first
        cluster.start(first)
        wait_for(lambda: in_sync(kafka, TOPIC) == {1, 2, 3}, "the killed broker has caught up", 60)
        writing.end()
        assert writing.failed == []
        values = [message.value() for message in kafka.read_all(TOPIC)][-len(writing.acknowledged) :]
        assert values == writing.acknowledged
    assert cluster.is_up()


def test_clients_of_the_second_listener_meet_the_proxies_only(cluster: LocalStack) -> None:
    layout = cluster.layout()
    with ExitStack() as held:
        for broker in layout.numbers:
            proxy = Proxy("127.0.0.1", layout.port("proxied", broker), layout.proxied[broker - 1])
            held.callback(proxy.cut)
        through = ",".join(f"127.0.0.1:{port}" for port in layout.proxied)
        direct = SettingsLoader(cluster.project_dir, {}).section("kafka", KafkaSettings)
        kafka = KafkaFixture(direct.model_copy(update={"bootstrap_servers": through}))
        told = kafka.admin().list_topics(timeout=30).brokers
        assert {number: broker.port for number, broker in told.items()} == {
            number: layout.proxied[number - 1] for number in layout.numbers
        }
        prefix = kafka.topic_prefix()
        admin.create(kafka.admin(), [TopicSpec(f"{prefix}proxied", BROKERS, BROKERS, {})])
        producer = kafka.producer()
        for partition in range(BROKERS):
            producer.produce(f"{prefix}proxied", b"%d" % partition, partition=partition)
        assert producer.flush(60) == 0
        assert [message.value() for message in kafka.read_all(f"{prefix}proxied")] == [b"0", b"1", b"2"]
        kafka.close()


def test_down_and_up_keep_the_brokers_and_another_number_is_refused(cluster: LocalStack) -> None:
    before = cluster.layout()
    cluster.down()
    with pytest.raises(StackError, match="has data of 3 broker"):
        cluster.up(brokers=1)
    cluster.up()
    assert cluster.layout() == before
    with pytest.raises(StackError, match="run with other listeners"):
        cluster.up(proxied=())
    with pytest.raises(StackError, match="one port for each of 3"):
        cluster.up(proxied=(1, 2))
