"""Each example in the reference of the rate book loads: as a file of a book, or as the part that it is."""

import re
import textwrap
from pathlib import Path

import pytest

from rate_book.form import KINDS, load_book
from rate_book.lint_rules import LINT_RULES

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "rate-book.md"
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)

FILE = "provider: p\ncurrency: USD\ncards:\n"
OTHERS = "".join(
    f"  - {{card: {name}, models: [{name}], versions: [{{rates: {{images: 1}}}}]}}\n"
    for name in ("openai/gpt-4o", "groq/whisper-large-v3")
)
CARD = "  - card: one\n    models: [one]\n"


def files_of(block: str) -> list[str]:
    """The block as a file; a part of one gets what it lacks. A correction is told of in a file after the
    other.
    """
    text = textwrap.dedent(block)
    first = text.partition(":")[0]
    if first in KINDS:
        return [text]
    if first == "pools":
        return ["price_card: list\ncurrency: USD\n" + text]
    if first == "- card":
        return (
            [FILE + OTHERS, FILE + textwrap.indent(text, "  ")]
            if "corrects" in text
            else [FILE + OTHERS + textwrap.indent(text, "  ")]
        )
    versions = text if first == "versions" else "versions:\n" + textwrap.indent(text, "  ")
    if not text.startswith(("versions", "- ")):
        versions = "versions:\n  - " + textwrap.indent(text, "    ").lstrip()
    return [FILE + CARD + textwrap.indent(versions, "    ")]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.strip().partition("\n")[0][:40])
def test_an_example_loads(tmp_path: Path, block: str) -> None:
    folders = []
    for number, text in enumerate(files_of(block)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "book.yaml").write_text(text)
        folders.append(folder)
    load_book(folders)


def test_every_rule_of_lint_is_told() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [rule for rule in LINT_RULES if f"| `{rule}` |" not in page] == []
