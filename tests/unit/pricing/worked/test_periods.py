"""Prices over a customer's billing period: graduated, volume, package, free; and where a period begins."""

from textwrap import dedent, indent

import pytest

from pricing.compile import CompiledBook
from tests.unit.pricing.worked.pencil import EVERYBODY, Account, book, contract, customer, rated

RATES = "rates: {web_searches: {pool: searches}, storage_searches: {pool: searches}, dbus: 5}"


def sold(version: str, terms: str = "") -> CompiledBook:
    """Searches of both kinds in one pool with this price."""
    pools = "- pool: searches\n  versions:\n    - " + indent(dedent(version).strip(), "      ").lstrip()
    return book(customer(RATES, pools=pools), contract(terms=terms), EVERYBODY)


GRADUATED = (
    "{shape: graduated, tiers: [{start: 0, rate: 2}, {start: 1000, rate: 1}, {start: 2000, rate: 0.5}]}"
)


@pytest.mark.parametrize(
    ("calls", "amounts"),
    [
        ([999, 1, 1], ["1998", "2", "1"]),
        ([999, 2], ["1998", "3"]),
        ([1000], ["2000"]),
        ([1001], ["2001"]),
        ([1500, 1000], ["2500", "750"]),
        ([2500], ["3250"]),
        ([0, 1], ["0", "2"]),
    ],
)
def test_graduated(calls: list[int], amounts: list[str]) -> None:
    """The first 1000 at 2, the next 1000 at 1, the rest at 0.5; each unit at the rate of its tier.

    999: 1998; the 1000th 2; the 1001st 1. 1500: 2000 + 500 = 2500; 1000 more: 500 x 1 + 500 x 0.5 = 750.
    """
    account = Account(sold(GRADUATED))
    assert [account.price({"web_searches": n}) for n in calls] == [f"{amount} USD" for amount in amounts]


@pytest.mark.parametrize(
    ("operator", "calls", "amounts"),
    [
        ("gt", [999, 1, 1], ["1998", "2", "-999"]),
        ("gte", [999, 1, 1], ["1998", "-998", "1"]),
        ("gt", [1000, 1000], ["2000", "0"]),
        ("gte", [1000, 1000], ["1000", "1000"]),
        ("gt", [1001], ["1001"]),
    ],
)
def test_volume(operator: str, calls: list[int], amounts: list[str]) -> None:
    """All units at 2, or all at 1 once the quantity is above 1000 (`gt`) or is 1000 (`gte`).

    999: 1998. 1000: `gt` 2000, so 2 more; `gte` 1000, so 998 less. 1001: 1001 in both.
    """
    by = sold(
        f"{{shape: volume, operator: {operator}, tiers: [{{start: 0, rate: 2}}, {{start: 1000, rate: 1}}]}}"
    )
    account = Account(by)
    assert [account.price({"web_searches": n}) for n in calls] == [f"{amount} USD" for amount in amounts]


@pytest.mark.parametrize(
    ("calls", "amounts"),
    [
        ([1, 999, 1], ["10", "0", "10"]),
        ([1000, 0, 1000], ["10", "0", "10"]),
        ([2001], ["30"]),
        (["0.5", "0.5"], ["10", "0"]),
    ],
)
def test_package(calls: list[object], amounts: list[str]) -> None:
    """10 for each begun 1000: any quantity opens a package, 1000 fill it, the 1001st opens another."""
    account = Account(sold("{shape: package, tiers: [{start: 0, rate: 10 per 1000}]}"))
    assert [account.price({"web_searches": n}) for n in calls] == [f"{amount} USD" for amount in amounts]


@pytest.mark.parametrize(
    ("shape", "calls", "amounts"),
    [
        ("graduated", [99, 1, 1], ["0", "0", "2"]),
        ("graduated", [150], ["100"]),
        ("graduated", [1100, 1], ["2000", "1"]),
        ("volume", [100, 1000, 1], ["0", "2000", "-999"]),
    ],
)
def test_free_units_come_first(shape: str, calls: list[int], amounts: list[str]) -> None:
    """100 are free, and the tiers count what is beyond: 2 each up to 1000 of those, then 1.

    150: 50 x 2 = 100. 1100: 1000 x 2 = 2000, one more 1. By volume 1001 beyond: 1001 - 2000 = -999.
    """
    account = Account(
        sold(f"{{shape: {shape}, free: 100, tiers: [{{start: 0, rate: 2}}, {{start: 1000, rate: 1}}]}}")
    )
    assert [account.price({"web_searches": n}) for n in calls] == [f"{amount} USD" for amount in amounts]


