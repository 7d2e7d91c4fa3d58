"""A pipeline of a test's own: topics, a rate book, events, and raters as real processes."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import ConsumerGroupState, Message
from psycopg import sql
from psycopg.conninfo import make_conninfo

from cli.stack.local import LocalStack
from pricing.cards import Assignment, BookContent, CardVersion, Cell, Contract, PriceCard, Rate, RateCard
from rate_book.store import apply
from runtime.kafka.offsets import Isolation, list_offsets
from runtime.kafka.reading import PartitionReader
from runtime.postgres import connect, migrate
from runtime.settings import KafkaSettings, PostgresSettings, SettingsLoader
from schemas import topics
from schemas.codec import CODEC
from tests.fix_kafka import KafkaFixture
from tests.fix_postgres import PostgresFixture

PARTITIONS = 4
DEADLINE_S = 60.0
_TAIL = 50  # records

# 2 USD a million input tokens, 10 a million output tokens; the customer pays 3 and 15.
BOOK = BookContent(
    provider_cards=(
        RateCard(
            "acme/one",
            "acme",
            "USD",
            (
                CardVersion(
                    Cell((Rate("input_tokens", "2", "1000000"), Rate("output_tokens", "10", "1000000")))
                ),
            ),
            models=("one",),
        ),
    ),
    price_cards=(
        PriceCard(
            "list",
            (
                RateCard(
                    "list/one",
                    "acme",
                    "USD",
                    (
                        CardVersion(
                            Cell(
                                (Rate("input_tokens", "3", "1000000"), Rate("output_tokens", "15", "1000000"))
                            )
                        ),
                    ),
                    models=("one",),
                ),
            ),
        ),
    ),
    contracts=(Contract("standard", "USD", ("list",)),),
    assignments=(Assignment("*", "standard"),),
)


def usage_event(customer: int, number: int, **fields: Any) -> dict[str, Any]:
    """An event of customer-N: 1000 input and 100 output tokens, unless told otherwise."""
    event: dict[str, Any] = {
        "customer_id": f"customer-{customer}",
        "source": "test",
        "event_id": f"event-{number}",
        "event_time_us": time.time_ns() // 1000,
        "provider": "acme",
        "requested_model": "one",
        "usage_semantics": "inclusive",
        "usage": {"input_tokens": "1000", "output_tokens": "100"},
    }
    return event | fields


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = DEADLINE_S) -> None:
    """Poll a condition until it holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.1)


STOPPED_LOUDLY = 3  # exit code: infrastructure, restart it
KILLED = -signal.SIGKILL


@dataclass
class RaterProcess:
    """One rater as the operating system sees it."""

    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    @property
    def exit_code(self) -> int | None:
        return self.process.poll()

    def kill9(self) -> None:
        """SIGKILL, whatever it is doing; nothing where it is dead."""
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """SIGSTOP, and wait until it has stopped."""
        self.process.send_signal(signal.SIGSTOP)
        self.wait_stopped()

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def terminate(self, timeout_s: float = 30.0) -> int:
        self.process.terminate()
        return self.process.wait(timeout_s)

    def wait_dead(self, timeout_s: float = DEADLINE_S) -> int:
        return self.process.wait(timeout_s)

    def wait_stopped(self, timeout_s: float = DEADLINE_S) -> None:
        """Until the process has been stopped by SIGSTOP."""
        wait_for(
            lambda: self.exit_code is not None or _state(self.pid) == "T", "the rater is stopped", timeout_s
        )
        assert self.exit_code is None, self.log()

    def wait_owner(self, timeout_s: float = DEADLINE_S) -> None:
        """Until it owns partitions."""
        wait_for(
            lambda: "owns partitions" in self.log() or self.process.poll() is not None,
            "it owns partitions",
            timeout_s,
        )
        assert self.process.poll() is None, self.log()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]


