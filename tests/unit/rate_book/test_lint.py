"""What lint says of a book that is sound and yet looks wrong: card, line, rule and the numbers."""

from dataclasses import replace

import pytest

from pricing.cards import (
    BookContent,
    CardVersion,
    Cell,
    ContextKey,
    ExchangeRate,
    ModelAlias,
    ModelPrefix,
    Multiplier,
    Pool,
    PoolVersion,
    PriceCard,
    Rate,
    RateCard,
    Schedule,
    Step,
    Thresholds,
    Tier,
    Variant,
    Window,
)
from pricing.errors import BookError
from rate_book.lint import Remark, lint
from rate_book.lint_rules import LINT_RULES

MILLION = "1000000"


def rates(**per_million: str) -> tuple[Rate, ...]:
    return tuple(Rate(meter, rate, MILLION) for meter, rate in per_million.items())


def version(*own: Rate, **changes: object) -> CardVersion:
    return replace(CardVersion(Cell(own)), **changes)  # type: ignore[arg-type]  # by name


def card(*versions: CardVersion, card_id: str = "p/m", model: str = "m", currency: str = "USD") -> RateCard:
    return RateCard(card_id, "p", currency, versions, (model,))


def costs(*versions: CardVersion) -> BookContent:
    return BookContent((card(*versions),))


def said(content: BookContent) -> list[tuple[str, str, str]]:
    return [(remark.card, remark.line, remark.rule) for remark in lint(content)]


CACHED = version(*rates(input_tokens="3", cache_read_tokens="0.3", cache_write_tokens="3.75"))


def test_a_book_without_oddities_has_no_remark() -> None:
    assert lint(costs(CACHED)) == ()


def test_a_faulty_book_is_refused_before_it_is_looked_at() -> None:
    with pytest.raises(BookError):
        lint(costs(version(Rate("zebras", "1"))))


@pytest.mark.parametrize(
    ("own", "rule"),
    [
        ({"input_tokens": "3", "cache_read_tokens": "3"}, ""),
        ({"input_tokens": "3", "cache_read_tokens": "3.01"}, "cache_read_above_input"),
        ({"input_tokens": "3", "cache_write_tokens": "3"}, ""),
        ({"input_tokens": "3", "cache_write_tokens": "2.99"}, "cache_write_below_input"),
        ({"input_tokens": "3", "cache_write_1h_tokens": "2.99"}, "cache_write_below_input"),
        ({"input_tokens": "3", "cache_audio_read_tokens": "9"}, ""),
        ({"input_audio_tokens": "3", "cache_audio_read_tokens": "9"}, "cache_read_above_input"),
    ],
)
def test_caches_are_compared_with_fresh_input_of_their_kind(own: dict[str, str], rule: str) -> None:
    assert said(costs(version(*rates(**own)))) == ([("p/m", "since ever", rule)] if rule else [])


def test_rates_are_compared_by_the_unit() -> None:
    """3 per million is 0.003 per thousand: no difference; 0.0031 is more."""
    same = version(Rate("input_tokens", "3", MILLION), Rate("cache_read_tokens", "0.003", "1000"))
    more = version(Rate("input_tokens", "3", MILLION), Rate("cache_read_tokens", "0.0031", "1000"))
    assert lint(costs(same)) == ()
    (remark,) = lint(costs(more))
    assert str(remark) == (
        "p/m: since ever: cache_read_tokens 0.0031 per 1000 is above input_tokens 3 per 1000000"
        " [cache_read_above_input]"
    )


def steps(*found: Step) -> Thresholds:
    return Thresholds(found)


def test_a_step_that_is_cheaper_or_forgets_a_meter_is_named() -> None:
    thresholds = steps(Step("200000", rates(input_tokens="2.9")))
    cell = Cell(rates(input_tokens="3", output_tokens="15"), thresholds)
    line = "since ever, whole request, input_tokens over 200000"
    assert said(costs(CardVersion(cell))) == [
        ("p/m", line, "step_below_base"),
        ("p/m", line, "meter_missing"),
    ]
    inherited = replace(cell, thresholds=steps(Step("200000", rates(input_tokens="3"), ("output_tokens",))))
    assert lint(costs(CardVersion(inherited))) == ()


