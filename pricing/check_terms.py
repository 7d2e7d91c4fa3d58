"""What is wrong with the terms of a card version: schedules, multipliers, and what is not billed, included,
marked up, stated or at least owed.
"""

from collections.abc import Iterator
from itertools import combinations

from pricing.calendar import HOLIDAY, WEEKDAYS, day_number, minute_of_day
from pricing.cards import ALL, ATTRIBUTE_PREFIX, CardVersion, Multiplier, Schedule, Window
from pricing.check_cells import check_pairs, context_keys, pooled_rates, rates_of
from pricing.faults import Fault, Faults, meters, number, repeated
from pricing.meters import MeterRegistry

_DAY = 24 * 60
_DAYS = (*WEEKDAYS, HOLIDAY)


def check_schedules(field: str, version: CardVersion, zones: frozenset[str], fault: Fault) -> Faults:
    """`zones`: the names that the version's schedules may use."""
    for key in repeated(schedule.key for schedule in version.schedules):
        yield fault(f"{field}.schedules", key, "is declared twice")
    declared = {key.key for key in version.context}
    for schedule in version.schedules:
        where = f"{field}.schedules.{schedule.key}"
        if not schedule.key or schedule.key.startswith(ATTRIBUTE_PREFIX):
            yield fault(
                where, repr(schedule.key), f"must be a name that does not begin with {ATTRIBUTE_PREFIX}"
            )
        if schedule.key in declared:
            yield fault(where, schedule.key, "is a context key too: it follows from the time, or is named")
        if schedule.zone not in zones:
            rule = "is not a known zone: UTC, an offset such as +08:00, or an IANA name"
            yield fault(f"{where}.zone", schedule.zone, rule)
        yield from _check_schedule(where, schedule, fault)


def _check_schedule(field: str, schedule: Schedule, fault: Fault) -> Faults:
    if not schedule.windows:
        yield fault(f"{field}.windows", "()", "a schedule must have a window")
    for day in repeated(schedule.holidays):
        yield fault(f"{field}.holidays", day, "is listed twice")
    for day in schedule.holidays:
        try:
            day_number(day)
        except ValueError:
            yield fault(f"{field}.holidays", day, "must be a date YYYY-MM-DD")
    sound = True
    for position, window in enumerate(schedule.windows):
        for fault_found in _check_window(f"{field}.windows[{position}]", window, fault):
            sound = False
            yield fault_found
    if sound:
        for (first, one), (second, other) in combinations(enumerate(schedule.windows), 2):
            if one.value != other.value and _meet(one, other, holidays=bool(schedule.holidays)):
                rule = f"overlaps windows[{first}] ({one.value} {one.start} to {one.end}): another value"
                value = f"{other.value} {other.start} to {other.end}"
                yield fault(f"{field}.windows[{second}]", value, rule)


def _check_window(field: str, window: Window, fault: Fault) -> Faults:
    for name, text, last in (("from", window.start, _DAY - 1), ("to", window.end, _DAY)):
        try:
            minutes = minute_of_day(text)
        except ValueError:
            minutes = -1
        if not 0 <= minutes <= last:
            end = " or 24:00" if last == _DAY else ""
            yield fault(f"{field}.{name}", repr(text), f"must be a time HH:MM from 00:00 to 23:59{end}")
    for day in repeated(window.days):
        yield fault(f"{field}.days", day, "is listed twice")
    for day in window.days:
        if day not in _DAYS:
            yield fault(f"{field}.days", day, f"must be one of {', '.join(_DAYS)}")


def _meet(one: Window, other: Window, *, holidays: bool) -> bool:
    """Whether both hold at some instant, on a day of both or with one reaching into the next day."""
    mine, others = frozenset(one.days or _DAYS), frozenset(other.days or _DAYS)
    (start, end), (other_start, other_end) = _minutes(one), _minutes(other)
    if mine & others and start < other_end and other_start < end:
        return True
    return (end - _DAY > other_start and not others.isdisjoint(_days_after(mine, holidays=holidays))) or (
        other_end - _DAY > start and not mine.isdisjoint(_days_after(others, holidays=holidays))
    )


def _minutes(window: Window) -> tuple[int, int]:
    start, end = minute_of_day(window.start), minute_of_day(window.end)
    return start, end if end > start else end + _DAY


def _days_after(days: frozenset[str], *, holidays: bool) -> Iterator[str]:
    """What the day after one of these may be: a holiday may be any day, where the schedule has holidays."""
    for day in days:
        if day == HOLIDAY:
            yield from _DAYS if holidays else ()
        else:
            yield WEEKDAYS[(WEEKDAYS.index(day) + 1) % 7]
            yield from (HOLIDAY,) if holidays else ()


