"""Who wrote a record, read from a broker's own segments: the head of its batch (message format 2)."""

from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import NamedTuple

_TRANSACTIONAL = 0x10  # of a batch's attributes
_FIRST = Struct(">qi")  # base offset, bytes that follow
# leader epoch, magic, checksum, attributes, last offset delta, two timestamps, producer, its epoch, sequence
_HEAD = Struct(">ibIhiqqqhi")


class BatchHead(NamedTuple):
    """What tells a batch that was sent again from one that was made anew, and whose it is."""

    base_offset: int
    transactional: bool
    producer_id: int
    producer_epoch: int
    base_sequence: int


def batch_of(data: Path, topic: str, partition: int, offset: int) -> BatchHead | None:
    """The batch that has the offset, from the data of a broker; None: it does not hold it."""
    for segment in sorted((data / f"{topic}-{partition}").glob("*.log"), reverse=True):
        if int(segment.stem) <= offset:
            return next((head for head, last in _heads(segment.read_bytes()) if last >= offset), None)
    return None


def _heads(data: bytes) -> Iterator[tuple[BatchHead, int]]:
    at = 0
    while at + _FIRST.size + _HEAD.size <= len(data):
        base, size = _FIRST.unpack_from(data, at)
        _, _, _, attributes, delta, _, _, producer, epoch, sequence = _HEAD.unpack_from(
            data, at + _FIRST.size
        )
        yield BatchHead(base, bool(attributes & _TRANSACTIONAL), producer, epoch, sequence), base + delta
        at += _FIRST.size + size
