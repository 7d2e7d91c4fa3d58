"""Decoded records as the checks see them, and the digests that frames hold of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

ID_BYTES = 16  # blake2b-128 of the identity
CONTENT_BYTES = 8  # blake2b-64 of the input record's value
OFFSET_BYTES = 8
ENTRY_BYTES = ID_BYTES + CONTENT_BYTES + OFFSET_BYTES
ORIGINAL = "original"


@dataclass(frozen=True, slots=True)
class RatedRecord:
    """A record of usage.rated; `value` as it stands in the topic, `event` and `rating` decoded."""

    offset: int
    key: bytes | None
    value: bytes
    has_headers: bool
    event: Mapping[str, Any]
    rating: Mapping[str, Any]

    @property
    def where(self) -> str:
        return f"usage.rated@{self.offset}"

    @property
    def named(self) -> str:
        """The record as an operator names it."""
        customer, source, event = (self.event[name] for name in ("customer_id", "source", "event_id"))
        return f"customer {customer!r} event {source!r} {event!r} sequence {self.rating['customer_seq']}"


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A record of usage.rejected; `record` decoded. `of_events` tells usage.events from usage.corrections."""

    offset: int
    record: Mapping[str, Any]
    of_events: bool

    @property
    def where(self) -> str:
        return f"usage.rejected@{self.offset}"


@dataclass(frozen=True, slots=True)
class InputRecord:
    """A record of usage.events, where the broker still holds it."""

    offset: int
    append_us: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Entry:
    """What a frame holds of one rated event; `offset` is -1 where another generation of topics has it."""

    content: bytes
    offset: int


def identity_digest(event: Mapping[str, Any]) -> bytes:
    """blake2b-128 of customer_id, source and event_id, each after its length (4 bytes, big-endian)."""
    digest = blake2b(digest_size=ID_BYTES)
    for field in ("customer_id", "source", "event_id"):
        text = event[field].encode()
        digest.update(len(text).to_bytes(4, "big") + text)
    return digest.digest()


def content_digest(value: bytes) -> bytes:
    """blake2b-64 of the whole value of the input record."""
    return blake2b(value, digest_size=CONTENT_BYTES).digest()


def unpack(packed: bytes) -> list[tuple[bytes, Entry]]:
    """The entries of one digest block. Raises ValueError where bytes are left over."""
    if len(packed) % ENTRY_BYTES:
        raise ValueError(f"{len(packed)} bytes are no multiple of {ENTRY_BYTES}")
    content_end = ID_BYTES + CONTENT_BYTES
    return [
        (
            packed[at : at + ID_BYTES],
            Entry(
                packed[at + ID_BYTES : at + content_end],
                int.from_bytes(packed[at + content_end : at + ENTRY_BYTES], "big", signed=True),
            ),
        )
        for at in range(0, len(packed), ENTRY_BYTES)
    ]


def is_carried(frame: Mapping[str, Any]) -> bool:
    """Whether the frame holds what was rated in the generation of topics before: it took no input and gave no
    sequence, and still has ids or customers.
    """
    ranges = (frame["events"], frame["corrections"])
    taken = any(one["from_offset"] != one["to_offset"] for one in ranges)
    given = any(delta["last_seq"] >= delta["first_seq"] or delta["rows"] for delta in frame["customers"])
    return not taken and not given and bool(frame["digests"] or frame["customers"])


def frame_where(frame: Mapping[str, Any]) -> str:
    return f"frame {frame['frame_no']}"
