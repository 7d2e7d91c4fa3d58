"""Prices over a period: P(Q), the price of a customer's whole quantity, and what one event changes in it.

A(Q) is P(Q) rounded once. An event pays A(Q + q) minus what the period has paid so far, so that a period's
amount is exact whatever the order of events and however they are split; where a volume price falls, that is
negative. Quantities and amounts are in atto.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from math import lcm
from typing import Literal, NamedTuple

from pricing.cards import PoolVersion
from pricing.money import parse_decimal, round_half_even

PortionKind = Literal["free", "tier", "package"]


class Portion(NamedTuple):
    """The part of an event's quantity that is priced alike. `tier` is an index (0 for a free portion).

    `billed_atto` is told of packages only: the size times the packages newly begun.
    """

    kind: PortionKind
    tier: int
    quantity_atto: int
    billed_atto: int | None
    amount_atto: int


class PoolPrice:
    """The cumulative price of one version of a pool; `version` says it in words."""

    def __init__(self, version: PoolVersion) -> None:
        """Of a version that `pricing.check` has found sound. Raises UsageError for a bad decimal."""
        self.version = version
        self.shape = version.shape
        self.free_atto = parse_decimal(version.free, "free")
        self._gte = version.operator == "gte"
        self._starts = [parse_decimal(tier.start, "start") for tier in version.tiers]
        self._pers = [parse_decimal(tier.per, "per") for tier in version.tiers]
        self._rates = [parse_decimal(tier.rate, "rate") for tier in version.tiers]
        # All amounts are fractions of one denominator, so that nothing is rounded before the end.
        self._below = lcm(*self._pers)
        self._slopes = [
            rate * (self._below // per) for rate, per in zip(self._rates, self._pers, strict=True)
        ]
        flats = [parse_decimal(tier.flat, "flat") * self._below for tier in version.tiers]
        # What the units below each tier's start cost, and what has been paid once when the tier is reached.
        self._full = [0]
        self._flats = [flats[0]]
        for index in range(1, len(self._starts)):
            units = self._starts[index] - self._starts[index - 1]
            self._full.append(self._full[-1] + units * self._slopes[index - 1])
            graduated = self.shape == "graduated"
            self._flats.append(flats[index] + (self._flats[-1] if graduated else 0))

    def amount(self, quantity_atto: int) -> int:
        """A(Q), the price of the period's quantity, rounded half-even to the last place."""
        beyond = quantity_atto - self.free_atto
        if beyond <= 0:
            return 0
        tier = self._reached(beyond)
        return round_half_even(self._metered(beyond, tier) + self._flats[tier], self._below)

    def portions(self, before_atto: int, quantity_atto: int) -> tuple[Portion, ...]:
        """How `quantity_atto` more units after `before_atto` are priced, in order.

        Their quantities sum to it. Their amounts are those of the rates alone, rounded cumulatively; flats,
        and what a volume price's new tier changes for the units before, are the rest that `charge` tells.
        Nothing counted is one portion of nothing, where the next unit would be.
        """
        after = before_atto + quantity_atto
        free = min(after, self.free_atto) - min(before_atto, self.free_atto)
        found = []
        if free or (quantity_atto == 0 and before_atto < self.free_atto):
            found.append(Portion("free", 0, free, None, 0))
        if free < quantity_atto or not found:
            low, high = max(0, before_atto - self.free_atto), max(0, after - self.free_atto)
            if self.shape == "graduated":
                found.extend(self._graduated(low, high))
            elif self.shape == "volume":
                tier = self._reached(high)
                amount = self._at(high, tier) - self._at(low, tier)
                found.append(Portion("tier", tier, high - low, None, amount))
            else:
                begun = self._packages(high) - self._packages(low)
                found.append(Portion("package", 0, high - low, begun * self._pers[0], begun * self._rates[0]))
        return tuple(found)

    def _reached(self, beyond: int) -> int:
        """The tier that the quantity beyond the free one has reached; the first holds from the start."""
        place = bisect_right if self._gte else bisect_left
        return max(0, place(self._starts, beyond) - 1)

    def _metered(self, beyond: int, tier: int) -> int:
        """What the rates alone make of the quantity, in fractions of the common denominator."""
        if self.shape == "graduated":
            return self._full[tier] + (beyond - self._starts[tier]) * self._slopes[tier]
        if self.shape == "volume":
            return beyond * self._slopes[tier]
        return self._packages(beyond) * self._rates[0] * self._below

    def _at(self, beyond: int, tier: int) -> int:
        return round_half_even(self._metered(beyond, tier), self._below)

    def _graduated(self, low: int, high: int) -> Iterator[Portion]:
        tier = bisect_right(self._starts, low) - 1
        while True:
            last = tier + 1 == len(self._starts) or high <= self._starts[tier + 1]
            end = high if last else self._starts[tier + 1]
            amount = self._at(end, tier) - self._at(low, tier)
            yield Portion("tier", tier, end - low, None, amount)
            if last:
                return
            low, tier = end, tier + 1

    def _packages(self, beyond: int) -> int:
        return -(-beyond // self._pers[0])


def charge(
    price: PoolPrice, quantity_before: int, amount_before: int, quantity: int
) -> tuple[tuple[Portion, ...], int, int]:
    """What an event of this quantity pays in a period that holds so much.

    Returns the portions, the adjustment and the period's amount afterwards. The portions' amounts and the
    adjustment sum to the amount afterwards minus `amount_before`, always.
    """
    portions = price.portions(quantity_before, quantity)
    amount_after = price.amount(quantity_before + quantity)
    paid = sum(portion.amount_atto for portion in portions)
    return portions, amount_after - amount_before - paid, amount_after
