"""Exact numbers: every quantity, rate and amount is an int scaled by 10**18 ("atto"); no float, one rounding
function.

On the wire a number is a plain decimal string of at most 38 digits: 20 before the point and 18 after it.
"""

import re

from pricing.errors import UsageError

ATTO = 10**18
DIGITS_AFTER = 18
DIGITS_BEFORE = 20
LIMIT = 10**38
"""The first value (in atto) with more than 20 digits before the point."""

DECIMAL_RULE = (
    "must be a plain decimal without sign or exponent, at most 20 digits before the point and 18 after it"
)

_PLAIN = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,18}))?")


def parse_decimal(text: object, field: str) -> int:
    """A plain non-negative decimal in atto, exactly.

    Raises:
        UsageError: `bad_quantity`, naming `field`, for anything else: a sign, an exponent, NaN, spaces, too
        many digits.
    """
    match = _PLAIN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise UsageError("bad_quantity", field, repr(text), DECIMAL_RULE)
    whole, fraction = match.groups()
    atto = int(whole) * ATTO
    return atto + int(fraction.ljust(DIGITS_AFTER, "0")) if fraction else atto


def parse_signed(text: str, field: str) -> int:
    """A plain decimal that may have a minus, in atto. Raises UsageError as parse_decimal does."""
    return -parse_decimal(text[1:], field) if text.startswith("-") else parse_decimal(text, field)


def format_atto(atto: int) -> str:
    """The plain decimal of a value in atto, without trailing zeros: "0.0065", "1200", "-3.5"."""
    whole, fraction = divmod(abs(atto), ATTO)
    text = f"{whole}.{fraction:018d}".rstrip("0") if fraction else str(whole)
    return "-" + text if atto < 0 else text


def round_half_even(numerator: int, denominator: int) -> int:
    """Numerator / denominator to the nearest int, a tie to the even one. The denominator is positive.

    This is the one place where an amount is rounded: rate x quantity / per, at the line.
    """
    quotient, rest = divmod(numerator, denominator)
    if rest:
        twice = rest + rest
        if twice > denominator or (twice == denominator and quotient & 1):
            return quotient + 1
    return quotient
