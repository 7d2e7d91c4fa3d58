"""Images, sound, film, characters, pages, searches, tools, sessions, requests and capacity."""

import pytest

from pricing.money import ATTO
from tests.unit.pricing.worked.pencil import book, cost, provider, rated

MATRIX = """
context:
  image_size: {values: ["1024x1024", "1024x1536"], default: "1024x1024"}
  image_quality: {values: [low, medium, high], default: medium}
rates: {input_images: 0.002}
matrix:
  keys: [image_size, image_quality]
  meter: output_images
  cells:
    - {values: ["1024x1024", low], rate: 0.011}
    - {values: ["1024x1024", medium], rate: 0.042}
    - {values: ["1024x1024", high], rate: 0.167}
    - {values: ["1024x1536", medium], rate: 0.063}
    - {values: ["1024x1536", high], rate: 0.25}
"""


@pytest.mark.parametrize(
    ("context", "amount"),
    [
        ({}, "0.128 USD"),
        ({"image_quality": "medium"}, "0.128 USD"),
        ({"image_quality": "low"}, "0.035 USD"),
        ({"image_quality": "high"}, "0.503 USD"),
        ({"image_size": "1024x1536"}, "0.191 USD"),
        ({"image_size": "1024x1536", "image_quality": "high"}, "0.752 USD"),
        ({"image_size": "1024x1536", "image_quality": "low"}, "unpriced"),
        ({"image_size": "512x512"}, "unpriced"),
        ({"image_quality": "Low"}, "unpriced"),
    ],
)
def test_images_by_size_and_quality(context: dict[str, str], amount: str) -> None:
    """3 images made and 1 given at 0.002.

    Medium square 3 x 0.042 + 0.002 = 0.128; low 0.033 + 0.002 = 0.035; high 0.501 + 0.002 = 0.503.
    Tall 3 x 0.063 + 0.002 = 0.191, tall and high 0.75 + 0.002 = 0.752. Tall and low is not in the table.
    """
    usage = {"output_images": 3, "input_images": 1}
    assert cost(book(provider(MATRIX)), usage, context=context) == amount


TILES = """
rates:
  input_images:
    rate: 2.5 per 1000000
    tiles: {low: 85, base: 85, tile: 170, tile_px: 512, fit_px: 2048, short_px: 768}
"""


@pytest.mark.parametrize(
    ("sizes", "detail", "tokens", "amount"),
    [
        # 1024x1024: fits 2048; the shorter side to 768: 768x768; 2 x 2 tiles.
        ("1024x1024", "high", 85 + 4 * 170, "0.0019125"),
        ("1024x1024", None, 85 + 4 * 170, "0.0019125"),
        # 2048x4096: to fit, halved: 1024x2048; shorter side to 768: 768x1536; 2 x 3 tiles.
        ("2048x4096", "high", 85 + 6 * 170, "0.0027625"),
        # 768x768 is not scaled; 2 x 2 tiles. 512x512: one. 513x512: two.
        ("768x768", "high", 85 + 4 * 170, "0.0019125"),
        ("512x512", "high", 85 + 170, "0.0006375"),
        ("513x512", "high", 85 + 2 * 170, "0.0010625"),
        # 1x1 is never scaled up.
        ("1x1", "high", 85 + 170, "0.0006375"),
        # 2049x1000: to fit, the shorter side is 999.5; that to 768, the longer is 1573.6; 4 x 2 tiles.
        ("2049x1000", "high", 85 + 8 * 170, "0.0036125"),
        # 2048x1024: shorter side to 768: 1536x768; 3 x 2 tiles, exactly.
        ("2048x1024", "high", 85 + 6 * 170, "0.0027625"),
        # 2051x1024: to fit and 768 high, 768 x 2051 / 1024 = 1538.25 wide, more than 3 tiles: 4 x 2.
        ("2051x1024", "high", 85 + 8 * 170, "0.0036125"),
        ("4096x4096", "low", 85, "0.0002125"),
        ("1024x1024,512x512", "high", 85 + 4 * 170 + 85 + 170, "0.00255"),
        ("1024x1024,512x512", "low", 2 * 85, "0.000425"),
    ],
)
def test_images_as_tokens_by_tiles(sizes: str, detail: str | None, tokens: int, amount: str) -> None:
    """Tokens as told beside each size, at 2.5 USD a million: 765 cost 765 x 2.5 / 1,000,000 = 0.0019125."""
    images = sizes.count(",") + 1
    context = {"image_sizes": sizes} | ({"image_detail": detail} if detail else {})
    by = book(provider(TILES))
    assert cost(by, {"input_images": images}, context=context) == f"{amount} USD"
    assert rated(by, {"input_images": images}, context=context).lines[0].billed_atto == tokens * ATTO


