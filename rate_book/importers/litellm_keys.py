"""What a price key of LiteLLM's list means: meter, unit, step and context; or why a book does not say it.

A key is a meter, then perhaps `_above_200k_tokens`, then perhaps a service tier (`_batches`, `_flex`).
"""

import re
from dataclasses import dataclass

MILLION = "1000000"

_SERVICE = {
    "_batches": ("processing", "batch"),
    "_flex": ("service_tier", "flex"),
    "_priority": ("service_tier", "priority"),
    "_ultrafast": ("service_tier", "ultrafast"),
    "_balanced": ("service_tier", "balanced"),
}
_STEP = re.compile(r"_above_(?P<thousands>\d+)k_tokens$")

# Meter and unit by the key without step and tier.
_METERS = {
    "input_cost_per_token": ("input_tokens", MILLION),
    "output_cost_per_token": ("output_tokens", MILLION),
    "cache_read_input_token_cost": ("cache_read_tokens", MILLION),
    "cache_creation_input_token_cost": ("cache_write_tokens", MILLION),
    "cache_creation_input_token_cost_above_1hr": ("cache_write_1h_tokens", MILLION),
    "cache_read_input_audio_token_cost": ("cache_audio_read_tokens", MILLION),
    "cache_read_input_image_token_cost": ("cache_image_read_tokens", MILLION),
    "cache_creation_input_audio_token_cost": ("cache_audio_write_tokens", MILLION),
    "input_cost_per_audio_token": ("input_audio_tokens", MILLION),
    "output_cost_per_audio_token": ("output_audio_tokens", MILLION),
    "input_cost_per_image_token": ("input_image_tokens", MILLION),
    "output_cost_per_image_token": ("output_image_tokens", MILLION),
    "input_cost_per_video_token": ("input_video_tokens", MILLION),
    "output_cost_per_video_token": ("output_video_tokens", MILLION),
    "output_cost_per_reasoning_token": ("output_reasoning_tokens", MILLION),
    "citation_cost_per_token": ("output_citation_tokens", MILLION),
    "input_cost_per_character": ("input_characters", MILLION),
    "output_cost_per_character": ("output_characters", MILLION),
    "input_cost_per_image": ("input_images", "1"),
    "output_cost_per_image": ("output_images", "1"),
    "input_cost_per_pixel": ("input_pixels", MILLION),
    "output_cost_per_pixel": ("output_pixels", MILLION),
    "input_cost_per_audio_per_second": ("input_audio_seconds", "1"),
    "input_cost_per_video_per_second": ("input_video_seconds", "1"),
    "output_cost_per_video_per_second": ("output_video_seconds", "1"),
    "input_cost_per_request": ("requests", "1000"),
    "input_cost_per_text_message": ("input_text_messages", "1"),
    "ocr_cost_per_page": ("input_document_pages", "1000"),
    "annotation_cost_per_page": ("input_annotated_document_pages", "1000"),
    "google_maps_grounding_cost_per_query": ("map_searches", "1000"),
    "code_interpreter_cost_per_session": ("code_sessions", "1"),
}

# The unit of these follows from what the model does.
_BY_MODE = {
    ("input_cost_per_second", "audio_transcription"): ("input_audio_seconds", "3600"),
    ("output_cost_per_second", "audio_speech"): ("output_audio_seconds", "3600"),
    ("output_cost_per_second", "video_generation"): ("output_video_seconds", "1"),
    ("input_cost_per_query", "rerank"): ("rerank_searches", "1000"),
    ("input_cost_per_query", "search"): ("web_searches", "1000"),
}
_RESOLUTION = re.compile(r"^output_cost_per_second_(?P<value>480p|720p|768p|1080p|2k|4k)$")
_SIZE = re.compile(r"^output_cost_per_image_(?P<value>512|1024|1536|0\.5K|1K|2K|4K)$")

_REFUSED = {
    "input_cost_per_token_cache_hit": "another name of cache_read_input_token_cost",
    "input_cost_per_second": "seconds of a dedicated endpoint or of an open call: not what the event counts",
    "output_cost_per_second": "seconds of a dedicated endpoint or of an open call: not what the event counts",
    "cost_per_second": "seconds of a provisioned commitment: owed whether used or not",
    "input_cost_per_query": "the list does not say what it counts here",
    "input_dbu_cost_per_token": "the vendor's units beside the price in money: one of both is charged",
    "output_dbu_cost_per_token": "the vendor's units beside the price in money: one of both is charged",
    "search_free_requests": "a free amount of the vendor's account, not of a call",
    "web_search_billing_unit": "how the vendor counts searches: the event's count is taken as it is",
    "regional_endpoint_uplift_multiplier": "names no value that an event could name",
    "regional_processing_uplift_multiplier_eu": "names no value that an event could name",
    "regional_processing_uplift_multiplier_us": "names no value that an event could name",
    "guardrail_cost_per_unit": "a price for each policy: no meter of ours tells them apart",
    "ocr_cost_per_credit": "the vendor's credits: no meter of ours counts them",
    "explicit_cache_read_input_token_cost": "no meter of ours tells explicit caches apart",
    "input_cost_per_video_per_second_above_8s_interval": "a step by the length of the video",
    "input_cost_per_video_per_second_above_15s_interval": "a step by the length of the video",
}
# Read as a whole by the importer, or no price.
STRUCTURED = (
    "off_peak_pricing",
    "provider_specific_entry",
    "search_context_cost_per_query",
    "tiered_pricing",
)
NOT_PRICES = ("max_tokens", "minimax_free_input_images")

# A key that is about money by its name: one of these that nobody knows is refused by name, not dropped.
_ABOUT_MONEY = re.compile(r"cost|pric|uplift|billing|free_")


@dataclass(frozen=True, slots=True)
class PriceKey:
    """A meter's rate for `per` units, from a step of input tokens on, in one context."""

    meter: str
    per: str
    step: int | None = None
    context: tuple[tuple[str, str], ...] = ()


def read_key(key: str, mode: str) -> PriceKey | str | None:
    """What the key prices; a text says why a book does not; None where it is no price."""
    if key in STRUCTURED or key in NOT_PRICES or not _ABOUT_MONEY.search(key):
        return None
    if key.endswith("_decisions") or "_decisions_" in key:
        return "prices of another endpoint under this model's name"
    name = key
    context: tuple[tuple[str, str], ...] = ()
    for suffix, pair in _SERVICE.items():
        if key.endswith(suffix):
            name, context = key.removesuffix(suffix), (pair,)
    found = _STEP.search(name)
    step = int(found["thousands"]) * 1000 if found else None
    name = _STEP.sub("", name)
    meter = _BY_MODE.get((name, mode)) or _METERS.get(name)
    if meter:
        return PriceKey(*meter, step, context)
    for pattern, meter_name, key_name in (
        (_RESOLUTION, "output_video_seconds", "video_resolution"),
        (_SIZE, "output_images", "image_size"),
    ):
        sized = pattern.match(name)
        if sized:
            return PriceKey(meter_name, "1", step, ((key_name, sized["value"]), *context))
    return _REFUSED.get(key) or _REFUSED.get(name) or "no meter of ours"
