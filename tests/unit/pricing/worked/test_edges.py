"""Numbers too large or too fine, quantities that cannot be billed, costs that are not known."""

import pytest

from pricing.errors import UsageError
from tests.unit.pricing.worked.pencil import (
    EVERYBODY,
    book,
    contract,
    cost,
    customer,
    lines,
    price,
    provider,
    rated,
    words,
)

UNIT = 10**18
FINEST = "0.000000000000000001"
CARD = "card acme/m: "
LIST = "contract standard, card list/any: "

POOL = """
- pool: shared
  versions:
    - shape: graduated
      operator: gte
      tiers: [{start: 0, rate: 2 per 7}, {start: 1000, rate: 1 per 7}]
"""
SHARED = """
rates:
  input_images: {pool: shared, tiles: {low: 85, base: 85, tile: 170}}
  web_searches: {pool: shared, minimum: 3, increment: 5}
"""


def test_tiles_and_increments_before_the_tiers() -> None:
    """765 + 255 = 1020 tokens: 1000 at 2/7, 20 at 1/7: 2020/7; one search is billed as 5: 10/7."""
    by = book(customer(SHARED, pools=POOL), contract(), EVERYBODY)
    rating = rated(by, {"input_images": 2}, context={"image_sizes": "1024x1024,1x1"})
    assert words(rating.price) == "288.571428571428571429 USD"
    told = lines(rating, "price")
    assert [word.partition(" x ")[2] for word in told[::2]] == [
        "2 / 7 = 285.714285714285714286 USD; list/any None; priced",
        "1 / 7 = 2.857142857142857143 USD; list/any None; priced",
    ]
    pool = f"{LIST}input_images at its own rate, images as tokens by tiles, pool shared, graduated"
    assert [word.replace("list/shared", "shared") for word in told[1::2]] == [
        f"{pool}, from 0; standard context",
        f"{pool}, from 1000; standard context",
    ]
    assert price(by, {"web_searches": 1}) == "1.428571428571428571 USD"


def test_images_of_unknown_size_are_not_pooled() -> None:
    by = book(customer(SHARED, pools=POOL), contract(), EVERYBODY)
    rating = rated(by, {"input_images": 1})
    assert words(rating.price) == "unpriced"
    assert rating.pools_after == ()
    assert lines(rating, "price") == [
        "input_images 1 = unpriced None; list/any None; unpriced",
        f"{LIST}the context must name image_sizes; standard context",
    ]
    assert price(by, {"input_images": 1, "web_searches": 1}) == "partial 1.428571428571428571 USD"


def test_an_amount_has_at_most_twenty_digits() -> None:
    """10^17 at 1000 are 10^20, one digit too many; one less is the largest."""
    by = book(provider("rates: {dbus: 1000}"))
    assert cost(by, {"dbus": 10**17 - 1}) == "99999999999999999000 USD"
    with pytest.raises(UsageError) as refused:
        cost(by, {"dbus": 10**17})
    error = refused.value
    assert (error.code, error.field, error.value) == ("amount_overflow", "cost", str(10**20))
    assert error.rule == "an amount has at most 20 digits before the point"


@pytest.mark.parametrize("unknown", [{}, {"queries": 1}])
def test_so_has_a_sum_whether_all_of_it_is_priced_or_not(unknown: dict[str, int]) -> None:
    """5 x 10^16 and 4.9...9 x 10^16 at 1000 fit; twice 5 x 10^16 are 10^20."""
    by = book(provider("rates: {dbus: 1000, credits: 1000}"))
    most = cost(by, {"dbus": 5 * 10**16, "credits": 5 * 10**16 - 1, **unknown})
    assert most == ("partial " if unknown else "") + "99999999999999999000 USD"
    with pytest.raises(UsageError) as refused:
        cost(by, {"dbus": 5 * 10**16, "credits": 5 * 10**16, **unknown})
    assert (refused.value.field, refused.value.value) == ("cost", str(10**20))


