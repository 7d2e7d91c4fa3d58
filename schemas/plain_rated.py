"""Plain rated records by columns: where the fields stand that differ from record to record, and one key of
all else that the ledger reads.

As in `schemas.plain`, of whose events these are the ratings: a batch is walked in lockstep and nothing is
decoded. Here provider's costs, routing and pools are plain too, for they are passed over; any other record is
left to `codec.decode`. The text of what is passed over is not looked at, nor that of the reasons of lines
that have an amount.
"""

from collections.abc import Callable, Sequence
from copy import copy
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from schemas.codec import CODEC, HEADER_BYTES
from schemas.plain import ENTRIES_MAX, STRING_BYTES_MAX, Walk

_Ints = NDArray[np.int64]

_SOME: Final = 2  # a union's second branch on the wire
_SEQUENCE_BYTES: Final = 5
_VERSION_BYTES: Final = 3
_PAD: Final = bytes((60 + 12 * ENTRIES_MAX) * STRING_BYTES_MAX)  # long strings end at the last record's end


def _steps() -> NDArray[np.int16]:
    """How far a string's first two bytes move a walk where its length takes one or both; 0: they are none."""
    steps = np.zeros((256, 256), np.int16)
    for first in range(0, 128, 2):
        steps[first] = 1 + (first >> 1)
    seconds = np.arange(128)
    for first in range(128, 256, 2):
        steps[first, :128] = 2 + (((first & 0x7F) | seconds << 7) >> 1)
    return steps.ravel()


_LONG_STRING: Final = _steps()


class RatedColumns(NamedTuple):
    """Fields of plain records as their bytes, an optional one that is null as b"" with a length of -1; those
    of records that are not `good` mean nothing.

    `shape` determines all that the ledger reads of a record and that is not told here. Strings outside it are
    ASCII without NUL. `counts` are those of the lines, `quantities` and `amounts` these lines' of all
    records, b"" for an amount that is null.
    """

    good: list[bool]
    customer_id: list[bytes]
    event_id: list[bytes]
    event_time_us: _Ints
    query_id: list[bytes]
    parent_event_id: list[bytes]
    user_id: list[bytes]
    lengths: tuple[list[int], list[int], list[int], list[int]]
    """Of event_id, query_id, parent_event_id, user_id."""
    attempt: list[int]
    """0 for null."""
    customer_seq: _Ints
    cost: list[bytes]
    price: list[bytes]
    shape: list[bytes]
    counts: list[int]
    quantities: list[bytes]
    amounts: list[bytes]


def is_rated(value: bytes | None) -> bool:
    """Whether the shipped schema wrote it."""
    return value is not None and value[:HEADER_BYTES] == CODEC.fingerprint("RatedUsage")


def rated_columns(values: Sequence[bytes]) -> RatedColumns:
    """The fields of records of which each `is_rated`."""
    return _RatedWalk(values, _PAD).read()


