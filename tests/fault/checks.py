"""What must hold after every fault, read from the topics with nothing of the rater's own code."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from importlib.util import find_spec
from typing import Any

from runtime.kafka.offsets import Isolation, list_offsets
from schemas import topics
from schemas.codec import CODEC
from tests.fault.load import Load, amounts
from tests.fix_rater import PARTITIONS, Pipeline, wait_for

OUTPUTS = (topics.USAGE_RATED, topics.USAGE_REJECTED, topics.USAGE_DELTAS, topics.RATER_STATE)
ENOUGH_S = 30.0


def check_everything(pipeline: Pipeline, load: Load) -> None:
    """Nothing lost, nothing twice, every amount and sum as the arithmetic by hand, nothing left open."""
    pipeline.check_alive()
    check_rated(pipeline, load.events)
    check_frames(pipeline, load)
    check_closed(pipeline)
    verify(pipeline)


def check_rated(pipeline: Pipeline, events: Sequence[dict[str, Any]]) -> None:
    """A read-committed consumer sees each id once, at its amounts, in one unbroken sequence a customer."""
    rated = pipeline.rated()
    seen = Counter(_identity(item["event"]) for item in rated)
    assert {identity: times for identity, times in seen.items() if times > 1} == {}
    assert seen == Counter({_identity(event): 1 for event in events})
    expected = {_identity(event): amounts(event) for event in events}
    found = {
        _identity(item["event"]): (
            Fraction(item["rating"]["cost"]["amount"]),
            Fraction(item["rating"]["price"]["amount"]),
        )
        for item in rated
    }
    assert found == expected
    sequences: dict[str, list[int]] = {}
    for item in rated:
        sequences.setdefault(item["event"]["customer_id"], []).append(item["rating"]["customer_seq"])
    for customer_id, numbers in sequences.items():
        assert numbers == list(range(1, len(numbers) + 1)), customer_id


def check_frames(pipeline: Pipeline, load: Load) -> None:
    """Frames are contiguous, account for every record received, and sum up to what was rated."""
    by_partition = frames(pipeline)
    heads = pipeline.heads()
    totals: Counter[str] = Counter()
    cost = price = Fraction(0)
    for partition, found in by_partition.items():
        assert [frame["frame_no"] for frame in found] == list(range(1, len(found) + 1))
        assert [frame["events"]["from_offset"] for frame in found] == [
            0,
            *(frame["events"]["to_offset"] for frame in found[:-1]),
        ]
        for frame in found:
            received = frame["events"]["to_offset"] - frame["events"]["from_offset"]
            assert received == frame["rated"] + frame["rejected"] + len(frame["duplicates"])
            totals["rated"] += frame["rated"]
            totals["rejected"] += frame["rejected"]
            totals["duplicates"] += len(frame["duplicates"])
            for customer in frame["customers"]:
                for row in customer["rows"]:
                    cost += Fraction(row["cost"])
                    price += Fraction(row["price"])
                    totals["row events"] += row["events"]
        assert heads[partition]["frame_no"] == len(found)
        assert heads[partition]["events_next"] == found[-1]["events"]["to_offset"]
    assert totals == {
        "rated": len(load.events),
        "rejected": load.bad,
        "duplicates": load.repeated,
        "row events": len(load.events),
    }
    expected = [amounts(event) for event in load.events]
    assert (cost, price) == (sum(item[0] for item in expected), sum(item[1] for item in expected))
    rejected = Counter(item["reason"] for item in pipeline.rejected())
    assert rejected == Counter(undecodable=load.bad) + Counter()


def frames(pipeline: Pipeline) -> dict[int, list[dict[str, Any]]]:
    """Committed frames by partition, put together from their parts."""
    chunks: dict[int, list[bytes]] = {}
    found: dict[int, list[dict[str, Any]]] = {}
    for message in pipeline.read(topics.USAGE_DELTAS):
        partition = message.partition() or 0
        part = CODEC.decode("FramePart", message.value())
        pending = chunks.setdefault(partition, [])
        assert part["part_no"] == len(pending)
        pending.append(part["chunk"])
        if len(pending) == part["part_count"]:
            found.setdefault(partition, []).append(CODEC.decode("DeltaFrame", b"".join(pending)))
            pending.clear()
    assert not any(chunks.values()), "a frame is not whole"
    return found


def check_closed(pipeline: Pipeline) -> None:
    """No transaction stays open: the last stable offset is the end of every output."""
    wanted = [(pipeline.prefix + name, number) for name in OUTPUTS for number in range(PARTITIONS)]
    config = pipeline.settings.client_config()

    def closed() -> bool:
        return list_offsets(config, wanted, "latest", Isolation.COMMITTED) == list_offsets(
            config, wanted, "latest", Isolation.UNCOMMITTED
        )

    wait_for(closed, "no transaction is open", ENOUGH_S)


def verify(pipeline: Pipeline) -> None:
    """`ratestream verify` finds nothing, in the topics and in every row of the ledger, where there is one."""
    if find_spec("cli.verify") is None:
        return
    done = subprocess.run(
        [sys.executable, "-m", "cli", "verify", "--complete", "--json"],
        env=pipeline.environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    json.loads(done.stdout)


def _identity(event: dict[str, Any]) -> tuple[str, str]:
    return event["customer_id"], event["event_id"]
