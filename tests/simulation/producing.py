"""confluent_kafka.Producer by its methods: one transactional id, as the services use it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from tests.simulation.broker import Broker, Entry, Transaction, Where, refused
from tests.simulation.clients import Message, site_of
from tests.simulation.group import Metadata
from tests.simulation.schedule import SECOND_US


@dataclass(slots=True)
class _Waiting:
    where: Where
    key: bytes | None
    value: bytes | None
    told: Callable[[Any, Any], None] | None


class SimProducer:
    """A transactional producer. Records go to the broker when it likes, at the latest with the flush."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._site = site_of(config)
        self._id = config["transactional.id"]
        self._epoch = -1
        self._waiting: list[_Waiting] = []
        self._transaction: Transaction | None = None
        self._failed: KafkaException | None = None

    @property
    def _broker(self) -> Broker:
        return self._site.broker

    def init_transactions(self, timeout: float) -> None:
        self._site.schedule.effect("init transactions")
        if self._id not in self._broker.producers or not self._broker.busy(self._id):
            self._epoch = self._broker.initialise(self._id)
            self._rest()
        else:
            self._rest()
            self._epoch = self._broker.initialise(self._id)
            self._rest()
        self._site.schedule.note(f"epoch {self._epoch}")

    def _rest(self) -> None:
        """The markers of the last transaction are waited for."""
        schedule, broker = self._site.schedule, self._broker
        while broker.busy(self._id):
            schedule.wait(schedule.now_us + SECOND_US, lambda: not broker.busy(self._id))

    def begin_transaction(self) -> None:
        self._transaction, self._failed, self._waiting = None, None, []

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int,
        callback: Callable[[Any, Any], None] | None = None,
    ) -> None:
        if self._failed is not None:
            raise KafkaException(KafkaError(KafkaError._STATE, "the transaction has failed"))
        self._waiting.append(_Waiting((topic, partition), key, value, callback))
        if self._site.schedule.random.random() < 0.05:
            self._drain()

    def poll(self, timeout: float) -> int:
        self._site.schedule.sleep(timeout)
        return 0

    def flush(self, timeout: float) -> int:
        self._site.schedule.effect("flush")
        self._drain()
        return 0

    def _drain(self) -> None:
        schedule = self._site.schedule
        try:
            self._rest()
            state = self._broker.state_of(self._id, self._epoch)
            if not schedule.quiet and schedule.random.random() < 0.006:
                schedule.saw("a record is refused")
                raise refused(KafkaError.NOT_ENOUGH_REPLICAS, "delivery failed", abort=True)
            if self._transaction is None and self._waiting:
                self._transaction = self._broker.begin(state)
        except KafkaException as error:
            self._failed, self._waiting = error, []
            return
        waiting, self._waiting = self._waiting, []
        for it in waiting:
            assert self._transaction is not None
            offset = self._broker.produce(self._transaction, it.where, it.key, it.value)
            if it.told is not None:
                it.told(None, Message(it.where, Entry(offset, 0, None, None)))

    def send_offsets_to_transaction(
        self, offsets: Iterable[TopicPartition], metadata: Metadata, timeout: float
    ) -> None:
        self._site.schedule.effect("send offsets")
        if self._failed is not None:
            raise self._failed
        state = self._broker.state_of(self._id, self._epoch)
        if self._transaction is None:
            self._rest()
            self._transaction = self._broker.begin(state)
        told = {(it.topic, it.partition): it.offset for it in offsets}
        group = getattr(metadata, "group", "rater")  # without metadata the broker refuses it
        self._broker.send_offsets(self._transaction, group, metadata, told)

    def commit_transaction(self, timeout: float) -> None:
        self._end("commit", self._broker.commit)

    def abort_transaction(self, timeout: float) -> None:
        self._waiting = []
        self._failed = None
        self._end("abort", self._broker.abort)

    def _end(self, what: str, end: Callable[[Transaction], None]) -> None:
        schedule = self._site.schedule
        schedule.effect(what)
        if self._failed is not None:
            raise self._failed
        transaction = self._transaction
        if transaction is None:
            return
        self._broker.state_of(self._id, self._epoch)
        dice = 1.0 if schedule.quiet else schedule.random.random()
        if dice < 0.02:
            schedule.saw("an end of a transaction is lost on its way")
            self._arrives_late(end)
            raise refused(KafkaError._TIMED_OUT, "no reply", retriable=True)
        if transaction.outcome == "open":
            end(transaction)
        if dice < 0.04:
            schedule.saw("a reply to the end of a transaction is lost")
            self._arrives_late(end)
            raise refused(KafkaError._TIMED_OUT, "no reply", retriable=True)
        schedule.effect(f"{what} done")

    def _arrives_late(self, end: Callable[[Transaction], None]) -> None:
        """The request, sent anew by the network: it ends whatever transaction of that epoch is open then."""
        state, epoch = self._broker.producers[self._id], self._epoch

        def arrive() -> None:
            if state.epoch == epoch and state.transaction is not None and state.transaction.outcome == "open":
                self._site.schedule.saw("a late request ends the transaction that is open")
                end(state.transaction)

        # The worst instant is while the next transaction is open.
        state.late = lambda: self._site.schedule.after(self._site.schedule.random.randrange(3_000), arrive)
