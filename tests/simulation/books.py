"""The rate book of a simulated world, version by version, and what it says by plain arithmetic.

Versions change the list price: from an instant that is ahead, or for all of the past. Pools never change.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from random import Random

from pricing.cards import BookContent, CardVersion, Cell, PriceCard, Rate
from pricing.compile import CompiledBook, compile_book
from rate_book.source import Confirmed
from tests.pooled_book import POOLED_BOOK
from tests.simulation.schedule import SECOND_US, Schedule

LEAD_US = 20 * SECOND_US
POLL_US = 5 * SECOND_US
CUSTOMERS = ("a", "b", "c", "steps-0", "steps-1", "packs")
COST = (Fraction(2, 10**6), Fraction(10, 10**6))
PRICES = (("3", "15"), ("4", "20"), ("5", "25"), ("7", "11"))


@dataclass(frozen=True)
class Version:
    """`steps`: (from when, which of PRICES), the first from ever."""

    number: int
    applied_us: int
    steps: tuple[tuple[int | None, int], ...]

    def list_price(self, at_us: int, given: int, made: int) -> Fraction:
        """What the list says of so many input and output tokens at an instant."""
        index = [index for since, index in self.steps if since is None or since <= at_us][-1]
        first, second = PRICES[index]
        return Fraction(int(first) * given + int(second) * made, 10**6)

    @property
    def book(self) -> CompiledBook:
        return _compiled(self.number, self.steps)


@lru_cache(maxsize=16)  # of one world: no other has the same instants
def _compiled(number: int, steps: tuple[tuple[int | None, int], ...]) -> CompiledBook:
    ends = [since for since, _ in steps[1:]] + [None]
    versions = tuple(
        CardVersion(
            Cell(tuple(
                Rate(meter, rate, "1000000")
                for meter, rate in zip(("input_tokens", "output_tokens"), PRICES[index], strict=True)
            )),
            valid_from_us=since,
            valid_to_us=until,
        )
        for (since, index), until in zip(steps, ends, strict=True)
    )  # fmt: skip
    cards = tuple(_with(card, versions) if card.price_card_id == "list" else card for card in _cards())
    return compile_book(_content(cards), number, f"hash {number}")


def _cards() -> Sequence[PriceCard]:
    return POOLED_BOOK.price_cards


def _with(card: PriceCard, versions: tuple[CardVersion, ...]) -> PriceCard:
    return replace(card, cards=(replace(card.cards[0], versions=versions),))


def _content(cards: tuple[PriceCard, ...]) -> BookContent:
    return replace(POOLED_BOOK, price_cards=cards)


def planned(random: Random, start_us: int, length_us: int) -> list[Version]:
    """The versions of a world. The first is there before it begins."""
    versions = [Version(1, start_us - 3600 * SECOND_US, ((None, 0),))]
    times = sorted(int(random.random() * length_us) for _ in range(random.choice((0, 1, 1, 2, 3))))
    for number, after_us in enumerate(times, 2):
        applied_us = start_us + after_us
        index, before = number - 1, versions[-1].steps
        if random.random() < 0.25:
            steps: tuple[tuple[int | None, int], ...] = ((None, index),)  # --retroactive
        else:
            since = applied_us + LEAD_US + int(random.random() ** 2 * 20 * SECOND_US)
            kept = tuple(step for step in before if step[0] is None or step[0] < since)
            steps = (*kept, (since, index))
        versions.append(Version(number, applied_us, steps))
    return versions


class SimBook:
    """rate_book.source.BookSource of one process: it asks every five seconds, and PostgreSQL may be away."""

    def __init__(
        self, schedule: Schedule, versions: Sequence[Version], away: Sequence[tuple[int, int]]
    ) -> None:
        self._schedule = schedule
        self._versions = versions
        self._away = away
        self._asked_us = schedule.now_us
        self._confirmed = self._ask(schedule.now_us)

    def newest(self) -> Confirmed:
        now_us = self._schedule.now_us
        while self._asked_us + POLL_US <= now_us:
            self._asked_us += POLL_US
            if not any(begin <= self._asked_us < end for begin, end in self._away):
                self._confirmed = self._ask(self._asked_us)
        return self._confirmed

    def _ask(self, at_us: int) -> Confirmed:
        version = [it for it in self._versions if it.applied_us < at_us][-1]
        return Confirmed(version.book, at_us, LEAD_US)

    def older(self, number: int) -> CompiledBook | None:
        """A version below the confirmed one; sometimes it is still being loaded."""
        if not self._schedule.quiet and self._schedule.random.random() < 0.2:
            self._schedule.saw("a version of the book is not loaded yet")
            return None
        return self._versions[number - 1].book
