"""A rating computed again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ledger.core.periods import PoolAt

Pool = tuple[str, int]
"""Its name, and the start of the period in microseconds UTC."""


@dataclass(frozen=True, slots=True)
class Recomputed:
    """A rating computed again, the leaves that were priced (meter, quantity times 10**18), and where its
    pools stand after it.

    The first `own_pools` of its `pools_before` are those that priced the call: `own_after` is where it left
    them and `own_share` what it took up of them (quantity and amount times 10**18, currency).
    """

    rating: Mapping[str, Any]
    leaves: Sequence[tuple[str, int]]
    pools_after: Mapping[Pool, PoolAt] = field(default_factory=dict)
    own_pools: int = 0
    own_after: Mapping[Pool, PoolAt] = field(default_factory=dict)
    own_share: Mapping[Pool, tuple[int, int, str]] = field(default_factory=dict)
