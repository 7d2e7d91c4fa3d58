"""When a message goes again, which alerts go alone, and what is signed."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budget_guard.core.delivery import SECOND_US, Grouping, Schedule, Waiting, group_id, plan, signatures

SCHEDULE = Schedule(first_s=2, longest_s=3600, keep_trying_s=259_200)
DAY_US = 86_400 * SECOND_US


def pause_s(failed: int, *, jitter: int = 0, retry_after_s: int | None = None) -> float:
    next_us = SCHEDULE.next_us(
        first_attempt_us=0,
        now_us=DAY_US,
        failed=failed,
        retry_after_s=retry_after_s,
        jitter=lambda n: (n - 1) * jitter,
    )
    assert next_us is not None
    return (next_us - DAY_US) / SECOND_US


@pytest.mark.parametrize(
    ("failed", "shortest"), [(1, 1.5), (2, 3), (3, 6), (10, 768), (11, 1536), (12, 2700), (5000, 2700)]
)
def test_each_pause_is_twice_the_last_up_to_an_hour(failed: int, shortest: float) -> None:
    """2 s doubled: 2, 4, 8 ... 2 * 512 = 1,024 s, 2,048 s, then 3,600 s; three quarters of each at least."""
    assert pause_s(failed) == shortest


def test_jitter_reaches_five_quarters() -> None:
    """3/4 of 2 s is 1.5 s; the drawn part goes up to 1 s less a microsecond: 2.499999 s."""
    assert pause_s(1, jitter=1) == 2.499999


@pytest.mark.parametrize(("asked_s", "pause"), [(0, 1.5), (1, 1.5), (30, 30), (3600, 3600), (10**9, 3600)])
def test_retry_after_makes_a_pause_longer_up_to_an_hour_and_never_shorter(asked_s: int, pause: float) -> None:
    assert pause_s(1, retry_after_s=asked_s) == pause


def test_the_last_attempt_is_72_hours_after_the_first_one() -> None:
    """72 h = 259,200 s. A second before, the next pause is cut short; at the end there is no next."""

    def next_us(now_s: int) -> int | None:
        return SCHEDULE.next_us(
            first_attempt_us=0,
            now_us=now_s * SECOND_US,
            failed=90,
            retry_after_s=None,
            jitter=lambda n: n - 1,
        )

    assert next_us(259_199) == 259_200 * SECOND_US
    assert next_us(259_200) is None


@given(st.integers(0, 2**32), st.integers(min_value=0))
def test_retries_end_within_72_hours_whatever_the_jitter(seed: int, started_us: int) -> None:
    """From the twelfth on, a pause is 45 to 75 minutes: at most 72 * 60 / 45 + 11 = 107 pauses."""
    now_us, attempts = started_us, 0
    while True:
        attempts += 1
        next_us = SCHEDULE.next_us(
            first_attempt_us=started_us,
            now_us=now_us,
            failed=attempts,
            retry_after_s=None,
            jitter=lambda n: seed % n,
        )
        if next_us is None:
            break
        assert now_us < next_us <= started_us + 3 * DAY_US
        now_us = next_us
    assert now_us == started_us + 3 * DAY_US
    assert 60 < attempts <= 108


GROUPING = Grouping(first=2, window_s=60, collect_s=30)


def waiting(*severities: str) -> list[Waiting]:
    return [Waiting(f"a{place}", severity, place) for place, severity in enumerate(severities)]


def test_the_first_go_alone_and_the_others_together() -> None:
    assert plan(waiting("info", "info", "info"), {}, GROUPING) == (["a0", "a1"], ["a2"])


def test_what_went_alone_within_the_window_counts() -> None:
    assert plan(waiting("info", "info"), {"info": 1}, GROUPING) == (["a0"], ["a1"])


def test_the_worst_goes_first() -> None:
    assert plan(waiting("info", "warning", "critical"), {}, GROUPING) == (["a2", "a1"], ["a0"])


def test_no_alert_is_held_back_by_milder_ones() -> None:
    """Two infos have gone; a critical goes at once, and then only critical ones have used their share."""
    assert plan(waiting("critical"), {"info": 2, "warning": 9}, GROUPING) == (["a0"], [])
    assert plan(waiting("critical"), {"critical": 2}, GROUPING) == ([], ["a0"])


def test_a_severity_of_a_newer_build_is_taken_for_the_worst() -> None:
    assert plan(waiting("info", "fatal"), {"critical": 1}, GROUPING) == (["a1"], ["a0"])


@given(
    st.lists(st.sampled_from(["info", "warning", "critical"]), max_size=40),
    st.dictionaries(st.sampled_from(["info", "warning", "critical"]), st.integers(0, 10)),
)
def test_every_alert_goes_either_way_and_once(severities: list[str], sent: dict[str, int]) -> None:
    alerts = waiting(*severities)
    alone, together = plan(alerts, sent, GROUPING)
    assert sorted(alone + together) == sorted(alert.alert_id for alert in alerts)
    assert len(alone) <= 3 * GROUPING.first


def test_a_groups_id_is_made_of_its_channel_and_alerts() -> None:
    one = group_id("oncall", ["a", "b"])
    assert one == group_id("oncall", ["b", "a"])
    assert (
        len({one, group_id("slack", ["a", "b"]), group_id("oncall", ["ab"]), group_id("oncall", ["a"])}) == 4
    )
    assert len(one) == len("grp_") + 26


def test_signatures_are_those_of_standard_webhooks() -> None:
    """Id, second and body with dots between, HMAC-SHA256, base64, one of each key, apart by a space."""
    keys = [b"k" * 24, b"l" * 32]
    want = [
        base64.b64encode(hmac.new(key, b'msg_1.1700000000.{"a":1}', hashlib.sha256).digest()).decode()
        for key in keys
    ]
    assert signatures(keys, "msg_1", 1_700_000_000, b'{"a":1}') == f"v1,{want[0]} v1,{want[1]}"


def test_a_signature_known_from_the_specifications_libraries() -> None:
    """The test value that Standard Webhooks' own libraries carry."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = signatures([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
