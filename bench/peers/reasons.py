"""Known reasons why another package and the shipped book disagree: which is right, and why."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason and the disagreements that it explains.

    `models` matches `provider/model`; `needs` are meters or `key=value` of the context that the call must
    have; `before` and `since` bound the call's time (text of an instant); `kind` as in compare.
    """

    name: str
    peer: str
    right: str
    why: str
    models: str = ".*"
    needs: tuple[str, ...] = ()
    kind: str | None = None
    since: str = ""
    before: str = "9999"
    least_tokens: int = 0

    def explains(self, peer: str, call: Mapping[str, Any], kind: str) -> bool:
        said = {*call["usage"], *(f"{key}={value}" for key, value in call["context"].items())}
        return (
            self.peer in (peer, "both")
            and self.kind in (None, kind)
            and self.since <= call["at"] < self.before
            and set(self.needs) <= said
            and int(call["usage"].get("input_tokens", 0)) >= self.least_tokens
            and re.fullmatch(self.models, f"{call['provider']}/{call['model']}") is not None
        )


_GENAI, _LITELLM, _BOTH = "genai-prices", "litellm", "both"
_OURS, _UNDECIDED = "ours", "undecided"
_BATCH = ("processing=batch",)
_ONLY_OURS, _ONLY_THEIRS, _DIFFERS = "only ours", "only theirs", "differs"

