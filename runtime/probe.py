"""Whether Kafka and PostgreSQL answer, asked of themselves."""

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

PROBE_S = 5


def postgres_version(dsn: str) -> str | None:
    """Return the server's version, None while it does not answer."""
    try:
        with psycopg.connect(dsn, connect_timeout=PROBE_S) as connection:
            row = connection.execute("SHOW server_version").fetchone()
    except psycopg.OperationalError:
        return None
    return str(row[0]) if row else None


@dataclass(frozen=True)
class KafkaCluster:
    """Who answered, and the brokers that serve there, by number."""

    id: str
    brokers: frozenset[int]


def kafka_cluster(config: Mapping[str, str | int]) -> KafkaCluster | None:
    """Return the cluster that answers, None while no broker does."""
    quiet: dict[str, str | int | float] = {"socket.timeout.ms": PROBE_S * 1000, "log_level": 0}
    admin = AdminClient({**config, **quiet})
    try:
        described = admin.describe_cluster(request_timeout=PROBE_S).result()
    except KafkaException:
        return None
    if not described.nodes:
        return None
    return KafkaCluster(str(described.cluster_id), frozenset(node.id for node in described.nodes))
