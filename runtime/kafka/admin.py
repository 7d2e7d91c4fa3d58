"""Topics: created as wanted, changed where that is safe, refused where it is not.

A topic's partition count and replication factor are fixed at creation: state, sequences and offsets are kept
by partition, so another count means a new generation of topics, never a change in place.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from runtime.errors import FindingError, InfrastructureError
from runtime.settings import KafkaSettings

REQUEST_S = 30
VISIBLE_S = 30
POLL_S = 0.05


class TopicRefused(FindingError):
    """A topic has what cannot be changed; the text names topic, what it has, and what is wanted."""


@dataclass(frozen=True)
class TopicSpec:
    """A topic as it should be on the broker: full name and topic settings."""

    name: str
    partitions: int
    replication_factor: int
    config: dict[str, str]


@dataclass(frozen=True)
class Change:
    """One difference between a topic and its specification."""

    topic: str
    action: Literal["create", "alter", "refuse"]
    key: str
    has: str | None
    wants: str

    def sentence(self) -> str:
        """Say it to a person."""
        if self.action == "create":
            return f"{self.topic}: create with {self.key} {self.wants}"
        if self.action == "alter":
            return f"{self.topic}: {self.key} {self.has} -> {self.wants}"
        return f"{self.topic}: has {self.key} {self.has}, wants {self.wants}: fixed at creation"


def admin_client(settings: KafkaSettings) -> AdminClient:
    """Return an administrator's client."""
    return AdminClient(settings.client_config())


def plan(admin: AdminClient, specs: Sequence[TopicSpec]) -> list[Change]:
    """Return what `apply` would change, in the order of the specifications.

    Raises:
        InfrastructureError: the broker does not answer.
    """
    try:
        present = admin.list_topics(timeout=REQUEST_S).topics
        configs = _configs(admin, [spec.name for spec in specs if spec.name in present])
    except KafkaException as error:
        raise InfrastructureError(f"Kafka does not answer: {error.args[0].str()}") from error
    changes: list[Change] = []
    for spec in specs:
        if spec.name not in present:
            changes.append(Change(spec.name, "create", "partitions", None, str(spec.partitions)))
            continue
        partitions = present[spec.name].partitions
        replicas = {len(partition.replicas) for partition in partitions.values()}
        if len(partitions) != spec.partitions:
            changes.append(_refused(spec, "partitions", str(len(partitions)), spec.partitions))
        if replicas != {spec.replication_factor}:
            has = ", ".join(str(count) for count in sorted(replicas))
            changes.append(_refused(spec, "replication factor", has, spec.replication_factor))
        has_config = configs[spec.name]
        changes += [
            Change(spec.name, "alter", key, has_config.get(key), wants)
            for key, wants in spec.config.items()
            if has_config.get(key) != wants
        ]
    return changes


def apply(admin: AdminClient, specs: Sequence[TopicSpec]) -> list[Change]:
    """Create and change topics until they are as specified; return what was changed.

    Nothing is changed where anything is refused.

    Raises:
        TopicRefused: a partition count or replication factor would have to change.
        InfrastructureError: the broker does not answer or does not accept a change.
    """
    changes = plan(admin, specs)
    refused = [change for change in changes if change.action == "refuse"]
    if refused:
        raise TopicRefused("\n".join(change.sentence() for change in refused))
    missing = {change.topic for change in changes if change.action == "create"}
    try:
        create(admin, [spec for spec in specs if spec.name in missing])
        _alter(admin, [change for change in changes if change.action == "alter"])
        _wait_until_seen(admin, specs)
    except KafkaException as error:
        raise InfrastructureError(f"Kafka refused a change of topics: {error.args[0].str()}") from error
    return changes


def create(admin: AdminClient, specs: Sequence[TopicSpec]) -> None:
    """Create topics and return when every partition has a leader.

    Raises:
        KafkaException: the broker refused one, as it does for a topic that exists.
        InfrastructureError: they were accepted but have no leaders after half a minute.
    """
    if not specs:
        return
    wanted = [
        NewTopic(
            spec.name,
            num_partitions=spec.partitions,
            replication_factor=spec.replication_factor,
            config=spec.config,
        )
        for spec in specs
    ]
    for future in admin.create_topics(wanted, operation_timeout=REQUEST_S).values():
        future.result()
    _wait_for_leaders(admin, specs)


