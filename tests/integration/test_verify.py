"""`verify` over what a real rater wrote, and over records written by hand beside it."""

import json
import subprocess
import sys
from typing import Any

import pytest
from confluent_kafka import Producer

from ledger.core.model import content_digest, identity_digest
from pricing.compile import compile_book
from pricing.rate import rate
from rate_book.parts import book_hash
from rate_book.translate import call_of_event, rating_record
from schemas import topics
from schemas.codec import CODEC
from schemas.partitioning import partition_of
from tests.fix_rater import BOOK, PARTITIONS, Pipeline, usage_event, whole

pytestmark = [pytest.mark.broker, pytest.mark.postgres]

PRICED = [usage_event(number % 7, number) for number in range(60)]
TIME_US = 1_795_478_400_000_000  # 2026-11-24T00:00:00Z
MONTH_US = (1_793_491_200_000_000, 1_796_083_200_000_000)  # November 2026, UTC


def verify(pipeline: Pipeline, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "verify", "--json", *arguments],
        env=pipeline.environ(verify__open_transaction_wait_s=2),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode, json.loads(done.stdout)


def found(pipeline: Pipeline) -> set[str]:
    code, report = verify(pipeline)
    assert code == (1 if report["findings"] else 0)
    assert report["verified"] is (not report["findings"])
    return set(report["finding_counts"])


def transaction(pipeline: Pipeline) -> Producer:
    """A producer inside a transaction."""
    producer = pipeline.kafka.producer(transactional_id=f"{pipeline.prefix}by-hand", enable_idempotence=True)
    producer.init_transactions(30)
    producer.begin_transaction()
    return producer


def rated_run(pipeline: Pipeline) -> None:
    """60 events, 10 of them twice, and one that is none, through a real rater that is gone afterwards."""
    pipeline.emit([*PRICED, *PRICED[:10]])
    pipeline.emit_raw([(b"customer-1", b"\xc3\x01not a record")])
    rater = pipeline.start()
    pipeline.wait_drained()
    rater.terminate()


def test_a_sound_run_is_verified_with_exact_counts_and_sums(pipeline: Pipeline) -> None:
    """60 events at 0.003 USD cost and 0.0045 USD price: 0.18 and 0.27; 10 duplicates, 1 reject."""
    rated_run(pipeline)
    code, report = verify(pipeline)
    assert report["findings"] == []
    assert (code, report["verified"], report["pending"]) == (0, True, 0)
    counts = [report[name] for name in ("received", "rated", "rejected", "duplicates")]
    assert counts == [71, 60, 1, 10]
    assert (report["cost"], report["price"]) == ({"USD": "0.18"}, {"USD": "0.27"})
    assert report["rejected_by_reason"] == {"unknown_schema": 1}
    assert report["by_model"]["one"]["events"] == 60
    assert sum(partition["inputs_compared"] for partition in report["partitions"]) == 60

    pipeline.emit(PRICED[:3])
    assert verify(pipeline)[1]["pending"] == 3
    code, report = verify(pipeline, "--partition", "1")
    assert [partition["partition"] for partition in report["partitions"]] == [1]


def test_records_of_an_aborted_transaction_are_no_finding_and_of_an_open_one_are(pipeline: Pipeline) -> None:
    rated_run(pipeline)
    copy = pipeline.read(topics.USAGE_RATED)[0]
    producer = transaction(pipeline)
    rated = pipeline.prefix + topics.USAGE_RATED
    producer.produce(rated, copy.value(), copy.key(), partition=copy.partition() or 0)
    assert producer.flush(30) == 0
    assert found(pipeline) == {"open_transaction"}
    producer.abort_transaction(30)
    assert found(pipeline) == set()


def test_a_rated_record_written_twice_and_a_head_of_another_position_are_found(pipeline: Pipeline) -> None:
    rated_run(pipeline)
    copy = pipeline.read(topics.USAGE_RATED)[0]
    partition = copy.partition() or 0
    head = pipeline.heads()[partition]
    producer = transaction(pipeline)
    producer.produce(pipeline.prefix + topics.USAGE_RATED, copy.value(), copy.key(), partition=partition)
    wrong = CODEC.encode("PartitionHead", head | {"events_next": head["events_next"] - 1})
    producer.produce(pipeline.prefix + topics.RATER_STATE, wrong, b"h", partition=partition)
    producer.commit_transaction(30)
    assert found(pipeline) == {"rated_without_frame", "head"}


