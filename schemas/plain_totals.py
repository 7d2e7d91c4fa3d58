"""Entries of RunningTotals read by hand, twice as fast as by the schema: what an entry is of hardly ever
changes and is known by its bytes; what is left of it are short texts and counts.

A head that is new costs more than the codec does, so where more are in use than are kept, the codec reads.
Whatever is not as the aggregator writes it (`NotPlain`) is to be read by the codec, which says what is wrong.
A test holds both to the same answer.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

from schemas.codec import CODEC

_KNOWN_MAX: Final = 50_000
_NEW_MAX: Final = 4  # one head of so many may be new before the next values are left to the codec
_LEFT_TO_CODEC: Final = 10_000  # so many of them
_LONG_OR_NEGATIVE: Final = 0x81  # bits that a count or a length of 0 to 63 has not
_SHIFT_MAX: Final = 56  # nine bytes; what is longer may be beyond 64 bits
_SOME: Final = 2  # the branch of ["null", "string"] that has a value
_NO_SUMS: Final = b"\0" * 6  # every field behind the head, empty
_HEADER: Final = CODEC.fingerprint("TotalsEntry")

K = TypeVar("K")
N = TypeVar("N")


class NotPlain(Exception):
    """Bytes that this reader leaves to the codec."""


class EntryReader(Generic[K, N]):
    """For one thread.

    Args:
        head: makes what is wanted of an entry's fields window to price_currency.
        number: makes a number of its digits; ValueError: it is none.
    """

    def __init__(self, head: Callable[[Mapping[str, Any]], K], number: Callable[[bytes], N]) -> None:
        self._head = head
        self._number = number
        self._heads: dict[bytes, K] = {}
        self._next: dict[bytes, bytes] = {}  # the head that lately came behind a head, in anybody's totals
        self._names: dict[bytes, str] = {}
        self._read = self._new = 0  # entries and new heads since the heads were last forgotten
        self._left = 0

    def read(self, value: bytes, at: int) -> list[tuple[K, N | None, N | None, int, int, int, dict[str, N]]]:
        """The array of entries that begins at `at` and ends the value: head, cost, price, events,
        unpriced_cost_events, unpriced_price_events, quantities.

        Raises:
            NotPlain: let the codec read it.
        """
        if self._left:
            self._left -= 1
            raise NotPlain
        if len(self._heads) > _KNOWN_MAX or len(self._names) > _KNOWN_MAX:
            if self._new * _NEW_MAX > self._read:
                self._left = _LEFT_TO_CODEC
            self._heads, self._next, self._names = {}, {}, {}
            self._read = self._new = 0
        found = []
        head = b""
        try:
            while value[at]:
                many, at = _count(value, at)
                if many <= 0:  # a block that tells its size, or the end written with more bytes than it needs
                    raise NotPlain
                for _ in range(many):
                    head, at = self._head_at(value, at, head)
                    cost, at = self._amount(value, at)
                    price, at = self._amount(value, at)
                    events, at = _count(value, at)
                    unpriced_cost, at = _count(value, at)
                    unpriced_price, at = _count(value, at)
                    quantities, at = self._quantities(value, at)
                    found.append(
                        (self._heads[head], cost, price, events, unpriced_cost, unpriced_price, quantities)
                    )
        except (IndexError, ValueError) as error:  # WireError is one
            raise NotPlain from error
        if at + 1 != len(value):
            raise NotPlain
        self._read += len(found)
        return found

    def _head_at(self, value: bytes, at: int, before: bytes) -> tuple[bytes, int]:
        """The bytes of an entry's head and where they end."""
        guess = self._next.get(before)
        # No head is the beginning of another: each of its fields says where it ends.
        if guess is not None and value.startswith(guess, at):
            return guess, at + len(guess)
        end = _head_end(value, at)
        head = value[at:end]
        if head not in self._heads:
            self._new += 1
            # Decoded with nothing behind it: what was cut off wrongly leaves bytes over, or is none.
            self._heads[head] = self._head(CODEC.decode("TotalsEntry", _HEADER + head + _NO_SUMS))
        self._next[before] = head
        return head, end

    def _amount(self, value: bytes, at: int) -> tuple[N | None, int]:
        if not value[at]:
            return None, at + 1
        if value[at] != _SOME:
            raise NotPlain
        start = at + 2
        end = start + _length(value[at + 1])
        return self._number(value[start:end]), end

    def _quantities(self, value: bytes, at: int) -> tuple[dict[str, N], int]:
        found: dict[str, N] = {}
        names, number = self._names, self._number
        while value[at]:
            many, at = _length(value[at]), at + 1
            for _ in range(many):
                start = at + 1
                at = start + _length(value[at])
                name = names.get(text := value[start:at])
                if name is None:
                    name = names[text] = text.decode()
                start = at + 1
                at = start + _length(value[at])
                found[name] = number(value[start:at])
        return found, at + 1


def _head_end(value: bytes, at: int) -> int:
    """Where the fields window to price_currency end."""
    at += 1 + _length(value[at])
    _, at = _count(value, at)
    if value[at]:
        if value[at] != _SOME:
            raise NotPlain
        _, at = _count(value, at + 1)
    else:
        at += 1
    while value[at]:
        texts, at = 2 * _length(value[at]), at + 1
        for _ in range(texts):
            at += 1 + _length(value[at])
    at += 1
    for _ in ("cost_currency", "price_currency"):
        at += 2 + _length(value[at + 1]) if value[at] else 1
    return at


def _length(byte: int) -> int:
    """A length or a number of items below 64."""
    if byte & _LONG_OR_NEGATIVE:
        raise NotPlain
    return byte >> 1


def _count(value: bytes, at: int) -> tuple[int, int]:
    """A whole number and where it ends."""
    number = value[at]
    at += 1
    if number & _LONG_OR_NEGATIVE == 0:
        return number >> 1, at
    shift, number, last = 7, number & 0x7F, number
    while last > 0x7F:
        last = value[at]
        at += 1
        if shift > _SHIFT_MAX:
            raise NotPlain
        number |= (last & 0x7F) << shift
        shift += 7
    return (number >> 1) ^ -(number & 1), at
