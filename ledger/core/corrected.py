"""Corrections: which record each reversal negates, and how often each event was corrected.

Memory: the current record of each event that was ever corrected, of which rater.state names all.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ledger.core.findings import Reporter
from ledger.core.model import ORIGINAL, RatedRecord, frame_where, identity_digest

REVERSAL = "reversal"
REPLACEMENT = "replacement"


class Reversed(NamedTuple):
    """What a reversal negates: None where the record is gone.

    `settles`: a void, or an amend that changed the event, leaves each pool at the price of its quantity. What
    a re-rate reverses is replaced by the same event, and its run settles at its end.
    """

    target: RatedRecord | None
    settles: bool


class Targets:
    """The current record of each corrected event.

    Args:
        corrected: digests of the identities that were ever corrected.
        report: takes the findings.
        from_start: whether usage.rated still begins at its first record.
    """

    def __init__(self, corrected: Collection[bytes], report: Reporter, *, from_start: bool) -> None:
        self._corrected = corrected
        self._report = report
        self._from_start = from_start
        self._current: dict[bytes, RatedRecord] = {}

    def carried(self) -> None:
        """Events were rated in the generation of topics before, whose records are not in this usage.rated."""
        self._from_start = False

    def follow(self, rated: Sequence[RatedRecord]) -> dict[int, Reversed]:
        """A frame's records, in order: what each reversal of them negates, by the reversal's offset."""
        found: dict[int, Reversed] = {}
        if not self._corrected and all(record.rating["leg"] == ORIGINAL for record in rated):
            return found
        by_seq = {(it.event["customer_id"], it.rating["customer_seq"]): it for it in rated}
        for record in rated:
            digest = identity_digest(record.event)
            if record.rating["leg"] != REVERSAL:
                if digest in self._corrected:
                    self._current[digest] = record
                continue
            target = self._current.pop(digest, None)
            if target is None and self._from_start:
                self._report(
                    "reversal", record.where, f"{record.named}: no current record that it could negate"
                )
            after = by_seq.get((record.event["customer_id"], record.rating["customer_seq"] + 1))
            replaced = after is not None and _same_correction(record, after)
            same_event = after is not None and after.event == record.event
            found[record.offset] = Reversed(target, settles=not (replaced and same_event))
        return found


def _same_correction(reversal: RatedRecord, after: RatedRecord) -> bool:
    mine, theirs = reversal.rating, after.rating
    return bool(
        theirs["leg"] == REPLACEMENT
        and (theirs["revision"], theirs["correction_id"]) == (mine["revision"], mine["correction_id"])
        and identity_digest(after.event) == identity_digest(reversal.event)
    )


@dataclass(frozen=True, slots=True)
class _Told:
    """How an event stands: after a frame, or as rater.state has it."""

    revision: int
    correction_id: str
    voided: bool

    def __str__(self) -> str:
        voided = ", voided" if self.voided else ""
        return f"revision {self.revision} by {self.correction_id!r}{voided}"


class Revisions:
    """The revision of each corrected event: told by frames, written by records, kept in rater.state.

    Memory: one entry a corrected event.
    """

    def __init__(
        self, report: Reporter, stored: Mapping[bytes, Mapping[str, Any]], *, from_start: bool
    ) -> None:
        self._report = report
        self._stored = stored
        self._from_start = from_start
        self._due: dict[int, list[bytes]] = {}
        for digest, state in stored.items():
            self._due.setdefault(state["frame_no"], []).append(digest)
        self._at: dict[bytes, _Told] = {}

    def follow(self, frame: Mapping[str, Any], rated: Iterable[RatedRecord] | None) -> None:
        """A frame: its records are the legs of the revisions that it tells. None: the records are gone."""
        told = dict(_revisions(frame))
        if rated is not None:
            self._compare(frame, told, rated)
        self._at.update(told)
        for digest in self._due.pop(frame["frame_no"], ()):
            stored, known = _told(self._stored[digest]), self._at.get(digest)
            if stored != known and (known is not None or self._from_start):
                self._report("state", _where(digest), f"has {stored}, the frames say {known}")

    def check_stored(self) -> None:
        """At the cut: every event that a frame tells as corrected has a record."""
        for digest in self._at.keys() - self._stored.keys():
            self._report("state_missing", _where(digest), f"no record; frames tell {self._at[digest]}")

    def finish(self, newest_frame: int) -> None:
        """After the last frame: rater.state is not ahead of it."""
        for frame_no, digests in self._due.items():
            for digest in digests:
                if frame_no > newest_frame:
                    self._report(
                        "state_ahead",
                        _where(digest),
                        f"written in frame {frame_no}, the log of frames ends at {newest_frame}",
                    )

    def _compare(
        self, frame: Mapping[str, Any], told: Mapping[bytes, _Told], rated: Iterable[RatedRecord]
    ) -> None:
        led: dict[bytes, _Told] = {}
        for record in rated:
            rating = record.rating
            if rating["leg"] == ORIGINAL:
                continue
            digest = identity_digest(record.event)
            before = led.get(digest) or self._at.get(digest)
            number = 0 if before is None else before.revision
            known = before is not None or self._from_start
            expected = number + 1 if rating["leg"] == REVERSAL else number
            if known and rating["revision"] != expected:
                self._report(
                    "revision",
                    record.where,
                    f"{record.named}: {rating['leg']} of revision {rating['revision']}, expected {expected}",
                )
            voided = rating["leg"] == REVERSAL
            led[digest] = _Told(rating["revision"], rating["correction_id"], voided)
        for digest in led.keys() | told.keys():
            if led.get(digest) != told.get(digest):
                self._report(
                    "revision",
                    frame_where(frame),
                    f"id {digest.hex()}: the frame tells {told.get(digest)}, "
                    f"its records lead to {led.get(digest)}",
                )


def _revisions(frame: Mapping[str, Any]) -> Iterable[tuple[bytes, _Told]]:
    for delta in frame["customers"]:
        for revision in delta["revisions"]:
            yield identity_digest(revision | {"customer_id": delta["customer_id"]}), _told(revision)


def _told(state: Mapping[str, Any]) -> _Told:
    return _Told(state["revision"], state["correction_id"], state["voided"])


def _where(digest: bytes) -> str:
    return f"rater.state r/{digest.hex()}"
