"""Wires the rater's parts and runs it: `python -m rater`, or `ratestream run rater`."""

import gc
import os
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from typing import Any

from rocksdict import Cache

from rate_book.source import BookPoller
from rate_book.versions import BookVersions
from rater.adapters.assignment import Assignment, TopicNames
from rater.adapters.rating import partitioner
from rater.core.lateness import Windows
from rater.service import FAILPOINTS, Limits, Rater
from rater.settings import RaterSettings
from runtime.clock import Clock, SystemClock
from runtime.errors import InfrastructureError
from runtime.failpoints import failpoints_from
from runtime.kafka.clients import client_config, group_consumer_config, transactional_config
from runtime.kafka.group import PartitionGroup
from runtime.kafka.reading import PartitionReader
from runtime.kafka.topology import Topology, describe
from runtime.kafka.transactions import TransactionalProducer
from runtime.monitoring import Monitoring
from runtime.process import run_process
from runtime.settings import KafkaSettings, PostgresSettings, SettingsLoader, WindowSettings
from runtime.slots import take_slot
from schemas import topics
from schemas.topics import consumer_limits, producer_limits

_ASSIGNMENT_SLACK_S = 30.0
_OBJECTS_A_COLLECTION = 200_000


def topic_names(prefix: str) -> TopicNames:
    """The rater's topics on a cluster whose names carry a prefix."""
    return TopicNames(
        events=prefix + topics.USAGE_EVENTS,
        corrections=prefix + topics.USAGE_CORRECTIONS,
        rated=prefix + topics.USAGE_RATED,
        rejected=prefix + topics.USAGE_REJECTED,
        deltas=prefix + topics.USAGE_DELTAS,
        state=prefix + topics.RATER_STATE,
    )


def windows_of(settings: WindowSettings) -> Windows:
    """Windows in microseconds."""
    return Windows(
        late_us=settings.late_s * 1_000_000,
        replay_us=settings.replay_s * 1_000_000,
        future_us=settings.future_s * 1_000_000,
        digest_bucket_us=settings.digest_bucket_s * 1_000_000,
    )


def main(loader: SettingsLoader | None = None) -> None:
    """Run until SIGTERM or SIGINT. One that comes while it starts ends it at once: nothing is begun then.

    Raises:
        ReportedError: infrastructure failed beyond its budget, or a setting is wrong.
    """
    stopping, started = threading.Event(), threading.Event()

    def told(*_: object) -> None:
        stopping.set()
        if not started.is_set():
            os._exit(0)  # an exception would come out of a client's C code as another one

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told)
    with ExitStack() as stack:
        rater = assemble(loader or SettingsLoader.of_process(), stack)
        started.set()
        tune_collector()
        try:
            rater.run(stopping.is_set)
        except Exception as error:
            if type(error) is not Exception:
                raise
            # RocksDB's errors have no class of their own: a full disk, a file that cannot be read or written.
            raise InfrastructureError(f"local state: {error}") from error