PROCESSING = ContextKey("processing", ("standard", "batch"), "standard")
FAST = ContextKey("speed", ("standard", "fast"), "standard")
BATCH = Variant((("processing", "batch"),), Cell(rates(input_tokens="1.5")))


def test_a_variant_that_forgets_a_meter_is_named_with_what_happens_then() -> None:
    base = rates(input_tokens="3", cache_read_tokens="0.3", output_tokens="15")
    forgetful = version(*base, context=(PROCESSING,), variants=(BATCH,), parts_at_whole_rate=("*",))
    unpriced, charged = lint(costs(forgetful))
    assert unpriced == Remark(
        "p/m",
        "since ever, processing=batch",
        "meter_missing",
        "no price, and not inherited: output_tokens",
    )
    assert charged.detail == "no price of its own, so at the rate of its whole: cache_read_tokens"
    whole = replace(BATCH, inherit=("*",))
    assert lint(costs(replace(forgetful, variants=(whole,)))) == ()


def test_combinations_without_a_price_are_counted_and_named() -> None:
    """Of standard, batch x standard, fast: batch has a cell and fast a multiplier; without it 2 of 4 miss."""
    both = version(
        *rates(input_tokens="3"),
        context=(PROCESSING, FAST),
        variants=(BATCH,),
        multipliers=(Multiplier("fast", "2", (("speed", "fast"),)),),
    )
    assert lint(costs(both)) == ()
    (remark,) = lint(costs(replace(both, multipliers=())))
    assert remark == Remark(
        "p/m",
        "since ever",
        "combination_missing",
        "2 of 4 combinations: no prices for the context speed=fast;"
        " no prices for the context processing=batch, speed=fast",
    )


def test_hours_are_values_like_any_other_and_ambiguous_cells_are_named() -> None:
    peak = Schedule("hours", "normal", (Window("peak", "09:00", "12:00"),))
    hourly = version(*rates(input_tokens="3"), schedules=(peak,))
    (remark,) = lint(costs(hourly))
    assert remark.detail == "1 of 2 combinations: no prices for the context hours=peak"
    double = Multiplier("peak", "2", (("hours", "peak"),))
    batch = Multiplier("batch", "0.5", (("processing", "batch"),))
    cells = (BATCH, Variant((("hours", "peak"),), Cell(rates(input_tokens="6"))))
    torn = replace(hourly, context=(PROCESSING,), multipliers=(double, batch), variants=cells)
    (remark,) = lint(costs(torn))
    assert "ambiguous: the cells hours=peak and processing=batch" in remark.detail


def test_a_word_accepts_a_rule_for_its_version_alone() -> None:
    odd = rates(input_tokens="3", cache_read_tokens="4")
    first = version(*odd, valid_to_us=0, accepted=(("cache_read_above_input", "as the list says"),))
    second = version(*odd, valid_from_us=0)
    assert said(costs(first)) == []
    assert said(costs(first, second)) == [("p/m", "from 1970-01-01T00:00:00Z", "cache_read_above_input")]


HOUR = 3_600_000_000


def test_a_gap_is_named_by_what_comes_after_it() -> None:
    own = rates(input_tokens="3")
    first, second = version(*own, valid_to_us=0), version(*own, valid_from_us=HOUR)
    (remark,) = lint(costs(first, second))
    assert remark == Remark(
        "p/m", "from 1970-01-01T01:00:00Z", "gap", "nothing is priced from 1970-01-01T00:00:00Z until then"
    )
    assert lint(costs(first, replace(second, valid_from_us=0))) == ()
    assert lint(costs(first, replace(second, accepted=(("gap", "not sold then"),)))) == ()
    exchange = (ExchangeRate("USD", "EUR", "1", None, 0), ExchangeRate("USD", "EUR", "1", HOUR))
    (remark,) = lint(BookContent(exchange=exchange))
    assert (remark.card, remark.rule) == ("exchange USD to EUR", "gap")


def pool(*tiers: Tier) -> Pool:
    return Pool("tokens", "USD", (PoolVersion("graduated", tiers),))


@pytest.mark.parametrize(
    ("found", "remarks"),
    [
        (("3", "2", "1"), 0),
        (("1", "2", "2"), 0),
        (("3", "1", "2"), 1),
        (("1", "3", "2"), 1),
    ],
)
def test_tiers_go_one_way(found: tuple[str, ...], remarks: int) -> None:
    tiers = tuple(Tier(str(start), rate) for start, rate in enumerate(found))
    content = BookContent(price_cards=(PriceCard("list", (), (pool(*tiers),)),))
    assert said(content) == [("list", "since ever, pool tokens", "pool_tiers")] * remarks


