"""Each principal of a secure stack does at the broker what is declared for it; all else is refused."""

import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from schemas.access import PRINCIPALS, READING_GROUP, principal
from schemas.topics import TOPICS
from tests.fix_rater import wait_for
from tests.fix_secure import SecureStack

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(900)]

ANSWER_S = 30
NAMES = [each.name for each in PRINCIPALS]
TOPIC_NAMES = [topic.name for topic in TOPICS]
GROUPS = ["rater", "ledger", "aggregator", "totals", "guard", "somebody"]
TRANSACTIONAL_IDS = ["rater-0", "rater-63", "aggregator-0-x-probe", "ledger-0", "somebody"]
BUSY = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
}
REFUSALS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}
UNREACHABLE = {KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN}


@pytest.fixture(scope="module")
def prefix(secure_stack: SecureStack) -> str:
    """Topics, with rights, that no service uses: what is allowed here is done."""
    made = f"m-{secrets.token_hex(4)}."
    secure_stack.applied(made)
    for name in NAMES:  # a broker learns of rights a moment after the controller has taken them
        admin = AdminClient(config(secure_stack, name))
        wanted = expected(name)["describe"]
        wait_for(lambda: describable(admin, made) == wanted, f"the broker knows {name}'s rights")  # noqa: B023
    return made


def config(stack: SecureStack, name: str) -> dict[str, Any]:
    return stack.kafka(name).client_config() | {"log_level": 0, "topic.metadata.refresh.interval.ms": 1_000}


def outcome(act: Callable[..., Any], *given: Any) -> int | None:
    """The code of the error that the broker gave, None: it did it. A coordinator that moves is asked anew."""
    deadline = time.monotonic() + ANSWER_S
    while True:
        try:
            found = act(*given)
            if isinstance(found, Future):
                found = found.result(ANSWER_S)
        except KafkaException as error:
            code: int = error.args[0].code()
            if code not in BUSY or time.monotonic() > deadline:
                return code
            continue
        errors = [each.error for each in getattr(found, "topic_partitions", None) or () if each.error]
        return errors[0].code() if errors else None


def refused(act: Callable[..., Any], *given: Any) -> bool:
    """Whether the broker refused it for want of a right; any other failure is one of the test."""
    code = outcome(act, *given)
    assert code is None or code in REFUSALS, KafkaError(code).str()
    return code is not None


def writable(stack: SecureStack, name: str, prefix: str) -> set[str]:
    """The topics to which a record was written, every other one being refused."""
    told: dict[str, KafkaError | None] = {}

    def tell(error: KafkaError | None, message: Message) -> None:
        told[str(message.topic())] = error

    producer = Producer(config(stack, name) | {"acks": "all"})
    for topic in TOPIC_NAMES:
        producer.produce(prefix + topic, b"x", b"key", partition=0, on_delivery=tell)
    assert producer.flush(ANSWER_S) == 0
    assert {error.code() for error in told.values() if error is not None} <= REFUSALS, told
    assert set(told) == {prefix + topic for topic in TOPIC_NAMES}
    return {topic.removeprefix(prefix) for topic, error in told.items() if error is None}


def readable(stack: SecureStack, name: str, prefix: str, described: set[str]) -> set[str]:
    """The topics whose end was reached or whose records came, every other one being refused.

    Only of those described: a client is not told where another one is, and the right to read one would be
    the right to describe it.
    """
    told: dict[str, bool] = {}
    consumer = Consumer(config(stack, name) | {"group.id": READING_GROUP, "enable.partition.eof": True})
    consumer.assign([TopicPartition(prefix + topic, 0, OFFSET_BEGINNING) for topic in described])

    def all_told() -> bool:
        message = consumer.poll(0.2)
        if message is not None:
            error = message.error()
            code = None if error is None else error.code()
            assert code in {None, KafkaError._PARTITION_EOF, *REFUSALS}, error
            told[str(message.topic())] = code in {None, KafkaError._PARTITION_EOF}
        return len(told) == len(described)

    wait_for(all_told, f"{name} is told about each topic", ANSWER_S)
    consumer.close()
    return {topic.removeprefix(prefix) for topic, allowed in told.items() if allowed}


def describable(admin: AdminClient, prefix: str) -> set[str]:
    """The topics that are described."""
    asked = admin.describe_topics(TopicCollection([prefix + topic for topic in TOPIC_NAMES]))
    return {
        topic.removeprefix(prefix) for topic, future in asked.items() if not refused(future.result, ANSWER_S)
    }


def groups_of(admin: AdminClient, prefix: str) -> tuple[set[str], set[str]]:
    """The groups that are described, and those for which positions are stored."""

    def describe(group: str) -> Future[Any]:
        return admin.describe_consumer_groups([prefix + group])[prefix + group]

    def store(group: str) -> Future[Any]:
        where = [TopicPartition(f"{prefix}usage.events", 0, 0)]
        return admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(prefix + group, where)])[
            prefix + group
        ]

    watched = {group for group in GROUPS if not refused(describe, group)}
    stored = {group: outcome(store, group) for group in GROUPS}
    # Where it is the topic that is refused, the group would do.
    assert set(stored.values()) <= {None, *REFUSALS}
    joined = {group for group, code in stored.items() if code != KafkaError.GROUP_AUTHORIZATION_FAILED}
    return watched, joined