@pytest.mark.parametrize(
    ("images", "context"),
    [
        (1, {}),
        (2, {"image_sizes": "1024x1024"}),
        (1, {"image_sizes": "1024x1024,512x512"}),
        ("1.5", {"image_sizes": "1024x1024,512x512"}),
        (1, {"image_sizes": "1024"}),
        (1, {"image_sizes": "0x5"}),
        (1, {"image_sizes": "1024x1024", "image_detail": "auto"}),
    ],
)
def test_what_the_tiles_need_and_is_not_told_is_unpriced(images: object, context: dict[str, str]) -> None:
    """A size for each image, and low or high: nothing is guessed."""
    assert cost(book(provider(TILES)), {"input_images": images}, context=context) == "unpriced"


RESOLUTION = """
context: {video_resolution: {values: [720p, 1080p], default: 720p}}
rates: {output_video_seconds: 0.1, output_audio_seconds: 0.01}
variants:
  - {when: {video_resolution: 1080p}, rates: {output_video_seconds: 0.3}, inherit: [output_audio_seconds]}
"""


@pytest.mark.parametrize(
    ("context", "amount"),
    [
        ({}, "0.88 USD"),
        ({"video_resolution": "1080p"}, "2.48 USD"),
        ({"video_resolution": "4k"}, "unpriced"),
    ],
)
def test_film_by_resolution(context: dict[str, str], amount: str) -> None:
    """8 seconds of film at 0.1 = 0.8 and 8 of sound at 0.01 = 0.08: 0.88. At 1080p 8 x 0.3 + 0.08 = 2.48."""
    usage = {"output_video_seconds": 8, "output_audio_seconds": 8}
    assert cost(book(provider(RESOLUTION)), usage, context=context) == amount


UNITS = """
rates:
  audio_seconds: 0.006 per 60
  input_audio_seconds: 0.36 per 3600
  video_frames: 0.0005
  input_pixels: 0.4 per 1000000000
  input_characters: 15 per 1000000
  output_characters: 30 per 1000000
  input_text_messages: 0.003
  input_document_pages: 1 per 1000
  input_annotated_document_pages: 3 per 1000
  rerank_searches: 2 per 1000
  web_searches: 10 per 1000
  storage_searches: 2.5 per 1000
  map_searches: 14 per 1000
  function_calls: 0.0001
  code_executions: 0.05
  code_sessions: 0.03
  session_seconds: 0.6 per 3600
  guardrail_units: 0.15 per 1000
  moderations: 0
  routing_units: 0.002
  cache_storage_token_hours: 4.5 per 1000000
  storage_gb_days: 0.1
  provisioned_unit_hours: 39.6
  endpoint_seconds: 9 per 3600
  hosting_hours: 1.7
  training_hours: 100
  credits: 0.01
  queries: 0.05
"""


