"""Wires the aggregator's parts and runs it: `python -m aggregator`, or `ratestream run aggregator`."""

import asyncio
import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from faust.exceptions import ConsistencyError

from aggregator.adapters.faust_app import AppShape, client_auth, connect, live_table, make_app
from aggregator.adapters.identity import give_up, prepared
from aggregator.adapters.ledger import Ledger
from aggregator.adapters.probe import check_committed_reads, check_stream_iterator
from aggregator.adapters.repairs import Repairs
from aggregator.adapters.transport import CommittedApp
from aggregator.adapters.world import World
from aggregator.adapters.writer import Writer
from aggregator.core.held import Held
from aggregator.core.released import Released
from aggregator.service import FAILPOINTS, Aggregator, Names, end
from aggregator.settings import AggregatorSettings
from rate_book.source import BookPoller
from rate_book.watched import WatchedScopes
from runtime.clock import SystemClock
from runtime.errors import InfrastructureError
from runtime.failpoints import failpoints_from
from runtime.kafka.clients import client_config
from runtime.kafka.lag import group_positions
from runtime.kafka.offsets import BrokerOffsets
from runtime.kafka.topology import Topology, describe
from runtime.monitoring import Monitoring
from runtime.process import run_process
from runtime.progress import LagUnknownError
from runtime.settings import KafkaSettings, PostgresSettings, SettingsLoader
from runtime.slots import take_slot
from schemas import topics
from schemas.topics import consumer_limits

_LOG = logging.getLogger(__name__)
_STOP_S = 15.0
_LINGER_S = 3.0
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LOOK_S = 0.2
_FOLLOW_S = 1.0
_OBJECTS_A_COLLECTION = 200_000


def main(loader: SettingsLoader | None = None) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        ReportedError: infrastructure failed at the start, or a setting is wrong. Later failures end the
            process at once.
    """
    with ExitStack() as stack:
        asyncio.run(_run(loader or SettingsLoader.of_process(), stack))


@dataclass(frozen=True, slots=True)
class _Parts:
    """What runs."""

    app: CommittedApp
    service: Aggregator
    repairs: Repairs
    probe: tuple[str, str]
    """Topic and transactional id."""
    directory: Path


async def _run(loader: SettingsLoader, stack: ExitStack) -> None:
    for number in _STOP_SIGNALS:
        signal.signal(number, _leave)
    kafka = loader.section("kafka", KafkaSettings)
    parts = assemble(loader, kafka, stack)
    check_stream_iterator()
    await check_committed_reads(parts.app, client_auth(kafka), *parts.probe)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_A_COLLECTION, 20, 50)
    parts.service.assigning()
    await parts.app.start()
    stopping = asyncio.Event()
    for number in _STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    tasks = [
        asyncio.create_task(_or_end(work))
        for work in (
            parts.service.write_forever(),
            parts.repairs.run_forever(),
            _watch(parts),
            _follow(parts),
        )
    ]
    await stopping.wait()
    leave_within(_STOP_S + _LINGER_S)
    for task in tasks[1:]:
        task.cancel()
    try:
        async with asyncio.timeout(_STOP_S):
            await parts.app.stop()
    except TimeoutError:
        _LOG.warning("Faust does not stop; everything acknowledged is committed")
        os._exit(0)
    tasks[0].cancel()


def leave_within(seconds: float) -> None:
    """Exit then at the latest, whatever still runs.

    Faust's consumer is a thread with a loop of its own. While its group's coordinator is away it does not
    end, and Python waits for its threads for ever.
    """

    def leave() -> None:
        _LOG.warning("a thread of Faust does not end; everything acknowledged is committed")
        os._exit(0)

    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()


def _leave(*_signal: object) -> None:
    """Told to stop before anything was written: there is nothing to finish, and waiting for a rate book, a
    broker or a restore may take minutes.
    """
    os._exit(0)


async def _or_end(work: Coroutine[Any, Any, None]) -> None:
    """A task without which the service is none."""
    try:
        await work
    except Exception as error:  # noqa: BLE001 - whatever it is, it ends the process
        end(error)


async def _watch(parts: _Parts) -> None:
    """Faust's services crash without ending the process."""
    app = parts.app
    while True:
        if app.crashed:
            if isinstance(app.crash_reason, ConsistencyError):
                give_up(parts.directory)  # further than the changelog: what lost its end is the changelog
            raise app.crash_reason or InfrastructureError("Faust crashed without a reason")
        await asyncio.sleep(_LOOK_S)


async def _follow(parts: _Parts) -> None:
    """Tells the watchdog that the event loop goes round."""
    while True:
        await parts.service.follow()
        await asyncio.sleep(_FOLLOW_S)


