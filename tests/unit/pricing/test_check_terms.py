"""Faults in the terms of a card version: each one error, naming card, field, value and rule."""

from dataclasses import replace

import pytest

from pricing.cards import (
    BookContent,
    CardVersion,
    Cell,
    ContextKey,
    Multiplier,
    NotBilled,
    PriceCard,
    Rate,
    RateCard,
    Schedule,
    Window,
)
from pricing.check import check_book
from tests.unit.pricing.build import PROCESSING, card, cell, variant

PEAK = Window("peak", "09:00", "12:00")
HOURS = Schedule("hours", "normal", (PEAK,))


def version(**changes: object) -> CardVersion:
    return replace(CardVersion(cell({"input_tokens": "1"})), **changes)  # type: ignore[arg-type]  # by name


def faults(changed: CardVersion, *, customer: bool = False) -> list[tuple[str, str, str]]:
    mine = card(changed)
    content = BookContent(price_cards=(PriceCard("list", (mine,)),)) if customer else BookContent((mine,))
    found = check_book(content)
    assert all(fault.card == "p/m" for fault in found)
    return [(fault.field.removeprefix("versions[0]."), fault.value, fault.rule) for fault in found]


def windows(*found: Window, holidays: tuple[str, ...] = ()) -> CardVersion:
    return version(schedules=(replace(HOURS, windows=found, holidays=holidays),))


def test_sound_terms_have_no_fault() -> None:
    sound = version(
        context=(PROCESSING, ContextKey("event.quality_tier", ("eco", "pro"), "eco")),
        schedules=(replace(HOURS, zone="+08:00", holidays=("2026-10-01",)),),
        multipliers=(
            Multiplier("peak", "2", (("hours", "peak"),), ("input_tokens",)),
            Multiplier("free batch", "0", (("processing", "batch"),)),
            Multiplier("always", "1.1"),
        ),
        not_billed=(
            NotBilled((("event.status", "refused"), ("processing", "standard")), ("output_tokens",)),
        ),
        variants=(variant({}, ("*",), hours="peak", processing="batch"),),
        minimum="0.01",
    )
    assert faults(sound) == []
    assert faults(replace(sound, included=("*",)), customer=True) == []
    assert faults(replace(sound, markup_percent="20"), customer=True) == []
    assert faults(CardVersion(Cell(()), stated_cost=True)) == []