def transacts(stack: SecureStack, name: str, prefix: str) -> set[str]:
    """The transactional ids with which a producer may begin."""
    allowed = set()
    for each in TRANSACTIONAL_IDS:
        producer = Producer(config(stack, name) | {"transactional.id": prefix + each})
        if not refused(producer.init_transactions, ANSWER_S):
            allowed.add(each)
    return allowed


def expected(name: str) -> Mapping[str, set[str]]:
    """The declaration: who reads or writes a topic may describe it, and likewise a group."""
    declared = principal(name)
    return {
        "write": set(declared.writes),
        "read": set(declared.reads),
        "describe": {*declared.reads, *declared.writes, *declared.describes},
        "watch": {*declared.groups, *declared.watches},
        "join": set(declared.groups),
        "transact": {each for each in TRANSACTIONAL_IDS if each.startswith(declared.transactions or ("-",))},
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_principal_does_what_is_declared_and_nothing_else(
    secure_stack: SecureStack, prefix: str, name: str
) -> None:
    admin = AdminClient(config(secure_stack, name))
    watched, joined = groups_of(admin, prefix)
    described = describable(admin, prefix)
    found = {
        "write": writable(secure_stack, name, prefix),
        "read": readable(secure_stack, name, prefix, described),
        "describe": described,
        "watch": watched,
        "join": joined,
        "transact": transacts(secure_stack, name, prefix),
    }
    assert found == expected(name)


@pytest.mark.parametrize("name", NAMES)
def test_no_principal_administers(secure_stack: SecureStack, prefix: str, name: str) -> None:
    admin = AdminClient(config(secure_stack, name))
    topic = f"{prefix}usage.rated"
    retention = ConfigEntry("retention.ms", "1", incremental_operation=AlterConfigOpType.SET)
    right = AclBinding(
        ResourceType.TOPIC,
        topic,
        ResourcePatternType.LITERAL,
        f"User:{name}",
        "*",
        AclOperation.ALL,
        AclPermissionType.ALLOW,
    )
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[retention])
    acts: dict[str, Callable[[], Any]] = {
        "create": lambda: admin.create_topics([NewTopic(f"{prefix}own", 1, 1)])[f"{prefix}own"],
        "delete": lambda: admin.delete_topics([topic])[topic],
        "grow": lambda: admin.create_partitions([NewPartitions(topic, 9)])[topic],
        "configure": lambda: admin.incremental_alter_configs([resource])[resource],
        "cut": lambda: next(iter(admin.delete_records([TopicPartition(topic, 0, 1)]).values())),
        "give rights": lambda: next(iter(admin.create_acls([right]).values())),
        "forget a group": lambda: admin.delete_consumer_groups([f"{prefix}rater"])[f"{prefix}rater"],
    }
    told = {what: outcome(act) for what, act in acts.items()}
    if not {*principal(name).reads, *principal(name).writes, *principal(name).describes} & {"usage.rated"}:
        # The client does not know whom to ask: it is not told where the topic is.
        assert told.pop("cut") == KafkaError._NOENT
    assert set(told.values()) <= REFUSALS, told


def connects(settings: Mapping[str, Any]) -> bool:
    """Whether a client is told the cluster's metadata within a few seconds."""
    try:
        AdminClient(dict(settings)).list_topics(timeout=4)
    except KafkaException as error:
        if error.args[0].code() not in UNREACHABLE:
            raise
        return False
    return True


def test_nobody_connects_without_tls_or_login_or_to_an_unknown_server(secure_stack: SecureStack) -> None:
    good = config(secure_stack, "rater")
    assert connects(good)
    plain = {"bootstrap.servers": good["bootstrap.servers"], "log_level": 0}
    authority = secure_stack.project_dir / "another-ca.pem"
    authority.write_text(
        secure_stack.secrets.postgres_key.read_text().split("-----END PRIVATE KEY-----\n")[1]
    )
    bad = {
        "in plain text": plain,
        "in plain text with a password": good | {"security.protocol": "SASL_PLAINTEXT"},
        "without a login": plain | {"security.protocol": "SSL", "ssl.ca.location": good["ssl.ca.location"]},
        "with a wrong password": good | {"sasl.password": "guess"},
        "as somebody else": good | {"sasl.username": "operator"},
        "as nobody": good | {"sasl.username": "nobody"},
        "to a server that it does not trust": good | {"ssl.ca.location": str(authority)},
    }
    assert [how for how, settings in bad.items() if connects(settings)] == []
    controller = secure_stack.stack.layout().port("controller", 1)
    at_controller = {"bootstrap.controllers": f"127.0.0.1:{controller}"}
    trusting = {"security.protocol": "SSL", "ssl.ca.location": good["ssl.ca.location"], "log_level": 0}
    for settings in (plain, trusting):
        kept = {key: value for key, value in settings.items() if key != "bootstrap.servers"}
        assert not connects(kept | {"bootstrap.servers": at_controller["bootstrap.controllers"]})
