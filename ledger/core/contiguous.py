"""How far each customer's sequence is in the ledger without a gap."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class Progress:
    """One customer: every sequence up to `contiguous_seq` is there; `gap_seq` is the first one that is not
    although a later one is; `last_seq` is the highest.
    """

    contiguous_seq: int = 0
    last_seq: int = 0
    gap_seq: int | None = None

    def takes(self, seq: int) -> bool:
        """Whether a record may have this sequence: they grow. One that does not would count usage twice."""
        return seq > self.last_seq

    def take(self, seq: int) -> None:
        """A record with this sequence is in the ledger."""
        if self.gap_seq is None:
            if seq == self.contiguous_seq + 1:
                self.contiguous_seq = seq
            else:
                self.gap_seq = self.contiguous_seq + 1
        self.last_seq = seq


def repeated(progress: Mapping[str, Progress], rows: Iterable[tuple[str, int]]) -> dict[int, str]:
    """The rows, by index, whose sequence their customer has had, each with what is wrong. Rows are in order
    and none is taken.

    Args:
        progress: of every customer of the rows, before them.
        rows: customer and sequence.
    """
    last: dict[str, int] = {}
    found = {}
    for index, (customer_id, seq) in enumerate(rows):
        before = last.get(customer_id) or progress[customer_id].last_seq
        if seq <= before:
            found[index] = f"customer_seq: {seq} of {customer_id!r}: sequences grow, {before} came before it"
        else:
            last[customer_id] = seq
    return found
