"""Records decoded once: those who check a world, and some fakes, read the same bytes many times."""

from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

from schemas.codec import CODEC


@lru_cache(maxsize=1_024)
def decoded(name: str, value: bytes) -> Mapping[str, Any]:
    """A record by the name of its schema. Not to be changed: others are given the same."""
    return CODEC.decode(name, value)


@lru_cache(maxsize=65_536)
def exact(text: str | None) -> Fraction:
    """An amount or a quantity of a record; none is zero."""
    return Fraction(text or 0)
