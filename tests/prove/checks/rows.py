"""What a check says: one row a promise, with what was counted and what was found wrong."""

from collections.abc import Iterable
from dataclasses import dataclass, field

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One promise as it was measured; `ok` is False where anything was found."""

    invariant: str
    promise: str
    measured: str
    ok: bool
    problems: tuple[str, ...] = ()
    """All of them; the first few stand in `measured`."""


@dataclass(slots=True)
class Tally:
    """Counts what was looked at, and keeps what is wrong."""

    invariant: str
    promise: str
    counted: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def count(self, what: str, times: int = 1) -> None:
        """So many more of these were looked at."""
        self.counted[what] = self.counted.get(what, 0) + times

    def expect(self, holds: bool, problem: str) -> bool:  # it reads as a sentence
        """Keep the problem unless it holds; returns whether it does."""
        if not holds:
            self.wrong.append(problem)
        return holds

    def same(self, what: str, found: object, expected: object) -> bool:
        """Keep a problem where the two differ."""
        return found == expected or self.expect(False, f"{what}: {found}, expected {expected}")

    def extend(self, problems: Iterable[str]) -> None:
        self.wrong.extend(problems)

    def row(self) -> Row:
        """The row; the first problems stand in it, and how many there are."""
        counted = ", ".join(f"{times} {what}" for what, times in self.counted.items())
        measured = "; ".join(part for part in (counted, *self.told) if part) or "nothing looked at"
        if self.wrong:
            more = len(self.wrong) - SHOWN
            listed = " | ".join(self.wrong[:SHOWN]) + (f" | and {more} more" if more > 0 else "")
            measured += f"; WRONG: {listed}"
        return Row(self.invariant, self.promise, measured, not self.wrong, tuple(self.wrong))
