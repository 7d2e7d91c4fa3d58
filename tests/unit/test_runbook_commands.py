"""Commands in docs/operating exist with their options, and are done by a test or named as not done."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from cli.__main__ import ratestream
from tests.deploy.manifests import DEPLOY, documents
from tests.runbooks import OPERATING, PLACEHOLDER, ROOT, Block, blocks, pages

TRIED_BY = ("test_runbooks.py", "test_runbooks_secure.py")

# Programs that are not ours, and may stand in a runbook.
OTHERS = {
    "curl", "jq", "grep", "head", "kill", "rm", "mv", "du", "printf", "openssl", "umask", "set", ".", "cd",
    "mkdir", "chmod", "psql", "createdb", "pg_dump", "pg_dumpall", "pg_restore", "docker", "kubectl",
    "kafka-transactions.sh",
}  # fmt: skip

# What no test does, each with the reason.
UNTRIED: dict[tuple[str, str], str] = {
    ("deploy.md", "The image"): "needs a container engine",
    ("deploy.md", "One machine: compose"): "needs a container engine",
    ("rater.md", "When it stops"): "Kafka's own tool, which the local stack does not carry",
}

# Pages whose commands a test of their own does.
ELSEWHERE = {"grow-partitions.md"}

BLOCKS = [block for page in pages() for block in blocks(page)]
COMMANDS = [(block.page, command) for block in BLOCKS for command in block.commands]
_OPERATORS = {"|", "||", "&&", ";", "(", ")", "&"}
_ASSIGNED = re.compile(r"^\w+=")


def simple(command: str) -> Iterator[list[str]]:
    """The simple commands in a line, without assignments and redirections."""
    for inner in re.findall(r"\$\((.*?)\)", command):
        yield from simple(inner)
    lexer = shlex.shlex(re.sub(r"\$\(.*?\)", "VALUE", command), posix=True, punctuation_chars="|&;()<>")
    lexer.whitespace_split = True
    words: list[str] = []
    skip = False
    for word in lexer:
        if skip:
            skip = False
        elif word and set(word) <= set("<>&") and word not in _OPERATORS:
            skip = True
        elif set(word) <= set("|&;()"):
            yield from _named(words)
            words = []
        else:
            words.append(word)
    yield from _named(words)


def _named(words: list[str]) -> Iterator[list[str]]:
    while words and (_ASSIGNED.match(words[0]) or words[0] == "exec"):
        words = words[1:]
    if words:
        yield words


def parse(words: list[str]) -> None:
    """Parse a command of ours as click does. Raises UsageError: there is no such command or option."""
    command: click.Command = ratestream
    context = click.Context(command, info_name="ratestream")
    rest = words[1:]
    while isinstance(command, click.Group):
        if rest and rest[0] in {"--version", "--help"}:
            return
        if not rest:
            raise click.UsageError(f"{' '.join(words)}: a command is missing")
        found = command.get_command(context, rest[0])
        if found is None or (found.short_help or "").startswith("(not available"):
            raise click.UsageError(f"{' '.join(words)}: there is no command {rest[0]!r}")
        if rest[0] == "run" and rest[1:2] == ["SERVICE"]:
            return
        command, rest = found, rest[1:]
        context = click.Context(command, info_name=command.name, parent=context)
    values, left, _ = command.make_parser(context).parse_args(list(rest))
    if left:
        raise click.UsageError(f"{' '.join(words)}: {left} is left over")
    for param in command.get_params(context):
        _check(param, values.get(param.name or ""), context)


def _check(param: click.Parameter, value: object, context: click.Context) -> None:
    given = not (value is None or value == () or type(value).__name__ == "Sentinel")
    if not given:
        if param.required:
            raise click.MissingParameter(ctx=context, param=param)
        return
    if isinstance(param.type, click.Path | click.File):
        return  # what it names is not here
    for each in value if isinstance(value, list | tuple) else [value]:
        if not (isinstance(each, str) and PLACEHOLDER.search(each)):
            param.type.convert(each, param, context)


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=lambda value: str(value)[:60])
def test_a_command_exists_with_its_options(page: str, command: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for words in simple(command):
        if words[0] == "ratestream":
            parse(words)
        elif words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= targets, command
        else:
            assert words[0] in OTHERS, f"{words[0]} in {command!r}: neither ours nor one of OTHERS"


@pytest.mark.parametrize(
    "wrong",
    [
        "ratestream nonsense",
        "ratestream rejected",
        "ratestream rejected replay --nonsense",
        "ratestream rejected replay --reason nonsense",
        "ratestream void EVENT_ID --customer CUSTOMER --reason x",
        "ratestream verify too much",
        "ratestream rerate --book nothing",
        "jq . | ratestream verify --quik",
    ],
)
def test_a_command_that_does_not_exist_is_found(wrong: str) -> None:
    ours = [words for words in simple(wrong) if words[0] == "ratestream"]
    with pytest.raises(click.UsageError):
        parse(ours[0])


def _objects() -> Iterator[dict[str, Any]]:
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        yield from (each for each in documents(path) if "metadata" in each)


def test_what_kubectl_is_told_about_is_in_the_manifests() -> None:
    known = {(str(each["kind"]).lower(), str(each["metadata"]["name"])) for each in _objects()}
    spaces = {name for kind, name in known if kind == "namespace"}
    for _, command in COMMANDS:
        for words in simple(command):
            if words[0] == "kubectl":
                named = [
                    tuple(word.split("/", 1))
                    for word in words
                    if word.startswith(("statefulset/", "deployment/"))
                ]
                assert set(named) <= known, command
                assert "--namespace" not in words or words[words.index("--namespace") + 1] in spaces, command
                assert named or "--kustomize" in words, command


def tried() -> set[tuple[str, str]]:
    """Page and section of every `follow` in the tests that do what the pages say."""
    found = set[tuple[str, str]]()
    for name in TRIED_BY:
        tree = ast.parse((ROOT / "tests/integration" / name).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "follow"
            ):
                page, section = node.args[:2]
                assert isinstance(page, ast.Constant), ast.dump(page)
                assert isinstance(section, ast.Constant), ast.dump(section)
                found.add((str(page.value), str(section.value)))
    return found


def test_every_section_with_commands_is_done_by_a_test_or_named_as_not_done() -> None:
    written = {(block.page, block.section) for block in BLOCKS if block.page not in ELSEWHERE}
    done = tried()
    assert done <= written, "a test follows what no page says"
    assert not done & UNTRIED.keys()
    assert written == done | UNTRIED.keys()
    assert all(UNTRIED.values())


def test_a_page_shows_commands_in_blocks_of_bash_only() -> None:
    """Else they would not be held to the command line."""
    for page in pages():
        fence = ""
        for line in (OPERATING / page).read_text(encoding="utf-8").splitlines():
            if line.startswith("```"):
                fence = "" if fence else line[3:] or "text"
            elif fence == "text" and line.startswith("ratestream "):
                pytest.fail(f"docs/operating/{page}: {line}")


def test_pages_link_to_pages_and_sections_that_exist() -> None:
    for page in pages():
        text = (OPERATING / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" in target:
                continue
            name, _, anchor = target.partition("#")
            path = (OPERATING / name).resolve() if name else OPERATING / page
            assert path.exists(), f"{page}: {target}"
            if anchor:
                titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
                anchors = {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles}
                assert anchor in anchors, f"{page}: {target}"


def test_blocks_are_read_as_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.runbooks.OPERATING", tmp_path)
    text = "# A\n```text\nno\n```\n## B\n```bash\na 'x # y' \\\n  --b   # why\n# only this\nc\n```\n"
    (tmp_path / "p.md").write_text(text)
    assert list(blocks("p.md")) == [Block("p.md", "B", ("a 'x # y' --b", "c"))]
