"""LiteLLM's `model_prices_and_context_window.json` into provider files, as material to review.

The list has one current price a key and no history. Numbers are taken as they are written in the JSON; none
passes through float. What a book cannot say is refused by name.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from rate_book.errors import ImportRefusedError
from rate_book.importers.genai_prices import Imported
from rate_book.importers.litellm_cells import SERVICE_DEFAULTS, Entry, card_of
from rate_book.importers.litellm_keys import STRUCTURED, PriceKey, read_key
from rate_book.importers.price_list import Card, ProviderList, Refusal

# Their name of a provider, ours.
_PROVIDERS = {
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "github_copilot": "github-copilot",
    "moonshot": "moonshotai",
    "text-completion-openai": "openai",
    "together_ai": "together",
    "vertex_ai-language-models": "google-vertex",
    "voyage": "voyageai",
    "xai": "x-ai",
}
# In these the list's own code takes a step at its start; everywhere else above it.
_REACHING = ("x-ai",)
_SIZED_NAME = re.compile(r"(^|/)(\d+-x-\d+|max-x-max|\d+-steps|hd|standard|low|medium|high|auto)/")
_SAMPLE = "sample_spec"
_PLACES = 18
_LEAST, _BEYOND = Decimal("1e-24"), Decimal("1e14")
"""Of a price other than 0; beyond these a book cannot say it, not even for a million."""


def import_litellm(path: Path, checked: date) -> Imported:
    """Convert the file. Raises ImportRefusedError where it is not such a list."""
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text, parse_float=str, parse_int=str, object_pairs_hook=_once)
    except (OSError, ValueError) as error:
        raise ImportRefusedError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(data, dict) or not all(isinstance(item, dict) for item in data.values()):
        raise ImportRefusedError(f"{path}: must be an object with an object for each model")
    if not any("litellm_provider" in item for item in data.values()):
        raise ImportRefusedError(f"{path}: no entry names its litellm_provider: another list?")
    return convert(data, f"LiteLLM {path.name}", checked.isoformat())


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of a key that is written twice the second would win in silence."""
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {max(names, key=names.count)!r} is written twice")
    return result


def convert(data: Mapping[str, Mapping[str, Any]], source: str, checked: str) -> Imported:
    """Convert the entries, whose numbers are texts."""
    result = Imported()
    cards: dict[str, dict[str, Card]] = {}
    for key, entry in data.items():
        if key == _SAMPLE:
            continue
        provider, model = _names(key, entry)
        card = _card(provider, model, key, entry, result.refusals)
        if card is None:
            continue
        known = cards.setdefault(provider, {})
        first = known.setdefault(card.card_id, card)
        if first is not card and first != card:
            result.refusals.append(
                Refusal(provider, model, f"entry {key}", "another entry of this name has other prices")
            )
    for provider, found in sorted(cards.items()):
        result.lists.append(ProviderList(provider, source, checked, list(found.values())))
    return result


def _names(key: str, entry: Mapping[str, Any]) -> tuple[str, str]:
    """The provider as our book calls it, and the model without the provider's name."""
    theirs = str(entry.get("litellm_provider", ""))
    provider = _PROVIDERS.get(theirs, re.sub(r"[^a-z0-9._-]", "-", theirs.lower()))
    model = key.lower()
    for prefix in (theirs, theirs.partition("-")[0], "bedrock"):
        model = model.removeprefix(f"{prefix.lower()}/")
    return provider or "unknown", model


def _card(
    provider: str, model: str, key: str, entry: Mapping[str, Any], refusals: list[Refusal]
) -> Card | None:
    if _SIZED_NAME.search(key):
        refusals.append(Refusal(provider, model, f"entry {key}", "the name holds a size or quality"))
        return None
    read = Entry(provider, SERVICE_DEFAULTS.get(provider, "default"), provider in _REACHING)
    prices: list[tuple[PriceKey, Decimal]] = []
    for name, meaning in _keys(entry):
        if isinstance(meaning, str):
            refusals.append(Refusal(provider, model, name, meaning))
            continue
        amount = _decimal(entry[name])
        if amount is None:
            refusals.append(Refusal(provider, model, name, f"{entry[name]!r} is no price"))
        elif _places(amount * int(meaning.per)) > _PLACES:
            refusals.append(Refusal(provider, model, name, f"{entry[name]} has more than {_PLACES} places"))
        else:
            prices.append((meaning, amount))
    structured = {name: entry[name] for name in STRUCTURED if entry.get(name)}
    try:
        card, remarks = card_of(read, f"{provider}/{model}", model, prices, structured)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # What is nested has no schema to check it by; an entry that is made otherwise is refused alone.
        outcome = f"what is nested in it cannot be read: {error!r}"
        refusals.append(Refusal(provider, model, f"entry {key}", outcome))
        return None
    refusals.extend(Refusal(provider, model, what, outcome) for what, outcome in remarks)
    return card


def _keys(entry: Mapping[str, Any]) -> Iterator[tuple[str, PriceKey | str]]:
    mode = str(entry.get("mode", ""))
    for name, value in entry.items():
        meaning = None if value is None else read_key(name, mode)
        if meaning is not None:
            yield name, meaning


def _decimal(value: object) -> Decimal | None:
    if not isinstance(value, str):
        return None
    try:
        amount = Decimal(value)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and (amount == 0 or _LEAST <= amount < _BEYOND) else None


def _places(amount: Decimal) -> int:
    """Digits after the point, without trailing zeros."""
    return len(f"{amount.normalize():f}".partition(".")[2])
