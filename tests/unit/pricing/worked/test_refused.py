"""Counts that contradict each other: which meter is named, its value, and what is wrong with it."""

import pytest

from pricing.errors import UsageError
from tests.unit.pricing.worked.pencil import book, cost, provider

MISSING = "{} is a part of {}, which inclusive usage must report as well"


@pytest.mark.parametrize(
    ("usage", "meter", "value", "rule"),
    [
        # All input is cached, which is fine; of 5 tokens of output 7 cannot be reasoning.
        (
            {"input_tokens": 100, "cache_read_tokens": 100, "output_tokens": 5, "output_reasoning_tokens": 7},
            "output_tokens",
            "5",
            "parts cannot exceed their whole: output_reasoning_tokens 7 exceed output_tokens 5 by 2",
        ),
        # Half a token is left of the input, which is fine too.
        (
            {"input_tokens": "0.5", "output_tokens": 5, "output_reasoning_tokens": 7},
            "output_tokens",
            "5",
            "parts cannot exceed their whole: output_reasoning_tokens 7 exceed output_tokens 5 by 2",
        ),
        # 80 of text and 20 of audio are all: of which the 40 cached are, nobody knows.
        (
            {"input_tokens": 100, "input_text_tokens": 80, "input_audio_tokens": 20, "cache_read_tokens": 40},
            "input_tokens",
            "100",
            (
                "parts cannot exceed their whole: cache_read_tokens 40 + input_text_tokens 80 + "
                "input_audio_tokens 20 exceed input_tokens 100 by 40; parts that overlap need their "
                "common part reported: cache_audio_read_tokens, cache_text_read_tokens"
            ),
        ),
        # All writes are kept for 5 minutes; that says nothing of which tokens were audio.
        (
            {
                "input_tokens": 100,
                "cache_read_tokens": 60,
                "cache_write_tokens": 30,
                "cache_write_5m_tokens": 30,
                "input_audio_tokens": 20,
            },
            "input_tokens",
            "100",
            (
                "parts cannot exceed their whole: cache_read_tokens 60 + cache_write_5m_tokens 30 + "
                "input_audio_tokens 20 exceed input_tokens 100 by 10; parts that overlap need their common "
                "part reported: cache_audio_read_tokens, cache_audio_write_5m_tokens, "
                "cache_audio_write_tokens"
            ),
        ),
        (
            {"cache_read_tokens": "2.50"},
            "cache_read_tokens",
            "2.5",
            MISSING.format("cache_read_tokens", "input_tokens"),
        ),
        (
            {"input_annotated_document_pages": 3},
            "input_annotated_document_pages",
            "3",
            MISSING.format("input_annotated_document_pages", "input_document_pages"),
        ),
    ],
)
def test_impossible_counts(usage: dict[str, object], meter: str, value: str, rule: str) -> None:
    by = book(provider("rates: {input_tokens: 1}"))
    with pytest.raises(UsageError) as refused:
        cost(by, usage, usage_semantics="inclusive")
    error = refused.value
    assert (error.code, error.field, error.value) == ("impossible_counts", f"usage.{meter}", value)
    assert error.rule == rule


@pytest.mark.parametrize("text", ["-1", "1e3", "", "NaN", "1.", "1,5", "0.0000000000000000001", "1" * 21])
def test_a_quantity_is_a_plain_decimal(text: str) -> None:
    """No sign, no exponent, at most 20 digits before the point and 18 after it."""
    with pytest.raises(UsageError) as refused:
        cost(book(provider("rates: {input_tokens: 1}")), {"output_tokens": 1, "input_tokens": text})
    assert (refused.value.code, refused.value.field, refused.value.value) == (
        "bad_quantity", "usage.input_tokens", repr(text),
    )  # fmt: skip