def delete(admin: AdminClient, names: Iterable[str]) -> None:
    """Delete topics.

    Raises:
        KafkaException: one does not exist or may not be deleted.
    """
    topics = list(names)
    if topics:
        for future in admin.delete_topics(topics, operation_timeout=REQUEST_S).values():
            future.result()


def set_config(admin: AdminClient, names: Sequence[str], config: Mapping[str, str]) -> None:
    """Change settings of topics, and return when the broker tells them.

    Raises:
        InfrastructureError: the broker refuses or does not answer.
    """
    try:
        _alter(
            admin,
            [Change(name, "alter", key, None, value) for name in names for key, value in config.items()],
        )
        end = time.monotonic() + VISIBLE_S
        while any(config.items() - found.items() for found in _configs(admin, names).values()):
            if time.monotonic() > end:
                raise InfrastructureError(f"accepted, but not in force: {dict(config)} of {', '.join(names)}")
            time.sleep(POLL_S)
    except KafkaException as error:
        raise InfrastructureError(f"Kafka refused a change of topics: {error.args[0].str()}") from error


def members(admin: AdminClient, groups: Sequence[str]) -> dict[str, int]:
    """How many members each consumer group has; one that nobody ever joined has none.

    Raises:
        InfrastructureError: the broker does not answer.
    """
    found = {}
    for group, future in admin.describe_consumer_groups(list(groups), request_timeout=REQUEST_S).items():
        try:
            found[group] = len(future.result(REQUEST_S).members)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise InfrastructureError(f"group {group}: {error.args[0].str()}") from error
            found[group] = 0
    return found


def _refused(spec: TopicSpec, key: str, has: str, wants: int) -> Change:
    return Change(spec.name, "refuse", key, has, str(wants))


def _configs(admin: AdminClient, names: Sequence[str]) -> dict[str, dict[str, str | None]]:
    if not names:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    described = admin.describe_configs(resources, request_timeout=REQUEST_S)
    return {
        resource.name: {key: entry.value for key, entry in future.result().items()}
        for resource, future in described.items()
    }


def _alter(admin: AdminClient, changes: Sequence[Change]) -> None:
    by_topic: dict[str, list[ConfigEntry]] = {}
    for change in changes:
        entry = ConfigEntry(change.key, change.wants, incremental_operation=AlterConfigOpType.SET)
        by_topic.setdefault(change.topic, []).append(entry)
    if by_topic:
        resources = [
            ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
            for name, entries in by_topic.items()
        ]
        for future in admin.incremental_alter_configs(resources, request_timeout=REQUEST_S).values():
            future.result()


def _wait_until_seen(admin: AdminClient, specs: Sequence[TopicSpec]) -> None:
    """Wait until the broker itself tells what it accepted: it learns of changes through its metadata log."""
    end = time.monotonic() + VISIBLE_S
    while left := plan(admin, specs):
        if time.monotonic() > end:
            raise InfrastructureError("accepted, but not in force: " + "; ".join(c.sentence() for c in left))
        time.sleep(POLL_S)


def _wait_for_leaders(admin: AdminClient, specs: Sequence[TopicSpec]) -> None:
    end = time.monotonic() + VISIBLE_S
    while True:
        seen = admin.list_topics(timeout=REQUEST_S).topics
        led = {
            name: sum(partition.leader >= 0 for partition in topic.partitions.values())
            for name, topic in seen.items()
        }
        waiting = [spec.name for spec in specs if led.get(spec.name, 0) < spec.partitions]
        if not waiting:
            return
        if time.monotonic() > end:
            raise InfrastructureError(f"created, but without leaders for {VISIBLE_S} s: {', '.join(waiting)}")
        time.sleep(POLL_S)
