"""Time zones that say other offsets than before, and from when that may move a price."""

from collections.abc import Sequence

from pricing.calendar import ZoneTable
from pricing.cards import CALENDAR_MONTH_UTC, BookContent, Zone
from rate_book.spans import NEVER, Span, differing_by
from rate_book.zones import schedule_zones

_DAY_US = 86_400_000_000
_LONGEST_DAYS = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}
"""Of billing periods: an offset moves the bounds of the period that it lies in."""


def changed_zones(old: BookContent, new: BookContent) -> list[tuple[str, Sequence[Span]]]:
    """Zones that both books name. One that only one of them names came with what names it."""
    before = {zone.name: zone for zone in old.zones}
    result: list[tuple[str, Sequence[Span]]] = []
    for zone in new.zones:
        if zone.name in before and before[zone.name] != zone:
            spans = _differing(before[zone.name], zone)
            margin_us = max(_margin_us(content, zone.name) for content in (old, new))
            earlier = [(start - margin_us, end) for start, end in spans]
            result.append((f"zone {zone.name}", earlier))
    return result


def _differing(old: Zone, new: Zone) -> Sequence[Span]:
    bounds = [at_us for zone in (old, new) for at_us, _ in zone.transitions[1:]]
    before, after = ZoneTable(old), ZoneTable(new)
    spans = differing_by(before.offset_s, after.offset_s, bounds)
    return [(start, NEVER) for start, _ in spans[:1]]


def _margin_us(content: BookContent, name: str) -> int:
    """How long before an offset changes it may matter: a day for hours and dates, a period for contracts."""
    days = [1 for used in schedule_zones(content) if used == name]
    days += [
        _LONGEST_DAYS[contract.billing_period] + 1
        for contract in content.contracts
        if contract.zone == name and contract.billing_period != CALENDAR_MONTH_UTC
    ]
    return max(days, default=0) * _DAY_US
