"""Tokens of every kind, in every class of cache and reasoning."""

import pytest

from tests.unit.pricing.worked.pencil import book, cost, provider

KINDS = ("", "text_", "audio_", "image_", "video_")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("meter", "quantity", "amount"),
    [
        ("input_{}tokens", 1000, "0.002"),
        ("input_{}tool_tokens", 1000, "0.0025"),
        ("cache_{}read_tokens", 1000, "0.0002"),
        ("cache_{}write_tokens", 1000, "0.003"),
        ("cache_{}write_5m_tokens", 1000, "0.0035"),
        ("cache_{}write_1h_tokens", 1000, "0.004"),
        ("output_{}tokens", 1000, "0.01"),
        ("output_{}reasoning_tokens", 1000, "0.012"),
        ("output_{}citation_tokens", 1000, "0"),
        ("output_{}accepted_prediction_tokens", 1000, "0.011"),
        ("output_{}rejected_prediction_tokens", 1000, "0.009"),
        ("input_{}tokens", 1, "0.000002"),
        ("input_{}tokens", 0, "0"),
    ],
)
def test_each_class_has_its_own_price(kind: str, meter: str, quantity: int, amount: str) -> None:
    """1000 tokens at R USD a million cost R / 1000: input 2 -> 0.002, cached 0.2 -> 0.0002, and so on.

    One token at 2 a million is 2 / 1,000,000 = 0.000002. Citations have the price 0, which is a price.
    """
    rates = f"""
    rates:
      input_{kind}tokens: 2 per 1000000
      input_{kind}tool_tokens: 2.5 per 1000000
      cache_{kind}read_tokens: 0.2 per 1000000
      cache_{kind}write_tokens: 3 per 1000000
      cache_{kind}write_5m_tokens: 3.5 per 1000000
      cache_{kind}write_1h_tokens: 4 per 1000000
      output_{kind}tokens: 10 per 1000000
      output_{kind}reasoning_tokens: 12 per 1000000
      output_{kind}citation_tokens: 0 per 1000000
      output_{kind}accepted_prediction_tokens: 11 per 1000000
      output_{kind}rejected_prediction_tokens: 9 per 1000000
    """
    assert cost(book(provider(rates)), {meter.format(kind): quantity}) == f"{amount} USD"


def test_cached_audio_is_taken_out_of_cached_and_of_audio_input() -> None:
    """Inclusive: input 1000, of which cached 400, audio 300, cached audio 100.

    Cached audio 100, other cached 300, other audio 200, the rest 1000 - 600 = 400.
    400 x 2 + 300 x 0.2 + 200 x 40 + 100 x 2.5 = 800 + 60 + 8000 + 250 = 9110, a millionth: 0.00911.
    """
    rates = """
    rates:
      input_tokens: 2 per 1000000
      cache_read_tokens: 0.2 per 1000000
      input_audio_tokens: 40 per 1000000
      cache_audio_read_tokens: 2.5 per 1000000
    """
    usage = {
        "input_tokens": 1000,
        "cache_read_tokens": 400,
        "input_audio_tokens": 300,
        "cache_audio_read_tokens": 100,
    }
    assert cost(book(provider(rates)), usage, usage_semantics="inclusive") == "0.00911 USD"


@pytest.mark.parametrize(
    ("usage", "amount"),
    [
        ({"cache_write_5m_tokens": 1000}, "0.00375 USD"),
        ({"cache_write_1h_tokens": 1000}, "0.006 USD"),
        ({"cache_write_5m_tokens": 1000, "cache_write_1h_tokens": 1000}, "0.00975 USD"),
        ({"cache_write_tokens": 1000}, "unpriced"),
    ],
)
def test_writes_cost_by_how_long_they_are_kept(usage: dict[str, int], amount: str) -> None:
    """Input at 3 a million; 5 minutes 1.25 x 3 = 3.75, an hour 2 x 3 = 6. Both: 0.00375 + 0.006 = 0.00975.

    A write of unknown life has no price of its own here, so it has none.
    """
    rates = """
    rates:
      input_tokens: 3 per 1000000
      cache_write_5m_tokens: 3.75 per 1000000
      cache_write_1h_tokens: 6 per 1000000
    """
    assert cost(book(provider(rates)), usage) == amount


@pytest.mark.parametrize(
    ("listed", "amount"), [("[]", "partial 0.001 USD"), ("[output_reasoning_tokens]", "0.003 USD")]
)
def test_reasoning_at_the_output_rate_only_where_the_card_says_so(listed: str, amount: str) -> None:
    """Output 300, 200 of it reasoning, at 10 a million: the 100 alone are 0.001, all 300 are 0.003."""
    rates = f"""
    rates: {{output_tokens: 10 per 1000000}}
    parts_at_whole_rate: {listed}
    """
    usage = {"output_tokens": 300, "output_reasoning_tokens": 200}
    assert cost(book(provider(rates)), usage, usage_semantics="inclusive") == amount


@pytest.mark.parametrize(
    ("usage", "amount"), [({"training_tokens": 2_500_000}, "62.5 USD"), ({"dbus": 3}, "0.21 USD")]
)
def test_other_counts(usage: dict[str, int], amount: str) -> None:
    """2.5 million tokens of training at 25 a million: 62.5. 3 DBU at 0.07: 0.21."""
    rates = "rates: {training_tokens: 25 per 1000000, dbus: 0.07}"
    assert cost(book(provider(rates)), usage) == amount


def test_a_new_meter_is_data() -> None:
    """7 map tiles at 0.004: 0.028; of another meter that nobody declared, nothing is known."""
    settings = """
    settings:
      meters:
        - {meter: map_tiles, dimensions: {family: map_tiles}}
    """
    known = book(settings, provider("rates: {map_tiles: 0.004}"))
    assert cost(known, {"map_tiles": 7}) == "0.028 USD"
    assert cost(known, {"moon_tiles": 7}) == "unpriced"


def test_the_order_in_which_new_meters_are_declared_means_nothing() -> None:
    """10 in all, 6 of them hot, 1 of those loud: 4 x 1 + 5 x 2 + 1 x 3 = 17."""
    settings = """
    settings:
      meters:
        - {meter: loud, dimensions: {family: calls, heat: hot, noise: loud}}
        - {meter: calls, dimensions: {family: calls}}
        - {meter: hot, dimensions: {family: calls, heat: hot}}
    """
    by = book(settings, provider("rates: {calls: 1, hot: 2, loud: 3}"))
    usage = {"hot": 6, "calls": 10, "loud": 1}
    assert cost(by, usage, usage_semantics="inclusive") == "17 USD"
    assert cost(by, {"calls": 4, "hot": 5, "loud": 1}) == "17 USD"