@pytest.mark.parametrize("before", [10**20 - 6, 10**20 - 5])
def test_so_has_the_quantity_of_a_period(before: int) -> None:
    """Five more make 10^20 - 1, which is the last quantity, or 10^20."""
    by = book(customer(SHARED, pools=POOL), contract(), EVERYBODY)

    def state(_pool: str, _start_us: int) -> tuple[int, int]:
        return before * UNIT, 0

    if before + 5 < 10**20:
        assert rated(by, {"web_searches": 5}, pools=state).pools_after[0].quantity_atto == (10**20 - 1) * UNIT
        return
    with pytest.raises(UsageError) as refused:
        rated(by, {"web_searches": 5}, pools=state)
    assert (refused.value.code, refused.value.field) == ("amount_overflow", "price")
    assert refused.value.value == str(10**20)


@pytest.mark.parametrize(("more", "fits"), [(1, False), (0, True)])
def test_and_the_amount_of_a_period(more: int, fits: bool) -> None:
    """At 1000: 10^17 - 1 units are 99999999999999999000, 10^17 are too much."""
    pools = "- {pool: shared, versions: [{shape: graduated, tiers: [{start: 0, rate: 1000}]}]}"
    by = book(customer("rates: {dbus: {pool: shared}}", pools=pools), contract(), EVERYBODY)

    def state(_pool: str, _start_us: int) -> tuple[int, int]:
        return (10**17 - 2 + more) * UNIT, 0

    if fits:
        assert words(rated(by, {"dbus": 1}, pools=state).price) == "99999999999999999000 USD"
        return
    with pytest.raises(UsageError):
        rated(by, {"dbus": 1}, pools=state)


def test_a_rate_may_need_more_than_eighteen_places() -> None:
    """10^-18 x 10^-18 is written as 10^-18 for 10^18; once more, and it is more than can be written."""
    finer = f"{{name: finer, factor: {FINEST}}}"
    by = book(provider(f"{{rates: {{dbus: {FINEST}}}, multipliers: [{finer}]}}"))
    assert lines(rated(by, {"dbus": 10**18}), "cost") == [
        f"dbus {10**18} x {FINEST} / {10**18} = {FINEST} USD; acme/m None; priced",
        f"{CARD}dbus at its own rate, {FINEST} x {FINEST} (finer); standard context",
    ]
    finest = f"{{name: finest, factor: {FINEST}}}"
    by = book(provider(f"{{rates: {{dbus: {FINEST}}}, multipliers: [{finer}, {finest}]}}"))
    assert lines(rated(by, {"dbus": 10**18}), "cost") == [
        f"dbus {10**18} = unpriced None; acme/m None; unpriced",
        (
            f"{CARD}dbus at its own rate, {FINEST} x {FINEST} (finer) x {FINEST} (finest) has more than "
            "38 digits; standard context"
        ),
    ]


def test_a_share_or_a_stated_cost_may_be_too_fine() -> None:
    finer = f"{{name: finer, factor: {FINEST}}}"
    by = book(
        provider(f"{{rates: {{dbus: {FINEST}}}, multipliers: [{finer}]}}"),
        customer(f"markup: {{percent: {FINEST}}}"),
        contract(),
        EVERYBODY,
    )
    assert lines(rated(by, {"dbus": 1}), "price") == [
        "dbus 1 = unpriced None; list/any None; unpriced",
        (
            f"{LIST}dbus at its cost, {FINEST} x 1.00000000000000000001 (markup of {FINEST} percent) has "
            "more than 38 digits; standard context"
        ),
    ]
    finest = ", ".join(f"{{name: f{n}, factor: {FINEST}}}" for n in range(3))
    by = book(provider(f"{{stated_cost: true, multipliers: [{finest}]}}"))
    told = lines(rated(by, {"dbus": 1}, provider_cost={"amount": "1", "currency": "USD"}), "cost")
    assert told[0] == "provider_cost 1 = unpriced None; acme/m None; unpriced"
    assert told[1].startswith(f"{CARD}the cost that the provider stated, 1 x {FINEST} (f0) x {FINEST} (f1)")
    assert told[1].endswith("has more than 38 digits; standard context")


