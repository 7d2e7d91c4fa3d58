"""What a correction is about: the current record of an event, and the command that names it. Pure.

A command's id is made of what it says, so that the same command given twice has one effect.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

from ledger.core.model import identity_digest

REVERSAL = "reversal"
Command = Literal["void", "amend", "rerate"]
_ID_BYTES = 16


class LedgerRecord(NamedTuple):
    """A row of ledger.rated: where it stands in usage.rated, its bytes, and these decoded.

    `current`: it is what the event costs now; not a reversal, and nothing came after it.
    """

    partition: int
    offset: int
    value: bytes
    event: Mapping[str, Any]
    rating: Mapping[str, Any]
    current: bool

    @property
    def seq(self) -> int:
        return int(self.rating["customer_seq"])

    @property
    def revision(self) -> int:
        return int(self.rating["revision"])

    @property
    def named(self) -> str:
        """The event as an operator names it."""
        return f"event {self.event['event_id']} of {self.event['customer_id']}, source {self.event['source']}"


@dataclass(frozen=True, slots=True)
class History:
    """All records of one event, oldest first."""

    records: tuple[LedgerRecord, ...]

    @classmethod
    def of(cls, records: Iterable[LedgerRecord]) -> "History":
        return cls(tuple(sorted(records, key=lambda record: record.seq)))

    @property
    def current(self) -> LedgerRecord | None:
        """What the event costs now; None: it was voided."""
        return next((record for record in self.records if record.current), None)

    def legs_of(self, correction_id: str) -> tuple[LedgerRecord, ...]:
        """What that command wrote."""
        return tuple(record for record in self.records if record.rating["correction_id"] == correction_id)

    def repeats(self, command: Command, content: bytes) -> str | None:
        """The id of the event's last correction where the same command, given again, would have that id."""
        last = self.records[-1]
        if last.revision == 0:
            return None
        made = correction_id(command, last.event, last.revision - 1, content)
        return made if last.rating["correction_id"] == made else None


def correction_id(command: Command, event: Mapping[str, Any], revision: int, content: bytes = b"") -> str:
    """The id of a void or an amend of this event at this revision; `content` is the amended event's bytes."""
    said = [
        command,
        *(event[name] for name in ("customer_id", "source", "event_id")),
        revision,
        content.hex(),
    ]
    digest = blake2b(json.dumps(said).encode(), digest_size=_ID_BYTES)
    return f"{command}-{digest.hexdigest()}"


def run_correction_id(run_id: str, event: Mapping[str, Any]) -> str:
    """The id of a run's command for this event."""
    return f"{run_id}/{identity_digest(event).hex()}"


def command_record(
    command: Command,
    target: LedgerRecord,
    *,
    id_: str,
    reason: str,
    author: str,
    book_version: int | None = None,
    amended_event: bytes | None = None,
    run_id: str | None = None,
    closes: Iterable[tuple[str, int]] = (),
) -> dict[str, Any]:
    """The Avro record Correction."""
    return {
        "correction_id": id_,
        "customer_id": target.event["customer_id"],
        "target": {
            "source": target.event["source"],
            "event_id": target.event["event_id"],
            "expected_revision": target.revision,
        },
        "command": command,
        "reason": reason,
        "author": author,
        "book_version": book_version,
        "amended_event": amended_event,
        "target_record": target.value,
        "position": {"partition": target.partition, "offset": target.offset},
        "run_id": run_id,
        "closes": [{"pool": pool, "start_us": start_us} for pool, start_us in closes],
    }
