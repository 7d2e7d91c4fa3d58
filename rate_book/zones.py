"""Time zones by name, as tables of offsets: from the pinned package `tzdata`, never from the machine."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC as UTC_ZONE
from datetime import datetime, timedelta
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

from pricing.cards import UTC, BookContent, Zone

FIRST_YEAR, END_YEAR = 2000, 2070
"""A zone's clock changes are known from the first year on and before the last."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC_ZONE)
_SECOND_US = 1_000_000
# No zone changes its clock and changes it back within so many seconds.
_STRIDE_S = 86_400


def zone_names(content: BookContent) -> set[str]:
    """The zones that contracts and schedules of the book name, other than UTC."""
    return (set(schedule_zones(content)) | {contract.zone for contract in content.contracts}) - {UTC}


def schedule_zones(content: BookContent) -> Iterator[str]:
    """The zone of each schedule of the book."""
    groups = (content.provider_cards, *(price_card.cards for price_card in content.price_cards))
    for cards in groups:
        for card in cards:
            for version in card.versions:
                for schedule in version.schedules:
                    yield schedule.zone


def resolve(names: Iterable[str]) -> tuple[Zone, ...]:
    """The zones that `tzdata` knows, by name; offsets and unknown names are left to the check of the book."""
    return tuple(zone for name in sorted(names) if (zone := _zone(name)) is not None)


@lru_cache(maxsize=64)
def _zone(name: str) -> Zone | None:
    if _NAME.fullmatch(name) is None:
        return None
    file = resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
    if not file.is_file():
        return None
    with file.open("rb") as stream:
        try:
            info = ZoneInfo.from_file(stream, key=name)
        except ValueError:  # a list of countries, say, that lies among the zones
            return None
    return Zone(name, _transitions(info))


def _transitions(info: ZoneInfo) -> tuple[tuple[int, int], ...]:
    start_s, end_s = _epoch_s(FIRST_YEAR), _epoch_s(END_YEAR)
    offset = _offset_s(info, start_s)
    found = [(start_s * _SECOND_US, offset)]
    at_s = start_s
    while at_s < end_s:
        next_s = min(at_s + _STRIDE_S, end_s)
        changed = _offset_s(info, next_s)
        if changed != offset:
            found.append((_first_with(info, changed, at_s, next_s) * _SECOND_US, changed))
            offset = changed
        at_s = next_s
    return tuple(found)


def _first_with(info: ZoneInfo, offset: int, before_s: int, at_s: int) -> int:
    """The first second with the offset, which holds at `at_s` and does not at `before_s`."""
    while at_s - before_s > 1:
        middle_s = (before_s + at_s) // 2
        if _offset_s(info, middle_s) == offset:
            at_s = middle_s
        else:
            before_s = middle_s
    return at_s


def _epoch_s(year: int) -> int:
    return (datetime(year, 1, 1, tzinfo=UTC_ZONE) - _EPOCH) // timedelta(seconds=1)


def _offset_s(info: ZoneInfo, at_s: int) -> int:
    offset = datetime.fromtimestamp(at_s, tz=info).utcoffset()
    return (offset or timedelta(0)) // timedelta(seconds=1)