EURO = "exchange: [{currency: USD, to: EUR, rate: 0.5, from: 2026-01-01T00:00:00Z}]"


def test_a_share_on_cost_in_another_currency() -> None:
    """Cost 2 USD, an eighth more, half a euro a dollar: 2 x 1.125 x 0.5 = 1.125. Before 2026 nobody knows."""
    sold = customer("markup: {percent: 12.5}", currency="EUR")
    by = book(provider("rates: {dbus: 2}"), sold, contract("EUR"), EVERYBODY, EURO)
    assert lines(rated(by, {"dbus": 1}), "price") == [
        "dbus 1 x 1.125 / 1 = 1.125 EUR; list/any None; priced",
        (
            f"{LIST}dbus at its cost, 2 x 1.125 (markup of 12.5 percent) x 0.5 (USD to EUR from "
            "2026-01-01T00:00:00Z); standard context"
        ),
    ]
    unknown = [
        "dbus 1 = unpriced None; list/any None; unpriced",
        f"{LIST}no rate of exchange USD to EUR in force; standard context",
    ]
    assert lines(rated(by, {"dbus": 1}, at="2025-12-31T23:59:59Z"), "price") == unknown
    by = book(provider("rates: {dbus: 2}"), sold, contract("EUR"), EVERYBODY)
    assert lines(rated(by, {"dbus": 1}), "price") == unknown


def test_all_shares_on_cost_are_exchanged_by_the_day() -> None:
    """Stated 2 USD at 0.5, from July at 0.25; so are the provider's fee of 4 and what lifts 2 to 10."""
    exchange = """
    exchange:
      - {currency: USD, to: EUR, rate: 0.5, until: 2026-07-01T00:00:00Z}
      - {currency: USD, to: EUR, rate: 0.25, from: 2026-07-01T00:00:00Z}
    """
    sold = customer("markup: {percent: 0}", currency="EUR")
    stated = {"amount": "2", "currency": "USD"}
    by = book(provider("stated_cost: true"), sold, contract("EUR"), EVERYBODY, exchange)
    before, after = "2026-06-30T23:59:59.999999Z", "2026-07-01T00:00:00Z"
    assert price(by, {"dbus": 1}, provider_cost=stated, at=before) == "1 EUR"
    assert price(by, {"dbus": 1}, provider_cost=stated, at=after) == "0.5 EUR"
    by = book(
        provider("{rates: {dbus: 2, requests: 4}, minimum: 10}"), sold, contract("EUR"), EVERYBODY, exchange
    )
    assert price(by, {"dbus": 1}, at=before) == "5 EUR"
    assert price(by, {"dbus": 1}, at=after) == "2.5 EUR"


def test_a_share_on_a_cost_that_is_not_known() -> None:
    """Neither of what the provider does not price nor of a provider that nobody knows."""
    by = book(provider("rates: {dbus: 2}"), customer("markup: {percent: 10}"), contract(), EVERYBODY)
    unknown = [
        "credits 1 = unpriced None; list/any None; unpriced",
        f"{LIST}the cost of credits is not known; standard context",
    ]
    assert lines(rated(by, {"credits": 1}), "price") == unknown
    assert lines(rated(by, {"credits": 1}, provider="nobody"), "price") == unknown
    assert price(by, {"credits": 1, "dbus": 1}) == "partial 2.2 USD"


