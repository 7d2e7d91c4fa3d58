"""The arithmetic of a rated event as a person checks it with a pencil: leaves, lines and sums.

Each number is computed here from what the record tells, apart from `pricing`, and compared with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ledger.core.amounts import atto, plain
from pricing.compile import CompiledBook
from pricing.money import ATTO

_MORE_DIGITS = 3  # shown of a number that does not end, so that its rounding can be seen


@dataclass(frozen=True, slots=True)
class Check:
    """Something that was computed again: what, whether it is as recorded, and what is not."""

    name: str
    equal: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LeafShown:
    """What the event reports of a meter, the leaves of its parts, and the rest: numbers as plain decimals.

    `reported` None: the event does not report the meter; its count follows from those around it.
    """

    meter: str
    reported: str | None
    minus: tuple[tuple[str, str], ...]
    quantity: str


@dataclass(frozen=True, slots=True)
class LineShown:
    """One line: `arithmetic` is written out, `rounding` says where and how it was rounded ("": it is exact).

    `note` says which rate it is, and by which rule the billed quantity is another than the counted one.
    """

    meter: str
    quantity: str
    billed: str | None
    rate: str | None
    per: str | None
    amount: str | None
    status: str
    note: str
    arithmetic: str
    rounding: str = ""
    equal: bool = True


def leaves_shown(
    book: CompiledBook, semantics: str, usage: Mapping[str, str]
) -> tuple[tuple[LeafShown, ...], Check]:
    """The split of the reported counts into disjoint leaves, and whether the subtractions come out.

    Raises:
        pricing.errors.UsageError: the counts cannot be split.
    """
    plan, leaves = book.splitter.split(semantics, usage)
    inside = dict(plan.subtract)
    shown, wrong = [], []
    for position, (meter, leaf) in enumerate(zip(plan.meters, leaves, strict=True)):
        parts = [(plan.meters[part], leaves[part]) for part in inside.get(position, ()) if leaves[part]]
        reported = usage.get(meter)
        if reported is not None and atto(reported) - sum(part for _, part in parts) != leaf:
            wrong.append(meter)
        minus = tuple((part, plain(quantity)) for part, quantity in parts)
        shown.append(LeafShown(meter, reported, minus, plain(leaf)))
    return tuple(shown), Check("leaves", not wrong, f"of {', '.join(wrong)}" if wrong else "")


def line_shown(line: Mapping[str, Any], note: str, *, of_period: bool) -> LineShown:
    """One recorded line with its arithmetic. `of_period`: a price over a period may be behind it.

    A portion of a period's price is what the period's rounded total grew by, so it may be off its own product
    by the rounding before it.
    """
    billed = line.get("billed_quantity")
    quantity, rate, per, amount = line["quantity"], line["rate"], line["per"], line["amount"]
    rounding, equal = "", True
    if amount is None:
        arithmetic = f"{grouped(quantity)}: {line['status']}, no amount"
    elif rate is None or per is None:
        arithmetic = f"{grouped(amount)}"
    else:
        product = Fraction(atto(billed or quantity) * atto(rate), atto(per))
        told = atto(amount)
        factors = f"{grouped(billed or quantity)} x {grouped(rate)}"
        divided = "" if per == "1" else f" / {grouped(per)}"
        if product == told:
            value = grouped(amount)
        elif half_even(product) == told:
            value = f"{digits(product)}, rounded to {grouped(amount)}"
            rounding = "half-even at the 18th place of this line"
        elif of_period and abs(product - told) <= 1:
            value = f"{digits(product)}, charged as {grouped(amount)}"
            rounding = "with the period's total, so that it stays exact"
        else:
            value, equal = f"{digits(product)}, but recorded as {grouped(amount)}", False
        arithmetic = f"{factors}{divided} = {value}"
    return LineShown(
        line["meter"],
        quantity,
        billed,
        rate,
        per,
        amount,
        line["status"],
        note,
        arithmetic,
        rounding,
        equal,
    )


def sum_shown(lines: Sequence[Mapping[str, Any]], side: Mapping[str, Any], name: str) -> tuple[str, Check]:
    """The sum of one side's lines, written out, and whether it is the side's amount."""
    amounts = [line["amount"] for line in lines if line["amount"] is not None]
    if side["amount"] is None:
        return "", Check(f"{name} sum", not any(atto(amount) for amount in amounts), "lines have amounts")
    total = plain(sum(atto(amount) for amount in amounts))
    text = grouped(amounts[0]) if amounts else "0"
    for amount in amounts[1:]:
        text += f" - {grouped(amount[1:])}" if amount.startswith("-") else f" + {grouped(amount)}"
    return f"{text} = {grouped(total)}", _compared(f"{name} sum", atto(side["amount"]) == atto(total), total)


def _compared(name: str, equal: bool, computed: str) -> Check:
    return Check(name, equal, "" if equal else f"computed {computed}")


def half_even(value: Fraction) -> int:
    """The nearest whole number, a tie to the even one."""
    return round(value)


def grouped(number: str) -> str:
    """A plain decimal with its thousands set apart: 1,000,000.25."""
    sign, digits_ = ("-", number[1:]) if number.startswith("-") else ("", number)
    whole, point, fraction = digits_.partition(".")
    return f"{sign}{int(whole):,}{point}{fraction}"


def digits(value: Fraction) -> str:
    """A number in atto as a decimal; one that does not end within 18 places with some digits more."""
    if value.denominator == 1:
        return grouped(plain(int(value)))
    scale = 10**_MORE_DIGITS
    whole, rest = divmod(abs(value.numerator) * scale // value.denominator, ATTO * scale)
    sign = "-" if value < 0 else ""
    return f"{sign}{whole:,}.{rest:0{18 + _MORE_DIGITS}}..."
