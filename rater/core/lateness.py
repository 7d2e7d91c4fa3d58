"""Which event times are accepted, measured against append times only, never against a clock."""

from dataclasses import dataclass

from rater.core.rejection import Reject


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows in microseconds (design: 35 days, 42 days, 5 minutes; a bucket of digests is a UTC day)."""

    late_us: int
    replay_us: int
    future_us: int
    digest_bucket_us: int

    def __post_init__(self) -> None:
        if not 0 < self.late_us <= self.replay_us:
            raise ValueError(
                f"windows: late_us {self.late_us} must be above 0 and at most replay_us {self.replay_us}"
            )
        if self.future_us < 0 or self.digest_bucket_us <= 0:
            raise ValueError("windows: future_us must be 0 or more and digest_bucket_us above 0")

    def bucket_of(self, event_time_us: int) -> int:
        """Start of the digest bucket that an event time falls into."""
        return event_time_us - event_time_us % self.digest_bucket_us

    def bucket_expired(self, bucket_us: int, highest_append_us: int) -> bool:
        """Whether every event of the bucket is too old even for a replay, so that its digests may go."""
        last_event_us = bucket_us + self.digest_bucket_us - 1
        return highest_append_us - last_event_us > self.replay_us

    @property
    def coverage_us(self) -> int:
        """How far back frames must reach: the oldest digest still needed was appended at most so long ago."""
        return self.replay_us + self.future_us


def check_lateness(
    windows: Windows, event_time_us: int, highest_append_us: int, first_append_us: int | None
) -> None:
    """Refuse an event time outside the windows.

    Args:
        windows: the windows in force.
        event_time_us: the event's own time.
        highest_append_us: highest append time that the partition has seen, this record's included.
        first_append_us: append time of the record's first arrival where it is a replay from
            usage.rejected, else None.

    Raises:
        Reject: too_late or in_future.
    """
    if event_time_us - highest_append_us > windows.future_us:
        raise Reject(
            "in_future",
            "event_time_us",
            f"event_time_us {event_time_us} is more than {windows.future_us // 1_000_000} s after "
            f"the highest append time {highest_append_us} of its partition",
        )
    if first_append_us is None:
        age_us, limit_us = highest_append_us - event_time_us, windows.late_us
    elif first_append_us - event_time_us > windows.late_us:
        age_us, limit_us = first_append_us - event_time_us, windows.late_us
    else:
        age_us, limit_us = highest_append_us - event_time_us, windows.replay_us
    if age_us > limit_us:
        raise Reject(
            "too_late",
            "event_time_us",
            f"event_time_us {event_time_us} is {age_us // 1_000_000} s old; "
            f"the limit is {limit_us // 1_000_000} s",
        )
