"""A correction's rows: each reversal is the exact negation of the row that it names, each replacement follows
its reversal. Pure.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ledger.core.amounts import atto, plain
from ledger.core.explain import REPLACEMENT, REVERSAL
from ledger.core.model import ORIGINAL
from ledger.core.rows import RatedRow

Leg = tuple[str, str, str, int, str]
"""Customer, source, event id, revision, leg."""

Difference = tuple[str, object, object]
"""Column, what the ledger has, what is expected."""

_TIER_ADJUSTMENT = "tier_adjustment"
_SAME = ("book_version", "book_hash", "service_period", "plan")
_NEGATED = ("quantity", "amount", "billed_quantity")


def named_row(row: RatedRow) -> str:
    """The row as an operator names it."""
    event = f"event {row.source!r} {row.event_id!r} revision {row.revision} {row.leg}"
    return f"customer {row.customer_id!r} sequence {row.customer_seq} {event}"


def check_legs(
    corrections: Sequence[tuple[RatedRow, Mapping[str, Any]]],
    find: Callable[[Sequence[Leg]], Mapping[Leg, tuple[int, bytes]]],
    decode: Callable[[bytes], Mapping[str, Any] | None],
    *,
    whole: bool,
) -> Iterator[tuple[RatedRow, str, object, object]]:
    """What is wrong with reversals and replacements; each with its decoded record.

    `find` gives the sequence and the record of rows. Where days were detached (`whole` is false) a row that
    is not there proves nothing.
    """
    wanted = {id(row): _before(row) for row, _ in corrections}
    found = find(sorted(set(wanted.values())))
    for row, record in corrections:
        leg = wanted[id(row)]
        held = found.get(leg)
        if held is None:
            if whole:
                yield (
                    row,
                    "revision",
                    row.revision,
                    f"revision {leg[3]} {leg[4]} before it, which is not there",
                )
            continue
        seq, value = held
        if row.leg == REPLACEMENT:
            if seq != row.customer_seq - 1:
                yield row, "customer_seq", row.customer_seq, f"{seq + 1}: its reversal has {seq}"
            continue
        if seq >= row.customer_seq:
            yield row, "customer_seq", row.customer_seq, f"more than {seq}, that of what it takes back"
        target = decode(value)
        if target is None:
            continue  # told where the target stands
        for column, has, wants in negation_differences(target, record):
            yield row, column, has, wants


def _before(row: RatedRow) -> Leg:
    """What a reversal takes back, and what stands before a replacement."""
    identity = row.customer_id, row.source, row.event_id
    if row.leg == REPLACEMENT:
        return (*identity, row.revision, REVERSAL)
    if row.revision <= 1:
        return (*identity, 0, ORIGINAL)
    return (*identity, row.revision - 1, REPLACEMENT)


def negation_differences(target: Mapping[str, Any], reversal: Mapping[str, Any]) -> list[Difference]:
    """Where a reversal is not the negation of its target; a void may adjust the price by lines of its own."""
    found: list[Difference] = []
    if target["event"] != reversal["event"]:
        found.append(("event", "another event", "that of the row that it takes back"))
    was, has = target["rating"], reversal["rating"]
    found += [(name, has[name], was[name]) for name in _SAME if has[name] != was[name]]
    count = len(was["lines"])
    added = has["lines"][count:]
    if len(has["lines"]) < count:
        found.append(("lines", len(has["lines"]), count))
    for index, (line, negated) in enumerate(zip(was["lines"], has["lines"], strict=False)):
        for name in line.keys() | negated.keys():
            wants = _negated(line.get(name)) if name in _NEGATED else line.get(name)
            if not _equal(negated.get(name), wants, number=name in _NEGATED):
                found.append((f"lines[{index}].{name}", negated.get(name), wants))
    found += [
        (f"lines[{count + index}].meter", line["meter"], f"{_TIER_ADJUSTMENT} of the price, or no such line")
        for index, line in enumerate(added)
        if (line["meter"], line["side"]) != (_TIER_ADJUSTMENT, "price")
    ]
    for side in ("cost", "price"):
        adjusted = [line["amount"] for line in added if line["side"] == side and line["amount"] is not None]
        found += _side_differences(side, was[side], has[side], adjusted)
    return found


def _side_differences(
    side: str, was: Mapping[str, Any], has: Mapping[str, Any], adjusted: Sequence[str]
) -> list[Difference]:
    wants = _negated(was["amount"])
    if adjusted:
        wants = plain((0 if wants is None else atto(wants)) + sum(map(atto, adjusted)))
    found: list[Difference] = []
    if not _equal(has["amount"], wants, number=True):
        found.append((side, has["amount"], wants))
    if was["amount"] is not None or not adjusted:  # else an adjustment gives it a currency and a status
        names = ("currency", "status")
        found += [(f"{side}_{name}", has[name], was[name]) for name in names if has[name] != was[name]]
    return found


def _negated(number: str | None) -> str | None:
    return None if number is None else plain(-atto(number))


def _equal(has: Any, wants: Any, *, number: bool) -> bool:
    if not number or has is None or wants is None:
        return bool(has == wants)
    return atto(has) == atto(wants)
