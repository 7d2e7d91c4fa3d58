"""Corrections of a whole list that follow from a vendor's own rule.

Batch: genai-prices dates batch prices from the day on which somebody looked. Where the vendor's rule is half
of the standard price, and the listed batch prices are exactly half, they held as long as the standard prices
did. Where the standard price was another one before, nothing is said: batch stays unpriced there.
Geography: a factor on all tokens that the list does not have, so that its prices are those of no geography.
"""

import re
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from rate_book.fields import Fields
from rate_book.importers.genai_cells import joined
from rate_book.importers.litellm_cells import TOKEN_METERS
from rate_book.importers.price_list import (
    Card,
    Dated,
    ListedFactor,
    Prices,
    ProviderList,
    Refusal,
    VariantPrices,
)
from rate_book.yaml_text import read_yaml

GENERATED_NAME = "-rules"
"""How the names of generated files of corrections end."""

_BATCH = {"processing": "batch"}


@dataclass(frozen=True, slots=True)
class HalfPrice:
    """A vendor's rule: batch costs half. `since` is when its batch began, where a source tells (an instant).

    Without `since` nothing is lost: no call was made in batch before there was any.
    """

    reason: str
    since: str | None = None


HALF_PRICE = {
    "anthropic": HalfPrice(
        "Message Batches are charged at 50 percent of the standard prices, cache reads and writes too:"
        " platform.claude.com/docs/en/build-with-claude/batch-processing pricing"
    ),
    "openai": HalfPrice(
        "the Batch API costs 50 percent of the standard price of what its table lists:"
        " developers.openai.com/api/docs/pricing; a price list copied on 2025-02-01 has the same prices"
        " (github.com/kharvd/gpt-cli/pull/108)"
    ),
    "google": HalfPrice(
        "batch jobs are priced at 50 percent less than the standard rate since 2025-07-07:"
        " developers.googleblog.com scale-your-ai-workloads-batch-mode-gemini-api",
        since="2025-07-07T00:00:00Z",
    ),
    "groq": HalfPrice(
        "the Batch API offers a 50 percent discount, as groq.com/pricing said on 2026-05-08 at the latest",
        since="2026-05-08T00:00:00Z",
    ),
}

GEOGRAPHY = (
    "inference_geo us costs 1.1 times as much in all token categories, on every Claude 4.6 and later:"
    " platform.claude.com/docs/en/about-claude/pricing data-residency-pricing,"
    " github.com/BerriAI/litellm/pull/38369"
)
_GEOGRAPHY_MODELS = re.compile(r"^anthropic/claude-(opus-4-[678]|sonnet-4-6|\w+-5(-\d)?|mythos-preview)$")


def corrections(
    lists: Sequence[ProviderList], left_out: Iterable[str]
) -> tuple[list[ProviderList], list[Refusal]]:
    """The cards that a vendor's rule corrects, and those where nobody can say.

    `left_out`: ids of cards that somebody corrected by hand.
    """
    by_hand = set(left_out)
    results: list[ProviderList] = []
    refusals: list[Refusal] = []
    for item in lists:
        cards = []
        for card in item.cards:
            if card.card_id not in by_hand:
                corrected = _in_geography(_dated_back(item.provider, card, refusals))
                cards += [corrected] if corrected is not card else []
        if cards:
            results.append(ProviderList(item.provider, item.source, item.checked, cards))
    return results, refusals


def _dated_back(provider: str, card: Card, refusals: list[Refusal]) -> Card:
    rule = HALF_PRICE.get(provider)
    versions = _corrected(card.versions, rule) if rule else None
    if rule is None or versions is None:
        return card
    if versions == card.versions:
        what = "batch before the list dates it"
        outcome = "unpriced: not half of the standard price of then"
        refusals.append(Refusal(provider, card.card_id.partition("/")[2], what, outcome))
        return card
    first = next(version.start for version in card.versions if _batch(version))
    reason = f"the list dates batch from {str(first)[:10]}, when it was looked up; {rule.reason}"
    return replace(card, versions=versions, corrects=reason)


def _in_geography(card: Card) -> Card:
    if not _GEOGRAPHY_MODELS.match(card.card_id):
        return card
    versions = deepcopy(card.versions)
    for version in versions:
        version.context["inference_geo"] = (["global", "us"], "global")
        version.factors = [ListedFactor("US only", "1.1", ("inference_geo", "us"), TOKEN_METERS)]
    reasons = [card.corrects] if card.corrects else []
    return replace(card, versions=versions, corrects="; ".join([*reasons, GEOGRAPHY]))


def corrected_by_hand(folders: Iterable[Path]) -> list[str]:
    """Ids of the cards that a person corrected: in files that no import made."""
    files = [file for folder in folders for file in sorted(folder.glob("*.yaml"))]
    ids = []
    for file in files:
        fields = Fields(str(file), {} if file.stem.endswith(GENERATED_NAME) else read_yaml(file))
        ids += [item.text("card") for item in fields.children("cards", "card")]
    return ids


def _corrected(versions: Sequence[Dated], rule: HalfPrice) -> list[Dated] | None:
    """The versions with batch as early as it can be told; None where there is nothing to date back."""
    first = next((place for place, version in enumerate(versions) if _batch(version)), 0)
    if first == 0:
        return None
    batch = _batch(versions[first])
    result: list[Dated] = []
    for version in versions[:first]:
        if batch is None or not _is_half(batch, version.prices, versions[first].prices):
            result.append(version)
            continue
        place = versions[first].variants.index(batch)
        result += _with_batch(version, batch, place, rule.since)
    return joined([*result, *versions[first:]])


def _batch(version: Dated) -> VariantPrices | None:
    return next((variant for variant in version.variants if variant.when == _BATCH), None)


def _with_batch(version: Dated, batch: VariantPrices, place: int, since: str | None) -> list[Dated]:
    later = deepcopy(version)
    values, default = later.context["processing"]
    later.context["processing"] = ([*values, "batch"], default)
    inherit = sorted(version.prices.rates.keys() - batch.prices.rates.keys())
    later.variants.insert(place, VariantPrices(dict(_BATCH), deepcopy(batch.prices), inherit))
    if since is None or (version.start is not None and version.start >= since):
        return [later]
    if version.end is not None and version.end <= since:
        return [version]
    later.start = since
    return [replace(version, end=since), later]


def _is_half(batch: VariantPrices, then: Prices, later: Prices) -> bool:
    """What batch prices cost the same then as when the list prices batch, and batch is half of it; cached
    input may cost what it costs without batch.
    """
    starts = [None, *(step.start for step in later.steps)]
    if [step.start for step in then.steps] != starts[1:] or then.operator != later.operator:
        return False
    for meter in batch.prices.rates:
        factors = (1, 2) if meter.startswith("cache_") else (2,)
        for start in starts:
            standard, in_batch = _at(later, meter, start), _at(batch.prices, meter, start)
            if _at(then, meter, start) != standard or not any(standard == in_batch * by for by in factors):
                return False
    return True


def _at(prices: Prices, meter: str, start: int | None) -> Fraction:
    """The rate of one unit at the step; -1 for what has none, so that it equals no price."""
    text = prices.rates.get(meter)
    for step in prices.steps:
        if start is not None and step.start <= start:
            text = step.rates.get(meter, text)
    if text is None:
        return Fraction(-1)
    rate, _, per = text.partition(" per ")
    return Fraction(rate) / Fraction(per or "1")
