"""What a run did, in order: one JSON object a line. The checks judge by this and by what the pipeline shows.

Every entry has `kind` and `at` (seconds of time.monotonic). Offsets and append times are the broker's, from
the delivery report, so an entry about a record stands here only once the record is acknowledged. Events are
whole: every field of UsageEvent, quantities as the text that was published.

    event       a first publication that must be rated (priced or unpriced): customer_id, source, event_id,
                event {..}, topic, partition, offset, append_us, note (plain, pooled, late, out_of_order,
                unpriced, future_within, closing)
    repeat      the same content again: as event, and of = offset of the first publication,
                encoding = bytes | other (the same content encoded differently)
    conflict    the same identity with other content, to be rejected as id_conflict: as event, and of
    late        too_late or in_future: as event, and expected_reason
    poison      a record that must be rejected: what, key (text or null), topic, partition, offset,
                append_us, expected_reason, identity [customer_id, source, event_id] or null
    unacked     a record with no acknowledgement: entry {..} as it would have stood here, error
    book        a version of the rate book that was applied: version, applied_at_us (just after the commit),
                effective_at_us (or null where the command does not tell), retroactive, texts [..]:
                the YAML files in full, for tests.oracle.books.Books(texts=texts)
    budget      applied budgets: version, applied_at_us, text (the YAML file), budgets [..] as parsed
    correction  one use of the operators' tool: action = void | amend | rerate, arguments [..],
                answer {..} (the tool's JSON), customers [..] that it may touch, and
                void: identity [..]; amend: identity [..], event {..} (the content from now on);
                rerate: from_us, to_us, model (or null), book (version).
                The commands themselves, with their offsets, are the records of usage.corrections.
    started     a process: name (rater-0 ..), pid, release = this | previous, failpoints
    ended       a process: name, pid, exit_code, expected (the nemesis did it)
    fault       name, target, detail, required (the name in coverage.REQUIRED, or null)
    recovered   name, target, detail
    failpoint   a failpoint that acted: process, name, action
    delivery    a request that the webhook receiver took: webhook_id, answered (status, or null: hung),
                path, headers {..}, body (text)
    phase       name: warm, faults, quiesce, drained (after_s), checked
"""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

Entry = dict[str, Any]


class Journal:
    """Appends entries from any thread; keeps them, and writes each to `path` at once."""

    def __init__(self, path: Path | None, entries: Sequence[Entry] = ()) -> None:
        self._entries = list(entries)
        self._lock = threading.Lock()
        self._file = None if path is None else path.open("a", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """What stands in a journal now; it is not written to. A line that is being written is left out."""
        whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
        return cls(None, [json.loads(line) for line in whole.splitlines() if line])

    def add(self, kind: str, **fields: Any) -> Entry:
        """Append one entry; fields must be JSON."""
        entry = {"kind": kind, "at": round(time.monotonic(), 3), **fields}
        with self._lock:
            self._entries.append(entry)
            if self._file is not None:
                self._file.write(json.dumps(entry) + "\n")
                self._file.flush()
        return entry

    def entries(self, *kinds: str) -> list[Entry]:
        """Those of these kinds, or all, in order: a copy."""
        with self._lock:
            return [entry for entry in self._entries if not kinds or entry["kind"] in kinds]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries())

    def close(self) -> None:
        """Close the file; entries stay readable."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
