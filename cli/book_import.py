"""`ratestream book import`: another project's price list as provider files to review, beside a report of
where it and our book disagree.
"""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import click

from pricing.cards import BookContent
from rate_book.form import load_book, shipped_books
from rate_book.importers.difference import Difference, difference, rows_text
from rate_book.importers.genai_prices import Imported, import_genai_prices
from rate_book.importers.litellm import import_litellm
from rate_book.importers.price_files import write_corrections, write_lists
from rate_book.importers.price_list import ProviderList, Refusal
from rate_book.importers.vendor_rules import corrected_by_hand
from rate_book.importers.vendor_rules import corrections as corrections_of
from rate_book.instants import moment
from runtime.clock import SystemClock

REPORT_FILE = "DIFFERENCE.txt"

_SHOWN = 20
_OUTPUT = click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the files to review go. Default: import/ and the list's name.",
)
_WRITE = click.option("--write", is_flag=True, help="Replace files that stand there with other content.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, on one line.")


@click.group("import")
def import_group() -> None:
    """Make provider files to review from another project's price list.

    Nothing of the shipped book changes, and no file is replaced without --write. What a book cannot say is
    refused by name; where the list and the shipped book disagree, the report says so and takes neither.

    Example: ratestream book import litellm model_prices_and_context_window.json
    """


@import_group.command("genai-prices")
@_OUTPUT
@click.option(
    "--corrections",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where corrections go that follow from a vendor's rule. Default: corrections/ below the output.",
)
@_WRITE
@_JSON
def genai_prices_command(
    output: Path | None, corrections: Path | None, *, write: bool, as_json: bool
) -> None:
    """Import the data of the installed package genai-prices.

    Example: ratestream book import genai-prices --output review/
    """
    imported = import_genai_prices(_today())
    ours = load_book(shipped_books())
    folder = output or Path("import") / "genai-prices"
    mended, refused = corrections_of(imported.lists, corrected_by_hand(_corrections()))
    imported.refusals.extend(refused)
    command = "ratestream book import genai-prices"
    written = write_lists(folder, command, imported.lists, imported.refusals, overwrite=write)
    written += write_corrections(
        corrections or folder / "corrections", command, mended, beside=folder, overwrite=write
    )
    _report(imported, written, difference(ours, _theirs(written)), as_json=as_json)


@import_group.command("litellm")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@_OUTPUT
@_WRITE
@_JSON
def litellm_command(file: Path, output: Path | None, *, write: bool, as_json: bool) -> None:
    """Import LiteLLM's model_prices_and_context_window.json: prices of today, without history.

    Example: ratestream book import litellm model_prices_and_context_window.json --output review/
    """
    today = _today()
    imported = import_litellm(file, today)
    ours = load_book(shipped_books())
    folder = output or Path("import") / "litellm"
    command = "ratestream book import litellm"
    written = write_lists(folder, command, imported.lists, imported.refusals, overwrite=write)
    at_us = int(datetime(today.year, today.month, today.day, tzinfo=UTC).timestamp()) * 1_000_000
    _report(imported, written, difference(ours, _theirs(written), at_us), as_json=as_json)


def _today() -> date:
    return moment(SystemClock().now_us()).date()


def _report(imported: Imported, written: Sequence[Path], found: Difference, *, as_json: bool) -> None:
    folder = written[0].parent
    # Not beside the shipped lists: a report belongs to a review.
    report = None if folder.resolve() == shipped_books()[0].resolve() else folder / REPORT_FILE
    if report:
        report.write_text(rows_text(found.rows), encoding="utf-8")
    if as_json:
        click.echo(json.dumps(_as_data(imported.lists, imported.refusals, found, folder)))
        return
    shown = found.rows[:_SHOWN] if report else found.rows
    click.echo(rows_text(shown), nl=False)
    if len(shown) < len(found.rows):
        click.echo(f"and {len(found.rows) - len(shown)} more in {report}")
    cards = sum(len(item.cards) for item in imported.lists)
    click.echo(
        f"{cards} cards in {len(imported.lists)} provider files in {folder};"
        f" {len(imported.refusals)} remarks in REFUSED.txt"
    )
    click.echo(
        f"{found.alike} prices as in the shipped book, {len(found.rows)} differences,"
        f" {len(found.unknown)} models that it does not have"
    )


def _theirs(written: Sequence[Path]) -> BookContent:
    """The list itself, without corrections."""
    folder = written[0].parent
    return load_book([path for path in written if path.suffix == ".yaml" and path.parent == folder])


def _as_data(
    lists: Sequence[ProviderList], refusals: Sequence[Refusal], found: Difference, folder: Path
) -> dict[str, object]:
    return {
        "folder": str(folder),
        "cards": sum(len(item.cards) for item in lists),
        "refused": [
            {"provider": item.provider, "model": item.model, "what": item.what, "outcome": item.outcome}
            for item in refusals
        ],
        "alike": found.alike,
        "differences": [row.as_data() for row in found.rows],
        "unknown": list(found.unknown),
    }


def _corrections() -> list[Path]:
    return [path for path in shipped_books() if path.name == "corrections"]