def tune_collector() -> None:
    """A batch is tens of thousands of objects without cycles: counting references frees them, so the cyclic
    collector need not look through them again and again (measured: a sixth of the CPU time).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_A_COLLECTION, 20, 50)


def assemble(loader: SettingsLoader, stack: ExitStack) -> Rater:
    """A rater ready to run; the stack releases what it holds, its group membership aside."""
    kafka = loader.section("kafka", KafkaSettings)
    postgres = loader.section("postgres", PostgresSettings)
    settings = loader.section("rater", RaterSettings)
    window_settings = loader.section("windows", WindowSettings)
    failpoints = failpoints_from(loader.environ, FAILPOINTS)
    clock = SystemClock()
    windows = windows_of(window_settings)
    names = topic_names(kafka.topic_prefix)
    # A relative directory is the project's, not that of whoever starts the rater.
    state_dir = loader.project_dir / (settings.state_dir or loader.state_dir / "rater")
    slot = take_slot(state_dir, settings.slot, "rater")
    stack.callback(slot.release)
    process = f"{kafka.topic_prefix}rater-{slot.number}"
    config = client_config(kafka, process)
    topology = _topology(kafka, names, config)
    book, versions = _books(postgres, settings, stack)
    monitoring = Monitoring.start(
        loader,
        "rater",
        config=config,
        prefix=kafka.topic_prefix,
        limits=consumer_limits(topics.USAGE_EVENTS, topics.USAGE_CORRECTIONS),
        clock=clock,
    )
    stack.callback(monitoring.close)

    def in_restore() -> None:
        monitoring.progress.advance()
        failpoints.hit("in_restore")

    reading = consumer_limits(topics.USAGE_EVENTS, topics.USAGE_DELTAS, topics.RATER_STATE)
    assignment = Assignment(
        config=config,
        reader=stack.enter_context(PartitionReader(config | reading)),
        names=names,
        topology=topology,
        windows=windows,
        slot_path=slot.path,
        cache=Cache(settings.cache_mib << 20),
        clock=clock,
        timeout_s=settings.transaction_timeout_ms / 1000 + _ASSIGNMENT_SLACK_S,
        in_restore=in_restore,
    )
    return Rater(
        names=names,
        group=_group(kafka, settings, names, process, clock),
        assignment=assignment,
        producer=_producer(kafka, settings, process, clock),
        book=book,
        older_book=versions.book_at,
        partition_of=partitioner(topology.partitions[names.events]),
        windows=windows,
        monitoring=monitoring,
        limits=_limits(settings, window_settings.state_refresh_s),
        clock=clock,
        failpoints=failpoints,
        process=process,
        build=version("ratestream"),
    )


def _topology(kafka: KafkaSettings, names: TopicNames, config: Mapping[str, Any]) -> Topology:
    topology = describe(config, [*names.inputs, *names.outputs])
    if set(topology.partitions.values()) != {kafka.partitions}:
        raise InfrastructureError(
            f"kafka.partitions = {kafka.partitions}, the topics have {dict(topology.partitions)}: "
            "all must have the same number, fixed at their creation"
        )
    return topology


def _books(
    postgres: PostgresSettings, settings: RaterSettings, stack: ExitStack
) -> tuple[BookPoller, BookVersions]:
    """The newest version of the rate book, once there is one, and those before it."""
    book = BookPoller(postgres.dsn.get_secret_value(), poll_s=settings.book_poll_s)
    book.start()
    stack.callback(book.stop)
    versions = BookVersions(postgres.dsn.get_secret_value())
    versions.start()
    stack.callback(versions.stop)
    book.wait_first(settings.book_wait_s)
    return book, versions


def _limits(settings: RaterSettings, refresh_s: int) -> Limits:
    # A customer's record follows within refresh_s of its last frame: looked through twice in a seventh of it.
    return Limits(
        records_max=settings.batch_records_max,
        bytes_max=settings.batch_mib_max << 20,
        wait_s=settings.batch_wait_ms / 1000,
        refresh_after_us=refresh_s * 1_000_000 // 7,
        refresh_every_s=refresh_s / 14,
        restore_s=settings.max_poll_interval_ms / 1000,  # the group takes the partitions away then
    )


def _group(
    kafka: KafkaSettings, settings: RaterSettings, names: TopicNames, process: str, clock: Clock
) -> Callable[..., PartitionGroup]:
    config = group_consumer_config(
        kafka,
        group_id=kafka.topic_prefix + settings.group_id,
        client_id=process,
        session_timeout_ms=settings.session_timeout_ms,
        max_poll_interval_ms=settings.max_poll_interval_ms,
        limits=consumer_limits(topics.USAGE_EVENTS, topics.USAGE_CORRECTIONS),
    )
    return partial(PartitionGroup, config, names.inputs, clock=clock)


def _producer(
    kafka: KafkaSettings, settings: RaterSettings, process: str, clock: Clock
) -> TransactionalProducer:
    limits = producer_limits(
        topics.USAGE_RATED, topics.USAGE_REJECTED, topics.USAGE_DELTAS, topics.RATER_STATE
    )
    config = transactional_config(
        kafka,
        transactional_id=process,
        transaction_timeout_ms=settings.transaction_timeout_ms,
        limits=limits,
    )
    return TransactionalProducer(config, clock, timeout_s=settings.transaction_timeout_ms / 1000)


if __name__ == "__main__":
    run_process(main)
