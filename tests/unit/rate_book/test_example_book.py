"""The example customer book loses on no call: no price is below cost, and none stands without a cost."""

import pytest

from pricing.cards import BookContent
from pricing.compile import CompiledBook
from pricing.rate import Call, rate

NOVEMBER = 1_795_000_000_000_000  # 2026-11-18
# A customer of each plan.
CUSTOMERS = {"standard": "anybody", "scale": "amber-analytics"}
INPUT = (
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
)


def usages(tokens: str) -> list[dict[str, str]]:
    """Calls of one kind of token each; output comes with an input, whose size chooses the step."""
    audio = {"input_audio_tokens": tokens, "cache_read_tokens": tokens, "cache_audio_read_tokens": tokens}
    return [
        {"input_tokens": tokens},
        *({"input_tokens": tokens, meter: tokens} for meter in INPUT),
        {"input_tokens": tokens, **audio},
        {"input_tokens": tokens, "output_tokens": "1000000"},
    ]


@pytest.mark.parametrize("plan", sorted(CUSTOMERS))
def test_no_price_is_below_cost_or_without_one(
    shipped: BookContent, shipped_book: CompiledBook, plan: str
) -> None:
    (cards,) = (item.cards for item in shipped.price_cards if item.price_card_id == plan)
    wrong, priced = [], 0
    for card in cards:
        for usage in (*usages("1000"), *usages("300000")):
            for context in ({}, {"processing": "batch"}):
                call = Call(
                    CUSTOMERS[plan],
                    card.provider or "",
                    card.models[0],
                    NOVEMBER,
                    usage,
                    "inclusive",
                    context,
                )
                rating = rate(shipped_book, call)
                if rating.price.amount_atto is None:
                    continue
                priced += 1
                cost = rating.cost.amount_atto
                if cost is None or rating.cost.status != "priced" or rating.price.amount_atto < cost:
                    wrong.append((card.card_id, usage, context, rating.cost, rating.price))
    assert wrong == []
    assert priced > len(cards) * 14  # all but the batches of a model that has none
