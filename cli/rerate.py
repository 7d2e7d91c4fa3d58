"""`ratestream rerate`: recorded events rated again with a version of the book: the difference first."""

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from cli.book_simulate import Instant
from cli.rerate_text import describe_done, describe_plan, done_json, plan_json
from ledger.adapters.corrections import check_said
from ledger.adapters.rerate import FAILPOINTS, OnDetail, Rerate, Tell
from ledger.adapters.rerate_ready import check_ready
from ledger.adapters.rerate_runs import Run, find_run, open_run
from ledger.core.amounts import plain
from ledger.core.rerate import Asked
from ledger.core.rerate_difference import Change, Detail
from pricing.instants import instant_text
from rate_book.instants import parse_instant
from runtime.errors import UsageProblemError
from runtime.failpoints import failpoints_from
from runtime.postgres import Connection, connect
from runtime.settings import KafkaSettings, PostgresSettings, SettingsLoader

_FINDINGS = 1
_STATEMENT_MS = 600_000
_FILTERS = ("providers", "models", "products", "features")


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked, as it is kept with a run."""

    asked: Asked
    customers: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        asked = self.asked
        return {
            "from": instant_text(asked.from_us),
            "to": instant_text(asked.to_us),
            "book": asked.book_version,
            "customers": sorted(set(self.customers)),
            **{name: sorted(getattr(asked, name)) for name in _FILTERS},
        }

    @classmethod
    def of_run(cls, run: Run) -> "_Question":
        kept = run.asked
        filters = {name: frozenset(kept[name]) for name in _FILTERS}
        asked = Asked(parse_instant(kept["from"]), parse_instant(kept["to"]), kept["book"], **filters)
        return cls(asked, tuple(kept["customers"]))


@click.command()
@click.option("--from", "from_us", type=Instant(), help="Events from this instant on.")
@click.option("--to", "to_us", type=Instant(), help="Events before this instant.")
@click.option("--book", "version", type=click.IntRange(min=1), help="The version to rate with.")
@click.option("--customer", "customers", multiple=True, help="Only this customer; may be repeated.")
@click.option("--provider", "providers", multiple=True, help="Only this provider; may be repeated.")
@click.option("--model", "models", multiple=True, help="Only this model; may be repeated.")
@click.option("--product", "products", multiple=True, help="Only this product; may be repeated.")
@click.option("--feature", "features", multiple=True, help="Only this feature; may be repeated.")
@click.option("--apply", "applying", is_flag=True, help="Do it; otherwise only the difference is told.")
@click.option("--author", help="Who; it stands in each command.")
@click.option("--reason", help="Why; it stands in each command.")
@click.option("--run", "run_id", help="Go on with this run, in place of its arguments.")
@click.option(
    "--wait",
    "wait_s",
    type=click.IntRange(min=1),
    default=60,
    show_default=True,
    help="Seconds without progress of rater or ledger before it gives up.",
)
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Rows of each list.")
@click.option(
    "--details",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the difference by customer, model and line to this CSV file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with all groups.")
def rerate(
    *,
    from_us: int | None,
    to_us: int | None,
    version: int | None,
    customers: Sequence[str],
    applying: bool,
    author: str | None,
    reason: str | None,
    run_id: str | None,
    wait_s: int,
    limit: int,
    details: Path | None,
    as_json: bool,
    **filters: Sequence[str],
) -> None:
    """Rate recorded events again with a version of the rate book, and tell the difference exactly.

    Without --apply nothing is written. Where a period's price is touched, the re-rate widens to the whole
    period of that customer and pool, and says so. A run that was interrupted goes on when the same command is
    given again, or with --run; nothing is billed twice. Exit code 1 where raters or ledger are behind, or a
    command was refused.

    Example: ratestream rerate --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z --book 7
    """
    question = None if run_id is not None else _question(from_us, to_us, version, customers, filters)
    if run_id is None and applying and not (author and reason):
        raise UsageProblemError("--apply needs --author and --reason")
    if author and reason:
        check_said(author, reason)
    loader = SettingsLoader.of_process()
    dsn = loader.section("postgres", PostgresSettings).dsn.get_secret_value()
    kafka = loader.section("kafka", KafkaSettings)
    name = "ratestream-rerate"
    with connect(dsn, application_name=name, statement_timeout_ms=_STATEMENT_MS) as connection:
        run = None if run_id is None else find_run(connection, run_id)
        if run is not None and run.totals is not None:
            _tell_finished(run, as_json=as_json)
            return
        question = _Question.of_run(run) if run is not None else question
        if question is None:
            raise UsageProblemError("--from, --to and --book, or --run, must be given")
        work = Rerate(connection, dsn, question.asked, question.customers)
        check_ready(kafka, connection, question.asked.book_version, wait_s=wait_s)
        with _details(details) as on_detail:
            if run is None and not applying:
                with _bar("customers", "rating", quiet=as_json) as tell:
                    planned = work.dry_run(on_detail, tell)
                asked = question.as_json()
                told = plan_json(asked, planned) if as_json else describe_plan(asked, planned, limit)
                click.echo(json.dumps(told) if as_json else told)
                return
            run = run or _opened(connection, question, author or "", reason or "")
            if not as_json:
                click.echo(f"run {run.run_id}", err=True)
            failpoints = failpoints_from(loader.environ, FAILPOINTS)
            with _bar("customers", "publishing", quiet=as_json) as tell:
                published = work.apply(run, kafka, failpoints, on_detail, tell)
        with _bar("records", "waiting", quiet=as_json) as tell:
            done = published.wait(tell, quiet_s=wait_s)
    answer = done_json(question.as_json(), done)
    click.echo(json.dumps(answer) if as_json else describe_done(question.as_json(), done, limit))
    if not answer["complete"]:
        sys.exit(_FINDINGS)


def _question(
    from_us: int | None,
    to_us: int | None,
    version: int | None,
    customers: Sequence[str],
    filters: dict[str, Sequence[str]],
) -> _Question:
    if from_us is None or to_us is None or version is None:
        raise UsageProblemError("--from, --to and --book must be given, or --run")
    if from_us >= to_us:
        raise UsageProblemError(f"--to {instant_text(to_us)} must be after --from {instant_text(from_us)}")
    sets = {name: frozenset(values) for name, values in filters.items()}
    return _Question(Asked(from_us, to_us, version, **sets), tuple(customers))


def _opened(connection: Connection, question: _Question, author: str, reason: str) -> Run:
    version = question.asked.book_version
    return open_run(connection, question.as_json(), book_version=version, author=author, reason=reason)


def _tell_finished(run: Run, *, as_json: bool) -> None:
    told = {"run_id": run.run_id, "finished": True, "asked": run.asked, "totals": run.totals}
    click.echo(json.dumps(told) if as_json else f"run {run.run_id} is finished: {json.dumps(run.totals)}")


@contextmanager
def _details(path: Path | None) -> Iterator[OnDetail]:
    if path is None:
        yield lambda _detail, _change: None
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["customer", "model", "line", "side", "currency", "old_amount", "new_amount", "difference"]
        )

        def write(detail: Detail, change: Change) -> None:
            amounts = (plain(value) for value in (change.old, change.new, change.difference))
            writer.writerow([*detail[:3], *detail.amount, *amounts])

        yield write


@contextmanager
def _bar(unit: str, what: str, *, quiet: bool) -> Iterator[Tell]:
    """A progress bar; nothing where standard error is no terminal."""
    with tqdm(unit=f" {unit}", desc=what, leave=False, disable=True if quiet else None) as bar:

        def tell(done: int, bound: int) -> None:
            bar.total = bound
            bar.update(done)

        yield tell
