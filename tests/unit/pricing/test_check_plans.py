"""Faults around the cards: pools, contracts, aliases, exchange rates, zones, units; each one error."""

from dataclasses import replace

import pytest

from pricing.cards import (
    BookContent,
    CardVersion,
    Cell,
    Contract,
    ExchangeRate,
    ModelAlias,
    Pool,
    PoolVersion,
    PriceCard,
    Rate,
    Tier,
    Zone,
)
from pricing.check import check_book
from tests.unit.pricing.build import card, flat

TIERS = (Tier("0", "2", "1000"), Tier("100", "1", "1000", "5"))
GRADUATED = PoolVersion("graduated", TIERS, "10")
PACKAGE = PoolVersion("package", (Tier("0", "3", "1000"),))
POOL = Pool("tokens", "USD", (GRADUATED,))
POOLED = card(CardVersion(Cell((Rate("input_tokens", pool="tokens"),))))
LIST = PriceCard("list", (POOLED,), (POOL,), "0.3")
DEAL = Contract("deal", "USD", ("list",))
EURO = ExchangeRate("USD", "EUR", "0.9")
PLAIN = PriceCard("list", (card(flat({"input_tokens": "1"})),))


def only(content: BookContent) -> tuple[str, str, str, str]:
    (fault,) = check_book(content)
    return fault.card, fault.field, fault.value, fault.rule


def test_a_sound_book_of_all_kinds_has_no_fault() -> None:
    content = BookContent(
        provider_cards=(card(flat({"input_tokens": "1"})),),
        price_cards=(LIST, replace(PLAIN, price_card_id="plain")),
        contracts=(
            replace(DEAL, billing_period="week", anchor_day=7, zone="Europe/Berlin", carry_over=True),
            Contract("euro", "EUR", ("plain",), "month", 31, "-03:30"),
            Contract("credit", "CREDIT", ("plain",), "day", 1),
        ),
        units=("CREDIT",),
        aliases=(ModelAlias("p", "latest", "m", None, 5), ModelAlias("P", "Latest", "n", 5)),
        exchange=(
            replace(EURO, valid_to_us=5),
            replace(EURO, valid_from_us=5),
            ExchangeRate("USD", "CREDIT", "100"),
        ),
        zones=(Zone("Europe/Berlin", ((0, 3600), (5, 7200))),),
    )
    assert check_book(content) == ()


@pytest.mark.parametrize(
    ("pool", "field", "value", "rule"),
    [
        (replace(POOL, pool="to/kens"), "pools", "'to/kens'", "without a slash"),
        (replace(POOL, versions=()), "pools.tokens.versions", "()", "must have a version"),
        (
            replace(POOL, versions=(GRADUATED, GRADUATED)),
            "pools.tokens.versions",
            "[since ever, without end)",
            "overlaps",
        ),
        (
            replace(POOL, versions=(replace(GRADUATED, shape="tiered"),)),  # type: ignore[arg-type]  # the fault
            "pools.tokens.versions[0].shape",
            "'tiered'",
            "graduated, volume or package",
        ),
        (
            replace(POOL, versions=(replace(GRADUATED, operator="lt"),)),  # type: ignore[arg-type]  # the fault
            "pools.tokens.versions[0].operator",
            "'lt'",
            "gt or gte",
        ),
        (
            replace(POOL, versions=(replace(GRADUATED, free="-1"),)),
            "pools.tokens.versions[0].free",
            "'-1'",
            "0 or more",
        ),
        (
            replace(POOL, versions=(replace(GRADUATED, tiers=()),)),
            "pools.tokens.versions[0].tiers",
            "()",
            "must have a tier",
        ),
        (
            replace(POOL, versions=(replace(GRADUATED, tiers=(Tier("1", "2"),)),)),
            "pools.tokens.versions[0].tiers[0].start",
            "1",
            "start at 0",
        ),
        (
            replace(POOL, versions=(replace(GRADUATED, tiers=(*TIERS, TIERS[1])),)),
            "pools.tokens.versions[0].tiers[2].start",
            "100",
            "ascend",
        ),
        (
            replace(POOL, versions=(replace(GRADUATED, tiers=(Tier("0", "x"),)),)),
            "pools.tokens.versions[0].tiers[0].rate",
            "'x'",
            "plain decimal",
        ),
        (
            replace(POOL, versions=(replace(PACKAGE, tiers=(Tier("0", "3", "0"),)),)),
            "pools.tokens.versions[0].tiers[0].per",
            "'0'",
            "above 0",
        ),
        (
            replace(POOL, versions=(replace(PACKAGE, tiers=(Tier("0", "3", "9", "1"),)),)),
            "pools.tokens.versions[0].tiers[0].flat",
            "1",
            "no flat amount",
        ),
        (
            replace(POOL, versions=(replace(PACKAGE, tiers=(Tier("0", "3"), Tier("9", "3"))),)),
            "pools.tokens.versions[0].tiers",
            "2",
            "one tier",
        ),
    ],
)
def test_a_faulty_pool_is_named(pool: Pool, field: str, value: str, rule: str) -> None:
    others = (POOL,) if pool.pool != POOL.pool else ()
    who, where, what, text = only(BookContent(price_cards=(replace(LIST, pools=(pool, *others)),)))
    assert (who, where, what) == ("list", field, value)
    assert rule in text


