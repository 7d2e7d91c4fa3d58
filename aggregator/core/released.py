"""Which offsets of usage.deltas may be committed: those before the first frame not yet acknowledged.

A frame is released when it is complete, folded, and when the changelog records and the totals that it led to
are acknowledged. Frames of a partition are released in their order, because whoever releases gives the
position that a whole batch of writes covers.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

Where = TypeVar("Where", bound=Hashable)


class Released(Generic[Where]):
    """The position of each partition up to which nothing is needed again."""

    def __init__(self) -> None:
        self._next: dict[Where, int] = {}

    def release(self, where: Where, next_offset: int) -> None:
        """Everything before `next_offset` is done; what was released stays so, even if it is read again."""
        self._next[where] = max(next_offset, self._next.get(where, 0))

    def next_offset(self, where: Where) -> int | None:
        """What a new owner has to read first; None: nothing was released."""
        return self._next.get(where)

    def partitions(self) -> tuple[Where, ...]:
        return tuple(self._next)

    def forget(self) -> None:
        """The partitions are another's now."""
        self._next.clear()
