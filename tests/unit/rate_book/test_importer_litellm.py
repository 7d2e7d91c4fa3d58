"""LiteLLM's list: every kind of key translated or refused by name, numbers as written, differences."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.book import book as book_command
from pricing.compile import CompiledBook, compile_book
from pricing.money import format_atto
from pricing.rate import Call, rate
from rate_book.errors import ImportRefusedError
from rate_book.form import load_book
from rate_book.importers.difference import difference, rows_text
from rate_book.importers.genai_prices import Imported
from rate_book.importers.litellm import import_litellm
from rate_book.importers.price_files import write_lists
from rate_book.instants import moment, parse_instant

FRIDAY = "2026-11-20T02:00:00Z"
CHECKED = moment(parse_instant("2026-11-23T00:00:00Z")).date()

# As the file is written: an exponent, and more digits than a float holds.
LIST = """{
  "sample_spec": {"litellm_provider": "one of them", "input_cost_per_token": 0},
  "gpt-x": {
    "litellm_provider": "openai", "mode": "chat", "max_tokens": 1000,
    "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1E-5, "cache_read_input_token_cost": 1.25e-06,
    "input_cost_per_token_above_200k_tokens": 5e-06,
    "input_cost_per_token_batches": 1.25e-06, "output_cost_per_token_batches": 5e-06,
    "input_cost_per_token_above_200k_tokens_batches": 2.5e-06,
    "input_cost_per_token_priority": 4.25e-06,
    "input_cost_per_token_decisions": 1e-07,
    "search_context_cost_per_query":
      {"search_context_size_low": 0.01, "search_context_size_medium": 0.01, "search_context_size_high": 0.01},
    "search_free_requests": {"count": 1500}, "input_cost_per_dream": 1
  },
  "exact": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 0.000000123456789012345678},
  "dust": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1e-6,
    "output_cost_per_token": 0.0000001234567890123456789012345},
  "free": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 0.0,
    "output_cost_per_token": 0},
  "xai/grok-x": {"litellm_provider": "xai", "mode": "chat", "input_cost_per_token": 2e-06,
    "input_cost_per_token_above_200k_tokens": 4e-06},
  "groq/whisper-x": {"litellm_provider": "groq", "mode": "audio_transcription",
    "input_cost_per_second": 3.083e-05},
  "endpoint": {"litellm_provider": "bedrock", "mode": "chat", "input_cost_per_second": 0.01,
    "input_cost_per_token": 1e-6},
  "1024-x-1024/dall-e-x": {"litellm_provider": "openai", "input_cost_per_pixel": 1e-8},
  "dashscope/ranged": {"litellm_provider": "dashscope", "mode": "chat", "tiered_pricing": [
    {"input_cost_per_token": 5e-08, "output_cost_per_token": 4e-07, "range": [0, 256000.0]},
    {"input_cost_per_token": 2.5e-07, "output_cost_per_token": 2e-06, "range": [256000.0, 1000000.0]}]},
  "deepseek/night-x": {"litellm_provider": "deepseek", "mode": "chat", "input_cost_per_token": 1e-06,
    "output_cost_per_token": 2e-06,
    "off_peak_pricing": {"input_cost_per_token": 5e-07, "output_cost_per_token": 1e-06, "windows": [
      {"hours_utc": ["00:00-01:00", "04:00-06:00", "10:00-00:00"], "weekdays": [1, 2, 3, 4, 5]},
      {"hours_utc": "00:00-00:00", "weekdays": [6, 7]}]}},
  "claude-x": {"litellm_provider": "anthropic", "mode": "chat", "input_cost_per_token": 5e-06,
    "cache_creation_input_token_cost": 6.25e-06, "cache_creation_input_token_cost_above_1hr": 1e-05,
    "provider_specific_entry": {"us": 1.1, "spin": 2}},
  "video/veo-x": {"litellm_provider": "gemini", "mode": "video_generation", "output_cost_per_second": 0.4,
    "output_cost_per_second_4k": 0.6},
  "perplexity/sonar-x": {"litellm_provider": "perplexity", "mode": "chat", "input_cost_per_token": 1e-06,
    "search_context_cost_per_query":
      {"search_context_size_low": 0.005, "search_context_size_medium": 0.008,
       "search_context_size_high": 0.012}}
}"""


@pytest.fixture
def imported(tmp_path: Path) -> Imported:
    file = tmp_path / "list.json"
    file.write_text(LIST)
    return import_litellm(file, CHECKED)


@pytest.fixture
def theirs(imported: Imported, tmp_path: Path) -> CompiledBook:
    write_lists(tmp_path / "review", "test", imported.lists, imported.refusals)
    return compile_book(load_book([tmp_path / "review"]), 1, "")


def cost(
    book: CompiledBook, model: str, usage: dict[str, str], at: str = FRIDAY, **context: str
) -> str | None:
    provider, _, name = model.partition("/")
    side = rate(book, Call(None, provider, name, parse_instant(at), usage, "inclusive", context)).cost
    return format_atto(side.amount_atto) if side.status == "priced" and side.amount_atto is not None else None


def test_keys_become_meters_steps_and_contexts(theirs: CompiledBook) -> None:
    def tokens(count: int, **more: int) -> dict[str, str]:
        return {"input_tokens": str(count)} | {meter: str(value) for meter, value in more.items()}

    gpt = "openai/gpt-x"
    assert cost(theirs, gpt, tokens(200_000, output_tokens=1000)) == "0.51"
    assert cost(theirs, gpt, tokens(200_001)) == "1.000005"
    # cached input keeps its rate above the step, as the list's own code does: 100,001 x 5 + 100,000 x 1.25
    assert cost(theirs, gpt, tokens(200_001, cache_read_tokens=100_000)) == "0.625005"
    assert cost(theirs, gpt, tokens(1000, output_tokens=100), processing="batch") == "0.00175"
    assert cost(theirs, gpt, tokens(300_000), processing="batch") == "0.75"
    assert cost(theirs, gpt, {"web_searches": "3"}, processing="batch") == "0.03"
    assert cost(theirs, gpt, tokens(1000), service_tier="priority") == "0.00425"
    # what is not listed for a context is not its standard price
    assert cost(theirs, gpt, {"output_tokens": "1000"}, service_tier="priority") is None
    # above 200,000 everywhere, at 200,000 for xAI
    assert cost(theirs, "x-ai/grok-x", tokens(199_999)) == "0.399998"
    assert cost(theirs, "x-ai/grok-x", tokens(200_000)) == "0.8"
    # a range ends at its end: (0, 256,000] and above
    assert cost(theirs, "dashscope/ranged", tokens(256_000)) == "0.0128"
    assert cost(theirs, "dashscope/ranged", tokens(256_001, output_tokens=1)) == "0.06400225"
    claude = "anthropic/claude-x"
    assert cost(theirs, claude, tokens(1000, cache_write_1h_tokens=1000)) == "0.01"
    assert cost(theirs, claude, tokens(1000, cache_write_tokens=1000)) == "0.00625"
    assert cost(theirs, claude, tokens(1000), inference_geo="us") == "0.0055"


def test_seconds_videos_searches_and_hours(theirs: CompiledBook) -> None:
    assert cost(theirs, "groq/whisper-x", {"input_audio_seconds": "3600"}) == "0.110988"
    assert cost(theirs, "google/video/veo-x", {"output_video_seconds": "10"}) == "4"
    assert cost(theirs, "google/video/veo-x", {"output_video_seconds": "10"}, video_resolution="4k") == "6"
    sonar = "perplexity/sonar-x"
    assert cost(theirs, sonar, {"web_searches": "1000"}, search_context_size="medium") == "8"
    assert cost(theirs, sonar, {"web_searches": "1000"}) is None
    million = {"input_tokens": "1000000", "output_tokens": "1000000"}
    for at, amount in (
        ("2026-11-20T00:59:59Z", "1.5"),
        ("2026-11-20T01:00:00Z", "3"),
        ("2026-11-20T04:00:00Z", "1.5"),
        ("2026-11-20T09:59:59Z", "3"),
        ("2026-11-20T23:59:59Z", "1.5"),
        ("2026-11-21T02:00:00Z", "1.5"),
    ):
        assert cost(theirs, "deepseek/night-x", million, at) == amount


def test_numbers_are_taken_as_they_are_written(imported: Imported) -> None:
    """A float of 0.000000123456789012345678 is another number from the 17th digit on."""
    (openai,) = (item for item in imported.lists if item.provider == "openai")
    (exact,) = (card for card in openai.cards if card.card_id == "openai/exact")
    assert exact.versions[0].prices.rates == {"input_tokens": "0.123456789012345678 per 1000000"}


def test_what_a_book_cannot_say_is_refused_by_name(imported: Imported, tmp_path: Path) -> None:
    refused = {(item.provider, item.model, item.what): item.outcome for item in imported.refusals}
    for key, word in {
        ("openai", "gpt-x", "input_cost_per_token_decisions"): "another endpoint",
        ("openai", "gpt-x", "search_free_requests"): "account",
        ("openai", "gpt-x", "input_cost_per_dream"): "no meter of ours",
        ("openai", "dust", "output_cost_per_token"): "more than 18 places",
        ("openai", "free", "every price is 0"): "zeros",
        ("openai", "1024-x-1024/dall-e-x", "entry 1024-x-1024/dall-e-x"): "size or quality",
        ("aws", "endpoint", "input_cost_per_second"): "dedicated endpoint",
        ("anthropic", "claude-x", "provider_specific_entry spin"): "not known to be a price",
    }.items():
        assert word in refused[key], key
    assert not any(item.model == "sample_spec" for item in imported.refusals)
    written = write_lists(tmp_path / "out", "test", imported.lists, imported.refusals)
    assert "input_cost_per_dream" in written[-1].read_text()


@pytest.mark.parametrize("number", ["1e14", "1e400000", "1e-25", "1e-2000000", "-1e-6", "NaN"])
def test_a_number_that_is_no_price_is_refused_alone(number: str, tmp_path: Path) -> None:
    """2e-6 a token is 2 a million; what is wrong beside it takes nothing with it, and becomes no 0."""
    prices = f'"input_cost_per_token": {number}, "output_cost_per_token": 2e-6'
    file = tmp_path / "list.json"
    file.write_text(f'{{"m": {{"litellm_provider": "p", "mode": "chat", {prices}}}}}')
    found = import_litellm(file, CHECKED)
    assert [(item.model, item.what) for item in found.refusals] == [("m", "input_cost_per_token")]
    (card,) = found.lists[0].cards
    assert card.versions[0].prices.rates == {"output_tokens": "2 per 1000000"}


@pytest.mark.parametrize(
    "nested",
    [
        '"tiered_pricing": [{"range": [0, "many"], "input_cost_per_token": "free"}]',
        '"tiered_pricing": [5]',
        '"off_peak_pricing": {"windows": [{}]}',
        '"off_peak_pricing": "sometimes"',
        '"provider_specific_entry": ["fast"]',
    ],
)
def test_an_entry_whose_nested_prices_are_made_otherwise_is_refused_alone(
    nested: str, tmp_path: Path
) -> None:
    good = '"litellm_provider": "p", "mode": "chat", "output_cost_per_token": 2e-6'
    file = tmp_path / "list.json"
    file.write_text(f'{{"bad": {{{good}, {nested}}}, "good": {{{good}}}}}')
    found = import_litellm(file, CHECKED)
    assert [(item.model, item.what) for item in found.refusals] == [("bad", "entry bad")]
    assert [card.card_id for card in found.lists[0].cards] == ["p/good"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "must be an object"),
        ('{"a": 1}', "must be an object with an object"),
        ('{"a": {"price": 1}}', "another list"),
        ('{"a": {"litellm_provider": "p"}, "a": {"litellm_provider": "p"}}', "key 'a' is written twice"),
    ],
)
def test_a_file_that_is_no_such_list_is_refused(tmp_path: Path, text: str, rule: str) -> None:
    file = tmp_path / "list.json"
    file.write_text(text)
    with pytest.raises(ImportRefusedError, match=rule):
        import_litellm(file, CHECKED)


OURS = """provider: openai
currency: USD
cards:
  - card: ours/gpt-x
    models: [gpt-x]
    versions:
      - rates:
          {input_tokens: 2.5 per 1000000, cache_read_tokens: 1 per 1000000, output_tokens: 10 per 1000000}
        thresholds: {steps: [{start: 200000, rates: {input_tokens: 5 per 1000000}, inherit: ["*"]}]}
        context: {processing: {values: [standard, batch], default: standard}}
        variants:
          - {when: {processing: batch}, rates: {input_tokens: 1.25 per 1000000, output_tokens: 5 per 1000000}}
