"""`ratestream rejected list` and `replay` over what a real rater rejected."""

import json
import subprocess
import sys
from typing import Any

import pytest

from rater.core.replay import FIRST_APPEND_HEADER
from schemas import topics
from schemas.codec import CODEC
from schemas.partitioning import partition_of
from tests.fix_rater import PARTITIONS, Pipeline, usage_event, whole

pytestmark = [pytest.mark.broker, pytest.mark.postgres]

FOREIGN = b"\xc3\x01" + b"\x00" * 8 + b"body"  # single-object encoding of a schema that nobody knows


def command(pipeline: Pipeline, *arguments: str, given: str | None = None) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "rejected", *arguments],
        env=pipeline.environ(),
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1, 2}, done.stderr
    return done.returncode, done.stdout or done.stderr


def listed(pipeline: Pipeline, *arguments: str) -> list[dict[str, Any]]:
    code, output = command(pipeline, "list", "--json", *arguments)
    assert code == 0
    return [json.loads(line) for line in output.splitlines()]


def replayed(pipeline: Pipeline, *arguments: str, given: str | None = None) -> dict[str, Any]:
    code, output = command(pipeline, "replay", "--json", *arguments, given=given)
    assert code == 0, output
    facts: dict[str, Any] = json.loads(output)
    return facts


def misroute(pipeline: Pipeline, number: int) -> bytes:
    """An event under the key of another customer; returns its bytes."""
    value = CODEC.encode("UsageEvent", whole(usage_event(1, number)))
    pipeline.emit_raw([(b"somebody-else", value)])
    return value


def test_a_misrouted_event_is_listed_replayed_under_its_customer_and_rated_once(pipeline: Pipeline) -> None:
    value = misroute(pipeline, 1)
    pipeline.start()
    pipeline.wait_drained()
    (item,) = listed(pipeline)
    assert (item["reason"], item["customer_id"], item["event_id"]) == ("misrouted", "customer-1", "event-1")
    assert (item["original_hex"], item["original_key_hex"]) == (value.hex(), b"somebody-else".hex())

    for _ in range(2):  # the second time is a duplicate
        facts = replayed(pipeline, "--reason", "misrouted")
        assert (facts["matched"], facts["published"], facts["skipped"]) == (1, 1, [])
    pipeline.wait_drained()

    (rated,) = pipeline.rated()
    assert rated["event"]["event_id"] == "event-1"
    back = [message for message in pipeline.read(topics.USAGE_EVENTS) if message.headers()]
    assert [(message.key(), message.value()) for message in back] == [(b"customer-1", value)] * 2
    assert {message.partition() for message in back} == {partition_of(b"customer-1", PARTITIONS)}
    first = str(item["first_append_time_us"]).encode()
    assert [message.headers() for message in back] == [[(FIRST_APPEND_HEADER, first)]] * 2


def test_other_records_keep_key_bytes_and_without_a_key_their_partition(pipeline: Pipeline) -> None:
    pipeline.emit_raw([(b"customer-2", FOREIGN)])
    pipeline.emit_raw([(None, b"nothing")], partition=3)
    pipeline.start()
    pipeline.wait_drained()
    assert {item["reason"] for item in listed(pipeline)} == {"unknown_schema", "undecodable"}
    replayed(pipeline, "--all")
    back = [message for message in pipeline.read(topics.USAGE_EVENTS) if message.headers()]
    assert sorted((message.key() or b"", message.value(), message.partition()) for message in back) == [
        (b"", b"nothing", 3),
        (b"customer-2", FOREIGN, partition_of(b"customer-2", PARTITIONS)),
    ]
    pipeline.wait_drained()
    again = listed(pipeline)
    assert len(again) == 4
    firsts = [item["first_append_time_us"] for item in again if item["reason"] == "unknown_schema"]
    assert len(firsts) == 2
    assert len(set(firsts)) == 1, "a record that is rejected again keeps the time of its first arrival"


def test_ids_offsets_limits_and_dry_run_choose_what_is_meant(pipeline: Pipeline) -> None:
    for number in range(4):
        misroute(pipeline, number)
    pipeline.start()
    pipeline.wait_drained()
    items = listed(pipeline)
    assert len(items) == 4
    assert len(listed(pipeline, "--limit", "2")) == 2
    assert listed(pipeline, "--reason", "too_late") == []

    before = len(pipeline.read(topics.USAGE_EVENTS))
    facts = replayed(pipeline, "--all", "--dry-run")
    assert (facts["matched"], facts["published"], facts["by_reason"]) == (4, 0, {"misrouted": 4})
    assert len(pipeline.read(topics.USAGE_EVENTS)) == before

    by_place = json.dumps(items[0])
    by_identity = json.dumps(
        {"customer_id": "customer-1", "source": "test", "event_id": items[1]["event_id"]}
    )
    assert replayed(pipeline, "--ids", "-", given=f"{by_place}\n{by_identity}\n")["published"] == 2
    place = f"{items[2]['rejected_partition']}:{items[2]['rejected_offset']}"
    assert replayed(pipeline, "--offset", place)["published"] == 1
    pipeline.wait_drained()
    assert {rated["event"]["event_id"] for rated in pipeline.rated()} == {
        item["event_id"] for item in items[:3]
    }


@pytest.mark.parametrize(
    ("arguments", "given", "told"),
    [
        ((), None, "say which records"),
        (("--all", "--reason", "too_late"), None, "alone"),
        (("--offset", "7"), None, "PARTITION:OFFSET"),
        (("--ids", "-"), "", "names no record"),
        (("--ids", "-"), '{"customer_id": "c"}', "line 1"),
        (("--reason", "bad_luck"), None, "bad_luck"),
    ],
)
def test_a_replay_that_does_not_say_what_is_meant_is_refused(
    pipeline: Pipeline, arguments: tuple[str, ...], given: str | None, told: str
) -> None:
    code, output = command(pipeline, "replay", *arguments, given=given)
    assert code == 2
    assert told in output