def test_free_units_before_packages() -> None:
    """The first 100 are free: 100 cost 0, the 101st opens a package of 10 at 3, the 110th fills it."""
    account = Account(sold("{shape: package, free: 100, tiers: [{start: 0, rate: 3 per 10}]}"))
    assert [account.price({"web_searches": n}) for n in (100, 1, 9, 1)] == [
        "0 USD",
        "3 USD",
        "0 USD",
        "3 USD",
    ]


@pytest.mark.parametrize(
    ("operator", "amounts"),
    [("gt", ["102", "98", "51", "2"]), ("gte", ["102", "148", "1", "2"])],
)
def test_flat_fees_of_tiers(operator: str, amounts: list[str]) -> None:
    """100 at the first unit, 50 when 50 are passed (`gt`) or reached (`gte`); 2 each, then 1 for the 51st.

    One: 100 + 2 = 102. 49 more: 98, with `gte` and 50. The 51st: 1, with `gt` and 50. The 52nd: 2.
    """
    by = sold(
        f"{{shape: graduated, operator: {operator}, tiers: [{{start: 0, rate: 2, flat: 100}}, "
        "{start: 50, rate: 1, flat: 50}, {start: 51, rate: 2}]}"
    )
    account = Account(by)
    assert [account.price({"web_searches": n}) for n in (1, 49, 1, 1)] == [f"{a} USD" for a in amounts]


def test_thirds_add_up_to_a_period() -> None:
    """1 for 3: single calls cost 0.333...3, 0.333...4 and 0.333...3: P(1), P(2), P(3) rounded, 1 in all."""
    account = Account(sold("{shape: graduated, tiers: [{start: 0, rate: 1 per 3}]}"))
    assert [account.price({"web_searches": 1}) for _ in range(3)] == [
        "0.333333333333333333 USD",
        "0.333333333333333334 USD",
        "0.333333333333333333 USD",
    ]


def test_two_meters_share_a_pool_and_a_third_has_its_own_rate() -> None:
    """600 web and 600 storage searches are 1200: 2000 + 200 = 2200; 1 dbu at 5: 2205."""
    account = Account(sold(GRADUATED))
    assert account.price({"web_searches": 600, "storage_searches": 600, "dbus": 1}) == "2205 USD"
    assert account.price({"storage_searches": 1}) == "1 USD"


def test_each_customer_has_periods_of_its_own() -> None:
    account = Account(sold(GRADUATED))
    assert account.price({"web_searches": 1000}, customer_id="one") == "2000 USD"
    assert account.price({"web_searches": 1}, customer_id="two") == "2 USD"
    assert account.price({"web_searches": 1}, customer_id="one") == "1 USD"


