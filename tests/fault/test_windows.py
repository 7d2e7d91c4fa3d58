"""Windows and retentions shrunk to seconds: what expires, and what must not."""

import shutil
import time
from collections.abc import Mapping
from typing import Any

import pytest

from rater.core.replay import FIRST_APPEND_HEADER
from runtime.kafka.offsets import list_offsets
from schemas import topics
from schemas.codec import CODEC
from tests.fault.checks import check_closed, check_rated, frames
from tests.fault.load import CUSTOMERS
from tests.fault.retention import delete_before
from tests.fix_rater import PARTITIONS, STOPPED_LOUDLY, Pipeline, usage_event, wait_for, whole

_MINUTE: dict[str, Any] = {"windows__late_s": 60, "windows__replay_s": 60, "windows__future_s": 1}


def _now_us() -> int:
    return time.time_ns() // 1000


def _replay(pipeline: Pipeline, event: Mapping[str, Any], first_append_us: int) -> None:
    """Publish an event as `ratestream rejected replay` does."""
    pipeline.emit_raw(
        [(event["customer_id"].encode(), CODEC.encode("UsageEvent", whole(event)))],
        headers={FIRST_APPEND_HEADER: str(first_append_us).encode()},
    )


def _reasons(pipeline: Pipeline) -> list[str]:
    return [item["reason"] for item in pipeline.rejected()]


def _duplicates(pipeline: Pipeline) -> int:
    return sum(len(frame["duplicates"]) for found in frames(pipeline).values() for frame in found)


def test_a_repeated_event_before_and_after_the_windows_end(pipeline: Pipeline) -> None:
    rater = pipeline.start(
        windows__late_s=6, windows__replay_s=12, windows__future_s=1, windows__digest_bucket_s=1
    )
    rater.wait_owner()
    event = usage_event(1, 1)
    at_us = event["event_time_us"]
    pipeline.emit([event, event])
    pipeline.wait_drained()
    assert (len(pipeline.rated()), _duplicates(pipeline), _reasons(pipeline)) == (1, 1, [])
    # Time is the subject: past the lateness window, within the replay window.
    wait_for(lambda: _now_us() > at_us + 7_000_000, "7 s have passed")
    pipeline.emit([event])
    _replay(pipeline, event, at_us + 1_000_000)
    pipeline.wait_drained()
    assert (len(pipeline.rated()), _duplicates(pipeline), _reasons(pipeline)) == (1, 2, ["too_late"])
    wait_for(lambda: _now_us() > at_us + 15_000_000, "15 s have passed")
    assert "expired buckets" not in rater.log()
    _replay(pipeline, event, at_us + 1_000_000)
    newer = usage_event(1, 2)
    pipeline.emit([newer])
    pipeline.wait_drained()
    assert (_duplicates(pipeline), _reasons(pipeline)) == (2, ["too_late", "too_late"])
    assert "expired buckets" in rater.log()
    check_rated(pipeline, [event, newer])
    assert rater.terminate() == 0


def test_a_replay_just_inside_and_outside_the_edges(pipeline: Pipeline) -> None:
    rater = pipeline.start(windows__late_s=100, windows__replay_s=300, windows__future_s=1)
    rater.wait_owner()
    second = 1_000_000
    cases = [
        # (age now, first append after the event): both in seconds
        (150, 99, None),
        (150, 101, "too_late"),  # it came too late the first time
        (280, 100, None),
        (320, 10, "too_late"),  # digests of its day may be gone
        (50, -1000, None),  # a header that claims an arrival before the event wins nothing ...
        (320, -1000, "too_late"),  # ... here neither
    ]
    good = []
    for number, (age_s, first_s, reason) in enumerate(cases):
        event = usage_event(1, number, event_time_us=_now_us() - age_s * second)
        _replay(pipeline, event, event["event_time_us"] + first_s * second)
        good += [event] if reason is None else []
    pipeline.emit([usage_event(1, 99, event_time_us=_now_us() - 150 * second)])  # no replay: too late
    pipeline.wait_drained()
    assert _reasons(pipeline) == ["too_late"] * 4
    check_rated(pipeline, good)
    assert rater.terminate() == 0


