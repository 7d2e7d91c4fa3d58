"""Digests as a partition's local state holds them: the identity's to the content's and the first offset."""

from collections.abc import Iterable, Iterator, Sequence
from struct import Struct

from rocksdict import Rdict

from rater.core.identity import CONTENT_BYTES, DIGEST_BYTES, ENTRY_BYTES, Known

_OFFSET = Struct(">q")


def entries_of(packed: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a frame's packed entries."""
    for start in range(0, len(packed), ENTRY_BYTES):
        yield packed[start : start + DIGEST_BYTES], packed[start + DIGEST_BYTES : start + ENTRY_BYTES]


def look_up(family: Rdict | None, keys: Sequence[bytes], found: dict[bytes, Known]) -> Sequence[bytes]:
    """Look keys up in one family; returns those that it does not have."""
    if family is None:
        return keys
    values: Iterable[bytes | None] = family.get(list(keys)) or ()
    missing = []
    for key, value in zip(keys, values, strict=True):
        if value is None:
            missing.append(key)
        else:
            found[key] = Known(value[:CONTENT_BYTES], _OFFSET.unpack_from(value, CONTENT_BYTES)[0])
    return missing
