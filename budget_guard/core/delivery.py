"""When a message goes, alone or with others, when again, and under which signature.

Instants are microseconds, jitter is passed in: the same arguments give the same answer.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

SECOND_US: Final = 1_000_000
SEVERITIES: Final = ("info", "warning", "critical")


def rank(severity: str) -> int:
    """The place of a severity, the mildest being 0. One that this build does not know counts as critical."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES) - 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often a message is tried: at first after `first_s`, then twice as late each time, never later than
    `longest_s`; the last attempt is made `keep_trying_s` after the first one.
    """

    first_s: int
    longest_s: int
    keep_trying_s: int

    def next_us(
        self,
        *,
        first_attempt_us: int,
        now_us: int,
        failed: int,
        retry_after_s: int | None,
        jitter: Callable[[int], int],
    ) -> int | None:
        """When to try again after `failed` attempts, the last of them now; None: that was the last one.

        `jitter(n)` is a number from 0 to n - 1: the pause is between 3/4 and 5/4 of the doubled one. The
        other side may ask for a longer pause, of at most `longest_s`, never for a shorter one.
        """
        end_us = first_attempt_us + self.keep_trying_s * SECOND_US
        if now_us >= end_us:
            return None
        doubled_s = self.first_s << min(failed - 1, 32)
        pause_us = min(doubled_s, self.longest_s) * SECOND_US
        pause_us = pause_us * 3 // 4 + jitter(max(1, pause_us // 2))
        if retry_after_s is not None:
            pause_us = max(pause_us, min(retry_after_s, self.longest_s) * SECOND_US)
        return min(now_us + pause_us, end_us)


@dataclass(frozen=True, slots=True)
class Grouping:
    """So many alerts of a channel go one by one in any `window_s`; what comes beyond goes as one message,
    `collect_s` after the first of it.
    """

    first: int
    window_s: int
    collect_s: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """An alert that a channel has to deliver and that nothing was decided about yet."""

    alert_id: str
    severity: str
    raised_at_us: int


def plan(
    waiting: Sequence[Waiting], sent: Mapping[str, int], grouping: Grouping
) -> tuple[list[str], list[str]]:
    """The alerts that go one by one, and those that are collected; both the worst first, then the oldest.

    Args:
        waiting: in any order.
        sent: how many alerts of each severity went one by one within the window.
        grouping: only alerts at least as severe count against an alert: none is held back by milder ones.
    """
    counts = {severity: sent.get(severity, 0) for severity in SEVERITIES}
    alone, together = [], []
    for alert in sorted(waiting, key=lambda a: (-rank(a.severity), a.raised_at_us, a.alert_id)):
        severity = SEVERITIES[rank(alert.severity)]
        if sum(counts[other] for other in SEVERITIES[rank(severity) :]) < grouping.first:
            counts[severity] += 1
            alone.append(alert.alert_id)
        else:
            together.append(alert.alert_id)
    return alone, together


def group_id(channel: str, alert_ids: Sequence[str]) -> str:
    """The id of the message that carries these alerts to a channel."""
    digest = hashlib.blake2b(digest_size=13)
    for field in (channel, *sorted(alert_ids)):
        data = field.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return "grp_" + digest.hexdigest()


def signatures(secrets: Sequence[bytes], message_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of `webhook-signature`: one signature a secret, so that a receiver may hold either of two."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return " ".join(
        "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode("ascii")
        for secret in secrets
    )
