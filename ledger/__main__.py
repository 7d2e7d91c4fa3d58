"""Wires the ledger's parts and runs it: `python -m ledger`, or `ratestream run ledger`."""

import gc
import signal
import threading
from functools import partial

from ledger.adapters.beginning import Broker
from ledger.adapters.store import Store
from ledger.service import FAILPOINTS, Ledger, Limits
from ledger.settings import SinkSettings
from runtime.clock import SystemClock
from runtime.errors import InfrastructureError
from runtime.failpoints import failpoints_from
from runtime.kafka.clients import client_config, group_consumer_config
from runtime.kafka.group import PartitionGroup
from runtime.kafka.topology import describe
from runtime.monitoring import Monitoring
from runtime.process import run_process
from runtime.settings import KafkaSettings, PostgresSettings, SettingsLoader
from schemas import topics
from schemas.topics import consumer_limits

_OBJECTS_A_COLLECTION = 200_000


def main(loader: SettingsLoader | None = None) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        ReportedError: infrastructure failed beyond its budget, or a setting is wrong.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    ledger = assemble(loader or SettingsLoader.of_process())
    # A batch is a hundred thousand objects without cycles, which counting references frees.
    gc.freeze()
    gc.set_threshold(_OBJECTS_A_COLLECTION, 20, 50)
    ledger.run(stopping.is_set)


def assemble(loader: SettingsLoader) -> Ledger:
    """A ledger ready to run; `run` releases what it holds."""
    kafka = loader.section("kafka", KafkaSettings)
    postgres = loader.section("postgres", PostgresSettings)
    settings = loader.section("ledger", SinkSettings)
    failpoints = failpoints_from(loader.environ, FAILPOINTS)
    clock = SystemClock()
    process = f"{kafka.topic_prefix}ledger-{settings.slot}"
    names = (kafka.topic_prefix + topics.USAGE_RATED, kafka.topic_prefix + topics.USAGE_REJECTED)
    config = client_config(kafka, process)
    topology = describe(config, names)
    if set(topology.partitions.values()) != {kafka.partitions}:
        raise InfrastructureError(
            f"kafka.partitions = {kafka.partitions}, the topics have {dict(topology.partitions)}: "
            "all must have the same number, fixed at their creation"
        )
    limits = consumer_limits(topics.USAGE_RATED, topics.USAGE_REJECTED)
    consumer = group_consumer_config(
        kafka,
        group_id=kafka.topic_prefix + settings.group_id,
        client_id=process,
        session_timeout_ms=settings.session_timeout_ms,
        max_poll_interval_ms=settings.max_poll_interval_ms,
        limits=limits,
    )
    monitoring = Monitoring.start(
        loader, "ledger", config=config, prefix=kafka.topic_prefix, limits=limits, clock=clock
    )
    return Ledger(
        topics=names,
        group=partial(PartitionGroup, consumer, clock=clock),
        broker=Broker(config, topology, complete=names[:1] if settings.begin == "complete" else ()),
        store=Store(
            postgres.dsn.get_secret_value(),
            role=settings.role,
            application_name=f"ratestream-ledger-{settings.slot}",
            days_ahead=settings.days_ahead,
            topic_ids=topology.topic_ids,
            topics=names,
            failpoints=failpoints,
        ),
        limits=Limits(
            records_max=settings.batch_records_max,
            bytes_max=settings.batch_mib_max << 20,
            wait_s=settings.batch_wait_ms / 1000,
            postgres_wait_s=settings.postgres_wait_s,
            busy_wait_s=settings.busy_wait_ms / 1000,
        ),
        clock=clock,
        after_commit=partial(failpoints.hit, "after_pg_commit"),
        monitoring=monitoring,
    )


if __name__ == "__main__":
    run_process(main)