def sold(
    *versions: CardVersion,
    target: str | None = None,
    cost: tuple[CardVersion, ...] = (version(*rates(input_tokens="3", output_tokens="15")),),
    currency: str = "USD",
) -> BookContent:
    mine = card(*versions, card_id="list/m", currency=currency)
    return BookContent((card(*cost),), (PriceCard("list", (mine,), target_margin=target),), units=("CREDIT",))


@pytest.mark.parametrize(
    ("price", "target", "rule"),
    [
        # cost 3: at 3.75 the margin is 0.75 / 3.75 = 20 %
        ("3", None, ""),
        ("2.99", None, "below_cost"),
        ("2.99", "0.2", "below_cost"),
        ("3.75", "0.2", ""),
        ("3.749999", "0.2", "below_target_margin"),
    ],
)
def test_a_rate_is_compared_with_its_cost_and_the_target(price: str, target: str | None, rule: str) -> None:
    found = said(sold(version(*rates(input_tokens=price)), target=target))
    assert found == ([("list/m", "since ever, input_tokens", rule)] if rule else [])


def test_a_remark_on_a_margin_says_its_numbers() -> None:
    """(3.3 - 3) / 3.3 = 9.09 %; where nothing is dated, any instant does."""
    (remark,) = lint(sold(version(*rates(input_tokens="3.3")), target="0.2"))
    assert remark.detail == (
        "p/m at 1970-01-01T00:00:00Z: 3.3 per 1000000 USD, costs 3 per 1000000 USD:"
        " a margin of 9.09 %, the target is 20.00 %"
    )


def test_a_part_that_costs_more_than_its_whole_is_found() -> None:
    """Cache writes are sold at the rate of input, 3.5; the provider charges 6."""
    cost = (version(*rates(input_tokens="3", cache_write_1h_tokens="6")),)
    whole = version(*rates(input_tokens="3.5"), parts_at_whole_rate=("*",))
    assert said(sold(whole, cost=cost)) == [("list/m", "since ever, cache_write_1h_tokens", "below_cost")]


def test_steps_contexts_dates_and_hours_of_the_cost_are_looked_at() -> None:
    price = version(*rates(input_tokens="3"))
    long = CardVersion(Cell(rates(input_tokens="2"), steps(Step("200000", rates(input_tokens="4")))))
    assert said(sold(price, cost=(long,))) == [
        ("list/m", "since ever, input_tokens over 200000, input_tokens", "below_cost")
    ]
    dearer = (
        version(*rates(input_tokens="2"), valid_to_us=HOUR),
        version(*rates(input_tokens="4"), valid_from_us=HOUR),
    )
    (remark,) = lint(sold(price, cost=dearer))
    assert "at 1970-01-01T01:00:00Z" in remark.detail
    peak = version(
        *rates(input_tokens="2"),
        valid_from_us=0,
        schedules=(Schedule("hours", "normal", (Window("peak", "09:30", "12:00", ("sun",)),)),),
        multipliers=(Multiplier("peak", "2", (("hours", "peak"),)),),
    )
    (remark,) = lint(sold(price, cost=(peak,)))
    assert "at 1970-01-04T09:30:00Z" in remark.detail  # the first Sunday: 1 January 1970 was a Thursday
    fast = version(
        *rates(input_tokens="2"),
        context=(FAST,),
        multipliers=(Multiplier("fast", "2", (("speed", "fast"),)),),
    )
    alike = replace(price, context=(FAST,), variants=(Variant((("speed", "fast"),), Cell(()), ("*",)),))
    assert said(sold(alike, cost=(fast,))) == [
        ("list/m", "since ever, speed=fast, input_tokens", "below_cost")
    ]


def test_what_a_fee_pays_for_may_be_free() -> None:
    fee = version(Rate("events", "0.01"), *rates(input_tokens="0"))
    assert lint(sold(fee)) == ()
    assert said(sold(version(*rates(input_tokens="0")))) == [
        ("list/m", "since ever, input_tokens", "below_cost")
    ]