@pytest.mark.parametrize(
    ("faulty", "field", "value", "rule"),
    [
        (version(schedules=(HOURS, HOURS)), "schedules", "hours", "declared twice"),
        (
            version(schedules=(HOURS,), context=(ContextKey("hours", ("a",), "a"),)),
            "schedules.hours",
            "hours",
            "context key too",
        ),
        (version(schedules=(replace(HOURS, key=""),)), "schedules.", "''", "must be a name"),
        (version(schedules=(replace(HOURS, key="event.x"),)), "schedules.event.x", "'event.x'", "event."),
        (version(schedules=(replace(HOURS, zone="Mars"),)), "schedules.hours.zone", "Mars", "known zone"),
        (version(schedules=(replace(HOURS, zone="+8:00"),)), "schedules.hours.zone", "+8:00", "known zone"),
        (windows(), "schedules.hours.windows", "()", "must have a window"),
        (windows(PEAK, holidays=("2026-02-30",)), "schedules.hours.holidays", "2026-02-30", "YYYY-MM-DD"),
        (
            windows(PEAK, holidays=("2026-02-03", "2026-02-03")),
            "schedules.hours.holidays",
            "2026-02-03",
            "listed twice",
        ),
        (windows(replace(PEAK, start="9:00")), "schedules.hours.windows[0].from", "'9:00'", "HH:MM"),
        (windows(replace(PEAK, start="24:00")), "schedules.hours.windows[0].from", "'24:00'", "to 23:59"),
        (windows(replace(PEAK, end="24:01")), "schedules.hours.windows[0].to", "'24:01'", "or 24:00"),
        (windows(replace(PEAK, days=("Mon",))), "schedules.hours.windows[0].days", "Mon", "one of mon"),
        (
            windows(replace(PEAK, days=("mon", "mon"))),
            "schedules.hours.windows[0].days",
            "mon",
            "listed twice",
        ),
        (
            version(multipliers=(Multiplier("a", "1"), Multiplier("a", "2"))),
            "multipliers",
            "a",
            "name of two",
        ),
        (version(multipliers=(Multiplier("", "1"),)), "multipliers.", "''", "must have a name"),
        (version(multipliers=(Multiplier("a", "-1"),)), "multipliers.a.factor", "'-1'", "plain decimal"),
        (version(multipliers=(Multiplier("a", "1e2"),)), "multipliers.a.factor", "'1e2'", "plain decimal"),
        (
            version(
                context=(PROCESSING,),
                schedules=(HOURS,),
                multipliers=(Multiplier("a", "2", (("hours", "peak"), ("processing", "batch"))),),
            ),
            "multipliers.a.when",
            "hours=peak, processing=batch",
            "one pair",
        ),
        (
            version(multipliers=(Multiplier("a", "2", (("region", "eu"),)),)),
            "multipliers.a.when",
            "region",
            "not a context key",
        ),
        (
            version(context=(PROCESSING,), multipliers=(Multiplier("a", "2", (("processing", "fast"),)),)),
            "multipliers.a.when",
            "processing=fast",
            "one of standard, batch",
        ),
        (
            version(schedules=(HOURS,), multipliers=(Multiplier("a", "2", (("hours", "normal"),)),)),
            "multipliers.a.when",
            "hours=normal",
            "is the default",
        ),
        (
            version(multipliers=(Multiplier("a", "2", (), ("x",)),)),
            "multipliers.a.meters",
            "x",
            "known meter",
        ),
        (version(multipliers=(Multiplier("a", "2", (), ()),)), "multipliers.a.meters", "()", "or *"),
        (version(not_billed=(NotBilled(()),)), "not_billed[0].when", "()", "must name"),
        (
            version(not_billed=(NotBilled((("status", "refused"),)),)),
            "not_billed[0].when",
            "status",
            "nor an attribute",
        ),
        (
            version(context=(PROCESSING,), not_billed=(NotBilled((("processing", "fast"),)),)),
            "not_billed[0].when",
            "processing=fast",
            "one of standard, batch",
        ),
        (
            version(not_billed=(NotBilled((("event.status", "a"), ("event.status", "b"))),)),
            "not_billed[0].when",
            "event.status",
            "named twice",
        ),
        (
            version(not_billed=(NotBilled((("event.status", "a"),), ("*",)),)),
            "not_billed[0].without",
            "*",
            "known meter",
        ),
        (version(minimum="-0.01"), "minimum", "'-0.01'", "plain decimal"),
        (version(stated_cost=True), "stated_cost", "True", "there are no rates"),
        (version(included=("*",)), "included", "*", "what a customer pays"),
        (version(markup_percent="20"), "markup_percent", "20", "what a customer pays"),
        (
            version(base=Cell((Rate("input_tokens", pool="tokens"),))),
            "rates.input_tokens.pool",
            "tokens",
            "a provider card has none",
        ),
        (
            version(base=Cell((Rate("input_tokens", "2", pool="tokens"),))),
            "base.rates.input_tokens",
            "2 per 1",
            "no rate beside",
        ),
    ],
)
def test_faulty_terms_are_named(faulty: CardVersion, field: str, value: str, rule: str) -> None:
    found = faults(faulty)
    assert (field, value) in [(where, what) for where, what, _ in found]
    assert any(rule in text for where, _, text in found if where == field)
    assert len(found) == (2 if "no rate beside" in rule else 1)  # a provider's card has no pool at all


@pytest.mark.parametrize(
    ("faulty", "field", "value", "rule"),
    [
        (version(included=("x",)), "included", "x", "known meter"),
        (version(markup_percent="-5"), "markup_percent", "'-5'", "plain decimal"),
        (
            version(markup_percent="5", included=("*",)),
            "markup_percent",
            "5",
            "either included or marked up",
        ),
        (CardVersion(Cell(()), stated_cost=True), "stated_cost", "True", "for provider cards"),
    ],
)
def test_faulty_terms_of_a_customer_are_named(faulty: CardVersion, field: str, value: str, rule: str) -> None:
    ((where, what, text),) = faults(faulty, customer=True)
    assert (where, what) == (field, value)
    assert rule in text


