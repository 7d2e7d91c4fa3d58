"""Which lines of a rating make up the sums of each meter; pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

NO_QUANTITY: Final = frozenset({"provider_cost", "minimum_charge", "tier_adjustment"})
"""Meters of lines that are amounts only."""

NO_METER: Final = ""
"""Stands for the meter of a side that has no line at all: nothing was reported."""
NOTHING_REPORTED: Final = "nothing was reported"

_UNPRICED: Final = "unpriced"
_NUL: Final = "holds NUL, which PostgreSQL cannot store"

Reasons = tuple[str | None, str | None]
"""Of cost and of price: why it has none."""


_Sides = tuple[list[int], list[int]]
_Parts = tuple[_Sides, _Sides, list[str | None]]  # quantities, amounts, reasons; each of cost and of price


class MeterLines(NamedTuple):
    """One meter's lines, by their places: those that tell its quantity, its cost and its price."""

    meter: str
    reasons: Reasons
    quantity: Sequence[int]
    cost: Sequence[int]
    price: Sequence[int]


def meter_lines(rating: Mapping[str, Any]) -> list[MeterLines]:
    """Each meter of a rating: the cost side tells its quantity, else the price side.

    Raises:
        ValueError: what tells a key holds NUL.
    """
    found: dict[str, _Parts] = {}
    for place, line in enumerate(rating["lines"]):
        meter = line["meter"]
        side = 0 if line["side"] == "cost" else 1
        parts = found.get(meter)
        if parts is None:
            if "\0" in meter:
                raise ValueError(f"lines.meter: {_NUL}")
            parts = found[meter] = ([], []), ([], []), [None, None]
        quantities, amounts, reasons = parts
        if meter not in NO_QUANTITY:
            quantities[side].append(place)
        if line["amount"] is not None:
            amounts[side].append(place)
        elif line["status"] == _UNPRICED and reasons[side] is None:
            if "\0" in line["explain"]:
                raise ValueError(f"lines.explain: {_NUL}")
            reasons[side] = line["explain"]
    made = [
        MeterLines(meter, (reason, other), counted or charged, cost, price)
        for meter, ((counted, charged), (cost, price), (reason, other)) in found.items()
    ]
    silent = _without_lines(rating)
    if any(silent):
        made.append(MeterLines(NO_METER, silent, (), (), ()))
    return made


def _without_lines(rating: Mapping[str, Any]) -> Reasons:
    """Why a side that is unpriced has no line, for each side; None where it has one."""
    if _UNPRICED not in (rating["cost"]["status"], rating["price"]["status"]):
        return None, None
    told = {line["side"] for line in rating["lines"]}
    cost, price = (
        NOTHING_REPORTED if rating[side]["status"] == _UNPRICED and side not in told else None
        for side in ("cost", "price")
    )
    return cost, price
