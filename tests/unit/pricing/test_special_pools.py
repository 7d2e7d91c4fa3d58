"""Pools in a rating: the lines of an event, the state before and after, and which period counts."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from pricing.cards import (
    Assignment,
    BookContent,
    CardVersion,
    Cell,
    Contract,
    Pool,
    PoolVersion,
    PriceCard,
    Rate,
    Tier,
)
from pricing.compile import CompiledBook
from pricing.errors import UsageError
from pricing.money import ATTO
from pricing.rate import Call, PoolState, Rating, rate
from tests.unit.pricing.build import DAY, book, card, flat

NOVEMBER, DECEMBER = 20_758 * DAY, 20_788 * DAY  # 2026
NOON = NOVEMBER + 17 * DAY + DAY // 2

GRADUATED = PoolVersion("graduated", (Tier("0", "2"), Tier("1000", "1")))
POOLED = CardVersion(
    Cell((Rate("web_searches", pool="tokens"), Rate("map_searches", pool="tokens"), Rate("dbus", "5")))
)
EVERYBODY = (Assignment("*", "c"),)


def selling(
    versions: Sequence[PoolVersion],
    *contracts: Contract,
    version: CardVersion = POOLED,
    assignments: tuple[Assignment, ...] = EVERYBODY,
) -> CompiledBook:
    pool = Pool("tokens", "USD", tuple(versions))
    cards = PriceCard("list", (card(version),), (pool,)), PriceCard("other", (card(version),), (pool,))
    return book(
        content=BookContent(
            (), cards, contracts or (Contract("c", "USD", ("list",)),), assignments, context_ignored=("k",)
        )
    )


class Account:
    """One customer's pools, kept between calls."""

    def __init__(self, priced_by: CompiledBook, customer: str = "acme") -> None:
        self.by = priced_by
        self.customer = customer
        self.states: dict[tuple[str, int], PoolState] = {}
        self.asked: list[tuple[str, int]] = []

    def rate(self, at_us: int = NOON, **usage: str) -> Rating:
        rating = rate(self.by, Call(self.customer, "p", "m", at_us, usage), self._pools)
        for state in rating.pools_after:
            self.states[state.pool, state.start_us] = state
        return rating

    def price(self, searches: int, at_us: int = NOON) -> int:
        """In whole units of the currency."""
        amount = self.rate(at_us, web_searches=str(searches)).price.amount_atto
        assert amount is not None
        return amount // ATTO

    def _pools(self, pool: str, start_us: int) -> tuple[int, int]:
        self.asked.append((pool, start_us))
        state = self.states.get((pool, start_us))
        return (0, 0) if state is None else (state.quantity_atto, state.amount_atto)


