"""Runs inside `.venv-peers` and imports nothing of ours: calls as JSON in, the packages' answers out.

`quote.py prices` answers every call: {"amount": text}, {"error": text}, or null where the package has no such
question. `quote.py time` times one call in each. Floats go out as Python writes them (repr).
"""

import importlib
import importlib.metadata
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

# Otherwise LiteLLM fetches its list from the network when it is imported.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

Quote = dict[str, str] | None

_LITELLM_PROVIDERS = {"google": "gemini", "x-ai": "xai"}
# What a token count of a call may hold for the question to be one that LiteLLM's functions take.
_LITELLM_METERS = {
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
    "output_reasoning_tokens",
}
_LITELLM_CONTEXT = {"processing", "service_tier", "inference_geo"}
_ROUNDS, _CALLS = 7, 300


def genai(call: Mapping[str, Any]) -> Quote:
    """What genai-prices says: its own call, at the call's time and in its context."""
    package = importlib.import_module("genai_prices")
    usage = package.Usage(**{meter: int(count) for meter, count in call["usage"].items()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = package.calc_price(
                usage,
                model_ref=call["model"],
                provider_id=call["provider"],
                genai_request_timestamp=datetime.fromisoformat(call["at"]),
                price_context=call["context"] or None,
            )
        except (LookupError, ValueError, TypeError) as error:
            return {"error": f"{type(error).__name__}: {error}"[:200]}
    return {"amount": str(result.total_price)}


def litellm(call: Mapping[str, Any]) -> Quote:
    """What LiteLLM says. It has no argument for the time of a call: it prices by its list of today, and peak
    hours by the machine's clock.
    """
    usage = call["usage"]
    provider = _LITELLM_PROVIDERS.get(call["provider"], call["provider"])
    calculator = importlib.import_module("litellm.cost_calculator")
    if set(usage) == {"input_audio_seconds"} and not call["context"]:
        seconds = float(usage["input_audio_seconds"])
        ask: Callable[[], Any] = lambda: calculator.cost_per_token(  # noqa: E731 - one of three questions
            call["model"], custom_llm_provider=provider, call_type="transcription",
            audio_transcription_file_duration=seconds,
        )  # fmt: skip
    elif not set(usage) <= _LITELLM_METERS or not set(call["context"]) <= _LITELLM_CONTEXT:
        return None
    else:
        counted, context = _litellm_usage(usage, call["context"]), call["context"]
        if context.get("processing") == "batch":
            ask = lambda: calculator.batch_cost_calculator(counted, call["model"], provider)  # noqa: E731 - see above
        else:
            ask = lambda: calculator.cost_per_token(  # noqa: E731 - see above
                call["model"], custom_llm_provider=provider, usage_object=counted,
                service_tier=context.get("service_tier"),
            )  # fmt: skip
    try:
        parts = ask()
    except Exception as error:  # noqa: BLE001 - the package has an error class for each of its providers
        return {"error": f"{type(error).__name__}: {error}"[:200]}
    return {"amount": repr(sum(parts))}


def _litellm_usage(usage: Mapping[str, str], context: Mapping[str, str]) -> Any:
    types = importlib.import_module("litellm.types.utils")
    count = {meter: int(text) for meter, text in usage.items()}
    written, hour = count.get("cache_write_tokens", 0), count.get("cache_write_1h_tokens", 0)
    details = types.PromptTokensDetailsWrapper(
        cached_tokens=count.get("cache_read_tokens", 0),
        audio_tokens=count.get("input_audio_tokens"),
        cache_creation_tokens=written,
        cache_creation_token_details=types.CacheCreationTokenDetails(
            ephemeral_1h_input_tokens=hour, ephemeral_5m_input_tokens=written - hour
        ),
    )
    made = types.Usage(
        prompt_tokens=count.get("input_tokens", 0),
        completion_tokens=count.get("output_tokens", 0),
        total_tokens=count.get("input_tokens", 0) + count.get("output_tokens", 0),
        prompt_tokens_details=details,
        completion_tokens_details=types.CompletionTokensDetailsWrapper(
            reasoning_tokens=count.get("output_reasoning_tokens", 0)
        ),
        cache_creation_input_tokens=written,
        cache_read_input_tokens=count.get("cache_read_tokens", 0),
    )
    if "inference_geo" in context:
        made.inference_geo = context["inference_geo"]
    return made


def prices(calls: list[dict[str, Any]]) -> dict[str, Any]:
    """Both answers to each call, and the versions that gave them."""
    return {
        "versions": {name: importlib.metadata.version(name) for name in ("genai-prices", "litellm")},
        "quotes": [{"genai-prices": genai(call), "litellm": litellm(call)} for call in calls],
    }


def timed(call: dict[str, Any]) -> dict[str, Any]:
    """Microseconds for one answer: minimum, median and maximum of the rounds; and the answers."""
    package = importlib.import_module("genai_prices")
    calculator = importlib.import_module("litellm.cost_calculator")
    usage = package.Usage(**{meter: int(count) for meter, count in call["usage"].items()})
    at = datetime.fromisoformat(call["at"])
    counted = _litellm_usage(call["usage"], call["context"])
    provider = _LITELLM_PROVIDERS.get(call["provider"], call["provider"])
    asked: dict[str, Callable[[], Any]] = {
        "genai-prices": lambda: package.calc_price(
            usage, model_ref=call["model"], provider_id=call["provider"], genai_request_timestamp=at,
            price_context=call["context"],
        ),
        "litellm": lambda: calculator.cost_per_token(
            call["model"], custom_llm_provider=provider, usage_object=counted,
            service_tier=call["context"].get("service_tier"),
        ),
    }  # fmt: skip
    return {
        "answers": {"genai-prices": genai(call), "litellm": litellm(call)},
        "microseconds": {name: _rounds(function) for name, function in asked.items()},
    }


def _rounds(function: Callable[[], object]) -> dict[str, float]:
    rounds = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        for _ in range(_CALLS):
            function()
        rounds.append((time.perf_counter() - started) / _CALLS * 1e6)
    return {
        "min": round(min(rounds), 2),
        "median": round(statistics.median(rounds), 2),
        "max": round(max(rounds), 2),
    }


if __name__ == "__main__":
    given = json.load(sys.stdin)
    json.dump(prices(given) if sys.argv[1] == "prices" else timed(given), sys.stdout)
