"""Whether totals are the ledger's, and for how long something has been wrong.

Quantities are not compared: the ledger knows those of rated lines, a frame knows every leaf.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pricing.money import format_atto
from pricing.totals import Key, Sums, scope_key

_SHOWN = 20  # differences that are told of one customer
_NOTHING = Sums()


def differences(ledger: Mapping[Key, Sums], totals: Mapping[Key, Sums]) -> list[dict[str, Any]]:
    """Where they differ at one sequence, the first few. An entry of zeros is as good as none."""
    found: list[dict[str, Any]] = []
    for key in sorted({*ledger, *totals}, key=_order):
        right, wrong = _numbers(ledger.get(key, _NOTHING)), _numbers(totals.get(key, _NOTHING))
        if right != wrong:
            window, start_us, scope, cost_currency, price_currency = key
            found.append(
                {
                    "window": window,
                    "start_us": start_us,
                    "scope": scope_key(scope),
                    "cost_currency": cost_currency,
                    "price_currency": price_currency,
                    "ledger": right,
                    "totals": wrong,
                }
            )
            if len(found) == _SHOWN:
                break
    return found


def _numbers(sums: Sums) -> list[str]:
    """Cost, price, events, unpriced events of cost and of price, as text."""
    return [
        format_atto(sums.cost_atto or 0),
        format_atto(sums.price_atto or 0),
        str(sums.events),
        str(sums.unpriced_cost_events),
        str(sums.unpriced_price_events),
    ]


def _order(key: Key) -> tuple[str, int, str, str, str]:
    return key[0], key[1], scope_key(key[2]), key[3] or "", key[4] or ""


@dataclass(slots=True)
class Standing:
    """Since when each of many things has been as it is; what changes or goes begins anew."""

    _since: dict[Hashable, tuple[Hashable, float]] = field(default_factory=dict)

    def for_s(self, what: Hashable, how: Hashable, now_s: float) -> float:
        """For how many seconds `what` has been `how`; 0 the first time."""
        before = self._since.get(what)
        if before is None or before[0] != how:
            self._since[what] = how, now_s
            return 0.0
        return now_s - before[1]

    def forget(self, what: Hashable) -> None:
        """It is well again."""
        self._since.pop(what, None)

    def keep(self, those: set[Hashable]) -> None:
        """Forget all others."""
        for gone in self._since.keys() - those:
            del self._since[gone]
