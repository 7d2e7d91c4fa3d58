"""Clients with the settings that every part shares; what differs is passed in."""

import logging
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError

from runtime.settings import KafkaSettings

_LOG = logging.getLogger("runtime.kafka")


def _report(error: KafkaError) -> None:
    """Log what librdkafka tells of its connections: it reconnects by itself."""
    _LOG.warning("kafka: %s: %s", error.name(), error.str())


def client_config(settings: KafkaSettings, client_id: str) -> dict[str, Any]:
    """Settings of any client of this process."""
    return settings.client_config() | {
        "client.id": client_id,
        "error_cb": _report,
        "reconnect.backoff.max.ms": 2_000,
        "topic.metadata.refresh.interval.ms": 60_000,
        "log.connection.close": False,
    }


def transactional_config(
    settings: KafkaSettings,
    *,
    transactional_id: str,
    transaction_timeout_ms: int,
    limits: Mapping[str, int],
) -> dict[str, Any]:
    """Settings of a transactional producer."""
    return client_config(settings, transactional_id) | {
        "transactional.id": transactional_id,
        "transaction.timeout.ms": transaction_timeout_ms,
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": 5,
        "compression.type": "lz4",
        "queue.buffering.max.messages": 200_000,
        "queue.buffering.max.kbytes": 262_144,
        **limits,
    }


def group_consumer_config(
    settings: KafkaSettings,
    *,
    group_id: str,
    client_id: str,
    session_timeout_ms: int,
    max_poll_interval_ms: int,
    limits: Mapping[str, int],
) -> dict[str, Any]:
    """Settings of a consumer whose positions come from its owner's log, never from the group."""
    return client_config(settings, client_id) | {
        "group.id": group_id,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "partition.assignment.strategy": "range",
        "session.timeout.ms": session_timeout_ms,
        "heartbeat.interval.ms": max(session_timeout_ms // 4, 100),
        "max.poll.interval.ms": max_poll_interval_ms,
        "queued.min.messages": 50_000,
        "queued.max.messages.kbytes": 65_536,
        "fetch.wait.max.ms": 50,
        **limits,
    }
