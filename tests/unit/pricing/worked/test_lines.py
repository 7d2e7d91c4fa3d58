"""Lines that explain themselves: quantity, rate, amount and the words, for each way to come to a price."""

from tests.unit.pricing.worked.pencil import (
    EVERYBODY,
    Account,
    book,
    contract,
    customer,
    lines,
    provider,
    rated,
    words,
)

STATED = "{from: 2026-01-01T00:00:00Z, stated_cost: true, multipliers: [{name: fee, factor: 1.055}]}"


def test_a_stated_cost_and_a_share_on_it() -> None:
    """0.02 x 1.055 = 0.0211; x 1.1 = 0.02321, which is 0.02 x 1.1605."""
    by = book(provider(STATED), customer("markup: {percent: 10}"), contract(), EVERYBODY)
    stated = {"amount": "0.02", "currency": "USD"}
    rating = rated(by, {"input_tokens": 5}, provider_cost=stated)
    assert lines(rating, "cost") == [
        "provider_cost 0.02 x 1.055 / 1 = 0.0211 USD; acme/m 2026-01-01T00:00:00Z; priced",
        (
            "card acme/m from 2026-01-01T00:00:00Z: the cost that the provider stated, 1 x 1.055 (fee); "
            "standard context"
        ),
    ]
    assert lines(rating, "price") == [
        "provider_cost 0.02 x 1.1605 / 1 = 0.02321 USD; list/any None; priced",
        (
            "contract standard, card list/any: provider_cost at its cost, 1.055 x 1.1 (markup of 10 "
            "percent); standard context"
        ),
    ]


def test_a_cost_that_is_not_stated() -> None:
    """No cost: no amount on either side, and the words say why."""
    by = book(provider("stated_cost: true"), customer("markup: {percent: 10}"), contract(), EVERYBODY)
    rating = rated(by, {"input_tokens": 5})
    assert lines(rating, "cost") == [
        "provider_cost 0 = unpriced None; acme/m None; unpriced",
        "card acme/m: the event states no cost; standard context",
    ]
    assert lines(rating, "price") == [
        "provider_cost 0 = unpriced None; list/any None; unpriced",
        "contract standard, card list/any: the cost of provider_cost is not known; standard context",
    ]
    rating = rated(by, {"input_tokens": 5}, provider_cost={"amount": "0.02", "currency": "EUR"})
    assert lines(rating, "cost") == [
        "provider_cost 0.02 = unpriced None; acme/m None; unpriced",
        "card acme/m: the event states the cost in EUR, the card is in USD; standard context",
    ]
    rating = rated(by, {"input_tokens": 5}, provider_cost={"amount": "0.02", "currency": "USD"})
    assert lines(rating, "cost") == [
        "provider_cost 0.02 x 1 / 1 = 0.02 USD; acme/m None; priced",
        "card acme/m: the cost that the provider stated; standard context",
    ]


def test_a_call_that_a_query_pays() -> None:
    by = book(customer('{rates: {queries: 1}, included: ["*"]}'), contract(), EVERYBODY)
    assert lines(rated(by, {"input_tokens": 5}, query_id="q"), "price") == [
        "input_tokens 5 = included None; list/any None; included",
        "contract standard, card list/any: input_tokens is paid for by the query; standard context",
    ]
    assert lines(rated(by, {"input_tokens": 5}), "price") == [
        "input_tokens 5 = unpriced None; list/any None; unpriced",
        (
            "contract standard, card list/any: input_tokens is included in the price of a query, but the "
            "call names no query_id; standard context"
        ),
    ]


POOLED = """
- pool: searches
  versions:
    - from: 2026-01-01T00:00:00Z
      shape: {}
      free: {}
      tiers: {}
"""
POOL = "contract standard, card list/any: web_searches at its own rate, pool list/searches"


