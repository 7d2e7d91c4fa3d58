"""Whether totals are the ledger's, and for how long something has been wrong.

Quantities are not compared: the ledger knows those of rated lines, a frame knows every leaf.
"""

from collections.abc import Hashable, Mapping
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


class Standing:
    """Since when each of the things that are wrong with a subject has been as it is."""

    def __init__(self) -> None:
        self._since: dict[str, dict[str, tuple[Hashable, float]]] = {}

    def look(self, subject: str, wrong: Mapping[str, Hashable], now_s: float) -> dict[str, float]:
        """For how many seconds each thing has been wrong in this way; what is not named is well again."""
        before = self._since.get(subject, {})
        after: dict[str, tuple[Hashable, float]] = {}
        for what, how in wrong.items():
            known = before.get(what)
            after[what] = known if known is not None and known[0] == how else (how, now_s)
        if after:
            self._since[subject] = after
        else:
            self._since.pop(subject, None)
        return {what: now_s - since_s for what, (_, since_s) in after.items()}

    def forget(self, subject: str) -> None:
        """Begin anew with a subject."""
        self._since.pop(subject, None)