# The first that explains a disagreement is its reason: narrow ones stand before wide ones.
REASONS: tuple[Reason, ...] = (
    Reason(
        "a value that nobody prices",
        _BOTH,
        _OURS,
        "Batch with a capital, or batch as a service tier, is unknown: they charge the standard"
        " price in silence",
        "openai/gpt-4o",
        ("processing=Batch",),
        _ONLY_THEIRS,
    ),
    Reason(
        "a value that nobody prices",
        _BOTH,
        _OURS,
        "Batch with a capital, or batch as a service tier, is unknown: they charge the standard"
        " price in silence",
        "openai/gpt-4o",
        ("service_tier=batch",),
        _ONLY_THEIRS,
    ),
    Reason(
        "a meter without a price",
        _GENAI,
        _OURS,
        "code executions have no price in its list, and cost nothing in silence; ours is partial"
        " and names them",
        "openai/.*",
        ("code_executions",),
        _ONLY_THEIRS,
    ),
    Reason(
        "geography not priced for this model",
        _BOTH,
        _OURS,
        "the vendor's factor is for 4.6 and later; what an older model costs there no list says:"
        " unpriced, not standard",
        "anthropic/claude-haiku-4-5",
        ("inference_geo=us",),
        _ONLY_THEIRS,
    ),
    Reason(
        "geography ignored",
        _GENAI,
        _OURS,
        "inference_geo us costs 1.1 times as much (vendor's data residency pricing); its list has"
        " no such key",
        "anthropic/.*",
        ("inference_geo=us",),
        _DIFFERS,
    ),
    Reason(
        "fine-tuned in batch",
        _BOTH,
        _OURS,
        "the vendor's page shows 2.225 and 12.5, which is not its half-price rule: unconfirmed, so"
        " unpriced;"
        " genai-prices charges the standard price, LiteLLM nothing",
        "openai/ft:.*",
        _BATCH,
        _ONLY_THEIRS,
    ),
    Reason(
        "hour-long writes in batch",
        _LITELLM,
        _OURS,
        "writes kept for an hour are charged at the batch rate of five-minute writes; half of the"
        " hour's rate is right",
        "anthropic/.*",
        (*_BATCH, "cache_write_1h_tokens"),
        _DIFFERS,
    ),
    Reason(
        "long context of sonnet 4.5",
        _LITELLM,
        "neither",
        "requests above 200000 are refused since 2026-04-30; before, the higher step held, which"
        " its list has dropped",
        "anthropic/claude-sonnet-4-5",
        (),
        _DIFFERS,
        least_tokens=200_001,
    ),
    Reason(
        "long context in batch",
        _LITELLM,
        _OURS,
        "its list has no key for batch above 200000, so batch falls back to the rate below the step",
        "google/gemini-.*pro.*",
        _BATCH,
        _DIFFERS,
        least_tokens=200_001,
    ),
    Reason(
        "dates of batch prices",
        _GENAI,
        _OURS,
        "batch cost half before 2026-10-14 too: the list dates it from the day it was looked up,"
        " and charges the"
        " standard price before",
        "(openai|anthropic|google|groq)/.*",
        _BATCH,
        _DIFFERS,
        before="2026-10-14",
    ),
    Reason(
        "batch of then unknown",
        _BOTH,
        _OURS,
        "no source says what batch cost then: unpriced, where genai-prices charges the standard"
        " price and LiteLLM"
        " the price of today",
        "(openai/gpt-5.4|x-ai/grok-4.3|x-ai/grok-4.20.*|mistral/codestral.*)",
        _BATCH,
        _ONLY_THEIRS,
        before="2026-10-14",
    ),
    Reason(
        "batch that no list prices",
        _BOTH,
        _OURS,
        "the vendor lists no batch price for it: unpriced, where genai-prices charges the standard"
        " price and LiteLLM"
        " half of it, or nothing",
        "(x-ai/grok-4.[56]|groq/llama.*|mistral/mistral-large.*|deepseek/.*)",
        _BATCH,
        _ONLY_THEIRS,
    ),
    Reason(
        "cached input in batch",
        _LITELLM,
        _UNDECIDED,
        "the vendor's batch table has no cached input: genai-prices and we keep its standard rate,"
        " LiteLLM charges it"
        " as batch input (openai) or halves it (groq, mistral)",
        "(openai/(gpt-4.1|o3|o4-mini)|groq/openai/gpt-oss.*|mistral/codestral.*)",
        (*_BATCH, "cache_read_tokens"),
        _DIFFERS,
    ),
    Reason(
        "flex and priority of one list",
        _LITELLM,
        _UNDECIDED,
        "only LiteLLM lists these tiers for this model; one source is no price: unpriced until"
        " somebody confirms it",
        "google/gemini-.*",
        ("service_tier=flex",),
        _ONLY_THEIRS,
    ),
    Reason(
        "flex and priority of one list",
        _LITELLM,
        _UNDECIDED,
        "only LiteLLM lists these tiers for this model; one source is no price: unpriced until"
        " somebody confirms it",
        "google/gemini-.*",
        ("service_tier=priority",),
        _ONLY_THEIRS,
    ),
    Reason(
        "a tier that nobody prices",
        _BOTH,
        _OURS,
        "the model has no such tier in their lists either: they charge the standard price in silence",
        ".*",
        ("service_tier=flex",),
        _ONLY_THEIRS,
    ),
    Reason(
        "a tier that nobody prices",
        _BOTH,
        _OURS,
        "the model has no such tier in their lists either: they charge the standard price in silence",
        ".*",
        ("service_tier=priority",),
        _ONLY_THEIRS,
    ),
    Reason(
        "before the model",
        _BOTH,
        _OURS,
        "deepseek-flash began on 2026-09-10 at 04:00 UTC",
        "deepseek/deepseek-flash",
        (),
        _ONLY_THEIRS,
        before="2026-09-10T04:00",
    ),
    Reason(
        "retired names of DeepSeek",
        _BOTH,
        _UNDECIDED,
        "after 2025-09-05 the lists contradict each other, and the names are gone since 2026-07-24: unpriced",
        "deepseek/deepseek-(chat|reasoner)",
        (),
        _ONLY_THEIRS,
        since="2025-09-05T16:00",
    ),
    Reason(
        "off-peak without dates",
        _GENAI,
        _OURS,
        "off-peak began on 2025-02-26 at 16:30 UTC; its list has it since ever",
        "deepseek/deepseek-(chat|reasoner)",
        (),
        _DIFFERS,
        before="2025-02-26T16:30",
    ),
    Reason(
        "peak hours without dates and weekdays",
        _GENAI,
        _OURS,
        "the newest peak price at peak hours of any date, weekends and holidays too; changes at"
        " 00:00 UTC, not at the"
        " vendor's instant",
        "deepseek/deepseek-(v4-.*|flash)",
        (),
        _DIFFERS,
    ),
    Reason(
        "the machine's clock",
        _LITELLM,
        _OURS,
        "it has no argument for the time of a call: hours by the clock of whoever asks, prices of"
        " today for any date",
        "deepseek/.*",
        (),
        _DIFFERS,
    ),
    Reason(
        "cached o3 before the cut",
        _GENAI,
        _OURS,
        "cached input cost 2.5 before 2025-06-10; its list has today's 0.5",
        "openai/o3",
        ("cache_read_tokens",),
        _DIFFERS,
        before="2025-06-10",
    ),
    Reason(
        "no history",
        _LITELLM,
        _OURS,
        "its list has the prices of today only",
        "openai/o3",
        (),
        _DIFFERS,
        before="2025-06-10",
    ),
    Reason(
        "no history",
        _LITELLM,
        _OURS,
        "its list has the prices of today only",
        "x-ai/grok-4.20.*",
        (),
        _DIFFERS,
        before="2026-04-30",
    ),
    Reason(
        "gone from the list",
        _LITELLM,
        _OURS,
        "the model was retired on 2026-08-16 and is gone from its list, so calls of before have no price",
        "groq/llama-3.1-8b-instant",
        (),
        _ONLY_OURS,
    ),
    Reason(
        "a name that moves",
        _LITELLM,
        _UNDECIDED,
        "mistral-large-latest is the model of 2 and 6 dollars in genai-prices, of 0.5 and 1.5 in"
        " LiteLLM: which one,"
        " and from when, is to be confirmed; an alias of the book can say it",
        "mistral/mistral-large-latest",
        (),
        _DIFFERS,
    ),
    Reason(
        "cached input of codestral",
        _LITELLM,
        _UNDECIDED,
        "LiteLLM has a cached rate (0.03), genai-prices has none for this name and charges the input rate",
        "mistral/codestral-latest",
        ("cache_read_tokens",),
        _DIFFERS,
    ),
    Reason(
        "minimum and rounded seconds",
        _LITELLM,
        _OURS,
        "it bills 3 seconds as 3 where the vendor bills 10, and stores the hourly price as a"
        " rounded price of a second",
        "groq/whisper.*",
        ("input_audio_seconds",),
        _DIFFERS,
    ),
    Reason(
        "audio of transcription",
        _GENAI,
        _OURS,
        "the vendor's page has 2.5 (mini: 1.25) for audio; its list still has 6 (3)",
        "openai/gpt-4o-(mini-)?transcribe",
        ("input_audio_tokens",),
        _DIFFERS,
        since="2026-05-13",
    ),
    Reason(
        "fees by search size",
        _GENAI,
        _OURS,
        "the fee of the highest search size for all requests",
        "perplexity/.*",
        ("requests",),
        _DIFFERS,
    ),
)


def reason_for(peer: str, call: Mapping[str, Any], kind: str) -> Reason | None:
    """The first known reason for the disagreement."""
    return next((reason for reason in REASONS if reason.explains(peer, call, kind)), None)
