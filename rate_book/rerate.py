"""What a retroactive change leaves to be rated again: which events, for which customers or providers."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from pricing.cards import BookContent
from rate_book.changes import Change

_CONTRACT = re.compile(r"(?:^|by )contract (?P<name>.+)$")
_CUSTOMER = re.compile(r"^assignment of customer (?P<name>.+)$")
_PROVIDER_CARD = re.compile(r"^provider card (?P<name>.+)$")


@dataclass(frozen=True, slots=True)
class Rerate:
    """Events in [from_us, until_us) whose `side` (cost, price, or both) was rated by what has changed.

    `whose` names the provider card, the customer (`*`: each without a contract of its own) or, for both
    sides, what changed for everyone.
    """

    side: str
    whose: str
    from_us: int | None
    until_us: int


def rerates(touches: Iterable[Change], content: BookContent, now_us: int) -> tuple[Rerate, ...]:
    """The re-rates that these changes need: those that reach into the past, the earliest instant of each."""
    customers = defaultdict(set)
    for assignment in content.assignments:
        customers[assignment.contract_id].add(assignment.customer)
    earliest: dict[tuple[str, str], int | None] = {}
    for change in touches:
        if change.from_us is not None and change.from_us >= now_us:
            continue
        for key in _needing(change.what, customers):
            before = earliest.setdefault(key, change.from_us)
            if before is not None and (change.from_us is None or change.from_us < before):
                earliest[key] = change.from_us
    return tuple(
        Rerate(side, whose, from_us, now_us) for (side, whose), from_us in sorted(earliest.items(), key=_key)
    )


def _key(item: tuple[tuple[str, str], int | None]) -> tuple[str, str]:
    return item[0]


def _needing(what: str, customers: dict[str, set[str]]) -> list[tuple[str, str]]:
    if match := _CUSTOMER.match(what):
        return [("price", match["name"])]
    if match := _CONTRACT.search(what):
        return [("price", customer) for customer in customers.get(match["name"], ())]
    if match := _PROVIDER_CARD.match(what):
        return [("cost", match["name"])]
    return [("cost and price", what)]
