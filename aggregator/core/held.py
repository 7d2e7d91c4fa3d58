"""The states that are in memory: a bounded cache, and what has changed since it was last written."""

from collections.abc import Callable
from dataclasses import dataclass, field

from aggregator.core.fold import CustomerState
from aggregator.core.parts import Parts


@dataclass(slots=True)
class Partition:
    """One partition that is owned and restored."""

    number: int
    frame_no: int | None
    """The last frame that was folded whole; None: none is known."""
    parts: Parts = field(default_factory=Parts)
    read_offset: int = -1
    """Of the last record that was read."""
    next_offset: int | None = None
    """What follows the last frame that was folded since the assignment."""
    at_us: int = 0
    """The highest append time that its frames told; 0: none has."""
    moved: bool = False
    """Whether the changelog is to be told of a frame: one was folded since the last write (see `frames`), or
    those behind a gap are trusted now.
    """
    frames: int = 0
    """Folded and not written."""
    changed: dict[str, CustomerState] = field(default_factory=dict)
    writing: dict[str, CustomerState] = field(default_factory=dict)
    publish: set[str] = field(default_factory=set)
    repairing: dict[str, int] = field(default_factory=dict)
    """Customers that wait for the ledger, and up to which sequence it must come."""
    suspect: bool = False
    """Whether frames or the state itself were lost: the ledger may know customers better."""
    doubted: bool = False
    """Whether the ledger, which may lag, is yet to be asked the last time about what was lost."""
    trusted_no: int | None = None
    """The last frame before that: all that the changelog is told of meanwhile, so that whoever takes the
    partition over finds the same frames missing and asks again.
    """

    @property
    def told_no(self) -> int | None:
        """The frame that the changelog is told of."""
        return self.trusted_no if self.doubted else self.frame_no

    def doubt(self) -> None:
        """Frames behind `frame_no` or states were lost."""
        if not self.doubted:
            self.doubted, self.trusted_no = True, self.frame_no
        self.suspect = True

    def trust(self) -> None:
        """Nothing is missing, as far as can be known."""
        self.suspect = self.doubted = False

    def change(self, state: CustomerState) -> None:
        """The state is to be written, and published unless it is repairing."""
        customer_id = state.customer_id
        self.changed[customer_id] = state
        if state.since_seq is None:
            self.publish.add(customer_id)
            self.repairing.pop(customer_id, None)
        else:
            self.publish.discard(customer_id)
            self.repairing[customer_id] = state.since_seq


Load = Callable[[Partition, str], CustomerState]


class Held:
    """Decoded states of all partitions, so that a busy customer is not decoded for each frame."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._states: dict[tuple[int, str], CustomerState] = {}
        self.partitions: dict[int, Partition] = {}

    def state(self, partition: Partition, customer_id: str, load: Load) -> CustomerState:
        """The customer's state, loaded where it is not in memory."""
        state = (
            partition.changed.get(customer_id)
            or partition.writing.get(customer_id)
            or self._states.get((partition.number, customer_id))
        )
        if state is None:
            state = load(partition, customer_id)
            while len(self._states) >= self._most:
                # What is to be written is held by its partition too.
                del self._states[next(iter(self._states))]
            self._states[partition.number, customer_id] = state
        return state

    def repairing(self) -> int:
        """How many customers wait for the ledger."""
        return sum(len(partition.repairing) for partition in self.partitions.values())

    def forget(self) -> None:
        """The partitions are another's now, or about to be restored again."""
        self._states.clear()
        self.partitions.clear()
