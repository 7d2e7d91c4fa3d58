"""How far the pipeline is, asked of the brokers and of PostgreSQL: what has to be waited for."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from runtime.errors import InfrastructureError
from runtime.kafka.offsets import BrokerOffsets, Isolation, list_offsets
from runtime.kafka.reading import PartitionReader
from runtime.postgres import connect
from schemas import topics
from tests.prove.world import World

_ASK_S = 15.0
_TAIL = 40  # records: behind the last one of data there are markers of a few transactions

_UNDELIVERED = "select count(*) from guard.deliveries where status in ('pending', 'grouped')"
_UNDECIDED = (
    "select count(*) from guard.alerts a where not exists"
    " (select from guard.deliveries d where d.alert_id = a.alert_id) and channels <> '{}'"
)
_TOTALS_BEHIND = (
    "select count(*) from ledger.customers l left join totals.customers t using (customer_id)"
    " where t.as_of_seq is distinct from l.contiguous_seq"
)
_GAPS = "select count(*) from ledger.customers where gap_seq is not null"


@dataclass
class Watch:
    """Looks from outside; each look may fail while something is away."""

    world: World

    def admin(self) -> AdminClient:
        """A new client: one that has seen a group's coordinator die may wait for it for ever. Keep it until
        the answer is there.
        """
        return AdminClient(self._quiet())

    def behind(self) -> dict[str, int]:
        """What is not done yet, by what; empty where the pipeline has caught up."""
        found = self._rater_behind() | self._groups_behind()
        found["records for the ledger"] = self._ledger_behind()
        with connect(self.world.dsn) as connection:
            for what, query in (
                ("customers whose totals are behind", _TOTALS_BEHIND),
                ("gaps in the ledger", _GAPS),
                ("alerts that are not delivered", _UNDELIVERED),
                ("alerts without a delivery", _UNDECIDED),
            ):
                row = connection.execute(query.encode()).fetchone()
                found[what] = 0 if row is None else int(str(row[0]))
        return {what: number for what, number in found.items() if number}

    def group_offsets(self, group: str, *names: str) -> dict[tuple[str, int], int]:
        """A group's committed offsets, where it has any; its name is given without prefix."""
        with BrokerOffsets(self._quiet(), self.world.prefix + group) as asker:
            return asker.committed(self._partitions(*names), _ASK_S)

    def group_empty(self, group: str) -> bool:
        """Whether it has no members."""
        name = self.world.prefix + group
        admin = self.admin()
        return not admin.describe_consumer_groups([name])[name].result(_ASK_S).members

    def leaders(self) -> dict[tuple[str, int], int]:
        """Which broker leads each partition of the run's topics."""
        topics_now = self.admin().list_topics(timeout=_ASK_S).topics
        return {
            (name, number): partition.leader
            for name, topic in topics_now.items()
            if name.startswith((self.world.prefix, "__"))
            for number, partition in topic.partitions.items()
        }

    def replicas_behind(self) -> int:
        """Replicas that are not in sync."""
        topics_now = self.admin().list_topics(timeout=_ASK_S).topics
        return sum(
            len(set(partition.replicas) - set(partition.isrs))
            for topic in topics_now.values()
            for partition in topic.partitions.values()
        )

    def group_coordinator(self, group: str) -> int:
        """The broker that keeps a group, its name given without prefix."""
        name = self.world.prefix + group
        admin = self.admin()
        found = admin.describe_consumer_groups([name])[name].result(_ASK_S).coordinator
        return int(found.id)

    def transaction_coordinator(self, transactional_id: str) -> int:
        """The broker that keeps a producer's transactions: where Java's hash of its id leads."""
        state = self.admin().list_topics(timeout=_ASK_S).topics["__transaction_state"].partitions
        hashed = 0
        for character in transactional_id:
            hashed = (31 * hashed + ord(character)) & 0xFFFFFFFF
        return int(state[(hashed & 0x7FFFFFFF) % len(state)].leader)

    def ends(self, *names: str) -> dict[tuple[str, int], int]:
        """The last stable offset of each partition of these topics."""
        return list_offsets(self._quiet(), self._partitions(*names), "latest", Isolation.COMMITTED)

    def _quiet(self) -> dict[str, Any]:
        return self.world.kafka.client_config() | {"log_level": 2}

    def _partitions(self, *names: str) -> list[tuple[str, int]]:
        return [
            (self.world.prefix + name, number)
            for name in names
            for number in range(self.world.kafka.partitions)
        ]

    def ask(self, query: str) -> list[tuple[object, ...]]:
        """Rows of PostgreSQL."""
        with connect(self.world.dsn) as connection:
            return connection.execute(query.encode()).fetchall()

    def _rater_behind(self) -> dict[str, int]:
        ends = self.ends(topics.USAGE_EVENTS, topics.USAGE_CORRECTIONS)
        done = self.group_offsets("rater", topics.USAGE_EVENTS, topics.USAGE_CORRECTIONS)
        return {
            "events and corrections": sum(end - max(done.get(where, 0), 0) for where, end in ends.items())
        }

    def _groups_behind(self) -> dict[str, int]:
        found = {}
        for group, topic in (
            ("aggregator", topics.USAGE_DELTAS),
            ("totals", topics.USAGE_TOTALS),
            ("guard", topics.USAGE_TOTALS),
        ):
            done = self.group_offsets(group, topic)
            last = self._behind_last_records(topic)
            found[f"{topic} for the {group}"] = sum(
                max(0, end - max(done.get(where, 0), 0)) for where, end in last.items()
            )
        return found

    def _ledger_behind(self) -> int:
        rows = self.ask("select topic, kafka_partition, next_offset from ledger.positions")
        done = {(str(topic), int(str(number))): int(str(offset)) for topic, number, offset in rows}
        wanted = self._behind_last_records(topics.USAGE_RATED) | self._behind_last_records(
            topics.USAGE_REJECTED
        )
        return sum(max(0, end - done.get(where, 0)) for where, end in wanted.items())

    def _behind_last_records(self, topic: str) -> dict[tuple[str, int], int]:
        """The offset behind the last committed record of data: markers of transactions are no records."""
        found = {}
        with PartitionReader(self.world.kafka.client_config()) as reader:
            for where, end in self.ends(topic).items():
                found[where] = 0
                for start in (max(0, end - _TAIL), 0):
                    records = list(reader.read(*where, start, end))
                    if records:
                        found[where] = records[-1].offset + 1
                        break
        return found


AWAY = (InfrastructureError, psycopg.OperationalError, KafkaException, TimeoutError)
"""What a look raises while brokers or PostgreSQL are away."""


def wait_for(
    holds: Callable[[], bool], limit_s: float, stopping: Callable[[], bool] = bool, *, every_s: float = 0.2
) -> bool:
    """Whether it came to hold within the time; a look that fails because something is away is one that
    does not hold.
    """
    end_s = time.monotonic() + limit_s
    while not stopping():
        try:
            if holds():
                return True
        except AWAY:
            pass
        if time.monotonic() > end_s:
            return False
        time.sleep(every_s)
    return False
