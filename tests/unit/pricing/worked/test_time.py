"""Dates, hours, weekdays, holidays and context, all together."""

import pytest

from tests.unit.pricing.worked.pencil import book, cost, provider

PEAK = """
schedules:
  - key: hours
    default: normal
    zone: +08:00
    windows:
      - {value: peak, from: "09:00", to: "12:00", days: [mon, tue, wed, thu, fri]}
      - {value: peak, from: "14:00", to: "18:00", days: [mon, tue, wed, thu, fri]}
    holidays: ["2026-10-01"]
context: {processing: {values: [standard, batch], default: standard}}
"""
OLD = "{to: 2026-08-16T16:00:00Z, rates: {input_tokens: 4 per 1000}}"
NEW = f"""
from: 2026-08-16T16:00:00Z
rates: {{input_tokens: 1 per 1000}}
{PEAK.strip()}
variants:
  - {{when: {{hours: peak}}, rates: {{input_tokens: 2 per 1000}}}}
  - {{when: {{processing: batch}}, rates: {{input_tokens: 0.5 per 1000}}}}
  - {{when: {{processing: batch, hours: peak}}, rates: {{input_tokens: 0.7 per 1000}}}}
"""


@pytest.mark.parametrize(
    ("at", "processing", "amount"),
    [
        # The new price begins on Monday 17 August at 00:00 in China, which is 16:00 UTC of Sunday.
        ("2026-08-16T15:59:59.999999Z", "standard", "4"),
        ("2026-08-16T16:00:00Z", "standard", "1"),
        ("2026-08-17T00:59:59.999999Z", "standard", "1"),  # 08:59:59 there
        ("2026-08-17T01:00:00Z", "standard", "2"),  # 09:00
        ("2026-08-17T03:59:59.999999Z", "standard", "2"),
        ("2026-08-17T04:00:00Z", "standard", "1"),  # 12:00
        ("2026-08-17T05:59:59.999999Z", "standard", "1"),
        ("2026-08-17T06:00:00Z", "standard", "2"),  # 14:00
        ("2026-08-17T10:00:00Z", "standard", "1"),  # 18:00
        ("2026-08-21T02:00:00Z", "standard", "2"),  # Friday, 10:00
        ("2026-08-22T02:00:00Z", "standard", "1"),  # Saturday
        ("2026-08-23T02:00:00Z", "standard", "1"),  # Sunday
        ("2026-10-01T02:00:00Z", "standard", "1"),  # a Thursday, but a holiday
        ("2026-09-30T02:00:00Z", "standard", "2"),
        ("2026-08-17T00:00:00Z", "batch", "0.5"),
        ("2026-08-17T02:00:00Z", "batch", "0.7"),
        ("2026-08-22T02:00:00Z", "batch", "0.5"),
        ("2026-08-16T02:00:00Z", "batch", "unpriced"),  # the old version knows no batch
    ],
)
def test_dates_and_hours_and_weekdays_and_context(at: str, processing: str, amount: str) -> None:
    """1000 tokens: 4 before the change; then 1, at peak 2, in batch 0.5, in batch at peak 0.7."""
    context = {} if processing == "standard" else {"processing": processing}
    told = cost(book(provider(OLD, NEW)), {"input_tokens": 1000}, at=at, context=context)
    assert told == (amount if amount == "unpriced" else f"{amount} USD")


def test_a_call_cannot_say_what_time_it_is() -> None:
    """The hours follow from the event's time; a context that names them contradicts it or repeats it."""
    by = book(provider(OLD, NEW))
    assert (
        cost(by, {"input_tokens": 1000}, at="2026-08-17T02:00:00Z", context={"hours": "peak"}) == "unpriced"
    )


NIGHT = """
schedules:
  - key: night
    default: "no"
    zone: America/New_York
    windows: [{value: "yes", from: "22:00", to: "06:00", days: [fri, sat]}]
rates: {dbus: 4}
variants: [{when: {night: "yes"}, rates: {dbus: 3}}]
"""


@pytest.mark.parametrize(
    ("at", "amount"),
    [
        ("2026-07-04T01:59:59Z", "4"),  # Friday 21:59:59 in New York (UTC-4)
        ("2026-07-04T02:00:00Z", "3"),  # Friday 22:00
        ("2026-07-04T09:59:59Z", "3"),  # Saturday 05:59:59: Friday's window
        ("2026-07-04T10:00:00Z", "4"),  # Saturday 06:00
        ("2026-07-05T02:00:00Z", "3"),  # Saturday 22:00
        ("2026-07-05T09:59:59Z", "3"),  # Sunday 05:59:59: Saturday's window
        ("2026-07-06T02:00:00Z", "4"),  # Sunday 22:00: Sunday has none
        ("2026-07-03T09:00:00Z", "4"),  # Friday 05:00: Thursday has none
        ("2026-12-05T02:59:59Z", "4"),  # in winter UTC-5: Friday 21:59:59
        ("2026-12-05T03:00:00Z", "3"),  # Friday 22:00
        # The clock goes back on Sunday 1 November at 02:00: Saturday's window is an hour longer.
        ("2026-11-01T10:59:59Z", "3"),
        ("2026-11-01T11:00:00Z", "4"),
    ],
)
def test_over_midnight_in_a_zone_with_summer_time(at: str, amount: str) -> None:
    """A window belongs to the day on which it begins; 22:00 is told by the clock on the wall."""
    assert cost(book(provider(NIGHT)), {"dbus": 1}, at=at) == f"{amount} USD"


def test_the_factor_of_an_hour() -> None:
    """Off-peak from 16:30 to 00:30 UTC at a quarter: 1000 x 2 / 1000 x 0.25 = 0.5."""
    rates = """
    rates: {input_tokens: 2 per 1000}
    schedules: [{key: hours, default: standard, windows: [{value: off_peak, from: "16:30", to: "00:30"}]}]
    multipliers: [{name: off-peak, factor: 0.25, when: {hours: off_peak}}]
    """
    by = book(provider(rates))
    for time, amount in (("16:29:59", "2"), ("16:30:00", "0.5"), ("00:29:59", "0.5"), ("00:30:00", "2")):
        assert cost(by, {"input_tokens": 1000}, at=f"2026-08-17T{time}Z") == f"{amount} USD"


def test_an_alias_moves() -> None:
    """`latest` is `small` at 1 until noon of 1 July, then `large` at 3, from 2027 nothing but its name."""
    cards = """
    provider: acme
    currency: USD
    cards:
      - {card: acme/small, models: [small], versions: [{rates: {dbus: 1}}]}
      - {card: acme/large, models: [large], versions: [{rates: {dbus: 3}}]}
    """
    aliases = """
    aliases:
      - {provider: acme, alias: latest, model: small, to: "2026-07-01T12:00:00Z"}
      - provider: acme
        alias: latest
        model: large
        from: "2026-07-01T12:00:00Z"
        to: "2027-01-01T00:00:00Z"
    """
    by = book(cards, aliases)
    for at, amount in (
        ("2026-07-01T11:59:59.999999Z", "1 USD"),
        ("2026-07-01T12:00:00Z", "3 USD"),
        ("2026-12-31T23:59:59.999999Z", "3 USD"),
        ("2027-01-01T00:00:00Z", "unpriced"),
    ):
        assert cost(by, {"dbus": 1}, at=at, requested_model="latest") == amount
        assert cost(by, {"dbus": 1}, at=at, requested_model="Latest") == amount
