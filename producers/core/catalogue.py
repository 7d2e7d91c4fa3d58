"""Who and what a trace's requests are given to: made-up customers and products, real models.

None of this is in the traces. The weights make a fifth of the customers cause about four fifths of the cost.
"""

from dataclasses import dataclass
from itertools import accumulate, product
from typing import Final

_COLOURS: Final = (
    "amber", "azure", "birch", "cedar", "coral", "crimson", "ember", "fern", "flint", "harbor",
    "indigo", "ivory", "jade", "linden", "maple", "onyx", "pearl", "quartz", "saffron", "willow",
)  # fmt: skip
_TRADES: Final = (
    "analytics", "bank", "clinic", "commerce", "games", "legal", "logistics", "media", "robotics", "studio",
)  # fmt: skip

_NAMES: Final = tuple(f"{colour}-{trade}" for colour, trade in product(_COLOURS, _TRADES))
_STRIDE: Final = 73  # prime to 200, so that each name comes once and neighbours differ
CUSTOMERS: Final = tuple(_NAMES[rank * _STRIDE % len(_NAMES)] for rank in range(len(_NAMES)))
"""200 customers, the largest first."""

HEAVY_CUSTOMERS: Final = len(CUSTOMERS) // 5

# The heavy fifth: 1/5, 1/6, 1/7 ... of a share. The others share a quarter of what those have, evenly.
_HEAVY_WEIGHTS: Final = tuple(100_000 // (rank + 5) for rank in range(HEAVY_CUSTOMERS))
_LIGHT_WEIGHT: Final = sum(_HEAVY_WEIGHTS) // 4 // (len(CUSTOMERS) - HEAVY_CUSTOMERS)
CUSTOMER_BOUNDS: Final = tuple(
    accumulate((*_HEAVY_WEIGHTS, *[_LIGHT_WEIGHT] * (len(CUSTOMERS) - HEAVY_CUSTOMERS)))
)
"""Running sums of weights: a draw below bound r and not below bound r - 1 is the customer of rank r."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model as the provider names it; a router estimates with the rates, in micro-USD a million tokens.

    `exclusive`: the provider's counts exclude each other (Anthropic). `caches`: cached input is priced apart.
    """

    provider: str
    requested: str
    served: str
    input_rate: int
    output_rate: int
    exclusive: bool = False
    caches: bool = True
    batches: bool = True


GPT_4O: Final = Model("openai", "gpt-4o", "gpt-4o-2024-11-20", 2_500_000, 10_000_000)
GPT_4O_MINI: Final = Model("openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", 150_000, 600_000)
GPT_41: Final = Model("openai", "gpt-4.1", "gpt-4.1-2025-04-14", 2_000_000, 8_000_000)
GPT_5_MINI: Final = Model("openai", "gpt-5-mini", "gpt-5-mini-2025-08-07", 250_000, 2_000_000)
SONNET: Final = Model(
    "anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929", 3_000_000, 15_000_000, exclusive=True
)
HAIKU: Final = Model(
    "anthropic", "claude-haiku-4-5", "claude-haiku-4-5-20251001", 1_000_000, 5_000_000, exclusive=True
)
GEMINI_PRO: Final = Model("google", "gemini-2.5-pro", "gemini-2.5-pro", 1_250_000, 10_000_000)
GEMINI_FLASH: Final = Model("google", "gemini-2.5-flash", "gemini-2.5-flash", 300_000, 2_500_000)
GEMINI_LITE: Final = Model("google", "gemini-2.5-flash-lite", "gemini-2.5-flash-lite", 100_000, 400_000)
MISTRAL: Final = Model("mistral", "mistral-small-latest", "mistral-small-latest", 150_000, 600_000)
LLAMA: Final = Model(
    "groq",
    "llama-3.3-70b-versatile",
    "llama-3.3-70b-versatile",
    590_000,
    790_000,
    caches=False,
    batches=False,
)

ROUTERS: Final = (GPT_4O_MINI, GEMINI_LITE, MISTRAL)
"""What decides where a query's parts go: small and quick."""
PLANNERS: Final = (GPT_41, SONNET, GEMINI_PRO)
SPECIALISTS: Final = (GPT_4O, SONNET, GPT_41, HAIKU, GEMINI_PRO, GEMINI_FLASH, GPT_5_MINI, LLAMA)
SINGLES: Final = (GPT_4O, GPT_4O_MINI, SONNET, HAIKU, GEMINI_FLASH, GPT_5_MINI, GPT_41, LLAMA)
MODELS: Final = tuple(dict.fromkeys((*ROUTERS, *PLANNERS, *SPECIALISTS, *SINGLES)))

# The code trace asks long and answers short, the conversation trace the other way round.
CODE_USES: Final = (
    ("ide", "completion"),
    ("ide", "refactoring"),
    ("review-bot", "pull-request"),
    ("review-bot", "security"),
)
CONVERSATION_USES: Final = (
    ("assistant", "chat"),
    ("assistant", "search"),
    ("support-desk", "answer"),
    ("support-desk", "summary"),
    ("documents", "drafting"),
)
PROJECTS: Final = ("production", "production", "staging", "research")

FAN_OUT: Final = (*[1] * 55, *[2] * 15, *[3] * 10, *[4] * 7, *[5] * 4, *[6] * 3, 7, 8, 9, 10, 11, 12)
"""Calls of a query, one entry for each per cent of queries."""
