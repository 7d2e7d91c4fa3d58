"""Provider cost: worked calls, thresholds, contexts, dates; the arithmetic by hand."""

import pytest

from pricing.cards import BookContent, CardVersion, Cell, ContextKey, ModelPrefix, Rate, Step, Thresholds
from pricing.compile import compile_book
from pricing.errors import UsageError
from pricing.money import ATTO, format_atto
from pricing.rate import Call, Rating, rate
from tests.unit.pricing.build import (
    DAY,
    NOV_18_2026,
    PROCESSING,
    TIER,
    M,
    book,
    by_meter,
    card,
    cell,
    cost,
    flat,
    over,
    rates,
    variant,
)

GPT_4O = card(
    CardVersion(
        cell({"input_tokens": "2.5", "cache_read_tokens": "1.25", "output_tokens": "10"}),
        context=(PROCESSING,),
        variants=(
            variant(
                {"input_tokens": "1.25", "output_tokens": "5"}, ("cache_read_tokens",), processing="batch"
            ),
        ),
        parts_at_whole_rate=("*",),
    ),
    provider="openai",
    model="gpt-4o",
)
CLAUDE = card(
    flat(
        {
            "input_tokens": "5",
            "cache_read_tokens": "0.5",
            "cache_write_5m_tokens": "6.25",
            "cache_write_1h_tokens": "10",
            "output_tokens": "25",
        }
    ),
    provider="anthropic",
    model="claude-opus-5",
)
GEMINI_PRO = card(
    CardVersion(
        cell(
            {"input_tokens": "1.25", "cache_read_tokens": "0.125", "output_tokens": "10"},
            over("200000", {"input_tokens": "2.5", "cache_read_tokens": "0.25", "output_tokens": "15"}),
        ),
        context=(PROCESSING,),
        variants=(
            variant(
                {"input_tokens": "0.625", "output_tokens": "5"},
                ("cache_read_tokens",),
                over("200000", {"input_tokens": "1.25", "output_tokens": "7.5"}),
                processing="batch",
            ),
        ),
    ),
    provider="google",
    model="gemini-2.5-pro",
)
BOOK = book(GPT_4O, CLAUDE, GEMINI_PRO)


def amount(rating: Rating) -> str:
    assert rating.cost.status == "priced"
    assert rating.cost.currency == "USD"
    assert rating.cost.amount_atto is not None
    return format_atto(rating.cost.amount_atto)


def unpriced_because(rating: Rating) -> str:
    assert rating.cost == ("unpriced", None, None)
    assert all(
        line.amount_atto is None and line.rate is None and line.currency is None for line in rating.lines
    )
    (explain,) = {line.explain for line in rating.lines}
    return explain


def openai(**usage: int) -> Rating:
    return cost(BOOK, {k: str(v) for k, v in usage.items()}, provider="openai", model="gpt-4o")


def gemini(at: str | None = None, **usage: int) -> Rating:
    context = {"processing": at} if at else {}
    said = {k: str(v) for k, v in usage.items()}
    return cost(BOOK, said, provider="google", model="gemini-2.5-pro", context=context)


