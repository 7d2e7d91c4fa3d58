"""One target under atheris (libFuzzer), in a process of its own: `tests.fuzz.worker TARGET FOLDER ARGS`.

A finding is written down and the run goes on, so that one does not hide the next; a hang or too much memory
ends the process, and libFuzzer keeps the input.
"""

import hashlib
import json
import sys
import time
import traceback
from pathlib import Path

import atheris

_OURS = [
    "aggregator", "budget_guard", "cli", "ledger", "pricing", "producers", "rate_book", "rater", "runtime",
    "schemas",
]  # fmt: skip
# It keeps every array that it sees compared: a gigabyte in five minutes, which is not ours.
_ARRAYS = ["schemas.columns"]
with atheris.instrument_imports(include=_OURS, exclude=_ARRAYS):
    from tests.fuzz.targets import TARGETS

_TELL_S = 1.0


class _Run:
    def __init__(self, name: str, folder: Path) -> None:
        self._target = TARGETS[name]
        self._folder = folder
        self._counts = {"inputs": 0, "taken": 0, "slowest_ms": 0}
        self._told_s = time.monotonic()
        self._seen: set[str] = set()

    def one(self, data: bytes) -> None:
        """One input."""
        begun_s = time.monotonic()
        try:
            self._counts["taken"] += self._target.takes(data)
        except Exception as error:  # noqa: BLE001 - whatever comes out is a finding
            self._write_down(data, error)
        now_s = time.monotonic()
        self._counts["inputs"] += 1
        self._counts["slowest_ms"] = max(self._counts["slowest_ms"], round((now_s - begun_s) * 1000))
        if now_s - self._told_s > _TELL_S:
            self._told_s = now_s
            (self._folder / "counts.json").write_text(json.dumps(self._counts), "utf-8")

    def _write_down(self, data: bytes, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{type(error).__name__} at {frames[-1].filename}:{frames[-1].lineno}"
        if place in self._seen:
            return
        self._seen.add(place)
        name = hashlib.sha256(place.encode()).hexdigest()[:12]
        findings = self._folder / "findings"
        findings.mkdir(exist_ok=True)
        (findings / f"{name}.input").write_bytes(data)
        text = "".join(traceback.format_exception(error))
        (findings / f"{name}.txt").write_text(f"{place}\n{data!r}\n{text}", "utf-8")


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    name, folder, *arguments = sys.argv[1:]
    run = _Run(name, Path(folder))
    atheris.Setup([sys.argv[0], *arguments], run.one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
