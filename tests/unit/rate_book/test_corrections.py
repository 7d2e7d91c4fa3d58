"""What the shipped book corrects in the price lists: at, below and above each boundary, by hand."""

import pytest

from pricing.compile import CompiledBook
from pricing.money import format_atto
from pricing.rate import Call, rate
from rate_book.form import shipped_books
from rate_book.instants import parse_instant
from rate_book.yaml_text import read_yaml

NOW = "2026-11-18T12:00:00Z"


def cost(
    book: CompiledBook, model: str, usage: dict[str, int], at: str = NOW, **context: str
) -> tuple[str, str | None]:
    """Status and amount of one call, counted inclusively; the model is `provider/model`."""
    provider, _, name = model.partition("/")
    counts = {meter: str(count) for meter, count in usage.items()}
    side = rate(book, Call(None, provider, name, parse_instant(at), counts, "inclusive", context)).cost
    return side.status, None if side.amount_atto is None else format_atto(side.amount_atto)


def million(
    book: CompiledBook, model: str, at: str, meter: str = "input_tokens", **context: str
) -> str | None:
    whole = {"cache_read_tokens": {"input_tokens": 1_000_000}}.get(meter, {})
    return cost(book, model, {**whole, meter: 1_000_000}, at, **context)[1]


@pytest.mark.parametrize(
    ("at", "pro", "flash"),
    [
        # Flat until 2026-08-16 16:00 UTC, at what were to be peak hours too.
        ("2026-08-05T02:00:00Z", "0.435", "0.14"),
        ("2026-08-16T15:59:59.999999Z", "0.435", "0.14"),
        ("2026-08-16T16:00:00Z", "0.66", "0.22"),
        # Peak is 09:00-12:00 and 14:00-18:00 in Beijing, 01:00-04:00 and 06:00-10:00 UTC.
        ("2026-08-17T00:59:59.999999Z", "0.66", "0.22"),
        ("2026-08-17T01:00:00Z", "1.32", "0.44"),
        ("2026-08-17T03:59:59.999999Z", "1.32", "0.44"),
        ("2026-08-17T04:00:00Z", "0.66", "0.22"),
        ("2026-08-17T06:00:00Z", "1.32", "0.44"),
        ("2026-08-17T10:00:00Z", "0.66", "0.22"),
        # Saturday the 22nd was the last with peak hours; the rule changed at 16:00 UTC, Sunday in Beijing.
        ("2026-08-22T02:00:00Z", "1.32", "0.44"),
        ("2026-08-23T02:00:00Z", "0.66", "0.22"),
        ("2026-08-24T02:00:00Z", "1.32", "0.44"),
        # V4.1 Flash took over the name at 04:00 UTC on the 10th of September, a Thursday.
        ("2026-09-10T03:59:59.999999Z", "1.32", "0.44"),
        ("2026-09-10T04:00:00Z", "0.66", "0.15"),
        ("2026-09-10T06:00:00Z", "1.32", "0.3"),
        # Mid-autumn, a Friday, and the national holiday, Thursday the 1st to Wednesday the 7th of October.
        ("2026-09-25T02:00:00Z", "0.66", "0.15"),
        ("2026-10-01T02:00:00Z", "0.66", "0.15"),
        ("2026-10-07T02:00:00Z", "0.66", "0.15"),
        ("2026-10-08T02:00:00Z", "1.32", "0.3"),
        ("2026-11-21T02:00:00Z", "0.66", "0.15"),
    ],
)
def test_deepseek_by_instant_hour_weekday_and_holiday(
    shipped_book: CompiledBook, at: str, pro: str, flash: str
) -> None:
    assert million(shipped_book, "deepseek/deepseek-v4-pro", at) == pro
    assert million(shipped_book, "deepseek/deepseek-v4-flash-0731", at) == flash
    if at >= "2026-09-10T04":
        assert million(shipped_book, "deepseek/deepseek-flash", at) == flash
    else:
        assert cost(shipped_book, "deepseek/deepseek-flash", {"input_tokens": 1}, at) == ("unpriced", None)