def test_a_plain_call() -> None:
    """1200 x 2.5 / 1e6 = 0.003; 350 x 10 / 1e6 = 0.0035; together 0.0065."""
    rating = openai(input_tokens=1200, output_tokens=350)
    assert amount(rating) == "0.0065"
    first, second = rating.lines
    assert (first.side, first.meter, first.quantity_atto, first.rate, first.per) == (
        "cost",
        "input_tokens",
        1200 * ATTO,
        "2.5",
        "1000000",
    )
    assert (first.amount_atto, second.amount_atto) == (3 * ATTO // 1000, 35 * ATTO // 10_000)
    assert (first.card, first.version, first.status) == ("openai/gpt-4o", None, "priced")
    assert first.explain == "card openai/gpt-4o: input_tokens at its own rate; standard context"
    assert rating.leaves == (("input_tokens", 1200 * ATTO), ("output_tokens", 350 * ATTO))


def test_inclusive_cached_tokens_are_not_paid_twice() -> None:
    """10,000 in, 8,000 of them cached: 2,000 x 2.5 + 8,000 x 1.25 + 100 x 10 = 5,000 + 10,000 + 1,000 =
    0.016.
    """
    assert amount(openai(input_tokens=10_000, cache_read_tokens=8000, output_tokens=100)) == "0.016"


def test_exclusive_cached_tokens_are_not_taken_out() -> None:
    """Anthropic: 2,000 x 5 + 8,000 x 0.5 + 100 x 25 = 10,000 + 4,000 + 2,500 = 0.0165."""
    usage = {"input_tokens": "2000", "cache_read_tokens": "8000", "output_tokens": "100"}
    assert amount(cost(BOOK, usage, "exclusive", provider="anthropic", model="claude-opus-5")) == "0.0165"


def test_cache_writes_cost_by_their_time_to_live() -> None:
    """1,000 x 5 + 4,000 x 6.25 + 6,000 x 10 + 200 x 25 = 5,000 + 25,000 + 60,000 + 5,000 = 0.095."""
    usage = {
        "input_tokens": "1000",
        "cache_write_5m_tokens": "4000",
        "cache_write_1h_tokens": "6000",
        "output_tokens": "200",
    }
    assert amount(cost(BOOK, usage, "exclusive", provider="anthropic", model="claude-opus-5")) == "0.095"
    inclusive = {**usage, "input_tokens": "11000", "cache_write_tokens": "10000"}
    rating = cost(BOOK, inclusive, provider="anthropic", model="claude-opus-5")
    assert amount(rating) == "0.095"
    assert by_meter(rating)["cache_write_tokens"].quantity_atto == 0


def test_reasoning_is_paid_once_and_at_the_output_rate() -> None:
    """1,000 of output hold 900 of reasoning: 100 x 10 + 900 x 10 = 0.01, on two lines."""
    rating = openai(input_tokens=0, output_tokens=1000, output_reasoning_tokens=900)
    assert amount(rating) == "0.01"
    line = by_meter(rating)["output_reasoning_tokens"]
    assert (line.rate, line.amount_atto) == ("10", 9 * ATTO // 1000)
    assert "the rate of output_tokens, having none of its own" in line.explain


@pytest.mark.parametrize(
    ("total", "paid"),
    [
        # 50,000 cached; below and at the start: 149,999 x 1.25 + 50,000 x 0.125 + 1,000 x 10
        (199_999, "0.20374875"),  # 187,498.75 + 6,250 + 10,000 = 203,748.75
        (200_000, "0.20375"),  # 150,000 x 1.25 = 187,500
        # above it every meter, cache and output too: 150,001 x 2.5 + 50,000 x 0.25 + 1,000 x 15
        (200_001, "0.4025025"),  # 375,002.5 + 12,500 + 15,000 = 402,502.5
    ],
)
def test_a_threshold_holds_for_the_whole_request(total: int, paid: str) -> None:
    assert amount(gemini(input_tokens=total, cache_read_tokens=50_000, output_tokens=1000)) == paid


def test_the_threshold_counts_cached_input_in_exclusive_usage_too() -> None:
    """150,001 + 50,000 cached = 200,001 > 200,000: 375,002.5 + 12,500 = 0.3875025."""
    usage = {"input_tokens": "150001", "cache_read_tokens": "50000"}
    rating = cost(BOOK, usage, "exclusive", provider="google", model="gemini-2.5-pro")
    assert amount(rating) == "0.3875025"
    assert rating.lines[0].explain.endswith("standard context; whole request, input_tokens over 200000")


@pytest.mark.parametrize(
    ("operator", "total", "paid"),
    [
        ("gt", 99, "99"),
        ("gt", 100, "100"),
        ("gt", 101, "202"),
        ("gte", 99, "99"),
        ("gte", 100, "200"),
        ("gte", 101, "202"),
    ],
)
def test_gt_begins_above_its_start_and_gte_at_it(operator: str, total: int, paid: str) -> None:
    """1 a million below, 2 beyond: in millionths, 99 x 1, 100 x 1 or 100 x 2, 101 x 2."""
    priced_by = book(
        card(CardVersion(cell({"input_tokens": "1"}, over("100", {"input_tokens": "2"}, operator))))
    )
    got = cost(priced_by, {"input_tokens": str(total)}).cost.amount_atto
    assert got == int(paid) * ATTO // 1_000_000


def test_several_steps_and_what_a_step_inherits() -> None:
    """Beyond 20 input costs 3 and output still 7; beyond 30 input costs 4 and output has no price."""
    steps = Thresholds(
        (
            Step("20", rates({"input_tokens": "3"}), ("output_tokens",)),
            Step("30", rates({"input_tokens": "4"})),
        )
    )
    priced_by = book(card(CardVersion(cell({"input_tokens": "1", "output_tokens": "7"}, steps))))

    def millionths(total: int) -> dict[str, int | None]:
        rating = cost(priced_by, {"input_tokens": str(total), "output_tokens": "1"})
        return {
            line.meter: None if line.amount_atto is None else line.amount_atto * 1_000_000 // ATTO
            for line in rating.lines
        }

    assert millionths(20) == {"input_tokens": 20, "output_tokens": 7}
    assert millionths(30) == {"input_tokens": 90, "output_tokens": 7}
    assert millionths(31) == {"input_tokens": 124, "output_tokens": None}


def test_batch_has_its_own_cell_and_cached_input_its_old_price() -> None:
    """10,000 in, 8,000 cached, 100 out: 2,000 x 1.25 + 8,000 x 1.25 + 100 x 5 = 13,000 = 0.013."""
    usage = {"input_tokens": "10000", "cache_read_tokens": "8000", "output_tokens": "100"}
    rating = cost(BOOK, usage, provider="openai", model="gpt-4o", processing="batch")
    assert amount(rating) == "0.013"
    lines = by_meter(rating)
    assert lines["input_tokens"].explain.endswith("its own rate; processing=batch")
    assert "as in the standard context" in lines["cache_read_tokens"].explain


def test_a_threshold_holds_in_batch_too() -> None:
    """Above 200,000: 160,000 x 1.25 + 50,000 cached x 0.25 (standard) + 1,000 x 7.5 = 200,000 + 12,500 +
    7,500 = 0.22.
    """
    assert (
        amount(gemini("batch", input_tokens=210_000, cache_read_tokens=50_000, output_tokens=1000)) == "0.22"
    )


def test_a_named_default_is_the_standard_context() -> None:
    usage = {"input_tokens": "1200", "output_tokens": "350"}
    rating = cost(BOOK, usage, provider="openai", model="gpt-4o", processing="standard")
    assert amount(rating) == "0.0065"


@pytest.mark.parametrize(
    ("context", "said"),
    [
        ({"processing": "Batch"}, "value Batch of context key processing is unknown"),
        ({"service_tier": "batch"}, "context key service_tier (value batch) is unknown"),
        ({"inference_geo": "us"}, "context key inference_geo (value us) is unknown"),
    ],
)
def test_a_context_that_the_card_does_not_know_is_unpriced(context: dict[str, str], said: str) -> None:
    rating = cost(BOOK, {"input_tokens": "1"}, provider="openai", model="gpt-4o", context=context)
    assert unpriced_because(rating) == f"card openai/gpt-4o: {said}"


def test_two_values_together_need_their_own_cell() -> None:
    """Batch and flex have prices, batch in flex has none; nothing is stacked or overlaid."""
    version = CardVersion(
        cell({"input_tokens": "4"}),
        context=(PROCESSING, TIER),
        variants=(
            variant({"input_tokens": "2"}, processing="batch"),
            variant({"input_tokens": "3"}, service_tier="flex"),
            variant({"input_tokens": "1"}, processing="batch", service_tier="priority"),
        ),
    )
    priced_by = book(card(version))
    usage = {"input_tokens": "1000000"}
    assert amount(cost(priced_by, usage, processing="batch", service_tier="default")) == "2"
    assert amount(cost(priced_by, usage, service_tier="flex")) == "3"
    assert amount(cost(priced_by, usage, service_tier="priority", processing="batch")) == "1"
    said = unpriced_because(cost(priced_by, usage, processing="batch", service_tier="flex"))
    assert said == "card p/m: no prices for the context processing=batch, service_tier=flex"


def test_an_ignored_key_changes_nothing_unless_the_card_declares_it() -> None:
    version = CardVersion(cell({"input_tokens": "4"}), context=(ContextKey("region", ("eu",), "eu"),))
    priced_by = book(
        card(flat({"input_tokens": "4"}), model="a"), card(version, model="b"), ignored=("region", "endpoint")
    )
    usage = {"input_tokens": "1000000"}
    assert amount(cost(priced_by, usage, model="a", region="us", endpoint="chat")) == "4"
    assert amount(cost(priced_by, usage, model="b", region="eu", endpoint="chat")) == "4"
    assert "value us of context key region" in unpriced_because(
        cost(priced_by, usage, model="b", region="us")
    )


def test_a_key_without_default_must_be_named() -> None:
    size = ContextKey("image_size", ("1024", "2048"), None)
    version = CardVersion(
        cell({}), context=(size,), variants=(variant({"images": "40000"}, image_size="1024"),)
    )
    priced_by = book(card(version))
    assert amount(cost(priced_by, {"images": "3"}, image_size="1024")) == "0.12"
    assert "the context must name image_size" in unpriced_because(cost(priced_by, {"images": "3"}))


def test_an_unknown_model_is_never_0() -> None:
    rating = cost(BOOK, {"input_tokens": "5", "output_tokens": "0"}, provider="openai", model="gpt-9")
    assert unpriced_because(rating) == "no cost card for openai/gpt-9"
    assert [line.meter for line in rating.lines] == ["input_tokens", "output_tokens"]
    assert all(line.card is None for line in rating.lines)


def test_an_event_that_reports_nothing_is_unpriced_never_0() -> None:
    """Absent and 0 differ: no meter at all is usage that was lost, a meter of 0 is usage of 0."""
    assert cost(BOOK, {}, model="gpt-9").cost == ("unpriced", None, None)
    assert cost(BOOK, {}, provider="openai", model="gpt-4o").cost == ("unpriced", None, None)
    assert amount(cost(BOOK, {"input_tokens": "0"}, provider="openai", model="gpt-4o")) == "0"


def test_a_flat_price_per_event_holds_where_nothing_is_reported() -> None:
    priced_by = book(card(CardVersion(Cell((Rate("events", "0.03"), Rate("input_tokens", "1", M))))))
    assert amount(cost(priced_by, {})) == "0.03"


def test_a_meter_without_a_rate_leaves_the_rest_priced() -> None:
    """1,000 x 5 / 1e6 = 0.005 and an image that nobody has priced."""
    rating = cost(
        BOOK,
        {"input_tokens": "1000", "images": "1"},
        "exclusive",
        provider="anthropic",
        model="claude-opus-5",
    )
    assert rating.cost == ("partial", 5 * ATTO // 1000, "USD")
    line = by_meter(rating)["images"]
    assert (line.status, line.rate, line.amount_atto, line.currency) == ("unpriced", None, None, None)
    assert line.explain == "card anthropic/claude-opus-5: images has no rate; standard context"


def test_a_part_without_a_rate_is_unpriced_unless_the_card_says_otherwise() -> None:
    usage = {"input_tokens": "10", "input_audio_tokens": "4"}
    strict = book(card(flat({"input_tokens": "1"})))
    assert cost(strict, usage).cost == ("partial", 6 * ATTO // 1_000_000, "USD")
    named = CardVersion(cell({"input_tokens": "1"}), parts_at_whole_rate=("input_audio_tokens",))
    assert amount(cost(book(card(named)), usage)) == "0.00001"


def test_wholes_whose_rates_differ_price_no_common_part() -> None:
    """Cached audio lies in cached and in audio input; the nearest rates are 1 and 8; which is not said."""
    usage = {
        "input_tokens": "10",
        "cache_read_tokens": "5",
        "input_audio_tokens": "5",
        "cache_audio_read_tokens": "5",
    }
    differing = {"input_tokens": "2", "cache_read_tokens": "1", "input_audio_tokens": "8"}
    rating = cost(book(card(flat(differing, whole=True))), usage)
    assert rating.cost == ("partial", 10 * ATTO // 1_000_000, "USD")
    said = by_meter(rating)["cache_audio_read_tokens"].explain
    assert "those of cache_read_tokens and input_audio_tokens differ" in said
    same = {**differing, "input_audio_tokens": "1"}
    assert amount(cost(book(card(flat(same, whole=True))), usage)) == "0.000015"  # 5 x 2 + 5 x 1


def test_an_unknown_meter_is_unpriced_by_name() -> None:
    rating = cost(BOOK, {"input_tokens": "0", "zebras": "2"}, provider="openai", model="gpt-4o")
    assert rating.cost == ("unpriced", None, None)
    assert "meter zebras is unknown" in by_meter(rating)["zebras"].explain


def test_a_quantity_of_0_without_a_rate_takes_nothing_away() -> None:
    rating = cost(BOOK, {"input_tokens": "1200", "images": "0"}, provider="openai", model="gpt-4o")
    assert amount(rating) == "0.003"
    assert by_meter(rating)["images"].status == "unpriced"


def test_an_explicit_0_is_a_price() -> None:
    rating = cost(book(card(flat({"input_tokens": "0"}))), {"input_tokens": "5"})
    assert amount(rating) == "0"
    assert rating.lines[0].rate == "0"


def test_each_event_is_priced_at_its_own_time() -> None:
    """A cut from 10 to 2 at noon: a microsecond before it is 10, at it 2; after the end and in the gap
    nothing.
    """
    noon = NOV_18_2026
    priced_by = book(
        card(
            CardVersion(cell({"input_tokens": "2"}), noon, noon + DAY),
            CardVersion(cell({"input_tokens": "10"}), noon - DAY, noon),
            CardVersion(cell({"input_tokens": "1"}), noon + 2 * DAY, None),
        )
    )
    usage = {"input_tokens": "1000000"}
    assert amount(cost(priced_by, usage, at_us=noon - 1)) == "10"
    assert amount(cost(priced_by, usage, at_us=noon)) == "2"
    assert amount(cost(priced_by, usage, at_us=noon + DAY - 1)) == "2"
    assert amount(cost(priced_by, usage, at_us=noon + 2 * DAY)) == "1"
    assert by_meter(cost(priced_by, usage, at_us=noon))["input_tokens"].version == "2026-11-18T12:00:00Z"
    before = unpriced_because(cost(priced_by, usage, at_us=noon - DAY - 1))
    assert before == "card p/m: no prices in force (before 2026-11-17T12:00:00Z)"
    gap = unpriced_because(cost(priced_by, usage, at_us=noon + DAY))
    assert gap == "card p/m: no prices in force (from 2026-11-19T12:00:00Z and before 2026-11-20T12:00:00Z)"


def test_exact_names_beat_prefixes_and_priority_beats_length() -> None:
    priced_by = book(
        card(flat({"input_tokens": "1"}), model="gpt-4o"),
        card(flat({"input_tokens": "2"}), model="", card_id="any4o", prefixes=[ModelPrefix("gpt-4o")]),
        card(
            flat({"input_tokens": "3"}), model="", card_id="any", prefixes=[ModelPrefix("gpt-", 0, ("tts",))]
        ),
        card(flat({"input_tokens": "4"}), model="", card_id="audio", prefixes=[ModelPrefix("gpt-4o-a", 5)]),
        card(flat({"input_tokens": "5"}), model="", card_id="au", prefixes=[ModelPrefix("gpt-4o-au", 4)]),
    )

    def card_of(model: str) -> str | None:
        return cost(priced_by, {"input_tokens": "1"}, model=model).lines[0].card

    assert card_of("gpt-4o") == "p/gpt-4o"
    assert card_of("GPT-4o") == "p/gpt-4o"
    assert card_of("gpt-4o-2024-08-06") == "any4o"
    assert card_of("gpt-4o-audio") == "audio"
    assert card_of("gpt-5") == "any"
    assert card_of("gpt-5-tts") is None
    assert cost(priced_by, {"input_tokens": "1"}, model="gpt-4o", provider="other").lines[0].card is None


def test_a_fee_per_request_is_counted_once_where_the_call_does_not_count() -> None:
    """12 per 1,000 requests and 1 per million tokens: 0.012 + 0.000005; three reported requests: 0.036."""
    base = Cell((Rate("input_tokens", "1", M), Rate("requests", "12", "1000")))
    priced_by = book(card(CardVersion(base)))
    rating = cost(priced_by, {"input_tokens": "5"})
    assert amount(rating) == "0.012005"
    assert [line.meter for line in rating.lines] == ["input_tokens", "requests"]
    assert rating.leaves == (("input_tokens", 5 * ATTO),)
    assert amount(cost(priced_by, {"requests": "3"})) == "0.036"


def test_seconds_priced_by_the_hour_are_rounded_once_half_even() -> None:
    """0.36 an hour: 1 s = 0.0001 exactly. 1 an hour: 1 / 3600 = 0.000277..., rounded at the 18th place."""
    exact = book(card(CardVersion(Cell((Rate("audio_seconds", "0.36", "3600"),)))))
    assert amount(cost(exact, {"audio_seconds": "1"})) == "0.0001"
    endless = book(card(CardVersion(Cell((Rate("audio_seconds", "1", "3600"),)))))
    assert amount(cost(endless, {"audio_seconds": "1"})) == "0.000277777777777778"
    smallest = book(card(CardVersion(Cell((Rate("audio_seconds", "0.5", "1"),)))))
    assert cost(smallest, {"audio_seconds": "0.000000000000000001"}).cost.amount_atto == 0
    assert cost(smallest, {"audio_seconds": "0.000000000000000003"}).cost.amount_atto == 2


def test_an_amount_of_more_than_20_digits_is_refused() -> None:
    """99,999,999,999,999,999,999 x 1 fits; twice that has 21 digits."""
    most = "99999999999999999999"
    fits = book(card(CardVersion(Cell((Rate("images", "1"),)))))
    assert amount(cost(fits, {"images": most})) == most
    with pytest.raises(UsageError) as caught:
        cost(book(card(CardVersion(Cell((Rate("images", "2"),))))), {"images": most})
    assert (caught.value.code, caught.value.field) == ("amount_overflow", "cost")


def test_lines_of_one_kind_share_one_template() -> None:
    """Encoders cache what is constant about a line by its template."""
    first, second = openai(input_tokens=1), openai(input_tokens=2)
    assert first.lines[0].template is second.lines[0].template


def test_usage_of_nobody_has_no_price_side() -> None:
    rating = rate(compile_book(BookContent(), 1, ""), Call(None, "p", "m", 0, {"input_tokens": "1"}))
    assert rating.price == ("unpriced", None, None)
    assert [line.side for line in rating.lines] == ["cost"]


def test_values_without_end_of_an_ignored_key_share_one_compiled_price() -> None:
    priced_by = book(card(flat({"input_tokens": "4"})), ignored=("trace",))
    first = cost(priced_by, {"input_tokens": "1"}, trace="1")
    second = cost(priced_by, {"input_tokens": "1"}, trace="2")
    assert first.lines[0].template is second.lines[0].template
