"""What must come of a stream, from the records that were published alone: no code of the pipeline."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.simulation.broker import Entry, Where
from tests.simulation.stream import CORRECTIONS, EVENTS, FUTURE_US, LATE_US, Ordered, Said


@dataclass
class Outcome:
    """Of one partition: by offset of usage.events and usage.corrections."""

    rated: dict[str, list[Said]] = field(default_factory=dict)  # by customer, in order
    duplicates: list[int] = field(default_factory=list)
    rejected: dict[tuple[str, int], str] = field(default_factory=dict)
    applied: list[Ordered] = field(default_factory=list)
    repeated: int = 0


def outcome_of(
    number: int,
    entries: list[Entry],
    said_by: Mapping[Where, Mapping[int, Said]],
    ordered_by: Mapping[Where, Mapping[int, Ordered]],
) -> Outcome:
    """Of the partition's events in order, and its corrections in order."""
    outcome = Outcome()
    known: dict[tuple[str, str], Said] = {}
    highest_us = 0
    said_at = said_by.get((EVENTS, number), {})
    for entry in entries:
        said = said_at[entry.offset]
        highest_us = max(highest_us, entry.append_us)
        reason = _refusal(said, highest_us)
        first = known.get((said.customer, said.event_id))
        if reason is None and first is not None:
            if first.content == said.content:
                outcome.duplicates.append(entry.offset)
                continue
            reason = "id_conflict"
        if reason is not None:
            outcome.rejected[EVENTS, entry.offset] = reason
            continue
        known[said.customer, said.event_id] = said
        outcome.rated.setdefault(said.customer, []).append(said)
    _correct(outcome, ordered_by.get((CORRECTIONS, number), {}))
    return outcome


def _refusal(said: Said, highest_us: int) -> str | None:
    if said.reason is not None and said.reason != "bad_quantity":
        return said.reason
    if said.at_us - highest_us > FUTURE_US:
        return "in_future"
    if highest_us - said.at_us > LATE_US:
        return "too_late"
    return said.reason


def _correct(outcome: Outcome, orders: Mapping[int, Ordered]) -> None:
    """A command is taken where it expects the revision that is there; the last one taken may come again."""
    state: dict[tuple[str, str], tuple[int, str, bool]] = {}
    for offset, order in sorted(orders.items()):
        revision, last, voided = state.get((order.customer, order.event_id), (0, "", False))
        if order.correction_id == last:
            outcome.repeated += 1
        elif voided or order.expected != revision:
            outcome.rejected[CORRECTIONS, offset] = "stale_correction"
        else:
            voided = order.command == "void"
            state[order.customer, order.event_id] = revision + 1, order.correction_id, voided
            outcome.applied.append(order)