def test_a_share_on_what_is_counted_once_and_on_a_minimum() -> None:
    """1 dbu 2 and a request 0.5, lifted to 5: each of the three a tenth dearer: 2.2 + 0.55 + 2.75 = 5.5."""
    by = book(
        provider("{rates: {dbus: 2, requests: 0.5}, minimum: 5}"),
        customer("{from: 2026-01-01T00:00:00Z, markup: {percent: 10}}"),
        contract(),
        EVERYBODY,
    )
    dated = LIST.replace(": ", " from 2026-01-01T00:00:00Z: ")
    rating = rated(by, {"dbus": 1})
    assert (words(rating.cost), words(rating.price)) == ("5 USD", "5.5 USD")
    assert lines(rating, "price") == [
        "dbus 1 x 2.2 / 1 = 2.2 USD; list/any 2026-01-01T00:00:00Z; priced",
        f"{dated}dbus at its cost, 2 x 1.1 (markup of 10 percent); standard context",
        "requests 1 x 0.55 / 1 = 0.55 USD; list/any 2026-01-01T00:00:00Z; priced",
        f"{dated}requests at its cost, 0.5 x 1.1 (markup of 10 percent); standard context",
        "minimum_charge 0 = 2.75 USD; list/any 2026-01-01T00:00:00Z; priced",
        f"{dated}minimum_charge at its cost, 1 x 1.1 (markup of 10 percent); standard context",
    ]


def test_gaps_between_versions_are_named() -> None:
    by = book(
        provider(
            "{to: 2026-01-01T00:00:00Z, rates: {dbus: 2}}",
            "{from: 2026-02-01T00:00:00Z, to: 2026-03-01T00:00:00Z, rates: {dbus: 3}}",
        )
    )
    for at, told in (
        ("2025-12-31T23:59:59.999999Z", "dbus at its own rate; standard context"),
        (
            "2026-01-01T00:00:00Z",
            "no prices in force (from 2026-01-01T00:00:00Z and before 2026-02-01T00:00:00Z)",
        ),
        ("2026-03-01T00:00:00Z", "no prices in force (from 2026-03-01T00:00:00Z)"),
    ):
        assert lines(rated(by, {"dbus": 1}, at=at), "cost")[1] == CARD + told
    by = book(provider("{from: 2026-02-01T00:00:00Z, rates: {dbus: 3}}"))
    before = lines(rated(by, {"dbus": 1}, at="2026-01-31T23:59:59Z"), "cost")
    assert before[1] == f"{CARD}no prices in force (before 2026-02-01T00:00:00Z)"


def test_a_card_of_the_provider_goes_before_one_of_any() -> None:
    """By name: the provider's own 3, for any provider 1; of a name that stands for another, the same."""
    cards = """
    price_card: list
    currency: USD
    cards:
      - {card: list/any, models: [m, latest], versions: [{rates: {dbus: 1}}]}
      - {card: list/acme, provider: acme, models: [m, latest], versions: [{rates: {dbus: 3}}]}
      - {card: list/n, models: [n], versions: [{rates: {dbus: 7}}]}
    """
    aliases = (
        "aliases: [{provider: acme, alias: latest, model: n}, {provider: other, alias: latest, model: n}]"
    )
    by = book(cards, aliases, contract(), EVERYBODY)
    for name, model, amount in (
        ("acme", "m", "3 USD"),
        ("other", "m", "1 USD"),
        ("acme", "latest", "3 USD"),
        ("other", "latest", "1 USD"),
        ("acme", "n", "7 USD"),
        ("acme", "x", "unpriced"),
    ):
        assert price(by, {"dbus": 1}, provider=name, requested_model=model) == amount


TWO_EACH = "- {pool: shared, versions: [{shape: graduated, tiers: [{start: 0, rate: 2}]}]}"


@pytest.mark.parametrize(
    ("paid", "usage", "amount"),
    [
        (20, {"dbus": 0}, "0 USD"),
        (15, {"dbus": 0}, "5 USD"),
        (25, {"dbus": 0}, "-5 USD"),
        (15, {"dbus": 0, "credits": 1}, "partial 5 USD"),
        (20, {"dbus": 0, "credits": 1}, "unpriced"),
        (20, {"dbus": 0, "credits": 0}, "0 USD"),
        (15, {"dbus": 1}, "7 USD"),
    ],
)
def test_a_period_that_has_paid_too_much_or_too_little(paid: int, usage: dict[str, int], amount: str) -> None:
    """10 units at 2 are 20. The next event settles what was paid instead, even one that adds nothing.

    15 paid: 5 more; 25: 5 less; one unit more after 15: 22 - 15 = 7. Credits have no price.
    """
    by = book(customer("rates: {dbus: {pool: shared}}", pools=TWO_EACH), contract(), EVERYBODY)
    rating = rated(by, usage, pools=lambda _pool, _start: (10 * UNIT, paid * UNIT))
    assert words(rating.price) == amount


