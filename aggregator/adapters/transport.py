"""Faust's Kafka transport with what it must have here: committed reads, offsets that this service releases
itself, and a producer that fails loudly.

Faust reads `read_uncommitted` unless it is in its own exactly-once mode, and has no setting for it. Its
commits follow from acknowledged messages, and jump over a message at the head of a gap; every transaction
marker is a gap. So what may be committed is told by `Released`, and nothing is derived from gaps.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

import aiokafka
from faust import App
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from aggregator.core.released import Released


class Owner(Protocol):
    """The service, as Faust calls it."""

    def assigning(self) -> None:
        """A new assignment begins."""

    def restored(self, numbers: Sequence[int]) -> None:
        """These partitions are owned, and their table is restored."""

    def take(self, number: int, offset: int, value: bytes | None) -> None:
        """One record of a partition."""

    async def follow(self) -> None:
        """The event loop goes round."""

    async def settle(self) -> None:
        """Have everything that was folded acknowledged, or give up in time: partitions are about to go."""

    def passed(self, point: str) -> None:
        """A failpoint."""


class CommittedApp(App):
    """The Faust app; `owner` is set before it starts."""

    owner: Owner
    released: Released[int]
    """By partition of `source`."""
    source: str
    fetch_wait_ms: int

    def kafka_producer(self) -> aiokafka.AIOKafkaProducer:
        """The client behind the app's producer. Raises NotReady before it is started."""
        return cast("SafeProducer", self.producer)._ensure_producer()  # noqa: SLF001 - Faust has no accessor

    def _new_transport(self) -> "CommittedTransport":
        return CommittedTransport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> "CommittedTransport":
        return CommittedTransport(self.conf.broker_producer, self)


class CommittedThread(driver.AIOKafkaConsumerThread):
    """Makes a consumer that sees committed records only."""

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Read when the consumer starts; proved at run time by adapters.probe.
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - there is no setting
        # A partition that was just read is not in the fetch under way: that one must end soon, not in 1.5 s.
        app = cast("CommittedApp", self.app)
        consumer._fetch_max_wait_ms = app.fetch_wait_ms  # noqa: SLF001 - as above
        return consumer


class CommittedConsumer(driver.Consumer):
    """Commits what was released, and nothing else."""

    app: CommittedApp

    def __post_init__(self) -> None:
        """Faust's own hook after construction."""
        super().__post_init__()
        self._waiting: set[TP] = set()

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Faust resumes the source, seeks to the committed offsets, and only then empties every queue:
        what was fetched in between would be lost until the next assignment. So they wait for the last step,
        `resume_flow`.
        """
        wanted = set(tps)
        self._waiting |= {tp for tp in wanted if tp.topic == self.app.source}
        super().resume_partitions(wanted - self._waiting)

    def pause_partitions(self, tps: Iterable[TP]) -> None:
        """Also those that wait."""
        paused = set(tps)
        self._waiting -= paused
        super().pause_partitions(paused)

    def resume_flow(self) -> None:
        """Queues were emptied: now the source may be read."""
        super().resume_flow()
        super().resume_partitions(self._waiting)
        self._waiting = set()

    async def _getmany(
        self,
        active_partitions: set[TP] | None,
        timeout: float,  # noqa: ASYNC109 - Faust's signature
    ) -> Any:
        """Faust hands its own set of partitions to another thread and goes on changing it; emptied, it means
        every partition there, and what comes of those is read and thrown away.
        """
        asked = None if active_partitions is None else set(active_partitions)
        return await super()._getmany(asked, timeout)

    def _new_consumer_thread(self) -> CommittedThread:
        return CommittedThread(self, loop=self.loop, beacon=self.beacon)

    def _filter_tps_with_pending_acks(self, topics: Iterable[Any] | None = None) -> Iterator[TP]:
        del topics  # one source topic
        return (TP(self.app.source, number) for number in self.app.released.partitions())

    def _new_offset(self, tp: TP) -> int | None:
        return self.app.released.next_offset(tp.partition)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Gaps are transaction markers and aborted records: they mean nothing here."""

    async def wait_empty(self) -> None:
        """Partitions are revoked, or the service stops: commit what is acknowledged within the time there is.

        Faust would wait without end for the parts of a frame that is not complete.
        """
        self.app.owner.passed("in_revoke")
        await self.app.owner.settle()
        await self.commit()

    async def create_topic(self, topic: str, *args: Any, **kwargs: Any) -> None:
        """`ratestream topics apply` makes topics, and nobody else."""

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        self.app.owner.passed("before_commit")
        done = await super()._commit_offsets(offsets, start_new_transaction)
        self.app.owner.passed("after_commit")
        return done


class SafeProducer(driver.Producer):
    """Idempotent, acknowledged by all replicas in sync: no reordering, no duplicates by retries."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    async def create_topic(self, topic: str, *args: Any, **kwargs: Any) -> None:
        """As the consumer's."""


class CommittedTransport(driver.Transport):
    """The transport of those."""

    Consumer = CommittedConsumer
    Producer = SafeProducer
