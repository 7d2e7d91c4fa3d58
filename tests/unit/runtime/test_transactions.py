"""The transactional producer's answers to errors, with a producer that fails as told."""

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from runtime.clock import SystemClock
from runtime.kafka import transactions
from runtime.kafka.errors import AbortNeededError, FencedError, KafkaUnavailableError
from runtime.kafka.transactions import TransactionalProducer

RETRY = KafkaError(KafkaError._TIMED_OUT, "slow", False, True, False)
ABORT = KafkaError(KafkaError.ILLEGAL_GENERATION, "rebalanced", False, False, True)
FENCED = KafkaError(KafkaError.PRODUCER_FENCED, "fenced", True, False, False)


class FakeClock:
    def __init__(self) -> None:
        self.s = 0.0

    def monotonic_s(self) -> float:
        return self.s

    def now_us(self) -> int:
        return int(self.s * 1_000_000)


class FakeProducer:
    """Calls by name; `failures` holds what each raises next; `slow_s` is what each takes."""

    clock: FakeClock
    made: list["FakeProducer"]
    failures: dict[str, list[KafkaError | type[Exception]]]
    slow_s: dict[str, float]

    def __init__(self, config: Any) -> None:
        self.calls: list[str] = []
        FakeProducer.made.append(self)

    def _call(self, name: str) -> None:
        self.calls.append(name)
        FakeProducer.clock.s += FakeProducer.slow_s.get(name, 0.0)
        waiting = FakeProducer.failures.get(name)
        if waiting:
            failure = waiting.pop(0)
            raise failure() if isinstance(failure, type) else KafkaException(failure)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*_: Any) -> int:
            self._call(name)
            return 0

        return call


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    FakeProducer.clock, FakeProducer.made = FakeClock(), []
    FakeProducer.failures, FakeProducer.slow_s = {}, {}
    monkeypatch.setattr(transactions, "Producer", FakeProducer)
    return FakeProducer.clock


def made(clock: FakeClock) -> TransactionalProducer:
    return TransactionalProducer({}, clock, timeout_s=5.0)


def test_one_transaction_in_its_order(clock: FakeClock) -> None:
    producer = made(clock)
    producer.begin()
    producer.produce("t", 0, b"k", b"v")
    producer.flush()
    producer.send_offsets({("t", 0): 1}, object())
    producer.commit()
    (only,) = FakeProducer.made
    assert only.calls == [
        "init_transactions",
        "begin_transaction",
        "produce",
        "flush",
        "send_offsets_to_transaction",
        "commit_transaction",
    ]


def test_what_is_retriable_is_tried_again_and_the_producer_is_retired_afterwards(clock: FakeClock) -> None:
    producer = made(clock)
    FakeProducer.failures["commit_transaction"] = [RETRY, RETRY]
    producer.begin()
    producer.commit()
    assert FakeProducer.made[0].calls.count("commit_transaction") == 3
    producer.begin()
    assert producer.retired == 1
    assert FakeProducer.made[1].calls == ["init_transactions", "begin_transaction"]


def test_a_retry_ends_with_the_budget(clock: FakeClock) -> None:
    producer = made(clock)
    FakeProducer.failures["commit_transaction"] = [RETRY] * 9
    FakeProducer.slow_s["commit_transaction"] = 2.0
    with pytest.raises(KafkaUnavailableError, match="commit_transaction: _TIMED_OUT: slow"):
        producer.commit()
    assert FakeProducer.made[0].calls.count("commit_transaction") == 3  # at 2, 4 and 6 of 5 s


def test_a_slow_end_retires_the_producer_and_a_quick_one_does_not(clock: FakeClock) -> None:
    producer = made(clock)
    for took_s, retired in ((2.0, 0), (2.1, 1), (0.0, 1)):
        FakeProducer.slow_s["commit_transaction"] = took_s
        producer.begin()
        producer.commit()
        producer.begin()
        assert producer.retired == retired
        producer.abort()


@pytest.mark.parametrize("call", ["send_offsets", "commit"])
def test_an_abortable_error_asks_for_the_abort(clock: FakeClock, call: str) -> None:
    producer = made(clock)
    FakeProducer.failures = {"send_offsets_to_transaction": [ABORT], "commit_transaction": [ABORT]}
    calls = {"send_offsets": lambda: producer.send_offsets({}, object()), "commit": producer.commit}
    with pytest.raises(AbortNeededError, match="rebalanced"):
        calls[call]()


def test_a_fenced_producer_stops(clock: FakeClock) -> None:
    producer = made(clock)
    FakeProducer.failures["commit_transaction"] = [FENCED]
    with pytest.raises(FencedError):
        producer.commit()


def test_a_full_queue_is_waited_for(clock: FakeClock) -> None:
    producer = made(clock)
    FakeProducer.failures["produce"] = [BufferError, BufferError]
    producer.produce("t", 0, None, b"v")
    assert FakeProducer.made[0].calls[1:] == ["produce", "poll", "produce", "poll", "produce"]
    FakeProducer.failures["produce"] = [BufferError] * 9
    FakeProducer.slow_s["poll"] = 3.0
    with pytest.raises(KafkaUnavailableError, match="produce to t: the queue was full for"):
        producer.produce("t", 0, None, b"v")


def test_unacknowledged_records_abort_and_retire(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    producer = made(clock)
    monkeypatch.setattr(FakeProducer, "flush", lambda _self, _timeout_s: 2, raising=False)
    with pytest.raises(AbortNeededError, match="2 records unacknowledged"):
        producer.flush()
    producer.begin()
    assert producer.retired == 1


def test_a_coordinator_that_moves_while_the_producer_starts_raises_no_doubt(clock: FakeClock) -> None:
    moving = KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS, "loading", False, True, False)
    FakeProducer.failures = {"init_transactions": [moving, RETRY, moving]}
    producer = made(clock)
    producer.begin()
    (only,) = FakeProducer.made
    assert only.calls == ["init_transactions"] * 4 + ["begin_transaction"]
    assert producer.retired == 0


def test_a_start_ends_with_its_time(clock: FakeClock) -> None:
    FakeProducer.failures = {"init_transactions": [RETRY] * 100}
    FakeProducer.slow_s = {"init_transactions": 1.0}
    with pytest.raises(KafkaUnavailableError):
        made(clock)
    assert 5 <= clock.s < 7


def test_a_signal_is_heard_while_no_broker_is_there() -> None:
    class Heard(Exception):
        pass

    def hear(*_: object) -> None:
        raise Heard

    before = signal.signal(signal.SIGALRM, hear)
    config = {"bootstrap.servers": "127.0.0.1:1", "transactional.id": "t", "log_level": 0}
    begun_s = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(Heard):
            TransactionalProducer(config, SystemClock(), timeout_s=60.0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - begun_s < 30
