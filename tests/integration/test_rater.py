"""The rater as a process, against the real Kafka and PostgreSQL: what goes in and what comes out."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from confluent_kafka.admin import NewPartitions

from pricing.cards import BookContent
from rate_book.store import apply
from runtime.postgres import connect
from schemas import topics
from schemas.codec import CODEC
from schemas.partitioning import partition_of
from tests.fix_rater import BOOK, PARTITIONS, Pipeline, check_exactly_once, usage_event, wait_for, whole
from tests.integration.takeover import customer_on, delete_before

pytestmark = [pytest.mark.broker, pytest.mark.postgres]

DAY_S = 86_400
HEADER = 10  # C3 01 and a fingerprint of 8 bytes


def encoded(event: Mapping[str, Any]) -> bytes:
    return CODEC.encode("UsageEvent", whole(event))


def now_us() -> int:
    return time.time_ns() // 1000


def test_each_event_is_rated_once_and_a_repeated_one_is_a_duplicate(pipeline: Pipeline) -> None:
    events = [usage_event(number % 7, number) for number in range(200)]
    pipeline.emit([*events, *events[:50]])
    rater = pipeline.start()
    pipeline.wait_drained()
    check_exactly_once(pipeline, events)
    assert rater.terminate() == 0


def test_the_event_s_bytes_go_on_as_they_came(pipeline: Pipeline) -> None:
    """RatedUsage is its own header, the event's body, the rating's body; the key is the customer."""
    # A map written in two blocks: well formed, and not how this codec would write it.
    event = whole(usage_event(1, 1, usage={"input_tokens": "1000", "output_tokens": "100"}, tags={}))
    value = CODEC.encode("UsageEvent", event)
    one_block = b"\x04\x18input_tokens\x081000\x1aoutput_tokens\x06100\x00"
    two_blocks = b"\x02\x18input_tokens\x081000\x02\x1aoutput_tokens\x06100\x00"
    assert value.count(one_block) == 1
    value = value.replace(one_block, two_blocks)
    assert CODEC.decode("UsageEvent", value) == event
    pipeline.emit_raw([(b"customer-1", value)])
    pipeline.start()
    pipeline.wait_drained()
    (message,) = pipeline.read(topics.USAGE_RATED)
    rated = message.value() or b""
    assert rated.startswith(CODEC.fingerprint("RatedUsage") + value[HEADER:])
    assert message.key() == b"customer-1"
    assert message.partition() == partition_of(b"customer-1", PARTITIONS)
    assert not message.headers()
    assert CODEC.decode("RatedUsage", rated)["rating"]["price"]["amount"] == "0.0045"


@dataclass(frozen=True)
class Bad:
    """A record that must be rejected."""

    reason: str
    field: str | None
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    identified: bool = True


def bad_records() -> list[Bad]:
    """One of each reason, of customer-1, and more than one where the ways differ."""
    key = b"customer-1"
    home = partition_of(key, PARTITIONS)

    def bad(reason: str, field: str | None, number: int, **fields: Any) -> Bad:
        return Bad(reason, field, key, encoded(usage_event(1, number, **fields)))

    good = encoded(usage_event(1, 100))
    return [
        Bad("undecodable", "header", key, b"", identified=False),
        Bad("undecodable", "header", key, None, identified=False),
        Bad("undecodable", "header", None, b"no record", identified=False),
        Bad("undecodable", "body", key, good[:-1], identified=False),
        Bad("undecodable", "body", key, good + b"\x00", identified=False),
        Bad(
            "unknown_schema", "fingerprint", key, b"\xc3\x01" + b"\x00" * 8 + good[HEADER:], identified=False
        ),
        # A rule of the content: nothing of such a record is trusted, its identity neither.
        replace(bad("invalid_field", "feature", 101, feature="x" * 129), identified=False),
        replace(bad("invalid_field", "project", 102, project="a\x00b"), identified=False),
        bad("bad_quantity", "usage.input_tokens", 103, usage={"input_tokens": "-1"}),
        bad("bad_quantity", "usage.input_tokens", 104, usage={"input_tokens": "NaN"}),
        bad(
            "impossible_counts",
            "usage.input_tokens",
            105,
            usage={"input_tokens": "1", "cache_read_tokens": "2"},
        ),
        # 10**19 audio seconds at 100 USD are 10**21 USD: 22 digits.
        bad("amount_overflow", "cost", 106, requested_model="dear", usage={"input_tokens": "1" + "0" * 19}),
        replace(bad("misrouted", "customer_id", 107), key=b"customer-2"),
        replace(bad("misrouted", "customer_id", 108), key=None),
        replace(bad("misrouted", "customer_id", 109), partition=(home + 1) % PARTITIONS),
        bad("too_late", "event_time_us", 110, event_time_us=now_us() - 35 * DAY_S * 1_000_000 - 60_000_000),
        bad("in_future", "event_time_us", 111, event_time_us=now_us() + 300_000_000 + 60_000_000),
        bad("id_conflict", "event_id", 0, usage={"input_tokens": "1"}),
    ]


def with_a_dear_model(book: BookContent) -> BookContent:
    """BOOK and a model at 100 USD for an input token."""
    (card,) = book.provider_cards
    (version,) = card.versions
    rates = (replace(version.base.rates[0], rate="100", per="1"),)
    dear = replace(
        card,
        card_id="acme/dear",
        models=("dear",),
        versions=(replace(version, base=replace(version.base, rates=rates)),),
    )
    return replace(book, provider_cards=(card, dear))


def test_what_cannot_be_rated_is_rejected_with_its_bytes_and_leaves_its_neighbours_alone(
    pipeline: Pipeline,
) -> None:
    with connect(pipeline.dsn) as connection:
        apply(connection, with_a_dear_model(BOOK), author="test", retroactive=True)
    good = [usage_event(1, number) for number in range(len(bad_records()) + 1)]
    pipeline.emit(good[:1])
    bad = bad_records()
    for neighbour, it in zip(good[1:], bad, strict=True):
        partition = partition_of(b"customer-1", PARTITIONS) if it.partition is None else it.partition
        pipeline.emit_raw([(it.key, it.value)], partition=partition)
        pipeline.emit([neighbour])
    rater = pipeline.start()
    pipeline.wait_drained()

    inputs = {
        (message.partition(), message.offset()): message for message in pipeline.read(topics.USAGE_EVENTS)
    }
    found = sorted(pipeline.read(topics.USAGE_REJECTED), key=lambda message: message.timestamp()[1])
    records = [CODEC.decode("RejectedUsage", message.value()) for message in found]
    assert sorted((it["reason"], it["field"]) for it in records) == sorted(
        (it.reason, it.field) for it in bad
    )
    expected = {(it.key, it.value): it for it in bad}
    for message, record in zip(found, records, strict=True):
        came = inputs[record["partition"], record["offset"]]
        assert (record["original_key"], record["original"]) == (came.key(), came.value())
        assert record["topic"] == "usage.events"
        assert record["append_time_us"] == record["first_append_time_us"] == came.timestamp()[1] * 1000
        assert message.partition() == came.partition()
        cause = expected[record["original_key"], record["original"]]
        assert (record["reason"], record["field"]) == (cause.reason, cause.field), record["detail"]
        assert record["detail"]
        identity = ("customer-1", "test") if cause.identified else (None, None)
        assert (record["customer_id"], record["source"]) == identity
        assert message.key() == (b"customer-1" if cause.identified else None)
    check_exactly_once(pipeline, good)
    assert rater.terminate() == 0


def turned(event: Mapping[str, Any]) -> bytes:
    """The same event in other bytes."""
    return encoded(dict(event) | {"usage": dict(reversed(event["usage"].items()))})


def test_the_same_event_in_other_bytes_is_compared_with_the_first_one(pipeline: Pipeline) -> None:
    """A restart later, and when the first record is gone."""
    customer = customer_on(0)
    events = [usage_event(0, number, customer_id=customer) for number in range(3)]
    pipeline.emit(events)
    rater = pipeline.start()
    pipeline.wait_drained()
    assert rater.terminate() == 0
    other = events[0] | {"usage": {"input_tokens": "1"}}
    again = [turned(event) for event in (*events, other)]
    assert not {encoded(event) for event in events} & set(again)
    pipeline.emit_raw([(customer.encode(), value) for value in again])  # offsets 3 to 6
    pipeline.start()
    pipeline.wait_drained()
    check_exactly_once(pipeline, events)
    assert duplicates(pipeline) == [(3, 0), (4, 1), (5, 2)]
    assert [(it["reason"], it["offset"]) for it in pipeline.rejected()] == [("id_conflict", 6)]
    delete_before(pipeline, topics.USAGE_EVENTS, 7)
    pipeline.emit_raw([(customer.encode(), value) for value in (again[1], encoded(events[1]), again[2])])
    pipeline.wait_drained()
    assert [it["offset"] for it in pipeline.rejected()] == [6, 7, 9]
    assert duplicates(pipeline)[3:] == [(8, 1)]


def duplicates(pipeline: Pipeline) -> list[tuple[int, int]]:
    return [(it["offset"], it["first_offset"]) for frame in frames(pipeline) for it in frame["duplicates"]]


def test_usage_that_the_book_does_not_know_is_rated_unpriced_and_not_rejected(pipeline: Pipeline) -> None:
    pipeline.emit([usage_event(1, 1, requested_model="unheard-of"), usage_event(1, 2)])
    pipeline.start()
    pipeline.wait_drained()
    unpriced, priced = (item["rating"] for item in pipeline.rated())
    nothing = {"status": "unpriced", "amount": None, "currency": None}
    assert (unpriced["cost"], unpriced["price"], unpriced["customer_seq"]) == (nothing, nothing, 1)
    assert (priced["cost"]["status"], priced["customer_seq"]) == ("priced", 2)
    assert pipeline.rejected() == []
    (customer,) = [it for frame in frames(pipeline) for it in frame["customers"]]
    assert sum(row["unpriced_cost_events"] for row in customer["rows"]) == 1
    assert {row["cost"] for row in customer["rows"]} == {None, "0.003"}


def test_a_meter_that_the_book_does_not_know_makes_its_side_partial(pipeline: Pipeline) -> None:
    pipeline.emit([usage_event(1, 1, usage={"input_tokens": "1000", "wishes": "3"})])
    pipeline.start()
    pipeline.wait_drained()
    (item,) = pipeline.rated()
    # 1000 x 2 / 1000000 = 0.002
    assert item["rating"]["cost"] == {"status": "partial", "amount": "0.002", "currency": "USD"}


def test_a_new_book_version_is_recorded_in_every_head(pipeline: Pipeline) -> None:
    pipeline.emit([usage_event(1, 1)])
    rater = pipeline.start()
    pipeline.wait_drained()
    wait_for(lambda: versions(pipeline) == [1] * PARTITIONS, "each partition's first frame")
    with connect(pipeline.dsn) as connection:
        apply(connection, with_a_dear_model(BOOK), author="test", retroactive=True)
    wait_for(lambda: versions(pipeline) == [2] * PARTITIONS, "the new version in every head")
    assert len(pipeline.rated()) == 1
    last = {frame["partition"]: frame for frame in frames(pipeline)}
    for frame in last.values():
        assert frame["events"]["from_offset"] == frame["events"]["to_offset"]
        assert (frame["rated"], frame["customers"], frame["book_version"]) == (0, [], 2)
    pipeline.emit([usage_event(1, 2)])
    pipeline.wait_drained()
    assert [item["rating"]["book_version"] for item in pipeline.rated()] == [1, 2]
    assert rater.terminate() == 0


def versions(pipeline: Pipeline) -> list[int]:
    return [head["book_version"] for head in pipeline.heads().values()]


def test_two_raters_share_the_partitions_and_each_has_both_inputs_of_its_own(pipeline: Pipeline) -> None:
    events = [usage_event(number % 20, number) for number in range(200)]
    raters = [pipeline.start(slot=slot) for slot in range(2)]
    wait_for(lambda: len(pipeline.members()) == 2, "both have joined")
    pipeline.emit(events[:100])
    for partition in range(PARTITIONS):
        pipeline.emit_raw([(b"x", b"y")], topic=topics.USAGE_CORRECTIONS, partition=partition)
    pipeline.emit(events[100:])
    pipeline.wait_drained()
    wait_for(
        lambda: [head["corrections_next"] for head in pipeline.heads().values()] == [1] * PARTITIONS,
        "the corrections are covered",
    )
    check_exactly_once(pipeline, events)
    rejected = pipeline.rejected()
    assert sorted((it["topic"], it["partition"], it["reason"]) for it in rejected) == [
        ("usage.corrections", partition, "undecodable") for partition in range(PARTITIONS)
    ]
    # Who wrote the frames that moved an input, by partition: the same process for both inputs.
    writers: dict[int, set[str]] = {}
    for frame in frames(pipeline):
        if frame["rated"] or frame["corrections_rejected"]:
            writers.setdefault(frame["partition"], set()).add(frame["process"].rsplit("-", 1)[1])
    assert sorted(map(sorted, writers.values())) == [["0"], ["0"], ["1"], ["1"]]
    assert [rater.terminate() for rater in raters] == [0, 0]


def test_a_restarted_rater_goes_on_with_each_customer_s_sequence(pipeline: Pipeline) -> None:
    """With its own files, and without any."""
    events = [usage_event(number % 5, number) for number in range(60)]
    for turn in range(3):
        pipeline.emit(events[20 * turn : 20 * turn + 20])
        rater = pipeline.start()
        pipeline.wait_drained()
        assert rater.terminate() == 0
        if turn == 1:
            shutil.rmtree(pipeline.directory / "state")
    check_exactly_once(pipeline, events)
    assert {frame["process"].rsplit(".", 1)[1] for frame in frames(pipeline)} == {"rater-0"}


def test_sigterm_in_the_middle_of_the_work_loses_and_repeats_nothing(pipeline: Pipeline) -> None:
    events = [usage_event(number % 9, number) for number in range(3_000)]
    pipeline.emit(events)
    first = pipeline.start(rater__batch_records_max=50)
    wait_for(lambda: bool(pipeline.heads()), "it has begun")
    assert first.terminate() == 0
    assert "gave up partitions 0, 1, 2, 3" in first.log()
    assert "Traceback" not in first.log()
    assert pipeline.members() == []
    pipeline.start()
    pipeline.wait_drained()
    check_exactly_once(pipeline, events)


def customer_states(pipeline: Pipeline) -> list[tuple[str, int]]:
    return [
        (state["customer_id"], state["last_seq"])
        for message in pipeline.read(topics.RATER_STATE)
        if (message.key() or b"").startswith(b"c/")
        for state in [CODEC.decode("CustomerState", message.value())]
    ]


def test_a_customer_s_record_is_written_at_its_first_activity_of_a_day_and_not_again(
    pipeline: Pipeline,
) -> None:
    customer = customer_on(0)
    rater = pipeline.start()
    for number in range(3):
        pipeline.emit([usage_event(0, number, customer_id=customer)])
        wait_for(lambda number=number: len(pipeline.rated()) > number, "it is rated")  # type: ignore[misc]  # bound now
    assert customer_states(pipeline) == [(customer, 1)]
    assert rater.terminate() == 0


def test_a_customer_s_last_sequence_is_written_again_without_any_activity(pipeline: Pipeline) -> None:
    """Within windows.state_refresh_s of its last frame, so that a restore needs no older ones."""
    customers = [customer_on(partition) for partition in range(PARTITIONS)]
    pipeline.start(windows__state_refresh_s=7)
    for number in range(2):
        pipeline.emit([usage_event(0, number, customer_id=customer) for customer in customers])
        wait_for(
            lambda number=number: len(pipeline.rated()) == (number + 1) * PARTITIONS,  # type: ignore[misc]  # bound now
            "they are rated",
        )
    begun = time.monotonic()
    wanted = sorted((customer, sequence) for customer in customers for sequence in (1, 2))
    wait_for(lambda: sorted(customer_states(pipeline)) == wanted, "each customer's second record", 20)
    assert time.monotonic() - begun < 7
    refreshes = [frame for frame in frames(pipeline) if not frame["rated"]]
    assert all(frame["events"]["from_offset"] == frame["events"]["to_offset"] for frame in refreshes)


def frames(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Every frame, whole: these tests' frames have one part."""
    found = []
    for message in pipeline.read(topics.USAGE_DELTAS):
        part = CODEC.decode("FramePart", message.value())
        assert (part["part_no"], part["part_count"]) == (0, 1)
        found.append(CODEC.decode("DeltaFrame", part["chunk"]))
    return found