def test_all_meters_of_deepseek_have_a_peak(shipped_book: CompiledBook) -> None:
    """1000 input of which 400 cached, 100 output, at peak: 600 x 1.32 + 400 x 0.044 + 100 x 3.96 = 792 + 17.6
    + 396 = 1205.6 millionths; off-peak is half of it, 602.8.
    """
    usage = {"input_tokens": 1000, "cache_read_tokens": 400, "output_tokens": 100}
    pro = "deepseek/deepseek-v4-pro"
    assert cost(shipped_book, pro, usage, "2026-11-20T02:00:00Z") == ("priced", "0.0012056")
    assert cost(shipped_book, pro, usage, "2026-11-20T05:00:00Z") == ("priced", "0.0006028")
    # whoever sends the hour as context is not believed
    assert cost(shipped_book, pro, usage, "2026-11-20T05:00:00Z", time_of_day="peak")[0] == "unpriced"


@pytest.mark.parametrize(
    ("at", "chat", "reasoner"),
    [
        ("2025-02-26T16:29:59.999999Z", "0.27", "0.55"),
        ("2025-02-26T16:30:00Z", "0.135", "0.135"),
        ("2025-02-27T00:29:59.999999Z", "0.135", "0.135"),
        ("2025-02-27T00:30:00Z", "0.27", "0.55"),
        ("2025-09-05T15:59:59.999999Z", "0.27", "0.55"),
        ("2025-09-05T16:00:00Z", None, None),
    ],
)
def test_the_first_off_peak_of_deepseek(
    shipped_book: CompiledBook, at: str, chat: str | None, reasoner: str | None
) -> None:
    assert million(shipped_book, "deepseek/deepseek-chat", at) == chat
    assert million(shipped_book, "deepseek/deepseek-reasoner", at) == reasoner


def test_o3_before_its_cut(shipped_book: CompiledBook) -> None:
    """1000 input of which 400 cached, 200 output.

    Before: 600 x 10 + 400 x 2.5 + 200 x 40 = 6000 + 1000 + 8000 = 15000 millionths; in batch 600 x 5 + 400 x
    2.5 + 200 x 20 = 3000 + 1000 + 4000 = 8000. After: 1200 + 200 + 1600 = 3000; 600 + 200 + 800 = 1600.
    """
    usage = {"input_tokens": 1000, "cache_read_tokens": 400, "output_tokens": 200}
    for at, standard, batch in (
        ("2025-06-09T23:59:59.999999Z", "0.015", "0.008"),
        ("2025-06-10T00:00:00Z", "0.003", "0.0016"),
        ("2026-10-13T00:00:00Z", "0.003", "0.0016"),
        (NOW, "0.003", "0.0016"),
    ):
        assert cost(shipped_book, "openai/o3", usage, at) == ("priced", standard)
        assert cost(shipped_book, "openai/o3", usage, at, processing="batch") == ("priced", batch)


@pytest.mark.parametrize(
    ("model", "usage", "amount"),
    [
        # 20,000 x 1.25 + 10,000 x 1.25 cached, which batch does not halve, + 1000 x 5 millionths
        (
            "openai/gpt-4o",
            {"input_tokens": 30_000, "cache_read_tokens": 10_000, "output_tokens": 1000},
            "0.0425",
        ),
        # everything halves: 20,000 x 2.5 + 10,000 x 0.25 + 1000 x 12.5
        (
            "anthropic/claude-opus-5",
            {"input_tokens": 30_000, "cache_read_tokens": 10_000, "output_tokens": 1000},
            "0.065",
        ),
        # 10 seconds are the least: 10 x 0.0555 / 3600
        ("groq/whisper-large-v3", {"input_audio_seconds": 3}, "0.000154166666666667"),
    ],
)
def test_batch_cost_half_before_the_lists_looked(
    shipped_book: CompiledBook, model: str, usage: dict[str, int], amount: str
) -> None:
    for at in ("2026-09-01T00:00:00Z", "2026-10-13T23:59:59.999999Z", "2026-10-14T00:00:00Z", NOW):
        assert cost(shipped_book, model, usage, at, processing="batch") == ("priced", amount)


