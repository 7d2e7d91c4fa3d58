"""`ratestream replay`: publish a request trace as usage events."""

import sys

import click
from tqdm import tqdm

from cli.emit import show
from producers.__main__ import prepare_replay, run_replay
from producers.core.trace_events import ASSIGNED
from runtime.settings import SettingsLoader
from schemas.errors import InvalidEvent
from schemas.instants import format_instant, parse_instant

_INFRASTRUCTURE = 3


@click.command()
@click.argument("traces", metavar="TRACE...", nargs=-1, required=True)
@click.option("--start", metavar="INSTANT", help="When the first event happens.")
@click.option("--new", is_flag=True, help="Do not reuse the stored start: these are new events.")
@click.option(
    "--speed", type=click.FloatRange(min=0, min_open=True), help="Times as fast as recorded. Default: 1."
)
@click.option("--as-fast-as-possible", "unpaced", is_flag=True, help="Do not wait between events.")
@click.option("--limit", type=click.IntRange(min=1), help="Send at most so many events.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def replay(
    *,
    traces: tuple[str, ...],
    start: str | None,
    new: bool,
    speed: float | None,
    unpaced: bool,
    limit: int | None,
    as_json: bool,
) -> None:
    """Publish the requests of TRACE... as usage events: names of shipped traces, or files.

    Shipped are azure_llm_2023_conv and azure_llm_2023_code. Spacing and token counts are the trace's. The
    start is --start, else that of the last run of the same traces, else now minus their length; it is stored,
    so that a run again sends the same events. Customers, models and queries are not in the trace: they are
    assigned by a fixed seed.

    Example: ratestream replay azure_llm_2023_conv azure_llm_2023_code --as-fast-as-possible
    """
    if unpaced and speed is not None:
        raise click.UsageError("--speed and --as-fast-as-possible exclude each other")
    if new and start is not None:
        raise click.UsageError("--new and --start exclude each other")
    loader = SettingsLoader.of_process()
    run = prepare_replay(traces, loader, start_us=_instant(start), new=new)
    events = min(run.events, limit or run.events)
    if not as_json:
        origin = f"stored in {run.stored_in}" if run.start_stored else f"kept in {run.stored_in}"
        click.echo(f"{events} events from {format_instant(run.start_us)} on ({origin})\n{ASSIGNED}")
    with tqdm(total=events, unit=" events", disable=None if not as_json else True) as bar:
        summary = run_replay(
            run, loader, speed=None if unpaced else speed or 1.0, limit=limit, on_sent=bar.update
        )
    extra: dict[str, object] = {
        "traces": [trace.name for trace in run.traces],
        "start": format_instant(run.start_us),
        "start_stored": run.start_stored,
        "assigned": ASSIGNED,
    }
    show(summary, as_json=as_json, extra=extra)
    if summary.unacknowledged:
        sys.exit(_INFRASTRUCTURE)


def _instant(text: str | None) -> int | None:
    try:
        return None if text is None else parse_instant(text, "--start")
    except InvalidEvent as error:
        raise click.UsageError(str(error)) from error