@pytest.mark.parametrize(
    ("meter", "quantity", "amount"),
    [
        ("audio_seconds", "90.5", "0.00905"),  # 90.5 x 0.006 / 60
        ("input_audio_seconds", 7, "0.0007"),  # 7 x 0.36 / 3600
        ("video_frames", 240, "0.12"),
        ("input_pixels", 1_048_576, "0.0004194304"),
        ("input_characters", 4321, "0.064815"),
        ("output_characters", 1, "0.00003"),
        ("input_text_messages", 2, "0.006"),
        ("input_document_pages", 12, "0.012"),
        ("input_annotated_document_pages", 12, "0.036"),
        ("rerank_searches", 3, "0.006"),
        ("web_searches", 1, "0.01"),
        ("storage_searches", 3, "0.0075"),
        ("map_searches", 2, "0.028"),
        ("function_calls", 9, "0.0009"),
        ("code_executions", 2, "0.1"),
        ("code_sessions", 1, "0.03"),
        ("session_seconds", 5, "0.000833333333333333"),  # 5 x 0.6 / 3600 = 0.0008333...
        ("guardrail_units", 7, "0.00105"),
        ("moderations", 7, "0"),
        ("routing_units", 7, "0.014"),
        ("cache_storage_token_hours", 250_000, "1.125"),
        ("storage_gb_days", "0.25", "0.025"),
        ("provisioned_unit_hours", 24, "950.4"),
        ("endpoint_seconds", 3601, "9.0025"),  # an hour is 9, a second 0.0025
        ("hosting_hours", "0.5", "0.85"),
        ("training_hours", "1.25", "125"),
        ("credits", 42, "0.42"),
        ("queries", 1, "0.05"),
    ],
)
def test_each_unit(meter: str, quantity: object, amount: str) -> None:
    """Quantity x rate / per, as beside each."""
    assert cost(book(provider(UNITS)), {meter: quantity}) == f"{amount} USD"


@pytest.mark.parametrize(("seconds", "amount"), [(10, "0.002"), (4, "0.0014"), (0, "0.001")])
def test_seconds_of_both_directions(seconds: int, amount: str) -> None:
    """10 seconds in all, some of them spoken to us: the others at 0.0001, those at 0.0002.

    All 10: 10 x 0.0002 = 0.002. 4: 4 x 0.0002 + 6 x 0.0001 = 0.0014. None: 10 x 0.0001 = 0.001.
    """
    rates = "rates: {audio_seconds: 0.0001, input_audio_seconds: 0.0002}"
    usage = {"audio_seconds": 10, "input_audio_seconds": seconds}
    assert cost(book(provider(rates)), usage, usage_semantics="inclusive") == f"{amount} USD"


@pytest.mark.parametrize(
    ("usage", "amount"),
    [
        ({"input_tokens": 1000}, "0.007 USD"),
        ({"input_tokens": 1000, "requests": 3}, "0.017 USD"),
        ({"input_tokens": 0}, "0.005 USD"),
        ({}, "0.005 USD"),
    ],
)
def test_a_fee_for_each_request(usage: dict[str, int], amount: str) -> None:
    """1000 x 2 / 1,000,000 = 0.002 and 0.005 a request: 0.007. Three requests: 0.002 + 0.015 = 0.017.

    An event that reports no requests is one.
    """
    assert cost(book(provider("rates: {input_tokens: 2 per 1000000, requests: 0.005}")), usage) == amount


@pytest.mark.parametrize(
    ("stated", "amount"),
    [
        ({"amount": "0.0123", "currency": "USD"}, "0.0129765 USD"),
        ({"amount": "0", "currency": "USD"}, "0 USD"),
        ({"amount": "0.0123", "currency": "EUR"}, "unpriced"),
        (None, "unpriced"),
    ],
)
def test_what_the_provider_stated(stated: dict[str, str] | None, amount: str) -> None:
    """Stated 0.0123 with a fee of 5.5 percent: 0.0123 x 1.055 = 0.0129765. Other money, or none: unpriced."""
    by = book(provider("{stated_cost: true, multipliers: [{name: fee, factor: 1.055}]}"))
    assert cost(by, {"input_tokens": 1000}, provider_cost=stated) == amount
