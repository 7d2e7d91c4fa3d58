"""`ratestream book lint`: what is sound and yet looks wrong, each remark with its card, line and rule."""

import json
from pathlib import Path

import click

from rate_book.form import load_book, shipped_books
from rate_book.lint import lint


@click.command("lint")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[DIR]...")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON, on one line.")
def lint_command(paths: tuple[Path, ...], *, as_json: bool) -> None:
    """Check the book in DIR ... (default: the shipped one) for prices that are likely mistakes.

    A card says `accepted: {RULE: why}` where it is right as it is. Exit codes: 0 no remark, 1 remarks.

    Example: ratestream book lint books/providers books/customers
    """
    content = load_book(paths or shipped_books())
    remarks = lint(content)
    if as_json:
        click.echo(json.dumps({"remarks": [remark._asdict() for remark in remarks]}))
    else:
        for remark in remarks:
            click.echo(str(remark))
        click.echo(f"remarks: {len(remarks)}")
    if remarks:
        raise click.exceptions.Exit(1)