class ByHand:
    """One event, and the outputs of its transaction, written without the rater.

    1000 x 2 / 10**6 + 100 x 10 / 10**6 = 0.003 cost; 1000 x 3 / 10**6 + 100 x 15 / 10**6 = 0.0045 price.
    """

    def __init__(self, *, book_version: int = 1, **event: Any) -> None:
        book = compile_book(BOOK, book_version, book_hash(BOOK))
        self.event = whole(usage_event(1, 1, event_time_us=TIME_US) | event)
        self.value = CODEC.encode("UsageEvent", self.event)
        self.rating = rating_record(rate(book, call_of_event(self.event)), book, customer_seq=1)
        self.partition = partition_of(b"customer-1", PARTITIONS)
        self.row = {
            "bucket_us": TIME_US,
            "period_start_us": MONTH_US[0],
            "period_end_us": MONTH_US[1],
            "cost_currency": "USD",
            "price_currency": "USD",
            "dimensions": [None, None, None, "one"],
            "cost": "0.003",
            "price": "0.0045",
            "events": 1,
            "unpriced_cost_events": 0,
            "unpriced_price_events": 0,
            "quantities": {"input_tokens": "1000", "output_tokens": "100"},
        }
        self.book_version = book_version

    def frame(self) -> dict[str, Any]:
        packed = identity_digest(self.event) + content_digest(self.value) + bytes(8)
        customer = {
            "customer_id": "customer-1",
            "first_seq": 1,
            "last_seq": 1,
            "rows": [self.row],
            "pools": [],
        }
        counts = ("corrections_applied", "corrections_rejected", "corrections_repeated", "rejected")
        return {
            "partition": self.partition,
            "frame_no": 1,
            "events": {"from_offset": 0, "to_offset": 1},
            "corrections": {"from_offset": 0, "to_offset": 0},
            "rated": 1,
            **dict.fromkeys(counts, 0),
            "duplicates": [],
            "rejected_by_reason": {},
            "highest_append_us": 2**52,
            "previous_highest_append_us": 0,
            "book_version": self.book_version,
            "process": "by hand",
            "build": "test",
            "digests": [{"bucket_us": TIME_US, "packed": packed}],
            "dimensions": ["project", "product", "feature", "model"],
            "customers": [customer],
        }

    def write(self, pipeline: Pipeline, chunks: int = 3) -> None:
        """The event, then every output in one transaction, the frame in parts."""
        pipeline.emit_raw([(b"customer-1", self.value)])
        rated = CODEC.splice_rated(self.value, CODEC.encode_body("Rating", self.rating))
        frame = CODEC.encode("DeltaFrame", self.frame())
        size = -(-len(frame) // chunks)
        cut = [frame[at : at + size] for at in range(0, len(frame), size)]
        state = {"customer_id": "customer-1", "last_seq": 1, "frame_no": 1}
        head = {
            "frame_no": 1,
            "events_next": 1,
            "corrections_next": 0,
            "highest_append_us": 2**52,
            "book_version": self.book_version,
            "events_topic_id": "",
            "corrections_topic_id": "",
            "deltas_topic_id": "",
        }
        parts = [
            {"frame_no": 1, "part_no": number, "part_count": len(cut), "chunk": chunk}
            for number, chunk in enumerate(cut)
        ]
        records = [
            (topics.USAGE_RATED, b"customer-1", rated),
            *((topics.USAGE_DELTAS, None, CODEC.encode("FramePart", part)) for part in parts),
            (topics.RATER_STATE, b"c/customer-1", CODEC.encode("CustomerState", state)),
            (topics.RATER_STATE, b"h", CODEC.encode("PartitionHead", head)),
        ]
        producer = transaction(pipeline)
        for topic, key, value in records:
            producer.produce(pipeline.prefix + topic, value, key, partition=self.partition)
        producer.commit_transaction(30)


def test_outputs_written_by_hand_are_verified(pipeline: Pipeline) -> None:
    ByHand().write(pipeline)
    _, report = verify(pipeline)
    assert report["findings"] == []
    assert (report["rated"], report["cost"], report["price"]) == (1, {"USD": "0.003"}, {"USD": "0.0045"})


def test_a_wrong_amount_is_found_with_its_record(pipeline: Pipeline) -> None:
    world = ByHand()
    world.rating["cost"]["amount"] = "0.004"
    world.write(pipeline)
    code, report = verify(pipeline)
    assert (code, report["verified"]) == (1, False)
    assert set(report["finding_counts"]) == {"amount", "rows"}
    (amount,) = [finding for finding in report["findings"] if finding["check"] == "amount"]
    assert amount["where"] == "usage.rated@0"
    for text in ("customer-1", "event-1", "0.004", "0.003"):
        assert text in amount["detail"]


def test_a_version_that_is_not_stored_is_found(pipeline: Pipeline) -> None:
    world = ByHand(book_version=7)
    world.write(pipeline)
    assert found(pipeline) == {"recompute", "rows"}


def test_an_event_that_is_not_the_one_that_came_is_found(pipeline: Pipeline) -> None:
    world = ByHand()
    came = world.value
    world.event = world.event | {"product": "other"}
    world.value = CODEC.encode("UsageEvent", world.event)
    world.row["dimensions"] = [None, "other", None, "one"]
    pipeline.emit_raw([(b"customer-1", came)])
    world.write(pipeline)  # the event of its own comes second and stays pending
    assert found(pipeline) == {"content", "event_bytes"}


def test_the_text_for_people_says_the_verdict_first(pipeline: Pipeline) -> None:
    world = ByHand()
    world.row["price"] = "0.0046"
    world.write(pipeline)
    done = subprocess.run(
        [sys.executable, "-m", "cli", "verify"],
        env=pipeline.environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout.startswith("NOT VERIFIED: 1 findings of 1 kinds in 1 frames")
    assert "rows (1): sums in a frame are not the sums of its rated records" in done.stdout
    assert "customer-1" in done.stdout
