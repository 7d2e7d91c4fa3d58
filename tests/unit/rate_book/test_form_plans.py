"""What stands around the cards in YAML: pools, contracts, aliases, exchange rates, zones, settings."""

from pathlib import Path

import pytest

from pricing.cards import (
    BookContent,
    Contract,
    ExchangeRate,
    ModelAlias,
    Pool,
    PoolVersion,
    Rate,
    Tier,
)
from pricing.check import check_book
from rate_book.content import canonical_json, content_from_json
from rate_book.form import load_book
from tests.unit.rate_book.yaml_files import refused, written

JANUARY_2026 = 1_767_225_600_000_000  # 20454 days of 86,400 s
POOLS = """
price_card: list
currency: USD
target_margin: 0.30
source: minutes
pools:
  - pool: tokens
    versions:
      - {to: 2026-01-01T00:00:00Z, shape: package, tiers: [{rate: 3 per 1000}]}
      - from: 2026-01-01T00:00:00Z
        shape: graduated
        free: 1000.0
        operator: gte
        tiers:
          - {rate: 0.0020 per 1000}
          - {start: 1000000, rate: 0.001 per 1000, flat: 5}
cards:
  - card: list/any
    prefixes: [{prefix: "*"}]
    versions: [{rates: {input_tokens: {pool: tokens}}}]
"""


def test_a_price_card_has_pools_and_a_target(tmp_path: Path) -> None:
    (price_card,) = load_book([written(tmp_path, book=POOLS)]).price_cards
    assert price_card.target_margin == "0.3"
    assert price_card.pools == (
        Pool(
            "tokens",
            "USD",
            (
                PoolVersion("package", (Tier("0", "3", "1000"),), valid_to_us=JANUARY_2026, source="minutes"),
                PoolVersion(
                    "graduated",
                    (Tier("0", "0.002", "1000"), Tier("1000000", "0.001", "1000", "5")),
                    "1000",
                    "gte",
                    JANUARY_2026,
                    source="minutes",
                ),
            ),
        ),
    )
    assert price_card.cards[0].versions[0].base.rates == (Rate("input_tokens", pool="tokens"),)
    assert check_book(BookContent(price_cards=(price_card,))) == ()


@pytest.mark.parametrize(
    ("old", "new", "field", "value"),
    [
        ("shape: package", "shape: tiered", "versions[1].shape", "tiered"),
        ("shape: package, ", "", "versions[1].shape", None),
        ("operator: gte", "operator: ge", "versions[2].operator", "ge"),
        ("flat: 5", "flat: five", "tiers[2].flat", "five"),
        ("start: 1000000", "begin: 1000000", "tiers[2].begin", "1000000"),
        ("target_margin: 0.30", "target_margin: 30%", "target_margin", "30%"),
        ("rate: 3 per 1000}", "flat: 3}", "tiers[1].rate", None),
    ],
)
def test_a_faulty_pool_is_refused(tmp_path: Path, old: str, new: str, field: str, value: object) -> None:
    error = refused(tmp_path, POOLS.replace(old, new))
    assert error.field.endswith(field)
    assert error.value == value


def test_what_a_contract_says_of_statements(tmp_path: Path) -> None:
    content = load_book(
        [
            written(
                tmp_path,
                contracts="contracts: [{contract: c, currency: USD, minimum: 200.50, commitment: 1000,"
                " allowance: 50.0}, {contract: d, currency: USD}]",
            )
        ]
    )
    terms = Contract("c", "USD", (), minimum="200.5", commitment="1000", allowance="50")
    assert content.contracts == (terms, Contract("d", "USD", ()))
    text = canonical_json(content)
    assert content_from_json(text, "book") == content
    assert (
        '{"contract_id":"d","currency":"USD","price_cards":[]}' in text
    )  # a book without them keeps its hash