def test_two_pools_of_one_name_and_a_pool_that_is_not_there() -> None:
    assert only(BookContent(price_cards=(replace(LIST, pools=(POOL, POOL)),)))[:3] == (
        "list",
        "pools",
        "tokens",
    )
    who, field, value, rule = only(BookContent(price_cards=(replace(LIST, pools=()),)))
    assert (who, field, value) == ("p/m", "versions[0].rates.input_tokens.pool", "tokens")
    assert "is not a pool" in rule


def test_pools_are_not_exchanged() -> None:
    """The card is in USD and its pool in EUR; or both are, and the contract is not."""
    euro = replace(LIST, pools=(replace(POOL, currency="EUR"),))
    assert only(BookContent(price_cards=(euro,)))[:3] == (
        "p/m",
        "versions[0].rates.input_tokens.pool",
        "tokens",
    )
    sold = BookContent(price_cards=(LIST,), contracts=(replace(DEAL, currency="EUR"),), exchange=(EURO,))
    who, field, value, rule = only(sold)
    assert (who, field, value) == ("deal", "currency", "EUR")
    assert "pools are not exchanged" in rule


def test_a_markup_is_in_the_contracts_currency() -> None:
    marked = PriceCard("list", (card(CardVersion(Cell(()), markup_percent="20")),))
    content = BookContent(price_cards=(marked,), contracts=(replace(DEAL, currency="EUR"),), exchange=(EURO,))
    assert "marks up the cost" in only(content)[3]
    assert check_book(replace(content, contracts=(DEAL,))) == ()


@pytest.mark.parametrize("target", ["1", "-0.1", "30%", "1.5"])
def test_a_target_margin_is_a_share_of_the_price(target: str) -> None:
    who, field, value, _ = only(BookContent(price_cards=(replace(LIST, target_margin=target),)))
    assert (who, field, value) == ("list", "target_margin", repr(target))


@pytest.mark.parametrize(
    ("contract", "field", "value", "rule"),
    [
        (replace(DEAL, anchor_day=2), "anchor_day", "2", "must be 1"),
        (replace(DEAL, billing_period="day", anchor_day=2), "anchor_day", "2", "must be 1"),
        (replace(DEAL, billing_period="week", anchor_day=8), "anchor_day", "8", "from 1 to 7"),
        (replace(DEAL, billing_period="month", anchor_day=0), "anchor_day", "0", "from 1 to 31"),
        (replace(DEAL, billing_period="quarter", anchor_day=32), "anchor_day", "32", "from 1 to 31"),
        (replace(DEAL, billing_period="year", anchor_day=32), "anchor_day", "32", "from 1 to 31"),
        (replace(DEAL, billing_period="month", zone="Mars"), "zone", "Mars", "known zone"),
        (replace(DEAL, zone="+01:00"), "zone", "+01:00", "must be UTC"),
        (replace(DEAL, currency="Dollar"), "currency", "'Dollar'", "ISO 4217"),
        (replace(DEAL, allowance="0"), "allowance", "'0'", "above 0"),
        (replace(DEAL, commitment="-1"), "commitment", "'-1'", "above 0"),
        (replace(DEAL, minimum="1e3"), "minimum", "'1e3'", "above 0"),
    ],
)
def test_a_faulty_contract_is_named(contract: Contract, field: str, value: str, rule: str) -> None:
    found = check_book(BookContent(price_cards=(PLAIN,), contracts=(contract,)))
    assert [(fault.card, fault.field, fault.value) for fault in found][:1] == [("deal", field, value)]
    assert rule in found[0].rule
    assert len(found) == (2 if field == "currency" else 1)  # what is no currency has no exchange rate either