class _RatedWalk(Walk):
    def read(self) -> RatedColumns:
        pieces: list[list[bytes]] = []  # of the shape
        customer_id = self._text(self._strings)
        start = self._at
        self._strings(1)  # source
        pieces.append(self._cut(start, self._at))
        event_id = self._text(self._strings)
        time_us = self._times()
        query_id = self._text(self._optionals, 2)
        parent_event_id = self._text(self._optionals, 2)
        attempt_at = self._at
        self._attempt()
        attempt = np.where(self._at - attempt_at > 1, self._buffer[attempt_at + 1] >> 1, 0)
        start = self._at
        self._optionals(1)  # project
        pieces.append(self._cut(start, self._at))
        user_id = self._text(self._optionals, 2)
        start = self._at
        self._optionals(2)  # product, feature
        self._strings(1)  # provider
        self._optionals(8)  # models, region, endpoint, provider's account, project and key
        pieces.append(self._cut(start, self._at))
        self._rest_of_event(pieces)
        customer_seq = self._varint(_SEQUENCE_BYTES)
        cost, price = self._rating(pieces)
        counts, quantities, amounts, lines = self._lines()
        start = self._at
        self._optionals(1)  # plan
        pieces.append(self._cut(start, self._at))
        self._good &= self._at == self._end
        texts = customer_id, event_id, query_id, parent_event_id, user_id
        self._clean_texts([told for told, _ in texts])
        return RatedColumns(
            self._good.tolist(),
            customer_id[0],
            event_id[0],
            time_us,
            query_id[0],
            parent_event_id[0],
            user_id[0],
            (event_id[1], query_id[1], parent_event_id[1], user_id[1]),
            attempt.tolist(),
            customer_seq,
            cost,
            price,
            list(map(b"".join, zip(*pieces, lines, strict=True))),
            counts,
            quantities,
            amounts,
        )

    def _rest_of_event(self, pieces: list[list[bytes]]) -> None:
        self._optionals(2)  # provider's request and response
        self._entries(2)  # context
        for symbols in (5, 4, 2):  # status, stream_complete, usage_semantics
            self._enum(symbols)
        self._entries(2)  # usage
        self._enum(4)  # usage_quality
        self._maybe(_RatedWalk.money)  # provider_cost
        start = self._at
        self._optionals(2)  # query_complexity, quality_tier
        pieces.append(self._cut(start, self._at))
        self._entries(1)  # compliance_tags
        self._maybe(_RatedWalk.routing)
        self._entries(2)  # tags

    def _rating(self, pieces: list[list[bytes]]) -> tuple[list[bytes], list[bytes]]:
        """The amounts of cost and price."""
        start = self._at
        self._small(2)  # leg, revision
        self._optionals(1)  # correction_id
        self._varint(_VERSION_BYTES)  # book_version
        pieces.append(self._cut(start, self._at))
        self._long_strings(1)  # book_hash
        start = self._at
        self._times()
        self._times()
        pieces.append(self._cut(start, self._at))
        self._array(_RatedWalk.pool)
        amounts = []
        for _ in ("cost", "price"):
            start = self._at
            self._small(1)  # status
            # The branch is told by the shape: whether there is an amount.
            pieces.append(self._cut(start, self._at + 1))
            amount_start, amount_end = self._amount()
            amounts.append(self._cut(amount_start, amount_end))
            start = self._at
            self._optionals(1)  # currency
            pieces.append(self._cut(start, self._at))
        return amounts[0], amounts[1]

    def _lines(self) -> tuple[list[int], list[bytes], list[bytes], list[bytes]]:
        """How many, their quantities and amounts, and each record's piece of the shape."""
        counts = self._count()
        most = int(counts.max(initial=0))
        spans = np.zeros((len(counts), most, 8), np.int64)
        for number in range(most):
            having = np.flatnonzero(counts > number)
            part = self._part(having)
            spans[having, number] = part.line()
            self._put(having, part)
        self._ended(counts)
        flat = spans[counts[:, None] > np.arange(most)]
        meters = self._cut(flat[:, 0], flat[:, 1])
        quantities = self._cut(flat[:, 2], flat[:, 3])
        amounts = self._cut(flat[:, 4], flat[:, 5])
        ends = np.cumsum(counts).tolist()
        told = counts.tolist()
        lines = [b"".join(meters[end - count : end]) for end, count in zip(ends, told, strict=True)]
        silent = flat[:, 6] < flat[:, 7]
        if silent.any():
            why = [
                # Nothing else begins so: a line's piece begins with its side.
                b"|%b" % piece if some else b"|"
                for piece, some in zip(self._cut(flat[:, 6], flat[:, 7]), silent.tolist(), strict=True)
            ]
            lines = [
                line + b"".join(why[end - count : end])
                for line, end, count in zip(lines, ends, told, strict=True)
            ]
        return told, quantities, amounts, lines

    def line(self) -> _Ints:
        """Where side and meter, the quantity, the amount, and if that is null status and reason stand."""
        side = self._at
        self._small(1)
        self._strings(1)  # meter
        quantity = self._at
        self._strings(1)
        quantity_end = self._at
        self._optionals(2)  # rate, per
        amount, amount_end = self._amount()
        self._optionals(3)  # currency, card, version
        status = self._at
        self._enum(4)
        self._long_strings(1)  # explain
        silent_end = np.where(amount == amount_end, self._at, status)
        self._optionals(1)  # billed_quantity
        return np.stack(
            (side, quantity, quantity + 1, quantity_end, amount, amount_end, status, silent_end), axis=1
        )

    # --- steps ---

    def money(self) -> None:
        self._strings(2)  # amount, currency

    def routing(self) -> None:
        self._strings(1)  # router
        self._optionals(1)  # policy
        self._maybe(_RatedWalk.reason)
        self._array(_RatedWalk.candidate)
        self._optionals(3)  # chosen_provider, chosen_model, fallback_of

    def reason(self) -> None:
        self._long_strings(1)

    def candidate(self) -> None:
        self._strings(2)  # provider, model
        self._maybe(_RatedWalk.money)  # estimated_cost

    def pool(self) -> None:
        self._long_strings(1)
        self._times()
        self._times()
        self._strings(3)  # quantity, amount, currency

    def _amount(self) -> tuple[_Ints, _Ints]:
        """An optional one; where it is null, nothing. One without a digit is not plain."""
        at = self._at
        self._optionals(1)
        some = self._buffer[at] == _SOME
        start: _Ints = np.where(some, at + 2, self._at)
        self._good &= (start < self._at) | ~some
        return start, self._at

    def _text(self, step: Callable[[int], None], skipped: int = 1) -> tuple[list[bytes], list[int]]:
        """A string and its length; nothing and -1 where it is null."""
        at = self._at
        step(1)
        start = np.minimum(at + skipped, self._at)
        lengths = self._at - at - skipped
        return self._cut(start, self._at), lengths.tolist()

    def _clean_texts(self, texts: Sequence[list[bytes]]) -> None:
        """None of them holds NUL or anything beyond ASCII."""
        whole = b"".join([b"".join(told) for told in texts])
        if whole.isascii() and b"\0" not in whole:  # nearly always
            return
        clean = [all(one.isascii() and b"\0" not in one for one in told) for told in zip(*texts, strict=True)]
        self._good &= np.array(clean)

    def _long_strings(self, count: int) -> None:
        """Their lengths may take two bytes. What is beyond all records goes back to their end."""
        for _ in range(count):
            at = self._at
            steps = _LONG_STRING[self._buffer[at] * np.int64(256) + self._buffer[at + 1]]
            self._good &= steps != 0
            self._at = np.minimum(at + steps, self._last)

    def _varint(self, bytes_max: int) -> _Ints:
        """A number of few bytes."""
        value = np.zeros(len(self._at), np.int64)
        more = np.ones(len(self._at), np.bool_)
        for place in range(bytes_max):
            byte = self._buffer[self._at].astype(np.int64)
            value |= np.where(more, (byte & 0x7F) << (7 * place), 0)
            self._at = self._at + more
            more = more & (byte > 0x7F)
            if not more.any():
                break
        self._good &= ~more
        told: _Ints = (value >> 1) ^ -(value & 1)
        return told

    def _enum(self, symbols: int) -> None:
        """One of so many, which no shape tells."""
        number = self._buffer[self._at]
        self._good &= (number & 1 == 0) & (number < 2 * symbols)
        self._at = self._at + 1

    def _maybe(self, walk: "Callable[[_RatedWalk], None]") -> None:
        """What may be null."""
        branch = self._buffer[self._at]
        self._at = self._at + 1
        self._good &= (branch == 0) | (branch == _SOME)
        self._some((branch == _SOME) & self._good, walk)

    def _array(self, walk: "Callable[[_RatedWalk], None]") -> None:
        counts = self._count()
        for number in range(int(counts.max(initial=0))):
            self._some(counts > number, walk)
        self._ended(counts)

    def _some(self, having: NDArray[np.bool_], walk: "Callable[[_RatedWalk], None]") -> None:
        """Only some records walk."""
        rows = np.flatnonzero(having)
        if rows.size:
            part = self._part(rows)
            walk(part)
            self._put(rows, part)

    def _part(self, rows: _Ints) -> Self:
        part = copy(self)
        part._at, part._good = self._at[rows], self._good[rows]  # noqa: SLF001 - the same class
        return part

    def _put(self, rows: _Ints, part: Self) -> None:
        self._at = self._at.copy()
        self._at[rows] = part._at
        self._good[rows] = part._good
