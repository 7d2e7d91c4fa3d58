"""Lines that the totals depend on: each scenario holds, and does not where its line is gone."""

from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from schemas import topics
from tests.fault.test_aggregator import forgotten, recreate
from tests.fix_aggregator import AggregatorRun, frame, frame_row, parts
from tests.fix_rater import KILLED, STOPPED_LOUDLY, wait_for

A = "customer-1"


def lifetime(run: AggregatorRun, customer: str = A) -> tuple[int, str | None, int]:
    """As of, cost and events."""
    record = run.totals()[customer]
    (entry,) = (entry for entry in record["entries"] if entry["window"] == "lifetime")
    return record["as_of_seq"], entry["cost"], entry["events"]


def aborted_transactions(run: AggregatorRun) -> None:
    """Ten transactions of a hundred frames, every second one aborted and written anew at another cost, as a
    rater does whose events were priced by a newer book.
    """
    partition = run.partition(A)
    producer = run.pipeline.kafka.producer(transactional_id=f"{run.pipeline.prefix}test")
    producer.init_transactions(30)
    number = 0
    for turn in range(10):
        producer.begin_transaction()
        first = number + 1
        for frame_no in range(first, first + 100):
            row = frame_row("1000" if turn % 2 == 0 else "0.003")
            for value in parts(frame(frame_no, partition, {A: (frame_no, frame_no, [row])})):
                producer.produce(run.pipeline.prefix + topics.USAGE_DELTAS, value, partition=partition)
        producer.flush(30)
        if turn % 2 == 0:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
            number += 100


def test_aborted_frames_are_not_seen(aggregators: AggregatorRun) -> None:
    aborted_transactions(aggregators)
    aggregators.start()
    aggregators.wait_seq({A: 500})
    assert lifetime(aggregators) == (500, "1.5", 500)  # 500 x 0.003


def test_aborted_frames_would_be_counted_by_faust_as_it_is(aggregators: AggregatorRun) -> None:
    aborted_transactions(aggregators)
    aggregators.start(mutant="unproved")
    aggregators.wait_seq({A: 500})
    assert lifetime(aggregators) == (500, "500000", 500)  # 500 x 1000, all of it aborted


def test_an_aggregator_that_would_see_aborted_records_does_not_start(aggregators: AggregatorRun) -> None:
    process = aggregators.start(mutant="read_uncommitted")
    assert process.wait_dead() == STOPPED_LOUDLY
    assert "aborted transactions would be counted" in process.log()


def killed_before_the_changelog(run: AggregatorRun, mutant: str | None) -> None:
    """The local table has frame 2, the changelog does not; then the directory is lost."""
    partition = run.partition(A)
    first = run.start(failpoints="after_table_put:2:kill", mutant=mutant)
    run.emit(frame(1, partition, {A: (1, 1, [frame_row()])}))
    run.wait_seq({A: 1})
    run.emit(frame(2, partition, {A: (2, 2, [frame_row()])}))
    assert first.wait_dead() == KILLED
    second = run.start(mutant=mutant)
    run.wait_applied()
    assert second.terminate() == 0
    run.delete_state()
    run.start(mutant=mutant)
    run.emit(frame(3, partition, {A: (3, 3, [frame_row()])}))
    run.wait_applied()


def test_a_duplicate_is_written_back(aggregators: AggregatorRun) -> None:
    killed_before_the_changelog(aggregators, None)
    aggregators.wait_seq({A: 3})
    assert lifetime(aggregators) == (3, "0.009", 3)


def test_without_the_write_back_the_frame_is_lost(aggregators: AggregatorRun) -> None:
    killed_before_the_changelog(aggregators, "no_write_back")
    assert lifetime(aggregators)[0] < 3  # a gap, and no ledger to fill it


def test_without_repair_a_gap_is_published(aggregators: AggregatorRun) -> None:
    """Frame 2 never comes. As it should be nothing is published until the ledger has it: there is none."""
    partition = aggregators.partition(A)
    for mutant in (None, "no_repair"):
        process = aggregators.start(mutant=mutant)
        if mutant is None:
            aggregators.emit(frame(1, partition, {A: (1, 1, [frame_row()])}))
            aggregators.wait_seq({A: 1})
            aggregators.emit(frame(3, partition, {A: (3, 3, [frame_row()])}))
            aggregators.wait_applied()
            assert lifetime(aggregators) == (1, "0.003", 1)
            process.kill9()
            aggregators.delete_state()
            recreate(aggregators.pipeline, topics.AGGREGATOR_STATE)
            wait_for(lambda: forgotten(aggregators), "the group is gone")
        else:
            aggregators.wait_seq({A: 3})
            assert lifetime(aggregators) == (3, "0.006", 2)  # 0.009 is right


