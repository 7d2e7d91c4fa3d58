"""What operators do while everything burns, by the commands that they have: books, budgets, corrections."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from pricing.instants import instant_text
from schemas.models.usage_event import UsageEvent
from tests.fix_stack import ROOT
from tests.prove import budgets
from tests.prove.books import BookPlan
from tests.prove.journal import Journal

LEAD_S = 15
"""How long before it takes effect a change of prices must be applied."""
_COMMAND_S = 240.0  # faults in all lanes at once have kept a partition standing for two minutes and more
_PAUSE_S = 2.0
_AUTHOR = ("--author", "operator")


class RefusedError(Exception):
    """A command went on failing until its time was over."""


@dataclass
class Operators:
    """Runs `ratestream` commands and writes what they did into the journal.

    Args:
        environment: in which commands reach the direct listeners.
        stopping: give up at once.
    """

    directory: Path
    environment: Mapping[str, str]
    journal: Journal
    stopping: Callable[[], bool]
    plan: BookPlan
    budgets_now: list[Mapping[str, Any]]

    def apply_book(self, *, retroactive: bool = False) -> int:
        """Make what the plan says the newest version."""
        files = self.plan.files()
        folder = self.directory / "book"
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        given = ["book", "apply", str(folder), *_AUTHOR, *(["--retroactive"] if retroactive else [])]
        answer = self.run(*given, findings_are_final=True)
        self.journal.add(
            "book", version=answer["version"], applied_at_us=_now_us(), effective_at_us=None,
            retroactive=retroactive, texts=list(files.values()), answer=answer,
        )  # fmt: skip
        return int(answer["version"])

    def change_prices(self, percent: int, in_s: int) -> int:
        """The list price from some seconds from now on: an operator who comes too late takes a later date."""
        for more_s in (0, 15, 45):
            at_s = _now_us() // 1_000_000 + LEAD_S + in_s + more_s
            self.plan.changes.append((datetime.fromtimestamp(at_s, UTC).strftime("%FT%TZ"), percent))
            try:
                return self.apply_book()
            except RefusedError:
                self.plan.changes.pop()
        raise RefusedError(f"prices at {percent} % were refused at every date")

    def apply_budgets(self, *, tighter: bool = False) -> int:
        """Make these the newest budgets."""
        text = budgets.text(tighter=tighter)
        path = self.directory / "budgets.yaml"
        path.write_text(text, encoding="utf-8")
        answer = self.run("budget", "apply", str(path), "--by", "operator")
        self.budgets_now[:] = yaml.safe_load(text)["budgets"]
        self.journal.add(
            "budget",
            version=answer["version"],
            applied_at_us=_now_us(),
            text=text,
            budgets=list(self.budgets_now),
        )
        return int(answer["version"])

    def void(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Take an event of the ledger back."""
        given = self._about("void", event)
        answer = self._until_applied(*given)
        self._correction("void", given, answer, [event["customer_id"]], identity=_identity(event))
        return answer

    def amend(self, event: Mapping[str, Any], better: Mapping[str, Any]) -> dict[str, Any]:
        """Replace an event of the ledger by what it should have been."""
        path = self.directory / f"amend-{event['event_id']}.json"
        said = UsageEvent.from_avro(dict(better)).to_cloudevent()
        path.write_text(json.dumps(said, default=str), encoding="utf-8")
        given = [*self._about("amend", event), "--event", str(path)]
        answer = self._until_applied(*given)
        self._correction(
            "amend", given, answer, [event["customer_id"]], identity=_identity(event), event=dict(better)
        )
        return answer

    def rerate(self, from_us: int, to_us: int, model: str, version: int) -> dict[str, Any]:
        """Rate a model's recorded events again with a version."""
        given = [
            "rerate", "--from", instant_text(from_us), "--to", instant_text(to_us), "--model", model,
            "--book", str(version), "--apply", *_AUTHOR, "--reason", "the provider charges a tenth less",
            "--wait", "40",
        ]  # fmt: skip
        answer: dict[str, Any] = self.run(*given)
        self._correction("rerate", given, answer, [], from_us=from_us, to_us=to_us, model=model, book=version)
        return answer

    def run(self, *arguments: str, findings_are_final: bool = False, limit_s: float = _COMMAND_S) -> Any:
        """A command's answer; given again until it succeeds, as an operator would during an outage.

        Raises:
            RefusedError: the time is over, or it found something and that is final.
        """
        end_s = time.monotonic() + limit_s
        while True:
            done = subprocess.run(
                [sys.executable, "-m", "cli", *arguments, "--json"],
                cwd=ROOT, env=dict(self.environment), capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode == 0:
                return json.loads(done.stdout)
            told = (
                f"ratestream {' '.join(arguments)}: exit code {done.returncode}: {done.stderr or done.stdout}"
            )
            self.journal.add(
                "command", arguments=list(arguments), exit_code=done.returncode, told=told[-400:]
            )
            final = findings_are_final and done.returncode == 1
            if final or self.stopping() or time.monotonic() > end_s:
                raise RefusedError(told[-2000:])
            time.sleep(_PAUSE_S)

    def _about(self, command: str, event: Mapping[str, Any]) -> list[str]:
        return [
            command, event["event_id"], "--customer", event["customer_id"], "--source", event["source"],
            "--reason", "prove", *_AUTHOR, "--apply", "--wait", "40",
        ]  # fmt: skip

    def _until_applied(self, *given: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.run(*given)
        if answer["state"] not in {"applied", "applied before"}:
            raise RefusedError(f"{given[0]} {given[1]}: {answer}")
        return answer

    def _correction(
        self, action: str, given: list[str], answer: Mapping[str, Any], customers: list[str], **more: Any
    ) -> None:
        self.journal.add(
            "correction", action=action, arguments=list(given), answer=answer, customers=customers, **more
        )


def _identity(event: Mapping[str, Any]) -> list[str]:
    return [event["customer_id"], event["source"], event["event_id"]]


def _now_us() -> int:
    return time.time_ns() // 1000
