"""An aggregator beside a pipeline of a test's own: real processes, frames written by hand or by a rater."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions

from pricing.calendar import ZoneTable
from pricing.cards import Zone
from pricing.totals import Key, Live, Sums, parse_sum
from rate_book.ledger_totals import LedgerTotals
from runtime.kafka.offsets import list_offsets
from schemas import topics
from schemas.codec import CODEC
from schemas.partitioning import partition_of
from tests.fix_rater import Pipeline, RaterProcess, wait_for

HOUR_US = 3_600_000_000
NOON_US = 1_782_907_200_000_000  # 2026-07-01T12:00Z, a Wednesday
MONTH = (1_782_864_000_000_000, 1_785_542_400_000_000)  # July 2026, UTC


def frame_row(cost: str | None = "0.003", price: str | None = "0.0045", **fields: Any) -> dict[str, Any]:
    """A row of a frame: one event at noon, unless told otherwise."""
    row: dict[str, Any] = {
        "bucket_us": NOON_US,
        "period_start_us": MONTH[0],
        "period_end_us": MONTH[1],
        "cost_currency": "USD",
        "price_currency": "USD",
        "dimensions": ["web", "one", "chat", "m"],
        "cost": cost,
        "price": price,
        "events": 1,
        "unpriced_cost_events": 0,
        "unpriced_price_events": 0,
        "quantities": {"input_tokens": "1000"},
    }
    return row | fields


def frame(
    frame_no: int, partition: int, customers: Mapping[str, tuple[int, int, Sequence[Mapping[str, Any]]]]
) -> dict[str, Any]:
    """A frame of `customer: (first_seq, last_seq, rows)`."""
    return {
        "partition": partition,
        "frame_no": frame_no,
        "events": {"from_offset": 0, "to_offset": 0},
        "corrections": {"from_offset": 0, "to_offset": 0},
        "rated": 0,
        "rejected": 0,
        "duplicates": [],
        "corrections_applied": 0,
        "corrections_rejected": 0,
        "corrections_repeated": 0,
        "rejected_by_reason": {},
        "highest_append_us": NOON_US + frame_no,
        "previous_highest_append_us": NOON_US,
        "book_version": 1,
        "process": "test",
        "build": "test",
        "digests": [],
        "dimensions": ["project", "product", "feature", "model"],
        "customers": [
            {
                "customer_id": customer_id,
                "first_seq": first_seq,
                "last_seq": last_seq,
                "rows": list(rows),
                "pools": [],
                "revisions": [],
                "runs": [],
            }
            for customer_id, (first_seq, last_seq, rows) in customers.items()
        ],
    }


def parts(record: Mapping[str, Any], chunk_bytes: int = 1 << 19) -> list[bytes]:
    """The frame's records of usage.deltas."""
    whole = CODEC.encode("DeltaFrame", record)
    chunks = [whole[start : start + chunk_bytes] for start in range(0, len(whole), chunk_bytes)]
    return [
        CODEC.encode(
            "FramePart",
            {
                "frame_no": record["frame_no"],
                "part_no": number,
                "part_count": len(chunks),
                "chunk": chunk,
            },
        )
        for number, chunk in enumerate(chunks)
    ]


def entry_of(entry: Mapping[str, Any]) -> tuple[Key, Sums]:
    """An entry of RunningTotals, read without the aggregator's own code."""
    scope = tuple(sorted(entry["scope"].items()))
    key = entry["window"], entry["start_us"], scope, entry["cost_currency"], entry["price_currency"]
    return key, Sums(
        None if entry["cost"] is None else parse_sum(entry["cost"]),
        None if entry["price"] is None else parse_sum(entry["price"]),
        entry["events"],
        entry["unpriced_cost_events"],
        entry["unpriced_price_events"],
        {meter: parse_sum(quantity) for meter, quantity in entry["quantities"].items()},
        entry["end_us"],
    )