def test_lines_alike_are_one_object() -> None:
    """Encoders remember a line by its template, so that two events of the same price must share it."""
    rates = (
        "{rates: {dbus: {pool: shared}, credits: {rate: 3, minimum: 2}}, markup: {percent: 10}, minimum: 900}"
    )
    pools = "- {pool: shared, versions: [{shape: volume, free: 1, tiers: [{start: 0, rate: 2, flat: 1}]}]}"
    by = book(provider("rates: {queries: 1}"), customer(rates, pools=pools), contract(), EVERYBODY)
    usage = {"dbus": 5, "credits": 1, "queries": 1}
    one, two = rated(by, usage).lines, rated(by, usage).lines
    assert [line.meter for line in one if line.side == "price"] == [
        "dbus", "dbus", "tier_adjustment", "credits", "queries", "minimum_charge",
    ]  # fmt: skip
    assert all(line.template is other.template for line, other in zip(one, two, strict=True))


def test_nothing_used_of_a_pool_without_a_price_is_no_gap() -> None:
    """Tokens at 1; searches, of which there were none, have no price yet: all that is owed has one."""
    pools = """
    - pool: shared
      versions: [{from: 2030-01-01T00:00:00Z, shape: graduated, tiers: [{start: 0, rate: 2}]}]
    """
    sold = customer("rates: {input_tokens: 1, web_searches: {pool: shared}}", pools=pools)
    by = book(sold, contract(), EVERYBODY)
    assert price(by, {"input_tokens": 1, "web_searches": 0}) == "1 USD"
    assert price(by, {"input_tokens": 1, "web_searches": 1}) == "partial 1 USD"


def test_a_price_of_nothing_is_lifted_to_the_minimum_too() -> None:
    """One dbu at 0, at least 1: a line of 1. None at all: nothing."""
    by = book(provider("{rates: {dbus: 0}, minimum: 1}"))
    assert cost(by, {"dbus": 1}) == "1 USD"
    assert cost(by, {"dbus": 0}) == "0 USD"


def test_a_sum_with_a_minimum_has_at_most_twenty_digits() -> None:
    by = book(provider("{rates: {dbus: 1000, credits: 1000}, minimum: 1}"))
    with pytest.raises(UsageError) as refused:
        cost(by, {"dbus": 5 * 10**16, "credits": 5 * 10**16})
    assert (refused.value.field, refused.value.value) == ("cost", str(10**20))


@pytest.mark.parametrize(
    ("rate", "factor", "shown"),
    [
        ("33333333333333333333", "3", "99999999999999999999 / 1"),
        ("50000000000000000000", "2", None),
        (f"{FINEST} per 10000000000000000000", "0.1", None),
        (f"{FINEST} per 1000000000000000000", "0.1", f"{FINEST} / 10000000000000000000"),
    ],
)
def test_a_rate_and_its_units_have_at_most_twenty_digits(rate: str, factor: str, shown: str | None) -> None:
    """Three times 3...3 is 9...9, the largest; twice 5 x 10^19 is 10^20.

    A tenth of the finest is the finest for ten times the units, of which there may be 10^19 and not 10^20.
    """
    by = book(provider(f"{{rates: {{dbus: {rate}}}, multipliers: [{{name: f, factor: {factor}}}]}}"))
    told = lines(rated(by, {"dbus": FINEST}), "cost")
    if shown is None:
        assert told[0] == f"dbus {FINEST} = unpriced None; acme/m None; unpriced"
        assert told[1].endswith("has more than 38 digits; standard context")
    else:
        assert f" x {shown} = " in told[0]
