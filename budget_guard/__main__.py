"""Wires the guard's parts and runs it: `python -m budget_guard`, or `ratestream run guard`."""

import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from budget_guard.adapters.alert_store import AlertStore
from budget_guard.adapters.channels import channels_from
from budget_guard.adapters.delivery import FAILPOINTS as DELIVERY_FAILPOINTS
from budget_guard.adapters.delivery import Delivery
from budget_guard.adapters.delivery_settings import DeliverySettings
from budget_guard.adapters.details import DetailsWorker
from budget_guard.adapters.judging import Judge
from budget_guard.adapters.pipeline import Lags, PipelineWatch
from budget_guard.adapters.publisher import Publisher
from budget_guard.adapters.reconciler import Patience, Reconciler, Sources
from budget_guard.adapters.reconciling import Reconciling
from budget_guard.adapters.session import GuardSession
from budget_guard.adapters.totals_reader import TotalsReader
from budget_guard.adapters.worker import Worker
from budget_guard.service import FAILPOINTS, Guard, Limits, Parts
from budget_guard.settings import GuardSettings, OperationsSettings
from pricing.calendar import ZoneTable
from rate_book.budgets.source import BudgetSource
from rate_book.ledger_totals import LedgerTotals
from rate_book.source import BookPoller
from runtime.clock import Clock, SystemClock
from runtime.errors import InfrastructureError
from runtime.failpoints import Failpoints, failpoints_from
from runtime.kafka.clients import client_config, group_consumer_config
from runtime.kafka.group import PartitionGroup
from runtime.kafka.lag import group_lag
from runtime.kafka.offsets import BrokerOffsets, Isolation, list_offsets
from runtime.kafka.publishing import CheckedPublisher
from runtime.kafka.topology import describe
from runtime.monitoring import Monitoring
from runtime.process import run_process
from runtime.settings import KafkaSettings, PostgresSettings, SettingsLoader
from schemas import topics
from schemas.partitioning import partition_of
from schemas.topics import consumer_limits, producer_limits

_FIRST_ANSWER_S = 30.0
_CUSTOMERS_REMEMBERED = 100_000


def main(loader: SettingsLoader | None = None) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        ReportedError: infrastructure failed beyond its budget, or a setting is wrong.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    assemble(loader or SettingsLoader.of_process(), stopping).run(stopping.is_set)


@dataclass(frozen=True, slots=True)
class _Base:
    """What every part is made with."""

    loader: SettingsLoader
    kafka: KafkaSettings
    dsn: str
    settings: GuardSettings
    clock: Clock
    failpoints: Failpoints
    monitoring: Monitoring
    name: str

    @classmethod
    def of(cls, loader: SettingsLoader) -> "_Base":
        kafka = loader.section("kafka", KafkaSettings)
        settings = loader.section("guard", GuardSettings)
        clock = SystemClock()
        name = f"{kafka.topic_prefix}guard-{settings.slot}"
        config = client_config(kafka, name)
        topology = describe(config, [kafka.topic_prefix + topics.USAGE_TOTALS])
        if set(topology.partitions.values()) != {kafka.partitions}:
            raise InfrastructureError(
                f"kafka.partitions = {kafka.partitions}, usage.totals has {dict(topology.partitions)}"
            )
        monitoring = Monitoring.start(
            loader,
            "guard",
            "delivery",
            config=config,
            prefix=kafka.topic_prefix,
            limits=consumer_limits(topics.USAGE_TOTALS),
            clock=clock,
        )
        return cls(
            loader,
            kafka,
            loader.section("postgres", PostgresSettings).dsn.get_secret_value(),
            settings,
            clock,
            failpoints_from(loader.environ, FAILPOINTS | DELIVERY_FAILPOINTS),
            monitoring,
            name,
        )

    def topic(self, name: str) -> str:
        """As the broker names it."""
        return self.kafka.topic_prefix + name

    def session(self, what: str) -> GuardSession:
        """A connection of one thread."""
        return GuardSession(self.dsn, self.settings.role, f"ratestream-guard-{self.settings.slot}-{what}")

    def store(self, what: str) -> AlertStore:
        """The outbox, of one thread."""
        return AlertStore(self.session(what), self.topic(topics.USAGE_TOTALS), self.name, self.failpoints)

    def worker(self, name: str, step: Callable[[], float], close: Callable[[], None]) -> Worker:
        """A thread."""
        return Worker(name, step, close, self.clock, budget_s=self.settings.infrastructure_wait_s)


def assemble(loader: SettingsLoader, stopping: threading.Event) -> Guard:
    """A guard ready to run, its threads started; `run` ends them and releases what it holds."""
    base = _Base.of(loader)
    settings, clock = base.settings, base.clock
    budgets = BudgetSource(base.dsn, poll_s=settings.budget_poll_s)
    budgets.start()
    budgets.wait_first(_FIRST_ANSWER_S)
    book = BookPoller(base.dsn)
    book.start()
    delivery = Delivery(
        base.dsn,
        channels_from(loader, clock),
        loader.section("delivery", DeliverySettings),
        clock,
        counts=base.monitoring.metrics,
        failpoints=base.failpoints,
    )
    judge = Judge(base.store("loaded"), LedgerTotals(base.dsn), clock, kept_s=settings.firings_kept_s)
    owner = _Owner(base.kafka.partitions)
    publisher = _publisher(base)

    def wake() -> None:
        delivery.wake()
        publisher.wake()

    workers = (
        publisher,
        _details(base),
        _reconciling(
            base, budgets=budgets, book=book, owner=owner, judge=judge, stopping=stopping, wake=wake
        ),
        _pipeline(base, budgets, owner, wake),
    )

    def stop() -> None:
        for worker in workers:
            worker.stop()
        delivery.stop()
        budgets.stop()
        book.stop()

    topic = base.topic(topics.USAGE_TOTALS)
    guard = Guard(
        topic=topic,
        group=_group(base),
        parts=Parts(
            store=base.store("alerts"),
            judge=judge,
            reader=TotalsReader(base.session("totals")),
            book=budgets.newest,
            starts=partial(list_offsets, client_config(base.kafka, base.name), which="earliest"),
            partition_of=owner.partition_of,
            wake=wake,
            stop=stop,
            workers=workers,
        ),
        limits=_limits(settings),
        clock=clock,
        failpoints=base.failpoints,
        monitoring=base.monitoring,
    )
    owner.epochs = lambda: guard.epochs
    delivery.start()
    for worker in workers:
        worker.start()
    return guard


