"""Records that no rater may rate, one of each kind, with the reason that each must be rejected for."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas import reasons
from schemas.codec import CODEC
from schemas.partitioning import partition_of
from schemas.topics import MIB

Event = Mapping[str, Any]
_MARKER_BYTES = 10


@dataclass(frozen=True)
class Poison:
    """A record as it is put on usage.events, and why it must be refused."""

    what: str
    expected_reason: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    """None: where its key belongs."""
    event: Event | None = None
    """What it says, where it says an event."""


KINDS = (
    "bad_avro", "cut_off", "left_over", "unknown_fingerprint", "null_value", "empty_value", "null_key",
    "other_key", "other_partition", "large_value", "too_large", "negative", "not_a_number",
    "too_many_digits", "overflow", "nul_character", "impossible_counts", "empty_provider",
)  # fmt: skip


def poison(what: str, event: dict[str, Any], chance: random.Random, partitions: int) -> Poison:
    """The event turned into poison of one kind."""
    key = str(event["customer_id"]).encode()
    good = CODEC.encode("UsageEvent", event)
    if what in _CONTENT:
        reason, change = _CONTENT[what]
        bad = event | change
        return Poison(what, reason, key, CODEC.encode("UsageEvent", bad), event=bad)
    home = partition_of(key, partitions)
    if what == "null_key":
        return Poison(what, reasons.MISROUTED, None, good, home, event)
    if what == "other_key":
        return Poison(what, reasons.MISROUTED, b"somebody-else", good, home, event)
    if what == "other_partition":
        return Poison(what, reasons.MISROUTED, key, good, (home + 1) % partitions, event)
    reason, value = {
        "bad_avro": (reasons.UNDECODABLE, good[:_MARKER_BYTES] + b"\xff" * 40),
        "cut_off": (reasons.UNDECODABLE, good[: len(good) // 2]),
        "left_over": (reasons.UNDECODABLE, good + b"\0"),
        "unknown_fingerprint": (reasons.UNKNOWN_SCHEMA, good[:2] + bytes(8) + good[_MARKER_BYTES:]),
        "null_value": (reasons.UNDECODABLE, None),
        "empty_value": (reasons.UNDECODABLE, b""),
        "large_value": (reasons.UNDECODABLE, chance.randbytes(1_000_000)),
        "too_large": (reasons.TOO_LARGE, chance.randbytes(MIB + 100)),
    }[what]
    return Poison(what, reason, key, value)


def _tokens(count: str) -> dict[str, Any]:
    return {"usage": {"input_tokens": count, "output_tokens": "1"}}


_CONTENT: Mapping[str, tuple[str, dict[str, Any]]] = {
    "negative": (reasons.BAD_QUANTITY, _tokens("-1")),
    "not_a_number": (reasons.BAD_QUANTITY, _tokens("NaN")),
    "too_many_digits": (reasons.BAD_QUANTITY, _tokens("9" * 39)),
    "overflow": (reasons.BAD_QUANTITY, _tokens("9" * 21)),
    "nul_character": (reasons.INVALID_FIELD, {"feature": "a\0b"}),
    "impossible_counts": (
        reasons.IMPOSSIBLE_COUNTS,
        {"usage": {"input_tokens": "5", "cache_read_tokens": "6", "output_tokens": "1"}},
    ),
    "empty_provider": (reasons.INVALID_FIELD, {"provider": ""}),
}
