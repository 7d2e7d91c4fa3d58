"""The rate book of a run, as the YAML files that an operator applies: each version in full."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise

MODELS = ("one", "two", "pro")
UNKNOWN_MODEL = "mystery-9"
GRADUATED = tuple(f"graduated-{number}" for number in range(4))
PACKS = tuple(f"packs-{number}" for number in range(3))

# USD a million tokens: input, read from a cache, output.
_COST = {"one": ("2", "0.2", "10"), "two": ("0.5", "0.05", "1.5"), "pro": ("15", "1.5", "60.000001")}
_PRICE = {"one": ("3", "0.3", "15"), "two": ("0.7", "0.07", "2.1"), "pro": ("20", "2", "75")}
_METERS = ("input_tokens", "cache_read_tokens", "output_tokens")

_FIXED = {
    "contracts.yaml": """\
contracts:
  - {contract: standard, currency: USD, price_cards: [list], billing_period: calendar_month_utc}
  - {contract: graduated, currency: USD, price_cards: [graduated], billing_period: calendar_month_utc}
  - {contract: packs, currency: USD, price_cards: [packs], billing_period: day}
""",
    "settings.yaml": """\
settings:
  dimensions: [project, product, feature, model]
""",
    "graduated.yaml": """\
price_card: graduated
currency: USD
pools:
  - pool: input
    versions:
      - shape: graduated
        free: 2000
        tiers:
          - {start: 0, rate: 4 per 1000000}
          - {start: 50000, rate: 3 per 1000000, flat: 0.01}
          - {start: 400000, rate: 1.7 per 1000000}
  - pool: output
    versions:
      - shape: volume
        tiers:
          - {start: 0, rate: 20 per 1000000}
          - {start: 40000, rate: 14 per 1000000}
cards:
  - card: graduated/any
    prefixes:
      - prefix: "*"
    versions:
      - rates:
          input_tokens: {pool: input}
          cache_read_tokens: {pool: input}
          output_tokens: {pool: output}
""",
    "packs.yaml": """\
price_card: packs
currency: USD
pools:
  - pool: output
    versions:
      - shape: package
        free: 1500
        tiers:
          - {start: 0, rate: 0.07 per 1000}
cards:
  - card: packs/any
    prefixes:
      - prefix: "*"
    versions:
      - rates:
          input_tokens: 3 per 1000000
          cache_read_tokens: 0.3 per 1000000
          output_tokens: {pool: output}
""",
}


@dataclass
class BookPlan:
    """What the newest version says. `changes`: from when (RFC 3339, UTC) the list is at so many percent."""

    changes: list[tuple[str, int]] = field(default_factory=list)
    cheaper: str | None = None
    """A model that the provider has charged a tenth less for, since ever."""

    def files(self) -> dict[str, str]:
        """Every file of the version, by name."""
        return _FIXED | {
            "provider.yaml": self._provider(),
            "list.yaml": self._list(),
            "assignments.yaml": _assignments(),
        }

    def _provider(self) -> str:
        lines = ["provider: acme", "currency: USD", "cards:"]
        for model, rates in _COST.items():
            percent = 90 if model == self.cheaper else 100
            lines += [f"  - card: acme/{model}", f"    models: [{model}]", "    versions:"]
            lines += [f"      - rates: {_rates(rates, percent)}"]
        return "\n".join([*lines, ""])

    def _list(self) -> str:
        lines = ["price_card: list", "currency: USD", "cards:"]
        edges: Sequence[tuple[str | None, int]] = [(None, 100), *self.changes, (None, 0)]
        for model, rates in _PRICE.items():
            lines += [
                f"  - card: list/{model}",
                "    provider: acme",
                f"    models: [{model}]",
                "    versions:",
            ]
            for (start, percent), (end, _) in pairwise(edges):
                lines.append(f"      - rates: {_rates(rates, percent)}")
                lines += [f"        from: {start}"] if start else []
                lines += [f"        to: {end}"] if end else []
        return "\n".join([*lines, ""])


def _rates(rates: Sequence[str], percent: int) -> str:
    told: Mapping[str, str] = {
        meter: f"{Decimal(rate) * percent / 100:f} per 1000000"
        for meter, rate in zip(_METERS, rates, strict=True)
    }
    return "{" + ", ".join(f"{meter}: {rate}" for meter, rate in told.items()) + "}"


def _assignments() -> str:
    lines = ["assignments:", '  - {customer: "*", contract: standard}']
    lines += [f"  - {{customer: {name}, contract: graduated}}" for name in GRADUATED]
    lines += [f"  - {{customer: {name}, contract: packs}}" for name in PACKS]
    return "\n".join([*lines, ""])