def _limits(settings: GuardSettings) -> Limits:
    return Limits(
        records_max=settings.batch_records_max,
        bytes_max=settings.batch_mib_max << 20,
        wait_s=settings.batch_wait_ms / 1000,
        commit_s=settings.commit_ms / 1000,
        budget_s=settings.infrastructure_wait_s,
    )


class _Owner:
    """Which customers are this guard's, told to threads that begin before the guard."""

    def __init__(self, partitions: int) -> None:
        self.partition_of = lru_cache(_CUSTOMERS_REMEMBERED)(partial(_partition_of, partitions=partitions))
        self.epochs: Callable[[], Mapping[int, int]] = dict

    def owns(self, customer_id: str) -> bool:
        return self.partition_of(customer_id) in self.epochs()

    def leads(self) -> bool:
        return 0 in self.epochs()


def _zone_of(book: BookPoller, customer_id: str, at_us: int) -> ZoneTable:
    return book.newest().book.zone_of(customer_id, at_us)


def _partition_of(customer_id: str, *, partitions: int) -> int:
    return partition_of(customer_id.encode(), partitions)


def _group(base: _Base) -> Callable[..., PartitionGroup]:
    settings = base.settings
    consumer = group_consumer_config(
        base.kafka,
        group_id=base.topic(settings.group_id),
        client_id=base.name,
        session_timeout_ms=settings.session_timeout_ms,
        max_poll_interval_ms=settings.max_poll_interval_ms,
        limits=consumer_limits(topics.USAGE_TOTALS),
    )
    return partial(PartitionGroup, consumer | {"fetch.wait.max.ms": 10}, clock=base.clock)


def _publisher(base: _Base) -> Worker:
    names = (topics.BUDGET_ALERTS, topics.BUDGET_STATE)
    config: dict[str, Any] = client_config(base.kafka, f"{base.name}-publisher") | producer_limits(*names)
    publisher = Publisher(
        base.session("publisher"),
        lambda: CheckedPublisher(config | {"linger.ms": 1}),
        (base.topic(names[0]), base.topic(names[1])),
        base.clock,
        base.failpoints,
    )
    return base.worker("publisher", publisher.step, publisher.close)


def _details(base: _Base) -> Worker:
    details = DetailsWorker(
        base.session("details"), LedgerTotals(base.dsn), base.clock, wait_s=base.settings.details_s
    )
    return base.worker("details", details.step, details.close)


def _reconciling(
    base: _Base,
    *,
    budgets: BudgetSource,
    book: BookPoller,
    owner: _Owner,
    judge: Judge,
    stopping: threading.Event,
    wake: Callable[[], None],
) -> Worker:
    settings = base.settings
    sources = Sources(
        base.session("reconciler"),
        base.store("late"),
        TotalsReader(base.session("compared")),
        LedgerTotals(base.dsn),
        budgets.newest,
        partial(_zone_of, book),
    )
    reconciler = Reconciler(
        sources,
        base.clock,
        Patience(settings.late_s, settings.stale_s),
        owned=owner.owns,
        epochs=lambda: owner.epochs(),  # noqa: PLW0108 - set only when the guard is made
        wrote=judge.reload,
        ending=stopping.is_set,
    )
    work = Reconciling(
        reconciler, sources, base.clock, base.monitoring.metrics, every_s=settings.reconcile_s, wake=wake
    )
    return base.worker("reconciler", work.step, work.close)


def _pipeline(base: _Base, budgets: BudgetSource, owner: _Owner, wake: Callable[[], None]) -> Worker:
    settings = base.loader.section("operations", OperationsSettings)
    config = client_config(base.kafka, f"{base.name}-pipeline")
    raters = BrokerOffsets(config, base.topic(settings.rater_group_id))
    own = BrokerOffsets(config, base.topic(base.settings.group_id))
    rated = base.topic(topics.USAGE_RATED)

    def behind(group: BrokerOffsets, *names: str) -> int:
        return sum(group_lag(group, [base.topic(name) for name in names]).values())

    def rated_ends() -> dict[int, int]:
        where: Sequence[tuple[str, int]] = [(rated, number) for number in range(base.kafka.partitions)]
        ends = list_offsets(own, where, "latest", Isolation.COMMITTED)
        return {partition: end for (_, partition), end in ends.items()}

    watch = PipelineWatch(
        base.session("pipeline"),
        Lags(
            rater=lambda: behind(raters, topics.USAGE_EVENTS, topics.USAGE_CORRECTIONS),
            totals=lambda: behind(own, topics.USAGE_TOTALS),
            rated_ends=rated_ends,
        ),
        settings,
        base.clock,
        base.monitoring.metrics,
        rated_topic=rated,
        leads=owner.leads,
        book=budgets.newest,
        wake=wake,
    )
    return base.worker("pipeline", watch.step, watch.close)


if __name__ == "__main__":
    run_process(main)
