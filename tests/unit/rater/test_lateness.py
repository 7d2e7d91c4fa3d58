"""Each edge of each window: one microsecond below, at, and above."""

import pytest

from rater.core.lateness import Windows, check_lateness
from rater.core.rejection import Reject
from tests.unit.rater.fakes import DAY_US, NOW_US, WINDOWS, record, run
from tests.unit.rater.fakes import event as said

LATE_US = 3_024_000_000_000  # 35 * 86,400 * 1,000,000
REPLAY_US = 3_628_800_000_000  # 42 * 86,400 * 1,000,000
FUTURE_US = 300_000_000  # 5 * 60 * 1,000,000


def verdict(event_time_us: int, highest_us: int = NOW_US, first_us: int | None = None) -> str | None:
    try:
        check_lateness(WINDOWS, event_time_us, highest_us, first_us)
    except Reject as reject:
        return f"{reject.reason} {reject.field}"
    return None


@pytest.mark.parametrize(
    ("age_us", "expected"),
    [
        (LATE_US - 1, None),
        (LATE_US, None),
        (LATE_US + 1, "too_late"),
        (0, None),
        (-FUTURE_US + 1, None),
        (-FUTURE_US, None),
        (-FUTURE_US - 1, "in_future"),
    ],
)
def test_edges_of_a_first_arrival(age_us: int, expected: str | None) -> None:
    assert verdict(NOW_US - age_us) == (expected and f"{expected} event_time_us")


@pytest.mark.parametrize(
    ("first_age_us", "own_age_us", "expected"),
    [
        (LATE_US, REPLAY_US - 1, None),
        (LATE_US, REPLAY_US, None),
        (LATE_US, REPLAY_US + 1, "too_late"),
        (LATE_US + 1, LATE_US + 1, "too_late"),
        (LATE_US + 1, REPLAY_US, "too_late"),
        (LATE_US - 1, REPLAY_US, None),
        (0, LATE_US + 1, None),
        # A record that came too early at first (in_future) and is replayed when its time has come.
        (-DAY_US, 0, None),
        (-DAY_US, -FUTURE_US - 1, "in_future"),
    ],
)
def test_edges_of_a_replay(first_age_us: int, own_age_us: int, expected: str | None) -> None:
    event_time_us = NOW_US - own_age_us
    found = verdict(event_time_us, NOW_US, event_time_us + first_age_us)
    assert found == (expected and f"{expected} event_time_us")


def test_a_header_later_than_the_own_append_wins_no_time() -> None:
    """The own append time is 35 days and 1 us after the event; the header claims the year 2100."""
    late = said(1, event_time_us=NOW_US - LATE_US - 1)
    result = run([record(0, late, first_append_us=NOW_US + 10**18)])
    assert [it.reason for it in result.rejected] == ["too_late"]


def test_a_header_later_than_the_own_append_loses_no_time_either() -> None:
    assert len(run([record(0, said(1), first_append_us=NOW_US + 10**18)]).rated) == 1


def test_a_replay_is_accepted_beyond_35_days() -> None:
    late = said(1, event_time_us=NOW_US - LATE_US - 1)
    assert len(run([record(0, late, first_append_us=NOW_US - 1)]).rated) == 1


def test_the_highest_append_time_counts_and_not_the_record_s_own() -> None:
    """The second record's own append time went back by a day (another broker's clock)."""
    events = [
        record(0, said(0, event_time_us=NOW_US)),
        record(1, said(1, event_time_us=NOW_US - LATE_US - 1), append_us=NOW_US - DAY_US),
        record(2, said(2, event_time_us=NOW_US + FUTURE_US), append_us=NOW_US - DAY_US),
    ]
    result = run(events)
    assert [(it.record.offset, it.reason) for it in result.rejected] == [(1, "too_late")]
    assert result.head.highest_append_us == NOW_US


def test_a_bucket_expires_when_its_last_event_is_too_old_even_for_a_replay() -> None:
    last_us = DAY_US - 1
    assert not WINDOWS.bucket_expired(0, last_us + REPLAY_US)
    assert WINDOWS.bucket_expired(0, last_us + REPLAY_US + 1)


def test_buckets_are_utc_days() -> None:
    assert WINDOWS.bucket_of(DAY_US - 1) == 0
    assert WINDOWS.bucket_of(DAY_US) == DAY_US
    assert WINDOWS.bucket_of(-1) == -DAY_US


def test_frames_must_reach_back_the_replay_window_and_the_future_one() -> None:
    assert WINDOWS.coverage_us == REPLAY_US + FUTURE_US


@pytest.mark.parametrize(
    ("late", "replay", "future", "bucket"), [(0, 1, 0, 1), (2, 1, 0, 1), (1, 1, -1, 1), (1, 1, 0, 0)]
)
def test_windows_that_contradict_each_other_are_refused(
    late: int, replay: int, future: int, bucket: int
) -> None:
    with pytest.raises(ValueError, match="windows: "):
        Windows(late, replay, future, bucket)