@dataclass
class Pipeline:
    """Everything one test needs; `close` ends what it started."""

    kafka: KafkaFixture
    settings: KafkaSettings
    dsn: str
    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    raters: list[RaterProcess] = field(default_factory=list)
    scheduled: set[str] = field(default_factory=set)
    """Failpoints that raters of this test were given."""
    tolerated: set[int] = field(default_factory=lambda: {KILLED, 0})
    """Exit codes that are no failure of the test."""

    @property
    def prefix(self) -> str:
        return self.settings.topic_prefix

    @property
    def seen_path(self) -> Path:
        return self.directory / "failpoints.log"

    def seen(self) -> Counter[tuple[str, str]]:
        """Failpoints that acted: (name, action) to times."""
        if not self.seen_path.exists():
            return Counter()
        lines = self.seen_path.read_text(encoding="ascii").splitlines()
        return Counter((line.split()[0], line.split()[1]) for line in lines)

    def environ(self, **settings: object) -> dict[str, str]:
        """The environment of a rater or a command of this pipeline; keys as section__key."""
        given = {f"RATESTREAM_{key.upper()}": str(value) for key, value in settings.items()}
        return (
            os.environ
            | {
                "RATESTREAM_KAFKA__BOOTSTRAP_SERVERS": self.settings.bootstrap_servers,
                "RATESTREAM_KAFKA__TOPIC_PREFIX": self.prefix,
                "RATESTREAM_KAFKA__PARTITIONS": str(self.settings.partitions),
                "RATESTREAM_KAFKA__REPLICATION_FACTOR": "1",
                "RATESTREAM_POSTGRES__DSN": self.dsn,
                "RATESTREAM_RATER__STATE_DIR": str(self.directory / "state"),
                "RATESTREAM_RATER__SESSION_TIMEOUT_MS": "3000",
                "RATESTREAM_RATER__TRANSACTION_TIMEOUT_MS": "6000",
                "RATESTREAM_PROJECT_DIR": str(self.directory),
                "PYTHONFAULTHANDLER": "1",  # SIGABRT writes every thread's stack to the log
            }
            | self.environment
            | given
        )

    def start(
        self, *, slot: int = 0, failpoints: str = "", module: str = "rater", **settings: object
    ) -> RaterProcess:
        """Start a rater process."""
        self.scheduled |= {order.split(":")[0] for order in failpoints.split(",") if order}
        environ = self.environ(rater__slot=slot, **settings) | {
            "RATESTREAM_FAILPOINTS": failpoints,
            "RATESTREAM_FAILPOINTS_LOG": str(self.seen_path),
        }
        log_path = self.directory / f"rater-{len(self.raters)}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module], env=environ, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        rater = RaterProcess(process, log_path)
        self.raters.append(rater)
        return rater

    def emit(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Publish events as a service does."""
        self.emit_raw(
            [(event["customer_id"].encode(), CODEC.encode("UsageEvent", whole(event))) for event in events]
        )

    def emit_raw(
        self,
        records: Sequence[tuple[bytes | None, bytes | None]],
        *,
        topic: str = topics.USAGE_EVENTS,
        partition: int | None = None,
        headers: Mapping[str, bytes] | None = None,
    ) -> None:
        """Publish keys and values as they are."""
        producer = self.kafka.producer()
        for key, value in records:
            extra: dict[str, Any] = {} if partition is None else {"partition": partition}
            producer.produce(self.prefix + topic, value, key, headers=dict(headers or {}) or None, **extra)
        assert producer.flush(DEADLINE_S) == 0

    def read(self, topic: str, *, committed: bool = True) -> list[Message]:
        return self.kafka.read_all(self.prefix + topic, read_committed=committed)

    def rated(self) -> list[dict[str, Any]]:
        """RatedUsage as a read-committed consumer sees it."""
        return [CODEC.decode("RatedUsage", message.value()) for message in self.read(topics.USAGE_RATED)]

    def rejected(self) -> list[dict[str, Any]]:
        return [
            CODEC.decode("RejectedUsage", message.value()) for message in self.read(topics.USAGE_REJECTED)
        ]

    def heads(self) -> dict[int, dict[str, Any]]:
        """The newest head of each partition."""
        topic = self.prefix + topics.RATER_STATE
        wanted = [(topic, partition) for partition in range(self.settings.partitions)]
        config = self.settings.client_config()
        found = {}
        with PartitionReader(config) as reader:
            for where, end in list_offsets(config, wanted, "latest", Isolation.COMMITTED).items():
                # Each transaction writes one, so it is among the last records, unless those were aborted.
                for start in (max(end - _TAIL, 0), 0):
                    heads = [item for item in reader.read(*where, start, end) if item.key == b"h"]
                    if heads:
                        found[where[1]] = CODEC.decode("PartitionHead", heads[-1].value)
                        break
        return found

    def pending(self) -> int:
        """Input records that no committed frame covers."""
        names = [
            (self.prefix + topics.USAGE_EVENTS, partition) for partition in range(self.settings.partitions)
        ]
        ends = list_offsets(self.settings.client_config(), names, "latest")
        heads = self.heads()
        return sum(
            end - (heads[partition]["events_next"] if partition in heads else 0)
            for (_, partition), end in ends.items()
        )

    def members(self) -> list[str]:
        """Who is in the raters' group, by name without the prefix; empty while it has no generation."""
        name = f"{self.prefix}rater"
        future = self.kafka.admin().describe_consumer_groups([name])[name]
        found = future.result(DEADLINE_S)
        if found.state is not ConsumerGroupState.STABLE:
            return []
        return sorted(member.client_id.removeprefix(self.prefix) for member in found.members)

    def wait_drained(self, timeout_s: float = DEADLINE_S) -> None:
        """Until every event is covered by a committed frame."""

        def drained() -> bool:
            self.check_alive()
            return self.pending() == 0

        wait_for(drained, "every event is covered by a frame", timeout_s)

    def wait_frames(self, count: int, timeout_s: float = DEADLINE_S) -> None:
        """Until every partition has so many committed frames."""

        def enough() -> bool:
            self.check_alive()
            heads = self.heads()
            least = min((head["frame_no"] for head in heads.values()), default=0)
            return len(heads) == self.settings.partitions and least >= count

        wait_for(enough, f"{count} frames in each partition", timeout_s)

    def check_alive(self) -> None:
        """No rater died of what it was not meant to die of."""
        dead = [rater for rater in self.raters if rater.exit_code not in {None, *self.tolerated}]
        assert not dead, f"a rater ended with {dead[0].exit_code}:\n{dead[0].log()}"

    def stacks(self) -> str:
        """End every rater that runs, and say what it was doing."""
        running = [rater for rater in self.raters if rater.exit_code is None]
        for rater in running:
            rater.process.send_signal(signal.SIGABRT)
            rater.resume()
            rater.wait_dead()
        return "\n".join(f"rater {rater.pid}:\n{rater.log()[-6000:]}" for rater in running)

    def close(self) -> None:
        for rater in self.raters:
            if rater.process.poll() is None:
                rater.kill9()


def whole(event: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that an event leaves out, with their defaults."""
    return {
        name: event.get(name, default)
        for name, default in (
            (field["name"], field.get("default")) for field in CODEC.schema("UsageEvent")["fields"]
        )
    }


def check_exactly_once(pipeline: Pipeline, events: Sequence[Mapping[str, Any]]) -> None:
    """Every distinct event was rated once, at 0.003 USD cost and 0.0045 USD price, in one unbroken sequence.

    1000 x 2 / 1000000 + 100 x 10 / 1000000 = 0.003; 1000 x 3 / 1000000 + 100 x 15 / 1000000 = 0.0045.
    """
    rated = pipeline.rated()
    identities = Counter((item["event"]["customer_id"], item["event"]["event_id"]) for item in rated)
    assert identities == Counter({(event["customer_id"], event["event_id"]): 1 for event in events})
    assert {(item["rating"]["cost"]["amount"], item["rating"]["price"]["amount"]) for item in rated} == {
        ("0.003", "0.0045")
    }
    sequences: dict[str, list[int]] = {}
    for item in rated:
        sequences.setdefault(item["event"]["customer_id"], []).append(item["rating"]["customer_seq"])
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in sequences.values())


@pytest.fixture
def pipeline(kafka: KafkaFixture, postgres: PostgresFixture, tmp_path: Path) -> Iterator[Pipeline]:
    """Topics, a migrated database with BOOK, and no rater yet."""
    made = make_pipeline(kafka, postgres.dsn, tmp_path)
    yield made
    made.close()


@pytest.fixture
def own_pipeline(own_stack: LocalStack, tmp_path: Path) -> Iterator[Pipeline]:
    """The same on a stack whose services may be killed."""
    loader = SettingsLoader(own_stack.project_dir, {})
    server = loader.section("postgres", PostgresSettings).dsn.get_secret_value()
    database = f"t_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(database)))
    kafka = KafkaFixture(loader.section("kafka", KafkaSettings))
    made = make_pipeline(kafka, make_conninfo(server, dbname=database), tmp_path)
    yield made
    made.close()
    kafka.close()


def make_pipeline(kafka: KafkaFixture, dsn: str, directory: Path) -> Pipeline:
    """Create the topics, and store BOOK in an empty database."""
    settings = kafka.create_topics(kafka.topic_prefix(), partitions=PARTITIONS)
    with connect(dsn) as connection:
        migrate(connection)
    with connect(dsn) as connection:
        apply(connection, BOOK, author="test")
    return Pipeline(kafka, settings, dsn, directory)