def half_a_frame(run: AggregatorRun, mutant: str | None) -> None:
    """The worker is restarted when the first part of frame 2 is there, and the second is not."""
    partition = run.partition(A)
    process = run.start(mutant=mutant)
    run.emit(frame(1, partition, {A: (1, 1, [frame_row()])}))
    run.wait_seq({A: 1})
    pieces = parts(frame(2, partition, {A: (2, 2, [frame_row()])}), 120)
    assert len(pieces) == 2
    run.pipeline.emit_raw([(None, pieces[0])], topic=topics.USAGE_DELTAS, partition=partition)
    run.emit(frame(1, run.partition("y"), {"y": (1, 1, [frame_row()])}))
    run.wait_seq({"y": 1})
    assert process.terminate() == 0
    run.start(mutant=mutant)
    run.pipeline.emit_raw([(None, pieces[1])], topic=topics.USAGE_DELTAS, partition=partition)
    run.wait_applied()


def test_half_a_frame_is_read_again(aggregators: AggregatorRun) -> None:
    half_a_frame(aggregators, None)
    aggregators.wait_seq({A: 2})
    assert lifetime(aggregators) == (2, "0.006", 2)


def test_a_part_that_counts_for_itself_loses_the_frame(aggregators: AggregatorRun) -> None:
    half_a_frame(aggregators, "part_release")
    assert lifetime(aggregators) == (1, "0.003", 1)


def changelog_takes(run: AggregatorRun, bytes_max: int) -> None:
    """Have the broker take records of the changelog up to this size only, and wait until it is so."""
    name = run.pipeline.prefix + topics.AGGREGATOR_STATE
    entry = ConfigEntry("max.message.bytes", str(bytes_max), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=[entry])
    (done,) = run.pipeline.kafka.admin().incremental_alter_configs([resource]).values()
    done.result(30)
    producer = run.pipeline.kafka.producer(linger_ms=0)
    outcomes: list[object] = []

    def tried() -> bool:
        # A key without a value means nothing to whoever restores.
        producer.produce(name, None, b"try", on_delivery=lambda error, _: outcomes.append(error))
        assert producer.flush(30) == 0
        return (outcomes[-1] is None) is (bytes_max > 1)

    wait_for(tried, "the broker knows the limit")


def refused_by_the_changelog(run: AggregatorRun, mutant: str | None) -> None:
    """The broker takes frame 2's totals and refuses its changelog records. Then the directory is lost."""
    partition = run.partition(A)
    process = run.start(mutant=mutant)
    run.emit(frame(1, partition, {A: (1, 1, [frame_row()])}))
    run.wait_seq({A: 1})
    run.wait_applied()
    changelog_takes(run, 1)
    run.emit(frame(2, partition, {A: (2, 2, [frame_row()])}))
    if mutant is None:
        assert process.wait_dead() == STOPPED_LOUDLY
        assert run.committed()[partition] == 1, "behind frame 1"
        run.pipeline.tolerated.add(STOPPED_LOUDLY)
    else:
        run.wait_seq({A: 2})
        run.wait_applied()
        process.kill9()
    run.delete_state()
    changelog_takes(run, 1 << 20)
    run.start(mutant=mutant)
    run.emit(frame(3, partition, {A: (3, 3, [frame_row()])}))
    run.wait_applied()


def test_offsets_wait_for_the_changelog(aggregators: AggregatorRun) -> None:
    refused_by_the_changelog(aggregators, None)
    aggregators.wait_seq({A: 3})
    assert lifetime(aggregators) == (3, "0.009", 3)


def test_offsets_that_do_not_wait_lose_the_frame(aggregators: AggregatorRun) -> None:
    refused_by_the_changelog(aggregators, "ungated")
    assert lifetime(aggregators) == (2, "0.006", 2)  # of before the crash: now there is a gap, and no ledger