def check_multipliers(field: str, version: CardVersion, registry: MeterRegistry, fault: Fault) -> Faults:
    known = context_keys(version)
    for name in repeated(multiplier.name for multiplier in version.multipliers):
        yield fault(f"{field}.multipliers", name, "is the name of two multipliers")
    for multiplier in version.multipliers:
        where = f"{field}.multipliers.{multiplier.name}"
        if not multiplier.name:
            yield fault(where, "''", "a multiplier must have a name")
        yield from number(f"{where}.factor", multiplier.factor, fault)
        if len(multiplier.when) > 1:
            pairs = ", ".join(f"{key}={value}" for key, value in multiplier.when)
            yield fault(f"{where}.when", pairs, "must be one pair, or none; combinations are variants")
        yield from check_pairs(f"{where}.when", multiplier.when, known, "a multiplier", fault)
        yield from meters(f"{where}.meters", multiplier.meters, registry, fault)
        if not multiplier.meters:
            yield fault(f"{where}.meters", "()", "a multiplier must name its meters, or *")
        yield from _check_unpooled(f"{where}.meters", version, multiplier, registry, fault)


def _check_unpooled(
    field: str, version: CardVersion, multiplier: Multiplier, registry: MeterRegistry, fault: Fault
) -> Faults:
    """No leaf that a pool prices is multiplied: neither a pooled meter nor a part that goes at its rate."""
    pooled = {rate.meter for rate in pooled_rates(version)}
    if not pooled:
        return
    touched = pooled if ALL in multiplier.meters else pooled.intersection(multiplier.meters)
    own = {rate.meter for rate in rates_of(version)}
    touched = touched.union(
        meter
        for meter in multiplier.meters
        if meter not in own and not pooled.isdisjoint(registry.wholes(meter))
    )
    for meter in sorted(touched):
        yield fault(
            field, meter, "a pool prices it: all that a pool holds has one price, without multipliers"
        )


def check_not_billed(field: str, version: CardVersion, registry: MeterRegistry, fault: Fault) -> Faults:
    known = context_keys(version)
    for position, rule in enumerate(version.not_billed):
        where = f"{field}.not_billed[{position}]"
        if not rule.when:
            yield fault(f"{where}.when", "()", "must name what the context says of calls that are not billed")
        for name in repeated(name for name, _ in rule.when):
            yield fault(f"{where}.when", name, "is named twice")
        for name, value in rule.when:
            if name not in known:
                if not name.startswith(ATTRIBUTE_PREFIX):
                    text = "is neither a context key of this version nor an attribute of the event"
                    yield fault(f"{where}.when", name, text)
            elif value not in known[name][0]:
                yield fault(f"{where}.when", f"{name}={value}", f"must be one of {', '.join(known[name][0])}")
        yield from meters(f"{where}.without", rule.without, registry, fault, every=False)


def check_payment(
    field: str, version: CardVersion, registry: MeterRegistry, fault: Fault, *, customer: bool
) -> Faults:
    """Included, marked up, stated, pooled, at least owed: each only where it has a meaning."""
    yield from meters(f"{field}.included", version.included, registry, fault)
    if version.markup_percent is not None:
        yield from number(f"{field}.markup_percent", version.markup_percent, fault)
        if version.included:
            rule = "a meter without a rate of its own is either included or marked up"
            yield fault(f"{field}.markup_percent", version.markup_percent, rule)
    if version.minimum is not None:
        yield from number(f"{field}.minimum", version.minimum, fault)
    if version.stated_cost and next(rates_of(version), None) is not None:
        yield fault(f"{field}.stated_cost", "True", "the provider states the whole cost: there are no rates")
    yield from (
        _for_customers(field, version, fault) if not customer else _for_providers(field, version, fault)
    )


def _for_providers(field: str, version: CardVersion, fault: Fault) -> Faults:
    """What a customer's card may not say."""
    if version.stated_cost:
        yield fault(
            f"{field}.stated_cost", "True", "is for provider cards: a customer pays by markup_percent"
        )


def _for_customers(field: str, version: CardVersion, fault: Fault) -> Faults:
    """What a provider's card may not say."""
    rule = "is for the cards of a price card: it says what a customer pays"
    if version.included:
        yield fault(f"{field}.included", ", ".join(version.included), rule)
    if version.markup_percent is not None:
        yield fault(f"{field}.markup_percent", version.markup_percent, rule)
    for rate in pooled_rates(version):
        text = "a pool is a customer's: a provider card has none"
        yield fault(f"{field}.rates.{rate.meter}.pool", str(rate.pool), text)