@dataclass
class AggregatorRun:
    """Aggregators of one test, and what they publish."""

    pipeline: Pipeline
    processes: list[RaterProcess] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    def start(
        self, *, slot: int = 0, failpoints: str = "", mutant: str | None = None, **settings: object
    ) -> RaterProcess:
        """Start one, or a mutant of it."""
        pipeline = self.pipeline
        pipeline.scheduled |= {order.split(":")[0] for order in failpoints.split(",") if order}
        environ = pipeline.environ(aggregator__slot=slot, **settings) | {
            "RATESTREAM_AGGREGATOR__STATE_DIR": str(pipeline.directory / "aggregator"),
            "RATESTREAM_AGGREGATOR__SESSION_TIMEOUT_MS": "6000",
            "RATESTREAM_AGGREGATOR__REPAIR_MS": "100",
            "RATESTREAM_FAILPOINTS": failpoints,
            "RATESTREAM_FAILPOINTS_LOG": str(pipeline.seen_path),
            **self.environment,
            **{f"RATESTREAM_{key.upper()}": str(value) for key, value in settings.items()},
        }
        command = ["-m", "aggregator"] if mutant is None else ["-m", "tests.fault.mutants.aggregator", mutant]
        log_path = pipeline.directory / f"aggregator-{len(self.processes)}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *command], env=environ, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        started = RaterProcess(process, log_path)
        self.processes.append(started)
        return started

    def partition(self, customer_id: str) -> int:
        return partition_of(customer_id.encode(), self.pipeline.settings.partitions)

    def emit(self, record: Mapping[str, Any], *, chunk_bytes: int = 1 << 19) -> None:
        """Publish a frame as a rater does."""
        self.pipeline.emit_raw(
            [(None, value) for value in parts(record, chunk_bytes)],
            topic=topics.USAGE_DELTAS,
            partition=record["partition"],
        )

    def published(self) -> dict[str, list[dict[str, Any]]]:
        """Every value of usage.totals by customer, in order."""
        found: dict[str, list[dict[str, Any]]] = {}
        for message in self.pipeline.read(topics.USAGE_TOTALS):
            record = CODEC.decode("RunningTotals", message.value())
            assert (message.key() or b"").decode() == record["customer_id"]
            assert message.partition() == self.partition(record["customer_id"])
            found.setdefault(record["customer_id"], []).append(record)
        return found

    def totals(self) -> dict[str, dict[str, Any]]:
        """The newest by as_of_seq, as a consumer has it."""
        return {
            customer: max(records, key=lambda record: int(record["as_of_seq"]))
            for customer, records in self.published().items()
        }

    def wait_seq(self, wanted: Mapping[str, int], timeout_s: float = 60.0) -> dict[str, dict[str, Any]]:
        """The totals, once each of these customers has come so far."""
        found: dict[str, dict[str, Any]] = {}

        def there() -> bool:
            self.check_alive()
            found.clear()
            found.update(self.totals())
            return all(found.get(name, {"as_of_seq": -1})["as_of_seq"] >= seq for name, seq in wanted.items())

        try:
            wait_for(there, f"totals as of {wanted}", timeout_s)
        except AssertionError as error:
            reached = {name: record["as_of_seq"] for name, record in found.items()}
            logs = "\n".join(process.log()[-3000:] for process in self.processes)
            raise AssertionError(f"{error}\nthere are {reached}\n{logs}") from error
        return found

    def ledger_live(self, customer_id: str) -> Live:
        """The customer's totals as the ledger has them now."""
        reader = LedgerTotals(self.pipeline.dsn)
        try:
            return reader.at(customer_id, None, ZoneTable(Zone("UTC", ((0, 0),)))).live
        finally:
            reader.close()

    def wait_applied(self, *, markers: int = 0, timeout_s: float = 60.0) -> None:
        """Until the group has committed everything that usage.deltas has, but for the last transactions'
        markers.
        """
        count = self.pipeline.settings.partitions
        names = [(self.pipeline.prefix + topics.USAGE_DELTAS, number) for number in range(count)]

        def applied() -> bool:
            self.check_alive()
            ends = list_offsets(self.pipeline.settings.client_config(), names, "latest")
            found = self.committed()
            return all(end - found.get(number, 0) <= markers for (_, number), end in ends.items())

        wait_for(applied, "every frame is applied and committed", timeout_s)

    def committed(self) -> dict[int, int]:
        """The group's offsets by partition."""
        group = f"{self.pipeline.prefix}aggregator"
        asked = [ConsumerGroupTopicPartitions(group)]
        found = self.pipeline.kafka.admin().list_consumer_group_offsets(asked)[group].result(30)
        return {item.partition: item.offset for item in found.topic_partitions}

    def delete_state(self) -> None:
        """Delete every local directory; no aggregator runs."""
        shutil.rmtree(self.pipeline.directory / "aggregator")

    def live(self, record: Mapping[str, Any]) -> Live:
        return Live(dict(map(entry_of, record["entries"])))

    def check_alive(self) -> None:
        dead = [
            process for process in self.processes if process.exit_code not in {None, *self.pipeline.tolerated}
        ]
        assert not dead, f"an aggregator ended with {dead[0].exit_code}:\n{dead[0].log()}"

    def close(self) -> None:
        for process in self.processes:
            if process.exit_code is None:
                process.kill9()


@pytest.fixture
def aggregators(pipeline: Pipeline) -> Iterator[AggregatorRun]:
    """Topics and a database, and no aggregator yet."""
    run = AggregatorRun(pipeline)
    yield run
    run.close()
