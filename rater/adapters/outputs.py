"""A committed batch as records of the four output topics."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pricing.rate import PoolState
from rater.adapters.assignment import TopicNames
from rater.adapters.frame_bytes import encode_frame
from rater.adapters.log_reader import CUSTOMER_PREFIX, HEAD_KEY, PERIOD_PREFIX, REVISION_PREFIX, RUN_PREFIX
from rater.adapters.meta import LogIdentity
from rater.core.frames import split
from rater.core.periods import PeriodKey, pack_key, state_fields
from rater.core.revisions import pack_run_key
from rater.core.work import ORIGINAL_BYTES_MAX, BatchResult, Head, Rejected
from schemas.codec import CODEC


class Output(NamedTuple):
    """One record to produce, to the partition number of its input; without a value the key is forgotten."""

    topic: str
    key: bytes | None
    value: bytes | None


def rejected_output(topic: str, partition: int, rejected: Rejected) -> Output:
    """The RejectedUsage record of a rejected input."""
    record = rejected.record
    kept = record.bytes <= ORIGINAL_BYTES_MAX
    customer_id, source, event_id = rejected.identity or (None, None, None)
    value = CODEC.encode(
        "RejectedUsage",
        {
            "reason": rejected.reason,
            "detail": rejected.detail,
            "field": rejected.field,
            "customer_id": customer_id,
            "source": source,
            "event_id": event_id,
            "topic": rejected.topic,
            "partition": partition,
            "offset": record.offset,
            "append_time_us": record.append_us,
            "first_append_time_us": record.append_us
            if record.first_append_us is None
            else min(record.first_append_us, record.append_us),
            "original_key": record.key if kept else None,
            "original": record.value if kept else None,
        },
    )
    return Output(topic, None if customer_id is None else customer_id.encode(), value)


def frame_outputs(topic: str, result: BatchResult, process: str, build: str) -> list[Output]:
    """The parts of the frame."""
    encoded = encode_frame(result, process, build)
    return [
        Output(
            topic,
            None,
            CODEC.encode(
                "FramePart",
                {
                    "frame_no": part.frame_no,
                    "part_no": part.part_no,
                    "part_count": part.part_count,
                    "chunk": part.chunk,
                },
            ),
        )
        for part in split(result.head.frame_no, encoded)
    ]


def customer_outputs(topic: str, last_sequences: Mapping[str, int], frame_no: int) -> Iterator[Output]:
    """Customers' records of rater.state."""
    for customer_id, last_seq in last_sequences.items():
        state = {"customer_id": customer_id, "last_seq": last_seq, "frame_no": frame_no}
        yield Output(topic, CUSTOMER_PREFIX + customer_id.encode(), CODEC.encode("CustomerState", state))


def period_outputs(topic: str, periods: Mapping[PeriodKey, PoolState], frame_no: int) -> Iterator[Output]:
    """Pools' records of rater.state."""
    for key, state in periods.items():
        value = state_fields(state) | {"customer_id": key[0], "frame_no": frame_no}
        yield Output(topic, PERIOD_PREFIX + pack_key(key), CODEC.encode("PeriodState", value))


def correction_outputs(topic: str, result: BatchResult) -> Iterator[Output]:
    """Records of rater.state for what corrections changed: all of it, each time."""
    frame_no = result.head.frame_no
    for digest, revision in result.revisions.items():
        value = revision._asdict() | {"frame_no": frame_no}
        yield Output(topic, REVISION_PREFIX + digest, CODEC.encode("RevisionState", value))
    for key, run in result.runs.items():
        customer_id, run_id, _, _ = key
        told = {"run_id": run_id, "customer_id": customer_id, "frame_no": frame_no} | state_fields(run.state)
        yield Output(
            topic, RUN_PREFIX + pack_run_key(key), None if run.closed else CODEC.encode("RunState", told)
        )


def head_output(topic: str, head: Head, log: LogIdentity) -> Output:
    """The partition's head: the last record of the transaction in rater.state."""
    record: dict[str, Any] = {
        "frame_no": head.frame_no,
        "events_next": head.events_next,
        "corrections_next": head.corrections_next,
        "highest_append_us": head.highest_append_us,
        "book_version": head.book_version,
        "events_topic_id": log.events_topic_id,
        "corrections_topic_id": log.corrections_topic_id,
        "deltas_topic_id": log.deltas_topic_id,
    }
    return Output(topic, HEAD_KEY, CODEC.encode("PartitionHead", record))


__all__ = [
    "Output",
    "TopicNames",
    "correction_outputs",
    "customer_outputs",
    "frame_outputs",
    "head_output",
    "period_outputs",
    "rejected_output",
]