def test_a_record_that_only_fits_compressed_stops_nobody(pipeline: Pipeline) -> None:
    """The broker bounds compressed batches: 6 MB of one character pass its limit of 1 MiB and 64 KiB."""
    producer = pipeline.kafka.producer(message_max_bytes=10_000_000, compression_type="lz4")
    producer.produce(pipeline.prefix + topics.USAGE_EVENTS, b"x" * 6_000_000, b"customer-1")
    assert producer.flush(30) == 0
    events = [usage_event(1, number) for number in range(3)]
    pipeline.emit(events)
    pipeline.start()
    pipeline.wait_drained()
    check_exactly_once(pipeline, events)
    (rejected,) = pipeline.rejected()
    assert (rejected["reason"], rejected["original"]) == ("too_large", None)
    assert rejected["offset"] == 0


def test_another_number_of_partitions_than_is_set_stops_it(pipeline: Pipeline) -> None:
    """Customers would be looked for on other partitions, where nobody knows what they were billed."""
    rater = pipeline.start(kafka__partitions=PARTITIONS + 1)
    assert rater.wait_dead() == 3
    assert "all must have the same number" in rater.log()


def test_partitions_added_under_a_running_rater_stop_it(pipeline: Pipeline) -> None:
    rater = pipeline.start()
    rater.wait_owner()
    added = NewPartitions(pipeline.prefix + topics.USAGE_EVENTS, PARTITIONS + 1)
    for future in pipeline.kafka.admin().create_partitions([added]).values():
        future.result(30)
    assert rater.wait_dead() == 3