def test_the_lines_show_the_tiers() -> None:
    """1500 after 700: 300 x 2 = 600, 1000 x 1 = 1000, 200 x 0.5 = 100, which are 1700."""
    states = {"list/searches": (700 * 10**18, 1400 * 10**18)}
    rating = rated(sold(GRADUATED), {"web_searches": 1500}, pools=lambda pool, _: states[pool])
    lines = [
        (line.quantity_atto // 10**18, line.rate, line.amount_atto)
        for line in rating.lines
        if line.side == "price"
    ]
    assert lines == [(300, "2", 600 * 10**18), (1000, "1", 1000 * 10**18), (200, "0.5", 100 * 10**18)]
    assert rating.price.amount_atto == 1700 * 10**18


def test_the_line_of_a_falling_price() -> None:
    """The 1001st unit at 1, and what the first 1000 are worth less: 1000 x (1 - 2) = -1000; together -999."""
    states = {"list/searches": (1000 * 10**18, 2000 * 10**18)}
    by = sold("{shape: volume, tiers: [{start: 0, rate: 2}, {start: 1000, rate: 1}]}")
    rating = rated(by, {"web_searches": 1}, pools=lambda pool, _: states[pool])
    lines = [
        (line.meter, line.quantity_atto, line.amount_atto) for line in rating.lines if line.side == "price"
    ]
    assert lines == [("web_searches", 10**18, 10**18), ("tier_adjustment", 0, -1000 * 10**18)]


PERIODS = [
    # unit, anchor, zone; the last instant of one period, as UTC
    ("calendar_month_utc", 1, "", "2026-02-28T23:59:59.999999Z"),
    ("day", 1, "UTC", "2026-02-28T23:59:59.999999Z"),
    ("day", 1, "+05:30", "2026-02-28T18:29:59.999999Z"),
    ("week", 5, "UTC", "2026-02-26T23:59:59.999999Z"),  # Thursday's end
    ("month", 15, "UTC", "2026-03-14T23:59:59.999999Z"),
    ("month", 31, "UTC", "2026-02-27T23:59:59.999999Z"),  # February's last day begins the next
    ("month", 31, "UTC", "2026-03-30T23:59:59.999999Z"),
    ("month", 1, "America/New_York", "2026-03-01T04:59:59.999999Z"),  # winter: UTC-5
    ("month", 1, "America/New_York", "2026-04-01T03:59:59.999999Z"),  # summer: UTC-4
    ("quarter", 1, "UTC", "2026-03-31T23:59:59.999999Z"),
    ("quarter", 10, "UTC", "2026-04-09T23:59:59.999999Z"),
    ("year", 1, "Asia/Tokyo", "2025-12-31T14:59:59.999999Z"),
    # Beirut's clock goes from 00:00 to 01:00 on 29 March: the day begins at 22:00 UTC, as 01:00.
    ("day", 1, "Asia/Beirut", "2026-03-28T21:59:59.999999Z"),
]


@pytest.mark.parametrize(("unit", "anchor", "zone", "last"), PERIODS)
def test_a_period_begins_at_its_anchor_day_in_its_zone(unit: str, anchor: int, zone: str, last: str) -> None:
    """1000 in a period's last microsecond use up the dear units; a microsecond later a unit is at 2."""
    terms = f"billing_period: {unit}"
    if zone:
        terms += f', zone: "{zone}"' + ("" if unit == "day" else f", anchor_day: {anchor}")
    account = Account(sold(GRADUATED, terms))
    head, tail = last.rsplit("T", 1)
    assert account.price({"web_searches": 1000}, at=last) == "2000 USD"
    assert account.price({"web_searches": 1}, at=last) == "1 USD"
    assert account.price({"web_searches": 1}, at=_next_microsecond(head, tail)) == "2 USD"
    assert account.price({"web_searches": 1}, at=last) == "1 USD"  # late, and still in its period


def _next_microsecond(day: str, time: str) -> str:
    """The next second: every instant above is the last microsecond of one."""
    hour, minute = int(time[:2]), int(time[3:5])
    assert time[5:] == ":59.999999Z"
    if (hour, minute) == (23, 59):
        following = {
            "2026-02-28": "2026-03-01",
            "2026-02-26": "2026-02-27",
            "2026-03-14": "2026-03-15",
            "2026-02-27": "2026-02-28",
            "2026-03-30": "2026-03-31",
            "2026-03-31": "2026-04-01",
            "2026-04-09": "2026-04-10",
        }
        return f"{following[day]}T00:00:00Z"
    return f"{day}T{hour + (minute == 59):02}:{(minute + 1) % 60:02}:00Z"


CHANGE = """
contracts:
  - {{contract: old, currency: USD, price_cards: [list]}}
  - {{contract: new, currency: USD, price_cards: [list]{terms}}}
"""
ASSIGNED = """
assignments:
  - {customer: cust, contract: old, to: "2026-03-10T00:00:00Z"}
  - {customer: cust, contract: new, from: "2026-03-10T00:00:00Z"}
"""


@pytest.mark.parametrize(
    ("terms", "amount"),
    [
        ("", "2"),
        (", carry_over: true", "1"),
        (", carry_over: true, billing_period: month", "2"),
        (", carry_over: false", "2"),
    ],
)
def test_a_new_contract_ends_the_period_unless_it_carries_over(terms: str, amount: str) -> None:
    """1000 on 9 March at 2. On the 10th, a new contract: at 2 again, or at 1 where the quantity goes on.

    Another calendar cannot go on.
    """
    pools = f"- {{pool: searches, versions: [{GRADUATED}]}}"
    account = Account(book(customer(RATES, pools=pools), CHANGE.format(terms=terms), ASSIGNED))
    assert account.price({"web_searches": 1000}, at="2026-03-09T23:59:59.999999Z") == "2000 USD"
    assert account.price({"web_searches": 1}, at="2026-03-10T00:00:00Z") == f"{amount} USD"


def test_a_new_version_of_the_pool_begins_at_nothing() -> None:
    """1000 until 10 March at 2; from then 3 each up to 10, then 1: a new P, which begins with Q = 0."""
    pools = """
    - pool: searches
      versions:
        - {to: "2026-03-10T00:00:00Z", shape: graduated, tiers: [{start: 0, rate: 2}, {start: 1000, rate: 1}]}
        - {from: "2026-03-10T00:00:00Z", shape: graduated, tiers: [{start: 0, rate: 3}, {start: 10, rate: 1}]}
    """
    account = Account(book(customer(RATES, pools=pools), contract(), EVERYBODY))
    assert account.price({"web_searches": 1001}, at="2026-03-09T23:59:59.999999Z") == "2001 USD"
    assert account.price({"web_searches": 12}, at="2026-03-10T00:00:00Z") == "32 USD"
    assert account.price({"web_searches": 1}, at="2026-03-09T00:00:00Z") == "1 USD"