def lines_of(rating: Rating) -> list[tuple[str, int, str | None, int]]:
    """Meter, quantity, rate and amount of the price side, in whole units."""
    return [
        (line.meter, line.quantity_atto // ATTO, line.rate, (line.amount_atto or 0) // ATTO)
        for line in rating.lines
        if line.side == "price"
    ]


def test_the_lines_of_an_event_that_crosses_a_tier() -> None:
    """999 x 2 = 1998; then 3 more: 1 x 2 + 2 x 1 = 4. Before 999 and 1998, after 1002 and 2002."""
    account = Account(selling([GRADUATED]))
    assert account.price(999) == 1998
    rating = account.rate(web_searches="3")
    assert lines_of(rating) == [("web_searches", 1, "2", 2), ("web_searches", 2, "1", 2)]
    period = ("list/tokens", NOVEMBER, DECEMBER)
    assert rating.pools_before == (PoolState(*period, 999 * ATTO, 1998 * ATTO, "USD"),)
    assert rating.pools_after == (PoolState(*period, 1002 * ATTO, 2002 * ATTO, "USD"),)
    assert rating.lines[-1].explain == (
        "contract c, card p/m: web_searches at its own rate, pool list/tokens, graduated, over 1000; "
        "standard context"
    )


def test_two_meters_of_one_event_go_into_the_pool_one_after_the_other() -> None:
    """600 + 600: 600 x 2, then 400 x 2 + 200 x 1. The dbu beside them has its own rate."""
    account = Account(selling([GRADUATED]))
    rating = account.rate(web_searches="600", map_searches="600", dbus="1")
    assert lines_of(rating) == [
        ("web_searches", 600, "2", 1200),
        ("map_searches", 400, "2", 800),
        ("map_searches", 200, "1", 200),
        ("dbus", 1, "5", 5),
    ]
    assert rating.price == ("priced", 2205 * ATTO, "USD")
    assert [state.quantity_atto for state in rating.pools_before] == [0]
    assert [state.quantity_atto for state in rating.pools_after] == [1200 * ATTO]
    assert account.asked == [("list/tokens", NOVEMBER)]


def test_a_volume_price_that_falls_gives_back() -> None:
    """1000 x 2 = 2000; the next unit makes all 1001 cost 1: 1001 - 2000 = -999 = 1 - 1000."""
    account = Account(selling([replace(GRADUATED, shape="volume")]))
    assert account.price(1000) == 2000
    rating = account.rate(web_searches="1")
    assert rating.price == ("priced", -999 * ATTO, "USD")
    assert lines_of(rating) == [("web_searches", 1, "1", 1), ("tier_adjustment", 0, None, -1000)]
    assert rating.lines[-1].status == "priced"


def test_a_least_amount_takes_back_nothing_of_a_fall() -> None:
    """1000 at 2; the 1001st makes all of them 1: 1001 - 2000 = -999, though a call owes at least 5."""
    volume = PoolVersion("volume", (Tier("0", "2"), Tier("1000", "1")))
    account = Account(selling([volume], version=replace(POOLED, minimum="5")))
    assert [account.price(1000), account.price(1), account.price(1)] == [2000, -999, 5]


def test_packages_and_free_units() -> None:
    """5 free, then 10 for each begun 100: 6 units begin a package, the next 99 none, one more a second."""
    version = PoolVersion("package", (Tier("0", "10", "100"),), free="5")
    account = Account(selling([version]))
    first = account.rate(web_searches="6")
    assert lines_of(first) == [("web_searches", 5, "0", 0), ("web_searches", 1, "10", 10)]
    assert [line.billed_atto for line in first.lines if line.side == "price"] == [None, 100 * ATTO]
    assert [account.price(99), account.price(1)] == [0, 10]
    explained = [line.explain for line in first.lines if line.side == "price"]
    assert "pool list/tokens, the first 5 are free" in explained[0]
    assert "pool list/tokens, begun packages of 100" in explained[1]


def test_a_flat_fee_of_a_tier_is_an_adjustment() -> None:
    """10 units at 2, and 7 once."""
    version = PoolVersion("graduated", (Tier("0", "2", flat="7"),))
    account = Account(selling([version]))
    assert lines_of(account.rate(web_searches="10")) == [
        ("web_searches", 10, "2", 20),
        ("tier_adjustment", 0, None, 7),
    ]
    assert account.price(1) == 2


def test_nothing_counted_touches_the_period_and_owes_nothing() -> None:
    account = Account(selling([GRADUATED]))
    rating = account.rate(web_searches="0")
    assert rating.price == ("priced", 0, "USD")
    assert rating.pools_after == rating.pools_before


def test_a_rounded_quantity_goes_into_the_pool() -> None:
    """3 are billed as 10: 20."""
    version = CardVersion(Cell((Rate("web_searches", pool="tokens", minimum="10"),)))
    rating = Account(selling([GRADUATED], version=version)).rate(web_searches="3")
    assert (rating.price.amount_atto, rating.pools_after[0].quantity_atto) == (20 * ATTO, 10 * ATTO)


def test_a_part_at_its_wholes_rate_goes_into_the_pool_of_the_whole() -> None:
    version = CardVersion(Cell((Rate("audio_seconds", pool="tokens"),)), parts_at_whole_rate=("*",))
    rating = Account(selling([GRADUATED], version=version)).rate(input_audio_seconds="3")
    assert lines_of(rating) == [("input_audio_seconds", 3, "2", 6)]


def test_lines_of_later_events_share_their_templates() -> None:
    """Encoders cache by template: nothing of an event may be in it."""
    account = Account(selling([GRADUATED]))
    first, second = (account.rate(web_searches=count).lines[-1].template for count in ("5", "8"))
    assert first is second


def test_the_quantity_of_a_period_has_an_end() -> None:
    account = Account(selling([replace(GRADUATED, tiers=(Tier("0", "0"),))]))
    most = "9" * 20
    account.rate(web_searches=most)
    with pytest.raises(UsageError, match="amount_overflow"):
        account.rate(web_searches=most)


def test_a_line_says_that_tiers_and_packages_begin_after_the_free_units() -> None:
    """10 free, 100 at 2 (up to 110 in all), then 1; and begun packages of 5 after 10 free."""
    tiers = PoolVersion("graduated", (Tier("0", "2"), Tier("100", "1")), free="10")
    said = [line.explain for line in Account(selling([tiers])).rate(web_searches="111").lines[1:]]
    assert [words.split("list/tokens, ")[1] for words in said] == [
        "the first 10 are free; standard context",
        "graduated, over 0 beyond the first 10, which are free; standard context",
        "graduated, over 100 beyond the first 10, which are free; standard context",
    ]
    packages = PoolVersion("package", (Tier("0", "2", "5"),), free="10")
    last = Account(selling([packages])).rate(web_searches="11").lines[-1].explain
    assert last.endswith("begun packages of 5 beyond the first 10, which are free; standard context")


def test_packages_beyond_what_a_number_holds_are_refused() -> None:
    """20 nines in begun thousands are 10**20: 21 digits."""
    account = Account(selling([PoolVersion("package", (Tier("0", "0.0001", "1000"),))]))
    with pytest.raises(UsageError, match=r"price = 100000000000000000000: .* 20 digits"):
        account.rate(web_searches="9" * 20)


def test_a_new_version_of_the_pool_begins_at_nothing() -> None:
    """To noon at 2, from noon at 3 from the first unit; after the second one's end nothing."""
    first = replace(GRADUATED, tiers=(Tier("0", "2"),), valid_to_us=NOON)
    second = PoolVersion(
        "volume", (Tier("0", "3"), Tier("10", "1")), valid_from_us=NOON, valid_to_us=NOON + DAY
    )
    account = Account(selling([first, second]))
    before = account.rate(NOON - 1, web_searches="10")
    assert (before.pools_after[0].start_us, before.pools_after[0].end_us) == (NOVEMBER, NOON)
    after = account.rate(NOON, web_searches="10")
    assert (after.pools_after[0].start_us, after.pools_after[0].end_us) == (NOON, NOON + DAY)
    assert (before.price.amount_atto, after.price.amount_atto) == (20 * ATTO, 30 * ATTO)
    assert after.service_period == (NOVEMBER, DECEMBER)
    nothing = account.rate(NOON + DAY, web_searches="10")
    assert (nothing.price.status, nothing.pools_after) == ("unpriced", ())
    assert "pool list/tokens: no prices in force" in nothing.lines[-1].explain


def test_a_period_ends_with_the_calendars() -> None:
    account = Account(selling([GRADUATED]))
    assert [account.price(1000, DECEMBER - 1), account.price(1000, DECEMBER)] == [2000, 2000]
    assert account.price(1, NOVEMBER) == 1  # a late one counts in its own month


DAILY = Contract("c", "USD", ("list",), "day", zone="+08:00")
EIGHT_HOURS = DAY // 3


def test_the_service_period_is_the_contracts() -> None:
    """A day at +08:00 begins at 16:00 UTC."""
    account = Account(selling([GRADUATED], DAILY))
    start = NOVEMBER - EIGHT_HOURS
    assert account.rate(start, dbus="1").service_period == (start, start + DAY)
    assert account.rate(start + DAY - 1, dbus="1").service_period == (start, start + DAY)
    assert account.rate(start - 1, dbus="1").service_period == (start - DAY, start)
    assert [account.price(1000, start), account.price(1000, start + DAY - 1)] == [2000, 1000]
    assert account.price(1000, start + DAY) == 2000


def changed(following: Contract, between_us: int = 0) -> Account:
    """acme goes from contract c, assigned on the 3rd, to the following one at noon (or so much later)."""
    assignments = (
        Assignment("acme", "c", NOVEMBER + 2 * DAY, NOON),
        Assignment("acme", following.contract_id, NOON + between_us, NOON + 5 * DAY),
    )
    first = Contract("c", "USD", ("list",))
    return Account(selling([GRADUATED], first, following, assignments=assignments))


NEXT = Contract("next", "USD", ("list",))


@pytest.mark.parametrize(
    ("following", "after", "starts_anew", "bills_anew"),
    [
        (NEXT, 2000, True, True),
        (replace(NEXT, carry_over=True), 1000, False, False),
        (replace(NEXT, carry_over=True, billing_period="month"), 2000, True, True),
        (replace(NEXT, carry_over=True, price_cards=("other",)), 2000, True, False),
        (replace(NEXT, carry_over=True, price_cards=("list", "other")), 1000, False, False),
    ],
)
def test_a_change_of_contract_ends_the_period_unless_it_carries_over(
    following: Contract, after: int, *, starts_anew: bool, bills_anew: bool
) -> None:
    """1000 at 2 before noon; 1000 after noon at 1 where the period went on, at 2 where it began anew."""
    account = changed(following)
    begin, end = NOVEMBER + 2 * DAY, NOON + 5 * DAY
    before = account.rate(NOON - 1, web_searches="1000")
    assert before.price.amount_atto == 2000 * ATTO
    later = account.rate(NOON, web_searches="1000")
    assert later.price.amount_atto == after * ATTO
    assert (before.pools_after[0].start_us, before.pools_after[0].end_us) == (
        begin,
        NOON if starts_anew else end,
    )
    assert (later.pools_after[0].start_us, later.pools_after[0].end_us) == (
        NOON if starts_anew else begin,
        end,
    )
    assert before.service_period == (begin, NOON if bills_anew else end)
    assert later.service_period == (NOON if bills_anew else begin, end)


def test_nothing_is_carried_over_a_time_without_a_contract() -> None:
    account = changed(replace(NEXT, carry_over=True), between_us=1)
    assert account.price(1000, NOON - 1) == 2000
    unassigned = account.rate(NOON, web_searches="1")
    assert (unassigned.price.status, unassigned.service_period) == ("unpriced", (NOVEMBER, DECEMBER))
    assert account.price(1000, NOON + 1) == 2000


RENEWED = (Assignment("acme", "c", NOVEMBER + 2 * DAY, NOON), Assignment("acme", "c", NOON, NOON + 5 * DAY))
BACK_TO_ALL = (Assignment("acme", "c", NOVEMBER + 2 * DAY, NOON), Assignment("*", "c", None, NOON + 5 * DAY))


@pytest.mark.parametrize(("assignments", "begin"), [(RENEWED, NOVEMBER + 2 * DAY), (BACK_TO_ALL, NOVEMBER)])
def test_the_same_contract_once_more_is_no_change(assignments: tuple[Assignment, ...], begin: int) -> None:
    """1000 at 2 before noon, 1000 at 1 after it: one period, though a second assignment begins at noon."""
    account = Account(selling([GRADUATED], Contract("c", "USD", ("list",)), assignments=assignments))
    before, later = (account.rate(at, web_searches="1000") for at in (NOON - 1, NOON))
    assert (before.price.amount_atto, later.price.amount_atto) == (2000 * ATTO, 1000 * ATTO)
    for rating in (before, later):
        assert rating.service_period == rating.pools_after[0][1:3] == (begin, NOON + 5 * DAY)


def test_a_renewal_after_a_time_without_a_contract_begins_anew() -> None:
    anew = (RENEWED[0], replace(RENEWED[1], valid_from_us=NOON + 1))
    account = Account(selling([GRADUATED], assignments=anew))
    assert [account.price(1000, NOON - 1), account.price(1000, NOON + 1)] == [2000, 2000]


def test_a_contract_for_everybody_is_cut_by_the_customers_own() -> None:
    """acme pays by its own from noon to midnight and before and after by everybody's."""
    own = Contract("own", "USD", ("other",))
    midnight = NOON + DAY // 2
    by = selling(
        [GRADUATED],
        Contract("c", "USD", ("list",)),
        own,
        assignments=(*EVERYBODY, Assignment("acme", "own", NOON, midnight)),
    )
    account, someone = Account(by), Account(by, "someone")
    instants = (NOON - 1, NOON, midnight - 1, midnight)
    periods = [account.rate(at, web_searches="1").pools_after[0][:3] for at in instants]
    assert periods == [
        ("list/tokens", NOVEMBER, NOON),
        ("other/tokens", NOON, midnight),
        ("other/tokens", NOON, midnight),
        ("list/tokens", midnight, DECEMBER),
    ]
    assert {someone.rate(at, dbus="1").service_period for at in instants} == {(NOVEMBER, DECEMBER)}


def test_a_call_without_pooled_meters_asks_for_no_pool() -> None:
    account = Account(selling([GRADUATED]))
    assert account.rate(dbus="1").pools_before == ()
    assert account.asked == []


def test_a_pool_beside_what_has_no_price_is_partial() -> None:
    rating = Account(selling([GRADUATED])).rate(web_searches="1", zebras="1")
    assert rating.price == ("partial", 2 * ATTO, "USD")
    assert rating.pools_after[0].amount_atto == 2 * ATTO


def test_the_cost_has_no_pools() -> None:
    by = book(card(flat({"web_searches": "1"})))
    assert rate(by, Call(None, "p", "m", NOON, {"web_searches": "1000000"})).pools_after == ()