def pooled(shape: str, free: int, tiers: str) -> Account:
    pools = POOLED.format(shape, free, tiers)
    return Account(
        book(customer("rates: {web_searches: {pool: searches}}", pools=pools), contract(), EVERYBODY)
    )


def test_free_units_and_a_tier_with_a_flat_fee() -> None:
    """10 are free, 1001 beyond are all at 1, and 7 once for passing 1000: 1001 + 7 = 1008."""
    account = pooled("volume", 10, "[{start: 0, rate: 2}, {start: 1000, rate: 1, flat: 7}]")
    rating = rated(account.by, {"web_searches": 1011})
    assert words(rating.price) == "1008 USD"
    assert lines(rating, "price") == [
        "web_searches 10 x 0 / 1 = 0 USD; list/any None; priced",
        f"{POOL}, the first 10 are free; standard context",
        "web_searches 1001 x 1 / 1 = 1001 USD; list/any None; priced",
        f"{POOL}, volume, over 1000 beyond the first 10, which are free; standard context",
        "tier_adjustment 0 = 7 USD; list/any None; priced",
        f"{POOL}, what the period's price changes beyond these units; standard context",
    ]


def test_a_pool_that_a_variant_shares_with_the_standard_context() -> None:
    """3 at the pool's 2 = 6, and the words say whose rate it is."""
    versions = """
    context: {tier: {values: [a, b], default: a}}
    rates: {web_searches: {pool: searches}}
    variants: [{when: {tier: b}, rates: {}, inherit: ["*"]}]
    """
    pools = POOLED.format("graduated", 0, "[{start: 0, rate: 2}]")
    by = book(customer(versions, pools=pools), contract(), EVERYBODY)
    assert lines(rated(by, {"web_searches": 3}, context={"tier": "b"}), "price") == [
        "web_searches 3 x 2 / 1 = 6 USD; list/any None; priced",
        (
            "contract standard, card list/any: web_searches at its own rate, as in the standard context, "
            "pool list/searches, graduated, over 0; tier=b"
        ),
    ]


def test_begun_packages() -> None:
    """1001 are two packages of 1000 at 10."""
    account = pooled("package", 0, "[{start: 0, rate: 10 per 1000}]")
    assert lines(rated(account.by, {"web_searches": 1001}), "price") == [
        "web_searches 1001 as 2000 x 10 / 1000 = 20 USD; list/any None; priced",
        f"{POOL}, begun packages of 1000; standard context",
    ]
    before = rated(account.by, {"web_searches": 1001}, at="2025-12-31T23:59:59Z")
    assert lines(before, "price") == [
        "web_searches 1001 = unpriced None; list/any None; unpriced",
        f"{POOL}: no prices in force; standard context",
    ]


def test_each_pool_is_named_with_its_period() -> None:
    """November of a contract by calendar month; the pool's version cuts January where it begins."""
    account = pooled("graduated", 0, "[{start: 0, rate: 2}]")
    rating = rated(account.by, {"web_searches": 3}, pools=lambda _pool, _start: (5 * 10**18, 10 * 10**18))
    (before,), (after,) = rating.pools_before, rating.pools_after
    november, december = 1_793_491_200_000_000, 1_796_083_200_000_000
    assert before == ("list/searches", november, december, 5 * 10**18, 10 * 10**18, "USD")
    assert after == ("list/searches", november, december, 8 * 10**18, 16 * 10**18, "USD")
    assert rating.service_period == (november, december)