def test_batch_is_unpriced_where_no_rule_says_what_it_cost(shipped_book: CompiledBook) -> None:
    usage = {"input_tokens": 1000, "output_tokens": 10}
    early = "2025-07-06T23:59:59Z"
    assert cost(shipped_book, "google/gemini-2.5-pro", usage, early, processing="batch")[0] == "unpriced"
    at = "2026-09-01T00:00:00Z"
    for model in ("x-ai/grok-4.3", "mistral/codestral-latest", "openai/gpt-5.4"):
        assert cost(shipped_book, model, usage, at)[0] == "priced"
        assert cost(shipped_book, model, usage, at, processing="batch") == ("unpriced", None)


def test_geography_multiplies_tokens_and_nothing_else(shipped_book: CompiledBook) -> None:
    """1000 input, 100 output, 40 of it reasoning without a rate of its own, 1 search: (5000 + 2500) x 1.1 =
    8250 millionths, and 10/1000 for the search. In batch half of the tokens: 4125 and the search.
    """
    usage = {"input_tokens": 1000, "output_tokens": 100, "output_reasoning_tokens": 40, "web_searches": 1}
    opus = "anthropic/claude-opus-5"
    assert cost(shipped_book, opus, usage, inference_geo="us") == ("priced", "0.01825")
    assert cost(shipped_book, opus, usage, inference_geo="global") == ("priced", "0.0175")
    both = cost(shipped_book, opus, usage, inference_geo="us", processing="batch")
    assert both == ("priced", "0.014125")
    assert cost(shipped_book, opus, usage, inference_geo="eu")[0] == "unpriced"
    assert cost(shipped_book, "anthropic/claude-haiku-4-5", usage, inference_geo="us")[0] == "unpriced"


@pytest.mark.parametrize(
    ("model", "before", "after"), [("gpt-4o-", "6", "2.5"), ("gpt-4o-mini-", "3", "1.25")]
)
def test_audio_of_transcription(shipped_book: CompiledBook, model: str, before: str, after: str) -> None:
    name = f"openai/{model}transcribe"
    usage = {"input_tokens": 1_000_000, "input_audio_tokens": 1_000_000}
    assert cost(shipped_book, name, usage, "2026-05-12T23:59:59.999999Z") == ("priced", before)
    assert cost(shipped_book, name, usage, "2026-05-13T00:00:00Z") == ("priced", after)


@pytest.mark.parametrize(("size", "amount"), [(None, "5"), ("low", "5"), ("medium", "8"), ("high", "12")])
def test_a_request_of_sonar_costs_by_the_size_of_its_search(
    shipped_book: CompiledBook, size: str | None, amount: str
) -> None:
    context = {} if size is None else {"search_context_size": size}
    assert million(shipped_book, "perplexity/sonar", NOW, "input_tokens", **context) is not None
    assert cost(shipped_book, "perplexity/sonar", {"requests": 1000}, **context) == ("priced", amount)
    early = "2025-04-17T23:59:59Z"
    assert cost(shipped_book, "perplexity/sonar", {"requests": 1000}, early) == ("unpriced", None)


def test_each_correction_says_why_from_where_and_when_it_was_checked() -> None:
    (folder,) = (path for path in shipped_books() if path.name == "corrections")
    seen: list[str] = []
    for file in sorted(folder.glob("*.yaml")):
        data = read_yaml(file)
        assert isinstance(data, dict)
        assert data["source"], file.name
        assert data["checked"], file.name
        for card in data["cards"]:
            assert len(card["corrects"]) > 30, card["card"]
            seen.append(card["card"])
    assert len(seen) == len(set(seen)), "a card is corrected in two files"