def test_contracts_aliases_exchange_and_units(tmp_path: Path) -> None:
    content = load_book(
        [
            written(
                tmp_path,
                contracts="contracts: [{contract: c, currency: EUR, price_cards: [a], billing_period: week,"
                " anchor_day: 7, zone: Europe/Berlin, carry_over: true}]",
                aliases="aliases: [{provider: acme, alias: latest, model: one, to: 2026-01-01T00:00:00Z}]",
                exchange="exchange: [{currency: USD, to: CREDIT, rate: 100.0, from: 2026-01-01T00:00:00Z,"
                " source: list}, {currency: USD, to: CREDIT, rate: 90, until: 2026-01-01T00:00:00Z}]",
                settings="settings: {units: [CREDIT]}",
            )
        ]
    )
    assert content.contracts == (Contract("c", "EUR", ("a",), "week", 7, "Europe/Berlin", True),)
    assert content.aliases == (ModelAlias("acme", "latest", "one", None, JANUARY_2026),)
    assert content.exchange == (
        ExchangeRate("USD", "CREDIT", "90", None, JANUARY_2026),
        ExchangeRate("USD", "CREDIT", "100", JANUARY_2026, source="list"),
    )
    assert content.units == ("CREDIT",)


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("contracts: [{contract: c, currency: USD, billing_period: weekly}]", "billing_period", "weekly"),
        ("contracts: [{contract: c, currency: USD, anchor_day: first}]", "anchor_day", "first"),
        ("contracts: [{contract: c, currency: USD, carry_over: 1}]", "carry_over", "1"),
        ("aliases: [{provider: acme, alias: latest}]", "model", None),
        ("exchange: [{currency: USD, to: EUR}]", "rate", None),
        ("exchange: [{currency: USD, to: EUR, rate: 1, through: x}]", "through", "x"),
        ("settings: {unit: [CREDIT]}", "unit", ["CREDIT"]),
    ],
)
def test_what_stands_around_the_cards_is_strict(tmp_path: Path, text: str, field: str, value: object) -> None:
    error = refused(tmp_path, text)
    assert error.field.endswith(field)
    assert error.value == value


def test_zones_come_from_the_pinned_data_and_unknown_ones_are_left_to_the_check(tmp_path: Path) -> None:
    """Berlin: UTC+1 on 2000-01-01; summer time from 2000-03-26T01:00:00Z, which is 954,032,400 s."""
    contract = "contracts: [{contract: c, currency: USD, billing_period: month, zone: Europe/Berlin}]"
    content = load_book([written(tmp_path, book=contract)])
    ((name, transitions),) = ((zone.name, zone.transitions) for zone in content.zones)
    assert name == "Europe/Berlin"
    assert transitions[:2] == ((946_684_800_000_000, 3600), (954_032_400_000_000, 7200))
    assert len(transitions) == 1 + 2 * 70
    for zone in ("Europe/Atlantis", "../UTC", "tzdata.zi", "+01:00", "Z"):
        found = load_book([written(tmp_path, book=contract.replace("Europe/Berlin", f'"{zone}"'))])
        assert found.zones == ()
        assert [fault.field for fault in check_book(found)] == (["zone"] if zone != "+01:00" else [])


CARD = "provider: p\ncurrency: USD\ncards: [{card: one, models: [one], versions: [{rates: {images: 1}}]}]"


def test_every_shape_comes_back_from_json_and_has_one_order(tmp_path: Path) -> None:
    content = load_book(
        [
            written(tmp_path / "a", list=POOLS, one=CARD),
            written(
                tmp_path / "b",
                contracts="contracts: [{contract: c, currency: USD, billing_period: day, zone: Asia/Tokyo}]",
                aliases="aliases: [{provider: p, alias: b, model: one}, {provider: p, alias: a, model: one}]",
                settings="settings: {units: [POINT, CREDIT]}",
            ),
        ]
    )
    text = canonical_json(content)
    assert content_from_json(text, "book") == content
    assert [alias.alias for alias in content.aliases] == ["a", "b"]
    assert content.units == ("CREDIT", "POINT")
