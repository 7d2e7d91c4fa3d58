"""Plain usage events by columns: where their fields stand, and what of them repeats from event to event.

Nearly every event has the shipped schema, short strings, and neither routing nor a provider's cost. A batch
of these is walked in lockstep, field by field, over an array of positions; no field is decoded. What comes
out of each are its few fields that always differ, and one key: the bytes of everything that rarely does, so
that work on it can be done once for all events that share it. Any other event is left to `codec.decode`.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.codec import CODEC, HEADER_BYTES

_Ints = NDArray[np.int64]
_Flags = NDArray[np.bool_]

ENTRIES_MAX: Final = 16  # of one map or array; an event with more is not plain
STRING_BYTES_MAX: Final = 65  # with its length and its branch
_PAD: Final = bytes((40 + 7 * ENTRIES_MAX) * STRING_BYTES_MAX)
_TIME_BYTES: Final = 8  # any instant from 1988 to 2533
_TIME_FORM: Final = np.uint64(0x00808080_80808080)
_TIME_BITS: Final = np.uint64(0x80808080_80808080)
_TIME_WEIGHTS: Final = np.int64(1) << np.arange(0, 7 * _TIME_BYTES, 7, dtype=np.int64)


def _steps() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How far a string's first byte, an optional one's first two, move a walk; 0 where it is not plain.

    A string is plain where its length takes one byte: it has at most 63 bytes, within every limit.
    """
    plain = np.array([0 if byte & 0x81 else 1 + (byte >> 1) for byte in range(256)], np.int64)
    optional = np.zeros((256, 256), np.int64)
    optional[0] = 1
    optional[2] = np.where(plain, plain + 1, 0)
    return plain, optional.ravel()


_STRING, _OPTIONAL = _steps()


class PlainEvent(NamedTuple):
    """A plain event: slices of its bytes.

    `who` holds customer_id and source. `shape` determines all that is not told here, but for the rest of the
    identity, parent_event_id, attempt, the provider's request and response ids, and what `Reading` leaves
    out: all of these are known to keep the wire's rules. `quantities` are those of the usage's meters, in the
    order of the bytes.
    """

    who: bytes
    event_id: bytes
    event_time_us: int
    shape: bytes
    quantities: tuple[bytes, ...]


class Reading(NamedTuple):
    """What `shape` holds beside all else: user_id, whether a query is named, the tags."""

    with_user: bool = False
    with_query: bool = False
    with_tags: bool = False


def plain_events(values: Sequence[bytes | None], reading: Reading) -> list[PlainEvent | None]:
    """Each value's plain event, None where it is none.

    That customer, source and `shape` keep the rules of the wire is for the caller to know: the same bytes
    always do or never.
    """
    header = CODEC.fingerprint("UsageEvent")
    taken = [i for i, value in enumerate(values) if value is not None and value[:HEADER_BYTES] == header]
    found: list[PlainEvent | None] = [None] * len(values)
    if taken:
        read = _EventWalk([values[i] or b"" for i in taken]).read(reading)
        for index, event in zip(taken, read, strict=True):
            found[index] = event
    return found


class Walk:
    """Where each record stands; `good` as long as it is plain."""

    def __init__(self, values: Sequence[bytes], pad: bytes = _PAD) -> None:
        """`pad`: as far as all steps together can move beyond the last record."""
        self._bytes = b"".join((*values, pad))
        self._buffer = np.frombuffer(self._bytes, np.uint8)
        lengths = np.fromiter(map(len, values), np.int64, len(values))
        self._last = len(self._bytes) - len(pad)
        self._end = np.cumsum(lengths)
        self._at = self._end - lengths + HEADER_BYTES
        self._good = np.ones(len(values), np.bool_)
        self._strange: NDArray[np.uint16] | None = None

    # --- steps: each moves all events by one field or more ---

    def _strings(self, count: int) -> None:
        for _ in range(count):
            self._move(_STRING[self._buffer[self._at]])

    def _optionals(self, count: int) -> None:
        for _ in range(count):
            at = self._at
            self._move(_OPTIONAL[self._buffer[at] * np.int64(256) + self._buffer[at + 1]])

    def _move(self, steps: _Ints) -> None:
        self._good &= steps != 0
        self._at = self._at + steps

    def _varying(self) -> None:
        """An optional string that has no part in the shape: no memo knows whether it is text."""
        at = self._at
        self._optionals(1)
        self._clean(at, 2)

    def _clean(self, start: _Ints, skipped: int, left: int = 0) -> None:
        """What began there, but for so many bytes, holds neither NUL nor anything beyond ASCII."""
        if self._strange is None:
            # Counted up to each byte: 0 wraps to 255.
            strange = (self._buffer - np.uint8(1)) > np.uint8(126)
            # Modulo 65,536: no span is nearly as long.
            self._strange = np.zeros(self._buffer.size + 1, np.uint16)
            np.cumsum(strange, dtype=np.uint16, out=self._strange[1:])
        end = self._at - left
        self._good &= self._strange[end] == self._strange[np.minimum(start + skipped, end)]

    def _small(self, count: int) -> None:
        """Enums: one byte each."""
        for _ in range(count):
            self._good &= self._buffer[self._at] < 128
            self._at = self._at + 1

    def _null(self) -> None:
        self._good &= self._buffer[self._at] == 0
        self._at = self._at + 1

    def _times(self) -> _Ints:
        """An instant of each."""
        digits = self._buffer[self._at[:, None] + np.arange(_TIME_BYTES)]
        self._good &= (digits.view("<u8").ravel() & _TIME_BITS) == _TIME_FORM
        raw = (digits & np.uint8(0x7F)).astype(np.int64) @ _TIME_WEIGHTS
        self._at = self._at + _TIME_BYTES
        told: _Ints = (raw >> 1) ^ -(raw & 1)
        return told

    def _attempt(self) -> None:
        """None, or 1 to 63."""
        first, number = self._buffer[self._at], self._buffer[self._at + 1]
        some = (first == 2) & (number & 0x81 == 0) & (number > 0)
        self._good &= (first == 0) | some
        self._at = self._at + 1 + some

    def _count(self) -> _Ints:
        """How many entries a map or array has, in one block."""
        count = self._buffer[self._at]
        self._good &= (count & 0x81 == 0) & (count <= 2 * ENTRIES_MAX)
        self._at = self._at + 1
        counts: _Ints = np.where(self._good, count >> 1, 0).astype(np.int64)
        return counts

    def _entries(self, strings: int) -> None:
        """A map of strings, or an array of them."""
        counts = self._count()
        if counts.any():
            for number in range(int(counts.max())):
                having = counts > number
                for _ in range(strings):
                    self._at = self._at + self._steps_of(having)
            self._ended(counts)

    def _steps_of(self, having: _Flags) -> _Ints:
        """The steps of a string that some have."""
        steps = _STRING[self._buffer[self._at]]
        self._good &= (steps != 0) | ~having
        moved: _Ints = steps * having
        return moved

    def _ended(self, counts: _Ints) -> None:
        some = counts > 0
        self._good &= (self._buffer[self._at] == 0) | ~some
        self._at = self._at + some

    # --- slices ---

    def _cut(self, start: _Ints, end: _Ints) -> list[bytes]:
        return list(map(self._bytes.__getitem__, map(slice, start.tolist(), end.tolist())))


