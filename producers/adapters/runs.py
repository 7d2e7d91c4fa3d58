"""Stored runs of a replay: the start instant, so that running it again sends the same events."""

import json
from collections.abc import Sequence
from pathlib import Path

from runtime.errors import UsageProblemError


class Runs:
    """One file for each set of traces, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, traces: Sequence[str]) -> Path:
        """Where the run of these traces is stored."""
        return self._directory / f"{'+'.join(sorted(traces))}.json"

    def start_us(self, traces: Sequence[str]) -> int | None:
        """The stored start, microseconds since 1970 UTC; None where these traces have not been replayed.

        Raises UsageProblemError for a file that does not hold one.
        """
        path = self.path(traces)
        try:
            start_us = json.loads(path.read_text("utf-8"))["start_us"]
        except FileNotFoundError:
            return None
        except (ValueError, LookupError, TypeError) as error:
            raise UsageProblemError(
                f"{path} holds no stored run ({error}); delete it or give --start"
            ) from error
        if not isinstance(start_us, int):
            raise UsageProblemError(
                f"start_us in {path} is {start_us!r}; rule: whole microseconds; or give --start"
            )
        return start_us

    def store(self, traces: Sequence[str], start_us: int) -> None:
        """Keep the start before the first event is sent, whole or not at all."""
        path = self.path(traces)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps({"traces": sorted(traces), "start_us": start_us}) + "\n", "utf-8")
        draft.replace(path)