def test_a_minimum_in_another_currency() -> None:
    """3 per 1000 x 0.92 = 2.76 per 1000: one token 0.00276; at least 1 x 0.92 = 0.92: 0.91724 are missing."""
    exchange = "exchange: [{currency: USD, to: EUR, rate: 0.92, from: 2026-01-01T00:00:00Z}]"
    by = book(
        customer("{rates: {input_tokens: 3 per 1000}, minimum: 1}"), contract("EUR"), EVERYBODY, exchange
    )
    assert lines(rated(by, {"input_tokens": 1}), "price") == [
        "input_tokens 1 x 2.76 / 1000 = 0.00276 EUR; list/any None; priced",
        (
            "contract standard, card list/any: input_tokens at its own rate, "
            "3 x 0.92 (USD to EUR from 2026-01-01T00:00:00Z); standard context"
        ),
        "minimum_charge 0 = 0.91724 EUR; list/any None; priced",
        (
            "contract standard, card list/any: at least 1 a call x 0.92 (USD to EUR from "
            "2026-01-01T00:00:00Z); standard context"
        ),
    ]
    assert lines(rated(by, {"input_tokens": 1}, at="2025-12-31T23:59:59Z"), "price") == [
        "input_tokens 1 = unpriced None; list/any None; unpriced",
        "contract standard, card list/any: no rate of exchange USD to EUR in force",
    ]


def test_what_is_not_billed() -> None:
    rates = "rates: {input_tokens: 3 per 1000, requests: 1}"
    rule = "not_billed: [{when: {event.status: refused}, without: [output_tokens, web_searches]}]"
    by = book(provider(f"{rates}\n{rule}"))
    assert lines(rated(by, {"input_tokens": 1000}, status="refused"), "cost") == [
        "input_tokens 1000 x 0 / 1 = 0 USD; acme/m None; priced",
        "card acme/m: not billed: event.status=refused without output_tokens, web_searches; standard context",
    ]
    told = lines(rated(by, {"input_tokens": 1000, "output_tokens": 0}, status="refused"), "cost")
    assert told[::2] == [
        "input_tokens 1000 x 0 / 1 = 0 USD; acme/m None; priced",
        "output_tokens 0 x 0 / 1 = 0 USD; acme/m None; priced",
    ]


def test_factors_quantities_and_steps() -> None:
    """7 seconds are billed as 10 at 0.6 x 1.1 per 60; 900 tokens are over 500: at 4 x 1.1 per 1000."""
    rates = """
    context: {region: {values: [global, eu], default: global}}
    rates: {input_tokens: 2 per 1000, input_audio_seconds: {rate: 0.6 per 60, minimum: 10, increment: 5}}
    thresholds:
      operator: gte
      steps: [{start: 500, rates: {input_tokens: 4 per 1000}, inherit: ["*"]}]
    multipliers: [{name: eu premium, factor: 1.1, when: {region: eu}}]
    """
    rating = rated(book(provider(rates)), {"input_tokens": 900, "input_audio_seconds": 7}, region="eu")
    assert words(rating.cost) == "4.07 USD"
    assert lines(rating, "cost") == [
        "input_tokens 900 x 4.4 / 1000 = 3.96 USD; acme/m None; priced",
        (
            "card acme/m: input_tokens at its own rate, 4 x 1.1 (eu premium); region=eu; "
            "whole request, input_tokens from 500"
        ),
        "input_audio_seconds 7 as 10 x 0.66 / 60 = 0.11 USD; acme/m None; priced",
        (
            "card acme/m: input_audio_seconds at its own rate, unchanged by the threshold, "
            "0.6 x 1.1 (eu premium), at least 10, in begun multiples of 5; region=eu; "
            "whole request, input_tokens from 500"
        ),
    ]


def test_images_as_tokens() -> None:
    tiles = "{rate: 2.5 per 1000000, tiles: {low: 85, base: 85, tile: 170}}"
    by = book(provider(f"rates: {{input_images: {tiles}}}"))

    def told(images: object, **context: str) -> list[str]:
        return lines(rated(by, {"input_images": images}, context=context), "cost")

    assert told(1, image_sizes="1024x1024") == [
        "input_images 1 as 765 x 2.5 / 1000000 = 0.0019125 USD; acme/m None; priced",
        "card acme/m: input_images at its own rate, images as tokens by tiles; standard context",
    ]
    for why, context in (
        ("the context must name image_sizes", {}),
        ("image_sizes names 2 images, the quantity is 1", {"image_sizes": "1x1,1x1"}),
        ("image_sizes 0x5 is not a list such as 1024x768,512x512", {"image_sizes": "0x5"}),
        ("image_detail auto is unknown: low or high", {"image_sizes": "1x1", "image_detail": "auto"}),
    ):
        assert told(1, **context) == [
            "input_images 1 = unpriced None; acme/m None; unpriced",
            f"card acme/m: {why}; standard context",
        ]
    assert (
        told("1.5", image_sizes="1x1,1x1")[1]
        == "card acme/m: 1.5 images is not a whole number; standard context"
    )


