"""`verify` while raters run, and after retention: the cut moves or old records are gone, nothing is wrong."""

import pytest
from confluent_kafka import TopicPartition
from pydantic import SecretStr

from ledger.core.report import Report
from ledger.service import verify
from ledger.settings import LedgerSettings, VerifySettings
from runtime.kafka.offsets import list_offsets
from runtime.kafka.reading import PartitionReader, ReadFailedError
from runtime.settings import PostgresSettings
from schemas import topics
from tests.fix_rater import PARTITIONS, Pipeline, RaterProcess, usage_event

pytestmark = [pytest.mark.broker, pytest.mark.postgres]

EVENTS = [usage_event(number % 11, number) for number in range(3000)]


def small_batches(pipeline: Pipeline) -> RaterProcess:
    """A rater that commits many frames."""
    return pipeline.start(rater__batch_records_max=25, rater__batch_wait_ms=20)


def proof(pipeline: Pipeline) -> Report:
    postgres = PostgresSettings(dsn=SecretStr(pipeline.dsn))
    return verify(LedgerSettings(pipeline.settings, postgres, VerifySettings()))


def delete_before(pipeline: Pipeline, name: str, partition: int, offset: int) -> None:
    """What retention does to a log, at once."""
    asked = TopicPartition(pipeline.prefix + name, partition, offset)
    for future in pipeline.kafka.admin().delete_records([asked]).values():
        future.result(30)


def test_every_moment_of_a_run_is_verified(pipeline: Pipeline) -> None:
    pipeline.emit(EVENTS)
    small_batches(pipeline)
    seen: list[int] = []
    while not seen or seen[-1] < len(EVENTS):
        report = proof(pipeline)
        assert report.findings.kept == []
        seen.append(report.totals.received)
    assert seen == sorted(seen)
    assert any(0 < received < len(EVENTS) for received in seen), "no verification ran while the rater did"
    assert report.totals.rated == len(EVENTS)


@pytest.mark.parametrize(
    "cut",
    [
        pytest.param((topics.USAGE_DELTAS,), id="frames are gone"),
        pytest.param((topics.USAGE_RATED,), id="rated records are gone"),
        pytest.param((topics.USAGE_DELTAS, topics.USAGE_RATED, topics.USAGE_EVENTS), id="all are gone"),
    ],
)
def test_after_retention_the_rest_is_verified_and_the_report_says_so(
    pipeline: Pipeline, cut: tuple[str, ...]
) -> None:
    pipeline.emit(EVENTS[:400])
    rater = small_batches(pipeline)
    pipeline.wait_drained()
    rater.terminate()
    whole = proof(pipeline)
    assert whole.totals.rated == 400
    chosen = max(whole.partitions, key=lambda partition: partition.rated)
    for name in cut:
        wanted = [(pipeline.prefix + name, chosen.partition)]
        end = list_offsets(pipeline.settings.client_config(), wanted, "latest")
        delete_before(pipeline, name, chosen.partition, next(iter(end.values())) // 2)
    rest = proof(pipeline)
    assert rest.findings.kept == []
    (left,) = [partition for partition in rest.partitions if partition.partition == chosen.partition]
    assert left.from_frame is not None
    assert left.from_frame > 1
    assert 0 < left.rated < chosen.rated
    assert left.notes == (
        f"verified from frame {left.from_frame}: older frames or their records are gone by retention",
    )


def test_a_read_ends_at_its_end_behind_markers_and_aborted_records(pipeline: Pipeline) -> None:
    """Offsets: 0 and 1 committed, marker 2, 3 aborted, marker 4; the end is 5."""
    producer = pipeline.kafka.producer(transactional_id=f"{pipeline.prefix}reading", enable_idempotence=True)
    topic = pipeline.prefix + topics.USAGE_RATED
    producer.init_transactions(30)
    producer.begin_transaction()
    for value in (b"a", b"b"):
        producer.produce(topic, value, b"k", partition=0, headers={"h": b"x"})
    producer.commit_transaction(30)
    producer.begin_transaction()
    producer.produce(topic, b"c", b"k", partition=0)
    assert producer.flush(30) == 0
    producer.abort_transaction(30)
    config = pipeline.settings.client_config()
    assert list_offsets(config, [(topic, number) for number in range(PARTITIONS)], "latest")[topic, 0] == 5
    with (
        PartitionReader(config) as committed,
        PartitionReader(config, committed=False, stalled_s=2) as everything,
    ):
        records = list(committed.read(topic, 0, 0, 5))
        assert [(record.offset, record.value, record.headers) for record in records] == [
            (0, b"a", (("h", b"x"),)),
            (1, b"b", (("h", b"x"),)),
        ]
        assert all(record.timestamp_us > 1_700_000_000_000_000 for record in records)
        assert [record.offset for record in everything.read(topic, 0, 0, 5)] == [0, 1, 3]
        assert [record.offset for record in committed.read(topic, 0, 1, 2)] == [1]
        assert list(committed.read(topic, 1, 0, 0)) == []
        left = everything.read(topic, 0, 0, 5)
        assert next(left).offset == 0
        again = everything.read(topic, 0, 1, 5)
        assert next(again).offset == 1
        left.close()
        assert [record.offset for record in again] == [3], "a read left half-way takes nothing from the next"
        with pytest.raises(ReadFailedError):
            list(everything.read(topic, PARTITIONS, 0, 1))
        half_way = everything.read(topic, 0, 0, 5)
        assert next(half_way).offset == 0
    half_way.close()  # later than its reader: nothing is left to release, and nothing is raised
