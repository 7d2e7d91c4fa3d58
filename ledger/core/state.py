"""rater.state and the broker's positions against the frames."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ledger.core.findings import Reporter
from ledger.core.frames import INPUTS
from ledger.core.periods import PeriodKey
from ledger.core.runs import RunKey
from ledger.core.sequences import Span


@dataclass(frozen=True, slots=True)
class InputEnds:
    """Offsets of one input's partition: the first that the broker holds, and the one after its last."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class StoredState:
    """The newest record of each key of a partition of rater.state; `broken` says what has no meaning."""

    head: Mapping[str, Any] | None
    customers: Mapping[str, Mapping[str, Any]]
    broken: tuple[str, ...] = ()
    periods: Mapping[PeriodKey, Mapping[str, Any]] = field(default_factory=dict)
    revisions: Mapping[bytes, Mapping[str, Any]] = field(default_factory=dict)
    """By the identity's digest."""
    runs: Mapping[RunKey, Mapping[str, Any]] = field(default_factory=dict)


def check_head(
    head: Mapping[str, Any] | None,
    frames: Mapping[int, Mapping[str, Any]],
    last: Mapping[str, Any] | None,
    report: Reporter,
) -> None:
    """The head is the last committed frame: it says what that frame says.

    Args:
        head: the stored PartitionHead.
        frames: the last frame of the cut, and those committed since, by number.
        last: the last frame of the cut.
        report: takes the findings.
    """
    if head is None:
        if last is not None:
            report("head", "rater.state h", f"there is no head, but frame {last['frame_no']}")
        return
    frame = frames.get(head["frame_no"])
    if frame is None:
        newest = max(frames, default=0)
        report(
            "head", "rater.state h", f"head is frame {head['frame_no']}, the log of frames ends at {newest}"
        )
        return
    told = {
        "events_next": frame["events"]["to_offset"],
        "corrections_next": frame["corrections"]["to_offset"],
        "highest_append_us": frame["highest_append_us"],
        "book_version": frame["book_version"],
    }
    for name, expected in told.items():
        if head[name] != expected:
            report(
                "head", "rater.state h", f"{name} is {head[name]}, frame {head['frame_no']} says {expected}"
            )


def check_positions(
    head: Mapping[str, Any] | None, ends: Mapping[str, InputEnds], report: Reporter
) -> dict[str, int]:
    """What waits in each input; a position that the broker does not hold is a finding."""
    pending = {}
    for name in INPUTS:
        position = head[f"{name}_next"] if head is not None else 0
        held = ends[name]
        if not held.first <= position <= held.end:
            report(
                "position",
                f"usage.{name}",
                f"the head stands at {position}, the broker holds {held.first}..{held.end}",
            )
        pending[name] = max(0, held.end - position)
    return pending


def check_customers(
    stored: StoredState, spans: Mapping[str, Span], newest_frame: int, report: Reporter, *, from_start: bool
) -> None:
    """No customer's stored sequence is ahead of the frames, nor other than its frame says."""
    for text in stored.broken:
        report("state", "rater.state", text)
    for customer, state in stored.customers.items():
        where = f"rater.state c/{customer}"
        span = spans.get(customer)
        if state["frame_no"] > newest_frame:
            report(
                "state_ahead",
                where,
                f"written in frame {state['frame_no']}, the log of frames ends at {newest_frame}",
            )
        elif span is None:
            if from_start:
                report(
                    "state_ahead", where, f"has sequence {state['last_seq']}, but no frame names the customer"
                )
        elif state["last_seq"] > span.last_seq:
            report(
                "state_ahead", where, f"has sequence {state['last_seq']}, the frames end at {span.last_seq}"
            )
        elif state["frame_no"] >= span.frame_no and state["last_seq"] != span.last_seq:
            report(
                "state",
                where,
                f"has sequence {state['last_seq']} in frame {state['frame_no']}, "
                f"the frames say {span.last_seq}",
            )


def check_stored(stored: StoredState, spans: Mapping[str, Span], report: Reporter) -> None:
    """Every customer of a frame has a record: a restore whose frames are gone begins from it."""
    for customer in spans.keys() - stored.customers.keys():
        report(
            "state_missing",
            f"rater.state c/{customer}",
            f"no record; frames end at {spans[customer].last_seq}",
        )