@pytest.mark.slow
@pytest.mark.parametrize("left", ["none", "the last frame of each partition"])
def test_frames_deleted_too_early_and_the_state_too_stop_it_loudly(pipeline: Pipeline, left: str) -> None:
    events = _some_rated(pipeline, _MINUTE)
    _delete_frames(pipeline, keep=0 if left == "none" else 2)
    shutil.rmtree(pipeline.directory / "state")
    pipeline.emit(events[:CUSTOMERS])
    rater = pipeline.start(**_MINUTE)
    assert rater.wait_dead() == STOPPED_LOUDLY, rater.log()
    assert "CoverageError" in rater.log()
    check_rated(pipeline, events)
    # And again: it does not talk itself out of it.
    again = pipeline.start(**_MINUTE)
    assert again.wait_dead() == STOPPED_LOUDLY
    assert "CoverageError" in again.log()


@pytest.mark.slow
def test_frames_deleted_and_the_state_kept_change_nothing(pipeline: Pipeline) -> None:
    events = _some_rated(pipeline, _MINUTE)
    _delete_frames(pipeline, keep=0)
    more = [usage_event(number % CUSTOMERS, 1000 + number) for number in range(50)]
    pipeline.emit([*more, *events])
    rater = pipeline.start(**_MINUTE)
    pipeline.wait_drained()
    assert rater.terminate() == 0
    check_rated(pipeline, [*events, *more])
    check_closed(pipeline)


@pytest.mark.slow
def test_sequences_survive_expired_frames_by_the_refreshed_records(pipeline: Pipeline) -> None:
    """Frames and state gone, the head older than the window: it goes on, each customer's sequence too."""
    shrunk: dict[str, Any] = {
        "windows__late_s": 4,
        "windows__replay_s": 4,
        "windows__future_s": 1,
        "windows__digest_bucket_s": 1,
        "windows__state_refresh_s": 7,
    }
    first = pipeline.start(**shrunk)
    first.wait_owner()
    events: list[dict[str, Any]] = []
    for turn in range(2):
        # The first of the day is recorded at once; the second turn only by the refresh.
        some = [usage_event(number % CUSTOMERS, 100 * turn + number) for number in range(60)]
        pipeline.emit(some)
        pipeline.wait_drained()
        events += some
    counts = {f"customer-{number}": 0 for number in range(CUSTOMERS)}
    for event in events:
        counts[event["customer_id"]] += 1
    wait_for(lambda: _recorded(pipeline) == counts, "every customer's sequence is in rater.state")
    assert first.terminate() == 0
    _delete_frames(pipeline, keep=0)
    shutil.rmtree(pipeline.directory / "state")
    highest_us = max(head["highest_append_us"] for head in pipeline.heads().values())
    wait_for(lambda: _now_us() > highest_us + 6_000_000, "the window has passed")
    more = [usage_event(number % CUSTOMERS, 1000 + number) for number in range(60)]
    pipeline.emit(more)
    second = pipeline.start(**shrunk)
    pipeline.wait_drained()
    # And from what it had written by then, once more.
    assert second.terminate() == 0
    third = pipeline.start(**shrunk)
    pipeline.emit(more)
    pipeline.wait_drained()
    assert third.terminate() == 0
    check_rated(pipeline, [*events, *more])
    check_closed(pipeline)


def _some_rated(pipeline: Pipeline, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Events that a rater, gone again, has rated in several frames."""
    rater = pipeline.start(rater__batch_records_max=10, **settings)
    events = [usage_event(number % CUSTOMERS, number) for number in range(200)]
    pipeline.emit(events)
    pipeline.wait_drained()
    assert rater.terminate() == 0
    return events


def _delete_frames(pipeline: Pipeline, *, keep: int) -> None:
    """Delete each partition's frames but for the last offsets (a frame and its marker are two)."""
    wanted = [(pipeline.prefix + topics.USAGE_DELTAS, number) for number in range(PARTITIONS)]
    ends = list_offsets(pipeline.settings.client_config(), wanted, "latest")
    delete_before(pipeline, {where: end - keep for where, end in ends.items()})


def _recorded(pipeline: Pipeline) -> dict[str, int]:
    """Each customer's sequence as rater.state has it."""
    found = {}
    for message in pipeline.read(topics.RATER_STATE):
        if (message.key() or b"").startswith(b"c/"):
            state = CODEC.decode("CustomerState", message.value())
            found[state["customer_id"]] = state["last_seq"]
    return found
