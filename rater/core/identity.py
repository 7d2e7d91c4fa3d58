"""What makes two records the same event, and how an identity and its content are digested."""

from collections.abc import Iterator
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

DIGEST_BYTES = 16
CONTENT_BYTES = 8
ENTRY_BYTES = DIGEST_BYTES + CONTENT_BYTES + 8  # then the first offset, 8 bytes big-endian

_LENGTH = Struct(">I")
_OFFSET = Struct(">q")


class Known(NamedTuple):
    """What is remembered of a rated event: the digest of its bytes and where it first stood."""

    content: bytes
    first_offset: int


FORGOTTEN = Known(b"", -1)
"""An event that was rated and corrected, of which nothing else is remembered."""


def identity_digest(customer_id: str, source: str, event_id: str) -> bytes:
    """blake2b-128 of the length-prefixed identity: no two identities share an encoding."""
    return digest_under(identity_prefix(customer_id, source), event_id.encode())


def identity_prefix(customer_id: str, source: str) -> bytes:
    """What the identities of one customer's events from one source begin with."""
    customer, origin = customer_id.encode(), source.encode()
    return b"".join((_LENGTH.pack(len(customer)), customer, _LENGTH.pack(len(origin)), origin))


def digest_under(prefix: bytes, event_id: bytes) -> bytes:
    """The digest of the identity with that prefix."""
    return blake2b(prefix + _LENGTH.pack(len(event_id)) + event_id, digest_size=DIGEST_BYTES).digest()


def content_digest(value: bytes) -> bytes:
    """blake2b-64 of the record's whole value."""
    return blake2b(value, digest_size=CONTENT_BYTES).digest()


def pack_entry(digest: bytes, content: bytes, first_offset: int) -> bytes:
    """One entry of a frame's digest block."""
    return digest + content + _OFFSET.pack(first_offset)


def unpack_entries(packed: bytes) -> Iterator[tuple[bytes, Known]]:
    """The entries of a frame's digest block, in order.

    Raises:
        ValueError: the block is not a whole number of entries.
    """
    if len(packed) % ENTRY_BYTES:
        raise ValueError(f"a digest block has {len(packed)} bytes; it must be a multiple of {ENTRY_BYTES}")
    for start in range(0, len(packed), ENTRY_BYTES):
        end_of_content = start + DIGEST_BYTES + CONTENT_BYTES
        yield (
            packed[start : start + DIGEST_BYTES],
            Known(
                packed[start + DIGEST_BYTES : end_of_content],
                _OFFSET.unpack_from(packed, end_of_content)[0],
            ),
        )
