"""A list of ways to spoil the small run, each with the invariant that must find it."""

from collections.abc import Callable
from typing import Any

from tests.prove.checks import judge
from tests.prove.checks.facts import Facts
from tests.prove.checks.story import Story
from tests.unit.prove.sample import SETTINGS, went_well

Break = Callable[[Facts, Story], Any]


class Breaks(dict[str, tuple[str, Break]]):
    """By name: the invariant, and what spoils it."""

    def of(self, invariant: str) -> Callable[[Break], Break]:
        """Register one."""

        def named(function: Break) -> Break:
            self[function.__name__] = (invariant, function)
            return function

        return named

    def found(self, name: str) -> list[str]:
        """The invariants that find the break of that name."""
        facts, story = went_well()
        self[name][1](facts, story)
        return [row.invariant for row in judge(facts, story, "UTC", SETTINGS) if not row.ok]


def rating(facts: Facts, place: int) -> Any:
    """The rating of a record of usage.rated."""
    return facts.rated[place].record["rating"]