class _EventWalk(Walk):
    """A usage event, from its first field to its last."""

    def read(self, reading: Reading) -> list[PlainEvent | None]:
        who = self._at
        self._strings(1)  # customer_id
        source = self._at
        self._strings(1)
        event_id = self._at
        self._strings(1)
        self._clean(event_id, 1)
        self._good &= self._at - event_id > 1
        time_us: list[int] = self._times().tolist()
        query = self._at
        for _ in ("query_id", "parent_event_id"):
            self._varying()
        self._attempt()
        project = self._at
        self._optionals(1)
        user = self._at
        self._varying()
        product = self._at
        self._optionals(2)  # product, feature
        self._strings(1)  # provider
        self._optionals(8)  # models, region, endpoint, provider's account, project and key
        request = self._at
        for _ in ("provider_request_id", "provider_response_id"):
            self._varying()
        context = self._at
        self._entries(2)
        self._small(3)  # status, stream_complete, usage_semantics
        usage = self._at
        keys, quantities = self._usage()
        rest = self._at
        self._small(1)  # usage_quality
        self._null()  # provider_cost
        self._optionals(2)  # query_complexity, quality_tier
        self._entries(1)  # compliance_tags
        self._null()  # routing
        tags = self._at
        self._entries(2)
        self._good &= self._at == self._end
        spans = [(source, event_id), (context, usage), (rest, self._end if reading.with_tags else tags)]
        spans += [(project, request)] if reading.with_user else [(project, user), (product, request)]
        if not reading.with_tags:
            self._clean(tags, 1, 1)
        pieces = [self._cut(*span) for span in spans]
        if reading.with_query:
            pieces.append(self._flags(query))
        shapes = map(b"".join, zip(*pieces, keys, strict=True))
        events = map(
            PlainEvent._make,
            zip(
                self._cut(who, event_id),
                self._cut(event_id + 1, event_id + 1 + (self._buffer[event_id] >> 1)),
                time_us,
                shapes,
                quantities,
                strict=True,
            ),
        )
        return [event if good else None for event, good in zip(events, self._good.tolist(), strict=True)]

    def _usage(self) -> tuple[list[bytes], list[tuple[bytes, ...]]]:
        """Keys in one piece each, and quantities."""
        counts = self._count()
        keys: list[list[bytes]] = []
        told: list[list[bytes]] = []
        for number in range(int(counts.max(initial=0))):
            having = counts > number
            start = self._at
            self._at = start + self._steps_of(having)
            keys.append(self._cut(start, self._at))
            start = self._at
            self._at = start + self._steps_of(having)
            told.append(self._cut(start + having, self._at))
        self._ended(counts)
        if not keys:
            return [b""] * len(counts), [()] * len(counts)
        joined = list(map(b"".join, zip(*keys, strict=True)))
        quantities: list[tuple[bytes, ...]] = list(zip(*told, strict=True))
        if counts.min() < len(keys):
            quantities = [some[:count] for some, count in zip(quantities, counts.tolist(), strict=True)]
        return joined, quantities

    def _flags(self, query: _Ints) -> list[bytes]:
        """Whether a query is named, as a byte."""
        named = (self._buffer[query] == 2) & (self._buffer[query + 1] > 0)
        return [b"\1" if one else b"\0" for one in named.tolist()]
