"""A customer's entry in a partition's local state, as it is packed there."""

from struct import Struct
from typing import NamedTuple

_NUMBERS = Struct(">qqqq")


class CustomerEntry(NamedTuple):
    """A customer's sequence, and what rater.state holds of it.

    recorded_day is the day (append time) of its last record there, last_frame_us the time of its last frame.
    """

    last_seq: int
    recorded_seq: int
    recorded_day: int
    last_frame_us: int

    @property
    def recorded(self) -> bool:
        """Whether rater.state has the last sequence."""
        return self.last_seq == self.recorded_seq

    def packed(self) -> bytes:
        """As it stands in the family."""
        return _NUMBERS.pack(*self)

    @classmethod
    def unpacked(cls, value: bytes) -> "CustomerEntry":
        """The entry that `packed` packed."""
        return cls(*_NUMBERS.unpack(value))
