"""Counts to disjoint leaves: each token in exactly one, impossible counts refused by name."""

from collections.abc import Mapping

import pytest
from genai_prices.data_units import unit_data

from pricing.errors import UsageError
from pricing.meters import DEFAULT_METERS, MeterDefinition, MeterRegistry
from pricing.money import ATTO
from pricing.split import Splitter

SPLITTER = Splitter(MeterRegistry(DEFAULT_METERS))


def leaves(semantics: str = "inclusive", **usage: str | int) -> dict[str, int]:
    plan, quantities = SPLITTER.split(semantics, {meter: str(count) for meter, count in usage.items()})
    assert all(quantity % ATTO == 0 for quantity in quantities)
    return dict(zip(plan.meters, (quantity // ATTO for quantity in quantities), strict=True))


def refused(usage: Mapping[str, str]) -> UsageError:
    with pytest.raises(UsageError) as caught:
        SPLITTER.split("inclusive", usage)
    return caught.value


def test_inclusive_input_is_what_is_left_after_its_parts() -> None:
    """1000 - 600 read - 100 written for 5 minutes - 50 for an hour = 250 at the input rate; 80 - 30 = 50 of
    output.
    """
    assert leaves(
        input_tokens=1000,
        cache_read_tokens=600,
        cache_write_tokens=150,
        cache_write_5m_tokens=100,
        cache_write_1h_tokens=50,
        output_tokens=80,
        output_reasoning_tokens=30,
    ) == {
        "input_tokens": 250,
        "cache_read_tokens": 600,
        "cache_write_tokens": 0,
        "cache_write_5m_tokens": 100,
        "cache_write_1h_tokens": 50,
        "output_tokens": 50,
        "output_reasoning_tokens": 30,
    }


def test_exclusive_counts_are_leaves_already() -> None:
    usage = {"input_tokens": 250, "cache_read_tokens": 600, "cache_write_5m_tokens": 100, "output_tokens": 80}
    assert leaves("exclusive", **usage) == usage


def test_cached_audio_is_taken_out_once() -> None:
    """100 in, 40 cached, 30 audio, 10 of them both: 10 cached audio, 30 cached else, 20 audio else, 40 the
    rest.
    """
    assert leaves(
        input_tokens=100, cache_read_tokens=40, input_audio_tokens=30, cache_audio_read_tokens=10
    ) == {
        "input_tokens": 40,
        "cache_read_tokens": 30,
        "input_audio_tokens": 20,
        "cache_audio_read_tokens": 10,
    }


def test_an_overlap_that_is_not_reported_is_0() -> None:
    """100 - 40 - 30 = 30."""
    assert leaves(input_tokens=100, cache_read_tokens=40, input_audio_tokens=30)["input_tokens"] == 30


def test_where_all_input_is_text_cached_input_is_cached_text() -> None:
    """Without a cached-text count: all 100 are text, so the 40 cached ones are, and 60 are plain text."""
    assert leaves(input_tokens=100, input_text_tokens=100, cache_read_tokens=40) == {
        "input_tokens": 0,
        "cache_read_tokens": 0,
        "input_text_tokens": 60,
        "cache_text_read_tokens": 40,
    }


def test_parts_beyond_their_whole_are_refused_by_name() -> None:
    error = refused({"input_tokens": "100", "cache_read_tokens": "150"})
    assert (error.code, error.field, error.value) == ("impossible_counts", "usage.input_tokens", "100")
    assert "cache_read_tokens 150 exceed input_tokens 100 by 50" in error.rule


def test_parts_that_only_together_exceed_are_refused() -> None:
    """60 + 50 = 110 is 10 more than 100."""
    error = refused({"input_tokens": "100", "cache_read_tokens": "60", "cache_write_tokens": "50"})
    assert "exceed input_tokens 100 by 10" in error.rule


def test_the_innermost_impossible_count_is_named() -> None:
    """5 cached audio tokens of 4 audio tokens: the audio count is the wrong one, not the input."""
    error = refused(
        {
            "input_tokens": "100",
            "cache_read_tokens": "40",
            "input_audio_tokens": "4",
            "cache_audio_read_tokens": "5",
        }
    )
    assert error.field == "usage.input_audio_tokens"


def test_ambiguous_overlap_names_what_must_be_reported() -> None:
    """80 text + 20 audio = all 100; of the 40 cached nobody knows which they are."""
    error = refused(
        {
            "input_tokens": "100",
            "input_text_tokens": "80",
            "input_audio_tokens": "20",
            "cache_read_tokens": "40",
        }
    )
    assert "cache_audio_read_tokens, cache_text_read_tokens" in error.rule


def test_a_part_without_its_whole_is_refused() -> None:
    error = refused({"cache_read_tokens": "40", "output_tokens": "5"})
    assert (error.code, error.field) == ("impossible_counts", "usage.cache_read_tokens")
    assert "input_tokens" in error.rule


def test_a_part_of_0_needs_no_whole() -> None:
    assert leaves(output_tokens=5, cache_read_tokens=0) == {"cache_read_tokens": 0, "output_tokens": 5}


def test_a_whole_in_between_may_be_missing() -> None:
    """Cache writes by time to live without their sum: 100 - 30 - 20 = 50."""
    assert leaves(input_tokens=100, cache_write_5m_tokens=30, cache_write_1h_tokens=20)["input_tokens"] == 50


def test_seconds_of_one_direction_stand_alone() -> None:
    assert leaves(input_audio_seconds=30) == {"input_audio_seconds": 30}
    assert leaves(audio_seconds=30, input_audio_seconds=20) == {
        "audio_seconds": 10,
        "input_audio_seconds": 20,
    }


def test_an_unknown_meter_is_a_leaf_after_the_known_ones_by_name() -> None:
    assert list(leaves(zebras=3, output_tokens=1, apples=2, input_tokens=1)) == [
        "input_tokens",
        "output_tokens",
        "apples",
        "zebras",
    ]


def test_absent_and_0_differ() -> None:
    assert leaves(input_tokens=5) == {"input_tokens": 5}
    assert leaves(input_tokens=5, cache_read_tokens=0) == {"input_tokens": 5, "cache_read_tokens": 0}


def test_fractions_split_exactly() -> None:
    """0.3 - 0.1 = 0.2, which binary floats do not know."""
    plan, quantities = SPLITTER.split("inclusive", {"audio_seconds": "0.3", "input_audio_seconds": "0.1"})
    assert dict(zip(plan.meters, quantities, strict=True))["audio_seconds"] == 2 * ATTO // 10


def test_a_book_may_add_meters_and_their_relations_follow() -> None:
    extra = MeterDefinition(
        "cache_write_30d_tokens",
        (
            ("family", "tokens"),
            ("direction", "input"),
            ("token_type", "cache_write"),
            ("cache_ttl", "30d"),
        ),
        whole_required=True,
    )
    splitter = Splitter(MeterRegistry((*DEFAULT_METERS, extra)))
    plan, quantities = splitter.split(
        "inclusive", {"input_tokens": "10", "cache_write_tokens": "4", "cache_write_30d_tokens": "3"}
    )
    assert dict(zip(plan.meters, quantities, strict=True)) == {
        "input_tokens": 6 * ATTO,
        "cache_write_tokens": 1 * ATTO,
        "cache_write_30d_tokens": 3 * ATTO,
    }


@pytest.mark.parametrize("text", ["-1", "NaN", "1e3", "123456789012345678901", "1.1234567890123456789"])
def test_a_quantity_that_is_no_plain_decimal_is_refused(text: str) -> None:
    error = refused({"input_tokens": text})
    assert (error.code, error.field) == ("bad_quantity", "usage.input_tokens")


def test_semantics_are_one_of_two() -> None:
    with pytest.raises(ValueError, match="inclusive or exclusive"):
        SPLITTER.split("both", {})


def test_meters_of_one_name_or_the_same_dimensions_are_refused() -> None:
    first = MeterDefinition("a", (("family", "x"),))
    for second in (
        MeterDefinition("a", (("family", "y"),)),
        MeterDefinition("b", (("family", "x"),)),
        MeterDefinition("c", ()),
    ):
        with pytest.raises(ValueError, match="meter"):
            MeterRegistry((first, second))


def test_the_registry_is_that_of_genai_prices_and_more() -> None:
    """The names and dimensions that producers know from there mean the same here."""
    registry = MeterRegistry(DEFAULT_METERS)
    for name, unit in unit_data.items():
        assert dict(registry.definitions[name].dimensions) == unit["dimensions"]
