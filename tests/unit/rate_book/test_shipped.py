"""The shipped book where other price lists are known to be wrong: amounts by hand."""

import pytest

from pricing.compile import CompiledBook
from pricing.money import format_atto
from pricing.rate import Call, rate
from rate_book.instants import parse_instant

AT = "2026-11-18T12:00:00Z"


@pytest.mark.parametrize(
    ("model", "usage", "context", "amount"),
    [
        # 10,000 x 2.5 + 10,000 x 0.25 + 30,000 x 5, kept for an hour, + 2000 x 12.5 millionths
        (
            "anthropic/claude-opus-5",
            {
                "input_tokens": "50000",
                "cache_read_tokens": "10000",
                "cache_write_1h_tokens": "30000",
                "output_tokens": "2000",
            },
            {"processing": "batch"},
            "0.2025",
        ),
        # the same kept for five minutes: 30,000 x 3.125
        (
            "anthropic/claude-opus-5",
            {
                "input_tokens": "50000",
                "cache_read_tokens": "10000",
                "cache_write_5m_tokens": "30000",
                "output_tokens": "2000",
            },
            {"processing": "batch"},
            "0.14625",
        ),
        # batch above 200,000: 250,000 x 1.25 + 1000 x 7.5; at 200,000: x 0.625 and 5
        (
            "google/gemini-2.5-pro",
            {"input_tokens": "250000", "output_tokens": "1000"},
            {"processing": "batch"},
            "0.32",
        ),
        (
            "google/gemini-2.5-pro",
            {"input_tokens": "200000", "output_tokens": "1000"},
            {"processing": "batch"},
            "0.13",
        ),
        # xAI's step is reached at 200,000: 199,999 x 2 + 1000 x 6; 200,000 x 4 + 1000 x 12
        ("x-ai/grok-4.5", {"input_tokens": "199999", "output_tokens": "1000"}, {}, "0.405998"),
        ("x-ai/grok-4.5", {"input_tokens": "200000", "output_tokens": "1000"}, {}, "0.812"),
        # at least 10 seconds, but none for none; then by the second: 0.111 / 3600 each
        ("groq/whisper-large-v3", {"input_audio_seconds": "0"}, {}, "0"),
        ("groq/whisper-large-v3", {"input_audio_seconds": "0.5"}, {}, "0.000308333333333333"),
        ("groq/whisper-large-v3", {"input_audio_seconds": "10"}, {}, "0.000308333333333333"),
        ("groq/whisper-large-v3", {"input_audio_seconds": "36"}, {}, "0.00111"),
        ("groq/whisper-large-v3-turbo", {"input_audio_seconds": "9.5"}, {}, "0.000111111111111111"),
    ],
)
def test_amounts(
    shipped_book: CompiledBook, model: str, usage: dict[str, str], context: dict[str, str], amount: str
) -> None:
    provider, _, name = model.partition("/")
    side = rate(shipped_book, Call(None, provider, name, parse_instant(AT), usage, "inclusive", context)).cost
    assert side.amount_atto is not None
    assert (side.status, format_atto(side.amount_atto)) == ("priced", amount)