def test_a_card_for_names_that_begin_so_is_compared_with_each_of_them() -> None:
    content = sold(version(*rates(input_tokens="3.5")))
    dear = card(version(*rates(input_tokens="5")), card_id="p/m-2024", model="m-2024")
    mine = replace(content.price_cards[0].cards[0], prefixes=(ModelPrefix("m-"),))
    content = replace(
        content,
        provider_cards=(*content.provider_cards, dear),
        price_cards=(PriceCard("list", (mine,)),),
    )
    (remark,) = lint(content)
    assert remark.detail.startswith("p/m-2024 at ")
    spared = replace(mine, prefixes=(ModelPrefix("m-", unless=("2024",)),))
    assert lint(replace(content, price_cards=(PriceCard("list", (spared,)),))) == ()


def test_an_alias_is_compared_with_each_model_that_it_stands_for() -> None:
    content = sold(version(*rates(input_tokens="3.5")))
    dear = card(version(*rates(input_tokens="5")), card_id="p/n", model="n")
    named = replace(content.price_cards[0].cards[0], models=("latest",))
    content = replace(
        content,
        provider_cards=(*content.provider_cards, dear),
        price_cards=(PriceCard("list", (named,)),),
        aliases=(ModelAlias("p", "latest", "m", None, HOUR), ModelAlias("p", "latest", "n", HOUR)),
    )
    (remark,) = lint(content)
    assert remark.detail.startswith("p/latest at 1970-01-01T01:00:00Z")


@pytest.mark.parametrize(
    ("exchange", "rule"),
    [
        # A million tokens cost 3 USD = 300 credits, and are sold for 330: 30 / 330 = 9.09 %
        ((ExchangeRate("USD", "CREDIT", "100"),), "below_target_margin"),
        # one way or the other: 330 credits are 6.6 USD
        ((ExchangeRate("CREDIT", "USD", "0.02"),), ""),
        ((ExchangeRate("USD", "CREDIT", "80"),), ""),
        ((), "margin_unknown"),
        ((ExchangeRate("USD", "CREDIT", "80", 0),), "margin_unknown"),
    ],
)
def test_credits_are_compared_through_the_rate_of_exchange(
    exchange: tuple[ExchangeRate, ...], rule: str
) -> None:
    content = sold(version(*rates(input_tokens="330")), target="0.2", currency="CREDIT")
    found = said(replace(content, exchange=exchange))
    assert found == ([("list/m", "since ever, input_tokens", rule)] if rule else [])


def test_a_markup_leaves_its_share_of_the_price() -> None:
    """25 % on cost is 20 % of the price."""
    assert lint(sold(version(markup_percent="25"), target="0.2")) == ()
    (remark,) = lint(sold(version(markup_percent="24"), target="0.2"))
    assert (remark.line, remark.rule) == ("since ever, markup", "below_target_margin")
    assert remark.detail == "24 % on cost is 19.35 % of the price, the target is 20.00 %"


def test_each_tier_of_a_pool_is_compared() -> None:
    tiers = (Tier("0", "4", MILLION), Tier("100", "2.9", MILLION))
    content = sold(version(Rate("input_tokens", pool="tokens")))
    price_card = replace(content.price_cards[0], pools=(pool(*tiers),))
    assert said(replace(content, price_cards=(price_card,))) == [
        ("list/m", "since ever, input_tokens, pool tokens from 100", "below_cost")
    ]


def test_a_card_for_any_model_has_no_margin_to_tell() -> None:
    any_model = RateCard(
        "list/any", None, "USD", (version(*rates(input_tokens="1")),), (), (ModelPrefix(""),)
    )
    content = replace(sold(), price_cards=(PriceCard("list", (any_model,)),))
    assert lint(content) == ()
    aimed = replace(content, price_cards=(PriceCard("list", (any_model,), target_margin="0.2"),))
    assert said(aimed) == [("list/any", "since ever", "margin_unknown")]


def test_a_margin_can_be_accepted() -> None:
    why = (("below_cost", "to win them over"),)
    assert lint(sold(version(*rates(input_tokens="1"), accepted=why))) == ()


def test_the_example_book_has_no_remark(shipped: BookContent) -> None:
    lists = {card.card_id for card in shipped.provider_cards}
    remarks = [remark for remark in lint(shipped) if remark.card not in lists]
    assert remarks == []
    assert {remark.rule for remark in lint(shipped)} <= LINT_RULES.keys()
