"""Wires the producers' parts: `ratestream emit` and `ratestream replay` call the functions here."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from producers.adapters.publisher import Publisher
from producers.adapters.runs import Runs
from producers.adapters.trace_files import load_traces
from producers.core.trace import Trace
from producers.service import BadLine, Summary, default_start_us, emit_lines, replay
from producers.settings import ProducersSettings
from runtime.clock import SystemClock
from runtime.settings import KafkaSettings, SettingsLoader


@dataclass(frozen=True, slots=True)
class Run:
    """A replay that is ready to be sent: its traces and its start in microseconds."""

    traces: tuple[Trace, ...]
    start_us: int
    start_stored: bool
    stored_in: str

    @property
    def events(self) -> int:
        return sum(len(trace.rows) for trace in self.traces)


def main(lines: Iterable[bytes], loader: SettingsLoader, on_bad: Callable[[BadLine], None]) -> Summary:
    """Publish CloudEvents, one a line. Raises ReportedError."""
    with _publisher(loader) as publisher:
        return emit_lines(lines, publisher, on_bad)


def prepare_replay(
    names_or_paths: Sequence[str], loader: SettingsLoader, *, start_us: int | None, new: bool
) -> Run:
    """Read the traces and settle the start: the given one, else the stored one, else now minus their length.

    Raises ReportedError.
    """
    traces = load_traces(names_or_paths)
    names = [trace.name for trace in traces]
    runs = Runs(loader.state_dir / "replay")
    stored_us = None if new else runs.start_us(names) if start_us is None else None
    chosen_us = start_us if start_us is not None else stored_us
    if chosen_us is None:
        chosen_us = default_start_us(traces, SystemClock())
    return Run(traces, chosen_us, stored_us is not None, str(runs.path(names)))


def run_replay(
    run: Run, loader: SettingsLoader, *, speed: float | None, limit: int | None, on_sent: Callable[[], object]
) -> Summary:
    """Store the start and send the events. Raises ReportedError."""
    with _publisher(loader) as publisher:
        Runs(loader.state_dir / "replay").store([trace.name for trace in run.traces], run.start_us)
        return replay(
            run.traces, run.start_us, publisher, SystemClock(), speed=speed, limit=limit, on_sent=on_sent
        )


def _publisher(loader: SettingsLoader) -> Publisher:
    kafka = loader.section("kafka", KafkaSettings)
    return Publisher(kafka, loader.section("producers", ProducersSettings))
