"""A Bloom filter in RAM in front of the state: a negative answer is final, a positive one is looked up.

Digests are uniform already (blake2b), so their own 16 bytes serve as the two hashes. Each generation is
larger than the one before, and one is dropped when the newest bucket in it has expired, so nothing is
ever deleted singly.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

_HASHES = 7  # with 10 bits a digest: 0.8 % false positives in a full generation
_BITS_PER_DIGEST = 10
_FIRST_BITS = 1 << 20  # 128 KiB: a quiet partition costs little
_GROWTH = 8  # few generations to ask, at most 8 times the RAM that one exact size would take
_BITS_MAX = 1 << 33  # 1 GiB; later generations have this size

Words = npt.NDArray[np.uint64]


class _Generation:
    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.capacity = bits // _BITS_PER_DIGEST
        self.count = 0
        self.newest_bucket_us = 0
        self._bytes = np.zeros(bits // 8, dtype=np.uint8)

    def add(self, positions: Words) -> None:
        flat = positions.ravel()
        np.bitwise_or.at(self._bytes, flat >> np.uint64(3), _bit_of(flat))
        self.count += len(positions)

    def maybe(self, positions: Words) -> npt.NDArray[np.bool_]:
        hit = self._bytes[positions >> np.uint64(3)] & _bit_of(positions)
        found: npt.NDArray[np.bool_] = hit.all(axis=1)
        return found


def _bit_of(positions: Words) -> npt.NDArray[np.uint8]:
    return np.left_shift(np.uint8(1), (positions & np.uint64(7)).astype(np.uint8))


class DigestFilter:
    """Which 16-byte digests may have been added."""

    def __init__(self, first_bits: int = _FIRST_BITS) -> None:
        self._generations = [_Generation(first_bits)]

    def add(self, packed: bytes, bucket_us: int) -> None:
        """Add digests, packed 16 bytes each, that belong to one bucket."""
        words = _words(packed)
        while len(words):
            newest = self._generations[-1]
            if newest.count >= newest.capacity:
                newest = _Generation(min(newest.bits * _GROWTH, _BITS_MAX))
                self._generations.append(newest)
            # No more than it is made for: a restart adds a whole bucket at once.
            some, words = np.split(words, [newest.capacity - newest.count])
            newest.add(_positions(some, newest.bits))
            newest.newest_bucket_us = max(newest.newest_bucket_us, bucket_us)

    def maybe(self, packed: bytes) -> npt.NDArray[np.bool_]:
        """For each digest, False where it was certainly never added."""
        words = _words(packed)
        found = np.zeros(len(words), dtype=np.bool_)
        for generation in self._generations:
            found |= generation.maybe(_positions(words, generation.bits))
        return found

    def drop_expired(self, expired: Callable[[int], bool]) -> None:
        """Drop the generations in which even the newest bucket has expired."""
        kept = [
            generation
            for generation in self._generations
            if generation is self._generations[-1] or not expired(generation.newest_bucket_us)
        ]
        self._generations = kept

    @property
    def bytes_used(self) -> int:
        """RAM held by the filter's bits."""
        return sum(generation.bits // 8 for generation in self._generations)


def _words(packed: bytes) -> Words:
    return np.frombuffer(packed, dtype=np.uint64).reshape(-1, 2)


def _positions(words: Words, bits: int) -> Words:
    steps = np.arange(_HASHES, dtype=np.uint64)
    # An odd stride visits different positions, since the number of bits is a power of two.
    positions: Words = (words[:, :1] + steps * (words[:, 1:] | np.uint64(1))) & np.uint64(bits - 1)
    return positions