@pytest.mark.parametrize("exchange", [(), (ExchangeRate("EUR", "USD", "1.1"),)])
def test_a_card_in_another_currency_needs_a_rate_of_exchange_in_this_direction(
    exchange: tuple[ExchangeRate, ...],
) -> None:
    content = BookContent(price_cards=(PLAIN,), contracts=(replace(DEAL, currency="EUR"),), exchange=exchange)
    who, field, value, rule = only(content)
    assert (who, field, value) == ("deal", "currency", "EUR")
    assert "no rate of exchange USD to EUR" in rule
    assert check_book(replace(content, exchange=(EURO,))) == ()


COSTS = (card(flat({"input_tokens": "1"})),)
ALIAS = ModelAlias("p", "latest", "m")


@pytest.mark.parametrize(
    ("aliases", "field", "value", "rule"),
    [
        ((ALIAS, ModelAlias("P", "LATEST", "n")), "valid", "[since ever, without end)", "overlaps"),
        ((replace(ALIAS, alias="M", model="n"),), "alias", "M", "exact name of card p/m"),
        ((replace(ALIAS, model="Latest"),), "model", "Latest", "is an alias itself"),
        ((ALIAS, ModelAlias("p", "newest", "latest")), "model", "latest", "is an alias itself"),
        ((replace(ALIAS, model=""),), "alias", "'latest'", "needs a provider"),
        (
            (replace(ALIAS, valid_from_us=5, valid_to_us=5),),
            "valid",
            "[1970-01-01T00:00:00.000005Z, 1970-01-01T00:00:00.000005Z)",
            "before its end",
        ),
    ],
)
def test_a_faulty_alias_is_named(aliases: tuple[ModelAlias, ...], field: str, value: str, rule: str) -> None:
    who, where, what, text = only(BookContent(COSTS, aliases=aliases))
    assert who.startswith("alias p/")
    assert (where, what) == (field, value)
    assert rule in text


@pytest.mark.parametrize(
    ("exchange", "field", "value", "rule"),
    [
        ((EURO, EURO), "valid", "[since ever, without end)", "overlaps"),
        ((replace(EURO, rate="0"),), "rate", "'0'", "above 0"),
        ((replace(EURO, rate="-1"),), "rate", "'-1'", "above 0"),
        ((replace(EURO, to="USD"),), "to", "USD", "another currency"),
        ((replace(EURO, to="CREDIT"),), "to", "'CREDIT'", "a declared unit"),
        ((replace(EURO, currency="usd"),), "currency", "'usd'", "ISO 4217"),
    ],
)
def test_a_faulty_rate_of_exchange_is_named(
    exchange: tuple[ExchangeRate, ...], field: str, value: str, rule: str
) -> None:
    who, where, what, text = only(BookContent(exchange=exchange))
    assert who.startswith("exchange ")
    assert (where, what) == (field, value)
    assert rule in text


@pytest.mark.parametrize(
    ("content", "field", "value"),
    [
        (BookContent(units=("CREDIT", "CREDIT")), "units", "CREDIT"),
        (BookContent(units=("credit",)), "units", "'credit'"),
        (BookContent(units=("EUR",)), "units", "'EUR'"),
        (BookContent(zones=(Zone("A", ()),)), "zones", "A"),
        (BookContent(zones=(Zone("A", ((5, 0), (5, 1))),)), "zones", "A"),
        (BookContent(zones=(Zone("A", ((0, 0),)), Zone("A", ((0, 0),)))), "zones", "A"),
    ],
)
def test_faulty_units_and_zones_are_named(content: BookContent, field: str, value: str) -> None:
    assert only(content)[:3] == ("book", field, value)