"""


def test_the_difference_names_model_meter_context_and_step(imported: Imported, tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours/openai.yaml").write_text(OURS)
    write_lists(tmp_path / "review", "test", imported.lists, imported.refusals)
    found = difference(load_book([tmp_path / "ours"]), load_book([tmp_path / "review"]))
    rows = {(row.meter, row.context, row.step): (row.ours, row.theirs) for row in found.rows}
    assert rows == {
        ("cache_read_tokens", "", ""): ("1 per 1000000", "1.25 per 1000000"),
        ("cache_read_tokens", "", "from 200001"): ("1 per 1000000", "1.25 per 1000000"),
        ("input_tokens", "processing=batch", "from 200001"): ("1.25 per 1000000", "2.5 per 1000000"),
        ("input_tokens", "service_tier=priority", ""): (None, "4.25 per 1000000"),
        ("web_searches", "", ""): (None, "10 per 1000"),
        ("web_searches", "", "from 200001"): (None, "10 per 1000"),
        ("web_searches", "processing=batch", ""): (None, "10 per 1000"),
        ("web_searches", "processing=batch", "from 200001"): (None, "10 per 1000"),
    }
    assert "openai/exact" in found.unknown
    text = rows_text(found.rows)
    assert "openai/gpt-x cache_read_tokens since the beginning: ours 1 per 1000000, theirs 1.25" in text


def run(*arguments: str) -> Any:
    return CliRunner().invoke(book_command, ["import", *arguments])


def test_the_command_reports_and_overwrites_nothing_unasked(tmp_path: Path) -> None:
    file, review = tmp_path / "list.json", tmp_path / "review"
    file.write_text(LIST)
    first = run("litellm", str(file), "--output", str(review), "--json")
    assert first.exit_code == 0, first.output
    data = json.loads(first.output)
    assert data["cards"] == 11
    assert "openai/gpt-x" in data["unknown"]
    assert (review / "DIFFERENCE.txt").is_file()
    before = {path.name: path.read_text() for path in review.iterdir()}
    # the same again changes nothing and is fine
    assert run("litellm", str(file), "--output", str(review)).exit_code == 0
    file.write_text(LIST.replace('2.5e-06, "output', '3e-06, "output'))
    refused = run("litellm", str(file), "--output", str(review))
    assert isinstance(refused.exception, ImportRefusedError)
    assert "give --write" in str(refused.exception)
    assert {path.name: path.read_text() for path in review.iterdir()} == before
    assert run("litellm", str(file), "--output", str(review), "--write").exit_code == 0
    assert (review / "openai.yaml").read_text() != before["openai.yaml"]
