"""What a run says at its end: what was injected and seen, each invariant, one verdict, how to replay it."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.prove.coverage import Seen
from tests.prove.run import Run


class Judged(Protocol):
    """A row of the checks."""

    @property
    def invariant(self) -> str: ...
    @property
    def promise(self) -> str: ...
    @property
    def measured(self) -> str: ...
    @property
    def ok(self) -> bool: ...


@dataclass
class Verdict:
    """Everything that a run found out."""

    seed: int
    minutes: float
    rows: list[Judged] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    drained_s: float = -1.0
    wall_s: float = 0.0

    @property
    def passed(self) -> bool:
        return (
            bool(self.rows)
            and all(row.ok for row in self.rows)
            and all(kind.ok for kind in self.seen)
            and not self.failures
        )

    @property
    def replay(self) -> str:
        return f"make prove SEED={self.seed} MINUTES={self.minutes:g}"

    def as_json(self) -> dict[str, Any]:
        """For the table of seeds."""
        return {
            "seed": self.seed,
            "minutes": self.minutes,
            "passed": self.passed,
            "invariants": {row.invariant: row.ok for row in self.rows},
            "missing": [kind.what for kind in self.seen if not kind.ok],
            "failures": self.failures,
            "notes": self.notes,
            "counts": self.counts,
            "drained_s": round(self.drained_s, 1),
            "wall_s": round(self.wall_s),
        }


def counts(run: Run) -> dict[str, int]:
    """How much there was of everything, from the journal."""
    kinds = Counter(entry["kind"] for entry in run.journal)
    published = sum(kinds[kind] for kind in ("event", "repeat", "conflict", "poison", "late"))
    codes = Counter(entry["exit_code"] for entry in run.journal.entries("ended"))
    return {
        "records": published,
        "events": kinds["event"],
        "repeats": kinds["repeat"],
        "faults": kinds["fault"],
        "process lives": kinds["started"],
        "SIGKILLs": codes[-9],
        "loud stops": codes[3] + codes[70],
        "webhooks": kinds["delivery"],
    }


def render(run: Run, verdict: Verdict) -> str:
    """The tables and the verdict."""
    faults = Counter((entry["name"], entry["target"]) for entry in run.journal.entries("fault"))
    by_name: dict[str, list[str]] = {}
    for (name, target), number in sorted(faults.items()):
        by_name.setdefault(name, []).append(f"{target or 'once'}{f' x{number}' if number > 1 else ''}")
    lines = ["", "injected"]
    lines += [f"  {name:<32} {', '.join(targets)}" for name, targets in by_name.items()]
    lines += ["", "seen (a pass needs each of them)"]
    for kind in verdict.seen:
        told = str(kind.count) if kind.count or not kind.excused else f"not covered: {kind.excused}"
        lines.append(f"  {kind.what:<44} {told:>6}{'' if kind.ok else '  FAILED: not seen'}")
    lines += ["", "invariants"]
    for row in verdict.rows:
        lines.append(f"  {row.invariant:<5}{'ok    ' if row.ok else 'FAILED'}  {row.promise}: {row.measured}")
    lines += [""] + [f"note: {note}" for note in verdict.notes]
    lines += [f"FAILED: {failure}" for failure in verdict.failures]
    told = ", ".join(f"{number:,} {what}" for what, number in verdict.counts.items())
    lines += [
        told,
        "",
        f"{'PASSED' if verdict.passed else 'FAILED'}: seed {verdict.seed}, {verdict.wall_s:.0f} s",
    ]
    return "\n".join([*lines, f"again: {verdict.replay}"])


_CELL = 200
"""Characters of a reason in the table."""


def table(results: Path) -> str:
    """A Markdown table of the runs whose summaries stand in a folder, by seed: the newest of each."""
    newest: dict[tuple[int, float], dict[str, Any]] = {}
    for path in sorted(results.glob("*.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        newest[told["seed"], told["minutes"]] = told
    lines = [
        "| seed | minutes | records | faults | lives | SIGKILLs | loud stops | at rest after | verdict |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    lines += [_line(told) for _, told in sorted(newest.items())]
    return "\n".join(lines)


def _line(told: dict[str, Any]) -> str:
    counted = {"records": 0, "faults": 0, "process lives": 0, "SIGKILLs": 0, "loud stops": 0} | told["counts"]
    verdict = "passed" if told["passed"] else "FAILED: " + "; ".join(_short(why) for why in _why(told))
    return (
        f"| {told['seed']} | {told['minutes']:g} | {counted['records']:,} | {counted['faults']} |"
        f" {counted['process lives']} | {counted['SIGKILLs']} | {counted['loud stops']} |"
        f" {told['drained_s']:g} s | {verdict} |"
    )


def _why(told: dict[str, Any]) -> Sequence[str]:
    broken = [name for name, ok in told["invariants"].items() if not ok]
    return [*broken, *(f"not seen: {what}" for what in told["missing"]), *told["failures"][:2]]


def _short(why: str) -> str:
    """What fits a cell: where it says much, its first line and its last, which says what came of it."""
    lines = why.strip().splitlines() or [""]
    told = lines[0] if len(lines) == 1 else f"{lines[0][:60].rstrip()} ... {lines[-1]}"
    return told.replace("|", "/")[:_CELL]