def test_an_alias_in_words() -> None:
    aliases = "aliases: [{provider: acme, alias: latest, model: m}]"
    by = book(provider("rates: {dbus: 2}"), customer("rates: {dbus: 3}"), contract(), EVERYBODY, aliases)
    rating = rated(by, {"dbus": 1}, requested_model="latest")
    assert lines(rating, "cost") == [
        "dbus 1 x 2 / 1 = 2 USD; acme/m None; priced",
        "latest = m, card acme/m: dbus at its own rate; standard context",
    ]
    assert words(rating.price) == "3 USD"


def test_why_there_is_no_price() -> None:
    """Each reason once, in the order in which a price is looked for."""
    by = book(
        provider(
            """
            from: 2026-01-01T00:00:00Z
            to: 2027-01-01T00:00:00Z
            context: {tier: {values: [a, b, c], default: a}}
            schedules: [{key: hours, default: "off", windows: [{value: "on", from: "00:00", to: "01:00"}]}]
            rates: {input_tokens: 1, input_audio_tokens: 2, cache_read_tokens: 3}
            parts_at_whole_rate: ["*"]
            multipliers: [{name: b, factor: 2, when: {tier: b}}]
            """
        )
    )

    def why(usage: dict[str, int], at: str = "2026-11-18T12:00:00Z", **context: str) -> str:
        return lines(rated(by, usage, at=at, context=context), "cost")[1]

    one = {"input_tokens": 1}
    card = "card acme/m from 2026-01-01T00:00:00Z"
    assert why(one) == f"{card}: input_tokens at its own rate; standard context"
    assert why(one, tier="b") == f"{card}: input_tokens at its own rate, 1 x 2 (b); tier=b"
    assert why(one, tier="c") == f"{card}: no prices for the context tier=c"
    assert lines(rated(by, one, context={"tier": "c"}), "cost")[0] == (
        "input_tokens 1 = unpriced None; acme/m 2026-01-01T00:00:00Z; unpriced"
    )
    assert why(one, colour="red") == f"{card}: context key colour (value red) is unknown"
    assert "hours follows from the time of the event, the context must not name it" in why(one, hours="on")
    assert "zebras" in why({"zebras": 1})
    assert lines(rated(by, {"output_tokens": 1}), "cost") == [
        "output_tokens 1 = unpriced None; acme/m 2026-01-01T00:00:00Z; unpriced",
        f"{card}: output_tokens has no rate; standard context",
    ]
    assert why({"cache_audio_read_tokens": 1}) == (
        f"{card}: cache_audio_read_tokens has no rate and those of cache_read_tokens and input_audio_tokens "
        "differ; standard context"
    )
    assert "no prices in force" in why(one, at="2027-01-01T00:00:00Z")


def test_a_key_without_a_default_must_be_named() -> None:
    rates = """
    context: {must: {values: [x, y]}}
    rates: {dbus: 1}
    variants: [{when: {must: x}, rates: {dbus: 2}}]
    """
    by = book(provider(rates))
    told = [
        lines(rated(by, {"dbus": 1}, context=context), "cost")[1]
        for context in ({}, {"must": "x"}, {"must": "y"})
    ]
    assert told == [
        "card acme/m: the context must name must",
        "card acme/m: dbus at its own rate; must=x",
        "card acme/m: no prices for the context must=y",
    ]
