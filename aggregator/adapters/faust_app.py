"""The Faust app: one source topic, one table, one agent; what else Faust offers is switched off."""

import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from faust import SASLCredentials, SSLCredentials, Stream
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from faust.types import StreamT
from rocksdict import Cache

from aggregator.adapters.live_codec import reached
from aggregator.adapters.table import Between, Failed, LiveTable
from aggregator.adapters.transport import CommittedApp
from aggregator.core.released import Released
from runtime.settings import KafkaSettings
from schemas import topics
from schemas.topics import topic as declared

if TYPE_CHECKING:
    from faust.tables.manager import TableManager

TABLE = "live"
_FETCH_WAIT_MS = 50
_BATCH_BYTES = 512 * 1024
_REQUEST_S = 40
_CHANGELOG_QUEUE = 131_072  # as Faust has it where it makes the topic itself
_NO_ENVIRONMENT = "RATESTREAM_IGNORED_"  # Faust would read settings of its own from the environment


@dataclass(frozen=True, slots=True)
class AppShape:
    """What differs from installation to installation."""

    group_id: str
    instance_id: str
    client_id: str
    directory: Path
    tables: Path
    commit_s: float
    session_timeout_s: float


def credentials(kafka: KafkaSettings) -> SASLCredentials | SSLCredentials | None:
    """How Faust is to authenticate; None: in plain text."""
    context = _ssl_context(kafka) if kafka.security_protocol.endswith("SSL") else None
    if kafka.security_protocol.startswith("SASL"):
        # The settings have made sure that all three are there.
        password = kafka.sasl_password.get_secret_value() if kafka.sasl_password else None
        return SASLCredentials(
            username=kafka.sasl_username,
            password=password,
            mechanism=kafka.sasl_mechanism,
            ssl_context=context,
        )
    return SSLCredentials(context) if context is not None else None


def client_auth(kafka: KafkaSettings) -> Mapping[str, Any]:
    """The same for a client of aiokafka."""
    found: Mapping[str, Any] = credentials_to_aiokafka_auth(credentials(kafka), None)
    return found


def _ssl_context(kafka: KafkaSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=kafka.ssl_ca_location)
    if kafka.ssl_certificate_location is not None:
        key_password = kafka.ssl_key_password
        context.load_cert_chain(
            kafka.ssl_certificate_location,
            kafka.ssl_key_location,
            key_password.get_secret_value() if key_password else None,
        )
    return context


def make_app(kafka: KafkaSettings, shape: AppShape, released: Released[int]) -> CommittedApp:
    """The app, not started; whoever starts it sets its `owner`."""
    for name in ("faust", "mode", "aiokafka"):
        # Their information lines are about their own housekeeping, and long tables.
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    app = CommittedApp(
        shape.group_id,
        env_prefix=_NO_ENVIRONMENT,
        autodiscover=False,
        broker=";".join(f"kafka://{server.strip()}" for server in kafka.bootstrap_servers.split(",")),
        broker_credentials=credentials(kafka),
        broker_client_id=shape.client_id,
        broker_commit_interval=shape.commit_s,
        broker_session_timeout=shape.session_timeout_s,
        broker_heartbeat_interval=shape.session_timeout_s / 4,
        broker_request_timeout=max(_REQUEST_S, shape.session_timeout_s),
        broker_max_poll_records=500,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=shape.instance_id,
        consumer_max_fetch_size=declared(topics.AGGREGATOR_STATE).message_bytes_max,
        datadir=str(shape.directory),
        tabledir=str(shape.tables),
        origin="aggregator",
        processing_guarantee="at_least_once",
        producer_compression_type="lz4",
        producer_linger_ms=0,
        producer_max_batch_size=_BATCH_BYTES,
        producer_max_request_size=declared(topics.AGGREGATOR_STATE).message_bytes_max,
        reply_create_topic=False,
        store="rocksdb://",
        stream_wait_empty=True,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    app.released = released
    app.source = kafka.topic_prefix + topics.USAGE_DELTAS
    app.fetch_wait_ms = _FETCH_WAIT_MS
    return app


def live_table(
    app: CommittedApp, changelog: str, partitions: int, *, cache_mib: int, between: Between, failed: Failed
) -> LiveTable:
    """The one table, on the topic that `ratestream topics apply` made."""
    topic = app.topic(
        changelog,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        partitions=partitions,
        compacting=True,
        deleting=False,
        acks=False,
        internal=True,
        maxsize=_CHANGELOG_QUEUE,
    )
    table = LiveTable(
        app,
        name=TABLE,
        key_type=bytes,
        value_type=bytes,
        partitions=partitions,
        changelog_topic=topic,
        cache=Cache(cache_mib << 20),
        sequence=reached,
        between=between,
        failed=failed,
        beacon=app.tables.beacon,
    )
    app.tables.add(table)
    return table


def connect(app: CommittedApp, table: LiveTable, failed: Failed) -> None:
    """Have the app's events reach its owner; whatever fails there ends the process.

    Faust acknowledges a message whose agent raised, and goes on with the next.
    """

    async def revoked(*_args: Any, **_kwargs: Any) -> None:
        app.owner.assigning()

    async def recovered() -> None:
        if cast("TableManager", app.tables).recovery.signal_recovery_start.is_set():
            return  # a rebalance cut it short: Faust calls this all the same, and begins anew
        try:
            app.owner.restored([tp.partition for tp in app.consumer.assignment() if tp.topic == app.source])
            await app.owner.follow()
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the process
            failed(error)

    async def frames(stream: StreamT[bytes]) -> None:
        take = app.owner.take
        try:
            async for event in cast("Stream[bytes]", stream).noack().events():
                message = event.message
                take(message.partition, message.offset, message.value)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the process
            failed(error)

    app.on_partitions_revoked.connect(revoked, weak=False)
    table.on_recover(recovered)
    source = app.topic(
        app.source, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )
    app.agent(source, concurrency=1, name="frames")(frames)
