"""What a target of the fuzzer is, and what counts as a finding."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


class BrokenPropertyError(Exception):
    """An input that was taken, but not as it should be."""


@dataclass(frozen=True, slots=True)
class Target:
    """One entry of the system.

    `run` raises one of `refusals` where the input is refused; anything else that comes out is a finding.
    `seeds` is the corpus to begin with, `words` what inputs are made of.
    """

    name: str
    run: Callable[[bytes], object]
    refusals: tuple[type[BaseException], ...]
    seeds: Callable[[], Sequence[bytes]]
    words: Sequence[bytes] = ()
    bytes_max: int = 4096

    def takes(self, data: bytes) -> bool:
        """Give it one input: True where it was taken, False where it was refused. Raises a finding."""
        try:
            self.run(data)
        except self.refusals:
            return False
        return True


def hold(*, true: bool, what: str) -> None:
    """Raises BrokenPropertyError unless the property holds."""
    if not true:
        raise BrokenPropertyError(what)
