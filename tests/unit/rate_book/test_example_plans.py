"""One call by each plan of the example book, its amounts by hand."""

from collections.abc import Mapping

from pricing.compile import CompiledBook
from pricing.money import format_atto
from pricing.rate import Call, Rating, rate

NOVEMBER = 1_795_000_000_000_000  # 2026-11-18T11:46:40Z
SEPTEMBER = 1_789_000_000_000_000  # 2026-09-10T00:26:40Z
JUNE = 1_781_000_000_000_000  # 2026-06-09T10:13:20Z
GPT_4O = ("openai", "gpt-4o-2024-11-20")
MILLION = 10**18 * 1_000_000


def rated(
    book: CompiledBook,
    customer: str,
    usage: Mapping[str, str],
    *,
    at_us: int = NOVEMBER,
    model: tuple[str, str] = GPT_4O,
    context: Mapping[str, str] | None = None,
    quantity_before: int = 0,
    amount_before: int = 0,
) -> Rating:
    call = Call(customer, *model, at_us, usage, "inclusive", context or {})
    return rate(book, call, lambda _pool, _start_us: (quantity_before, amount_before))


def price(rating: Rating) -> tuple[str, str | None, str | None]:
    side = rating.price
    return side.status, None if side.amount_atto is None else format_atto(side.amount_atto), side.currency


def test_graduated_tiers_at_a_boundary(shipped_book: CompiledBook) -> None:
    """600,000 counted before, 100,000 of them free: 500,000 x 2.5 / 1M = 1.25 is billed; a boundary is next.

    One more token costs 2.2 / 1M. From 590,000 (490,000 x 2.5 / 1M = 1.225 billed) 20,000 more cost
    10,000 x 2.5 / 1M + 10,000 x 2.2 / 1M = 0.025 + 0.022 = 0.047.
    """
    usage = {"input_tokens": "1"}
    start = rated(
        shipped_book, "fern-commerce", usage, quantity_before=MILLION * 6 // 10, amount_before=125 * 10**16
    )
    assert price(start) == ("priced", "0.0000022", "USD")
    usage = {"input_tokens": "20000"}
    over = rated(
        shipped_book, "fern-commerce", usage, quantity_before=MILLION * 59 // 100, amount_before=1225 * 10**15
    )
    assert price(over) == ("priced", "0.047", "USD")
    assert [line.rate for line in over.lines if line.side == "price"] == ["2.5", "2.2"]


def test_a_month_in_new_york_begins_on_the_fifteenth(shipped_book: CompiledBook) -> None:
    """15 November 2026, 00:00 in New York is 05:00 UTC: 1,794,718,800 s; 15 December: 1,797,310,800 s."""
    rating = rated(shipped_book, "fern-commerce", {"input_tokens": "1"})
    assert rating.service_period == (1_794_718_800_000_000, 1_797_310_800_000_000)


def test_credits_follow_the_cost_at_the_rate_of_the_day(shipped_book: CompiledBook) -> None:
    """1,000,000 input tokens of gpt-4o cost 2.5 USD.

    November: 2.5 x 1.275 x 95 = 302.8125. September: 2.5 x 1.275 x 100 = 318.75. June: 2.5 x 1.3 x 100 = 325.
    """
    usage = {"input_tokens": "1000000"}
    for at_us, amount in ((NOVEMBER, "302.8125"), (SEPTEMBER, "318.75"), (JUNE, "325")):
        assert price(rated(shipped_book, "maple-logistics", usage, at_us=at_us)) == (
            "priced",
            amount,
            "CREDIT",
        )


def test_a_small_call_costs_a_twentieth_of_a_credit(shipped_book: CompiledBook) -> None:
    """100 tokens of gpt-4o-mini: 0.000015 USD x 1.35 x 95 = 0.00192375, + 0.01 a call; at least 0.05."""
    rating = rated(shipped_book, "maple-logistics", {"input_tokens": "100"}, model=("openai", "gpt-4o-mini"))
    assert price(rating) == ("priced", "0.05", "CREDIT")
    amounts = [format_atto(line.amount_atto or 0) for line in rating.lines if line.side == "price"]
    assert amounts == ["0.00192375", "0.01", "0.03807625"]


def test_a_query_pays_for_its_calls(shipped_book: CompiledBook) -> None:
    """The query costs 0.008; a call that names it nothing more, a call that names none has no price."""
    root = rated(shipped_book, "azure-studio", {"queries": "1"}, model=("own", ""))
    assert price(root) == ("priced", "0.008", "USD")
    assert root.cost.amount_atto == 0
    usage = {"input_tokens": "1000", "output_tokens": "10"}
    call = rated(shipped_book, "azure-studio", usage, context={"event.has_query": "yes"})
    assert price(call) == ("included", None, None)
    assert price(rated(shipped_book, "azure-studio", usage, context={"event.has_query": "no"})) == (
        "unpriced", None, None,
    )  # fmt: skip


def test_quality_has_a_price_whatever_model_served_it(shipped_book: CompiledBook) -> None:
    """1,000,000 in, 100,000 out: standard 2.5 + 1 = 3.5, economy 1.25 + 0.5, premium 5 + 2; batch x 0.6."""
    usage = {"input_tokens": "1000000", "output_tokens": "100000"}
    for tier, amount, batch in (
        ("economy", "1.75", "1.05"),
        ("standard", "3.5", "2.1"),
        ("premium", "7", "4.2"),
    ):
        for model in (GPT_4O, ("anthropic", "claude-haiku-4-5")):
            context = {"event.quality_tier": tier}
            told = rated(shipped_book, "harbor-clinic", usage, model=model, context=context)
            assert price(told) == ("priced", amount, "USD")
            told = rated(
                shipped_book, "harbor-clinic", usage, model=model, context=context | {"processing": "batch"}
            )
            assert price(told) == ("priced", batch, "USD")


def test_a_contract_of_its_own_in_euros(shipped_book: CompiledBook) -> None:
    """gpt-4o, agreed: 2.75 x 0.875 = 2.40625 in November, 2.75 x 0.9 = 2.475 in September. In batch
    2.75 x 0.6 x 0.875 = 1.44375. Any other model at the standard price: gpt-4.1 2.5 x 0.875 = 2.1875.
    """
    usage = {"input_tokens": "1000000"}
    assert price(rated(shipped_book, "pearl-legal", usage)) == ("priced", "2.40625", "EUR")
    assert price(rated(shipped_book, "pearl-legal", usage, at_us=SEPTEMBER)) == ("priced", "2.475", "EUR")
    batch = {"processing": "batch"}
    assert price(rated(shipped_book, "pearl-legal", usage, context=batch)) == ("priced", "1.44375", "EUR")
    other = ("openai", "gpt-4.1")
    assert price(rated(shipped_book, "pearl-legal", usage, model=other)) == ("priced", "2.1875", "EUR")