OFF = Window("off", "00:00", "24:00")


@pytest.mark.parametrize(
    ("one", "other", "holidays", "met"),
    [
        # the same hours on the same day, or on days that exclude each other
        (PEAK, replace(PEAK, value="off"), (), True),
        (replace(PEAK, days=("mon",)), replace(PEAK, value="off", days=("tue",)), (), False),
        (replace(PEAK, days=("mon",)), replace(PEAK, value="off", days=("holiday",)), ("2026-10-01",), False),
        # the end is not in the window
        (PEAK, Window("off", "12:00", "13:00"), (), False),
        (PEAK, Window("off", "11:59", "13:00"), (), True),
        # two windows that say the same may meet
        (PEAK, replace(PEAK, start="10:00"), (), False),
        # from Friday 22:00 to Saturday 02:00
        (Window("night", "22:00", "02:00", ("fri",)), replace(OFF, days=("sat",)), (), True),
        (Window("night", "22:00", "02:00", ("fri",)), Window("off", "02:00", "24:00", ("sat",)), (), False),
        (Window("night", "22:00", "02:00", ("fri",)), replace(OFF, days=("sun",)), (), False),
        (replace(OFF, days=("mon",)), Window("night", "22:00", "02:00", ("sun",)), (), True),
        # the day after a Friday may be a holiday, where there are holidays; so may any day come after one
        (Window("night", "22:00", "02:00", ("fri",)), replace(OFF, days=("holiday",)), ("2026-10-03",), True),
        (Window("night", "22:00", "02:00", ("fri",)), replace(OFF, days=("holiday",)), (), False),
        (Window("night", "22:00", "02:00", ("holiday",)), replace(OFF, days=("wed",)), ("2026-10-01",), True),
        (Window("night", "22:00", "02:00", ("holiday",)), replace(OFF, days=("wed",)), (), False),
        # an end at the start is a day later: the whole day
        (Window("all", "09:00", "09:00", ("mon",)), Window("off", "08:00", "10:00", ("tue",)), (), True),
        (Window("all", "09:00", "09:00", ("mon",)), Window("off", "09:00", "10:00", ("tue",)), (), False),
    ],
)
def test_windows_that_say_different_values_at_one_instant_are_refused(
    one: Window, other: Window, holidays: tuple[str, ...], met: bool
) -> None:
    found = faults(windows(one, other, holidays=holidays))
    assert [field for field, _, _ in found] == ["schedules.hours.windows[1]"] * met
    assert [field for field, _, _ in faults(windows(other, one, holidays=holidays))] == [
        "schedules.hours.windows[1]"
    ] * met


def pooled(*multipliers: Multiplier, own: tuple[Rate, ...] = ()) -> RateCard:
    rates = (Rate("input_tokens", pool="tokens"), Rate("output_tokens", "1"), *own)
    return card(CardVersion(Cell(rates), multipliers=multipliers, parts_at_whole_rate=("*",)))


@pytest.mark.parametrize(
    ("meters", "own", "touched"),
    [
        (("*",), (), ["input_tokens"]),
        (("output_tokens",), (), []),
        (("input_tokens",), (), ["input_tokens"]),
        # cached input goes at the rate of input, which is the pool's; unless it has a rate of its own
        (("cache_read_tokens",), (), ["cache_read_tokens"]),
        (("cache_read_tokens",), (Rate("cache_read_tokens", "1"),), []),
    ],
)
def test_what_a_pool_prices_is_not_multiplied(
    meters: tuple[str, ...], own: tuple[Rate, ...], touched: list[str]
) -> None:
    mine = pooled(Multiplier("a", "2", (), meters), own=own)
    found = check_book(BookContent(price_cards=(PriceCard("list", (mine,)),)))
    assert [fault.value for fault in found if "without multipliers" in fault.rule] == touched