def assemble(loader: SettingsLoader, kafka: KafkaSettings, stack: ExitStack) -> _Parts:
    """An aggregator ready to run; the stack releases what it holds."""
    postgres = loader.section("postgres", PostgresSettings)
    settings = loader.section("aggregator", AggregatorSettings)
    failpoints = failpoints_from(loader.environ, FAILPOINTS)
    clock = SystemClock()
    state_dir = loader.project_dir / (settings.state_dir or loader.state_dir / "aggregator")
    slot = take_slot(state_dir, settings.slot, "aggregator")
    stack.callback(slot.release)
    process = f"{kafka.topic_prefix}aggregator-{slot.number}"
    config = client_config(kafka, process)
    names, probe, topology = _topics(kafka, config)
    limits = consumer_limits(topics.USAGE_DELTAS)
    monitoring = Monitoring.start(
        loader, "aggregator", config=config, prefix=kafka.topic_prefix, limits=limits, clock=clock
    )
    stack.callback(monitoring.close)
    world = _world(postgres, settings, stack)
    released: Released[int] = Released()
    held = Held(settings.cache_customers)
    shape = AppShape(
        group_id=kafka.topic_prefix + settings.group_id,
        instance_id=_instance_id(process, state_dir),
        client_id=process,
        directory=slot.path,
        tables=prepared(slot.path, topology, names.deltas, names.state),
        commit_s=settings.commit_ms / 1000,
        session_timeout_s=settings.session_timeout_ms / 1000,
    )
    app = make_app(kafka, shape, released)

    def between() -> None:
        monitoring.progress.advance()
        failpoints.hit("in_recovery")

    table = live_table(
        app, names.state, kafka.partitions, cache_mib=settings.cache_mib, between=between, failed=end
    )
    service = Aggregator(
        table=table.data,
        sender=Writer(app.kafka_producer),
        wanted=world,
        names=names,
        held=held,
        released=released,
        committed=_committed(kafka, shape.group_id, names.deltas),
        clock=clock,
        failpoints=failpoints,
        monitoring=monitoring,
        publish_s=settings.publish_ms / 1000,
    )
    app.owner = service
    connect(app, table, end)
    ledger = Ledger(postgres.dsn.get_secret_value())
    stack.callback(ledger.close)
    repairs = Repairs(
        service=service,
        held=held,
        ledger=ledger,
        table=table.data,
        world=world,
        partitions=kafka.partitions,
        clock=clock,
        monitoring=monitoring,
        every_s=settings.repair_ms / 1000,
    )
    return _Parts(app, service, repairs, (probe, f"{shape.instance_id}-probe"), slot.path)


def _committed(kafka: KafkaSettings, group_id: str, topic: str) -> Callable[[], dict[int, int]]:
    """Where the group's commits stand, by partition; nothing while the broker does not answer."""
    group = BrokerOffsets(client_config(kafka, group_id), group_id)

    def positions() -> dict[int, int]:
        try:
            found = group_positions(group, [topic])
        except LagUnknownError as error:
            _LOG.warning("the group's offsets are unknown: %s", error)
            return {}
        return {partition: offset for (_, partition), offset in found.items()}

    return positions


def _topics(kafka: KafkaSettings, config: Mapping[str, Any]) -> tuple[Names, str, Topology]:
    """Names on the broker, and that all have as many partitions as the settings say."""
    deltas, state, totals, probe = names = tuple(
        kafka.topic_prefix + name
        for name in (
            topics.USAGE_DELTAS,
            topics.AGGREGATOR_STATE,
            topics.USAGE_TOTALS,
            topics.AGGREGATOR_PROBE,
        )
    )
    topology = describe(config, names)
    if set(topology.partitions.values()) != {kafka.partitions}:
        raise InfrastructureError(
            f"kafka.partitions = {kafka.partitions}, the topics have {dict(topology.partitions)}: "
            "all must have the same number, fixed at their creation"
        )
    return Names(deltas, state, totals, topology.topic_ids[deltas]), probe, topology


def _world(postgres: PostgresSettings, settings: AggregatorSettings, stack: ExitStack) -> World:
    """Rate book and budgets, once they are known."""
    dsn = postgres.dsn.get_secret_value()
    book = BookPoller(dsn, poll_s=settings.book_poll_s)
    book.start()
    stack.callback(book.stop)
    watched = WatchedScopes(dsn)
    stack.callback(watched.stop)
    watched.start(settings.book_wait_s)
    book.wait_first(settings.book_wait_s)
    return World(book, watched)


def _instance_id(process: str, state_dir: Path) -> str:
    """The same for each start of this slot on this machine, and another's nowhere: the group gives a
    restarted worker its partitions back at once, without a rebalance.
    """
    place = blake2b(f"{socket.gethostname()}\n{state_dir}".encode(), digest_size=6).hexdigest()
    return f"{process}-{place}"


if __name__ == "__main__":
    run_process(main)
