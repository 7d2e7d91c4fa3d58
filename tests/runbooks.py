"""The commands of docs/operating, out of its fenced blocks: what is tested is what is written."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OPERATING = ROOT / "docs" / "operating"

# A word in capitals stands for what the reader knows: CUSTOMER, EVENT_ID, slots and addresses.
PLACEHOLDER = re.compile(r"(?<![\w$.{-])[A-Z][A-Z_]{2,}\b(?!=)")
_HEADING = re.compile(r"^#+ (.+)$")
_COMMENT = re.compile(r"(?:^|\s{2,})#\s.*$")


@dataclass(frozen=True)
class Block:
    """One block of ```bash: the page, the heading above it, its commands with continued lines joined."""

    page: str
    section: str
    commands: tuple[str, ...]


def pages() -> list[str]:
    return sorted(path.name for path in OPERATING.glob("*.md"))


def blocks(page: str) -> Iterator[Block]:
    """Each block of commands of a page, in order."""
    section, fence, lines = "", "", list[str]()
    for line in (OPERATING / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            if fence == "bash":
                yield Block(page, section, tuple(_commands(lines)))
            fence = "" if fence else line[3:].strip() or "text"
            lines = []
        elif fence:
            lines.append(line)
        elif heading := _HEADING.match(line):
            section = heading[1]


def _commands(lines: list[str]) -> Iterator[str]:
    text = ""
    for line in lines:
        kept = _COMMENT.sub("", line).rstrip()
        if kept.endswith("\\"):
            text += kept[:-1].rstrip() + " "
        elif text + kept.strip():
            yield text + kept.strip()
            text = ""
    if text:
        raise ValueError(f"a command is not ended: {text}")


def commands(page: str, section: str) -> list[str]:
    """The commands under a heading. Raises LookupError: there are none."""
    found = [command for block in blocks(page) if block.section == section for command in block.commands]
    if not found:
        raise LookupError(f"docs/operating/{page} has no commands under {section!r}")
    return found


def filled(command: str, fills: Mapping[str, object]) -> str:
    """The command with the case's own words for its placeholders. Raises LookupError: one is not known."""

    def word(match: re.Match[str]) -> str:
        if match[0] not in fills:
            raise LookupError(f"{match[0]} stands in {command!r} and is not given")
        return str(fills[match[0]])

    return PLACEHOLDER.sub(word, command)
