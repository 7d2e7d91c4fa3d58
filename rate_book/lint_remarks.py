"""A remark of `lint`: which card, which line of it, which rule, and what is the matter."""

from collections.abc import Iterable
from typing import NamedTuple

from pricing.cards import CardVersion
from rate_book.instants import format_from


class Remark(NamedTuple):
    """`line` says where in the card: the version, then its cell, step and meter as far as they matter."""

    card: str
    line: str
    rule: str
    detail: str

    def __str__(self) -> str:
        return f"{self.card}: {self.line}: {self.detail} [{self.rule}]"


def version_line(version: CardVersion, *parts: str) -> str:
    """The version by its start, then the parts that are not empty."""
    return starting(version.valid_from_us, *parts)


def starting(from_us: int | None, *parts: str) -> str:
    start = format_from(from_us)
    return ", ".join([start if from_us is None else f"from {start}", *(part for part in parts if part)])


def not_accepted(version: CardVersion, remarks: Iterable[Remark]) -> Iterable[Remark]:
    accepted = {rule for rule, _ in version.accepted}
    return (remark for remark in remarks if remark.rule not in accepted)
