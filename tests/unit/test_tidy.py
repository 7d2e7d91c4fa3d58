"""Style that no linter knows: sizes, exactness near money, one list of packages, paths that exist."""

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FUNCTION_LINES, FILE_LINES = 70, 400

# Files and functions that may be longer, each with the reason: "path" or "path:function" -> why.
LONGER: dict[str, str] = {
    "tests/unit/pricing/test_cost.py": "one worked case after another, each a few lines of arithmetic",
    "tests/integration/test_assignment_order.py": "scenes and the ways to spoil them, side by side",
}

PLACEHOLDER = "To be described by its owner."

# What a service holds beside the names that all have, each with the reason.
BESIDE = {
    "producers": {"client", "traces"},  # a distribution of its own; the trace files that replay reads
    "ledger": {"verification.py"},  # reads only: the order of its reading
    "aggregator": {"totals.py", "totals_settings.py"},  # a process of its own, without Faust
}

GENERATED = {".venv", ".ratestream", ".git", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}
EXACT = ("pricing/*.py", "*/core/*.py")
# Written in parts, so that this file does not hold what it forbids.
REGISTRIES = [
    host + "." + domain
    for host, domain in [
        ("pypi", "org"), ("pythonhosted", "org"), ("maven.apache", "org"), ("maven", "org"), ("npmjs", "org"),
        ("crates", "io"), ("golang", "org"), ("docker", "io"), ("ghcr", "io"), ("gcr", "io"), ("quay", "io"),
    ]
]  # fmt: skip
MACHINE_PATHS = re.compile(r"(?<![\w.$}])/(?:home|root|Users|work)/\w")


@cache
def files() -> tuple[Path, ...]:
    """Every file of the project: as git tells, else (a copy without git) what is not generated."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode == 0:
        return tuple(path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file())
    return tuple(
        path
        for path in ROOT.rglob("*")
        if path.is_file() and not GENERATED & set(path.parts) and "__pycache__" not in path.parts
    )


def python_files() -> Iterator[tuple[str, str, ast.Module]]:
    for path in files():
        if path.suffix == ".py":
            text = path.read_text(encoding="utf-8")
            yield str(path.relative_to(ROOT)), text, ast.parse(text, str(path))


def texts(*, but: frozenset[str] = frozenset()) -> Iterator[tuple[str, str]]:
    for path in files():
        if path.suffix not in but:
            try:
                yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # an image


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def test_no_function_is_longer_than_70_lines() -> None:
    long = [
        f"{name}:{node.name} has {lines_of(node)} lines"
        for name, _, tree in python_files()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and lines_of(node) > FUNCTION_LINES
        and f"{name}:{node.name}" not in LONGER
    ]
    assert long == []


def test_no_file_is_longer_than_400_lines() -> None:
    long = [
        f"{name} has {text.count(chr(10))} lines"
        for name, text, _ in python_files()
        if text.count("\n") > FILE_LINES and name not in LONGER
    ]
    assert long == []


def test_every_exception_to_the_sizes_is_needed() -> None:
    for place in LONGER:
        assert (ROOT / place.partition(":")[0]).is_file(), f"{place} is in LONGER and not in the project"


def test_every_module_says_what_it_is_for() -> None:
    undescribed = [
        name
        for name, text, tree in python_files()
        if text.strip() and (ast.get_docstring(tree) or PLACEHOLDER) == PLACEHOLDER
    ]
    assert undescribed == []


def test_no_float_near_money() -> None:
    """No float literal, no call of float() and no true division in pricing and the cores."""
    found = []
    for name, _, tree in python_files():
        if name.startswith("tests/") or not any(Path(name).match(pattern) for pattern in EXACT):
            continue
        for node in ast.walk(tree):
            literal = isinstance(node, ast.Constant) and isinstance(node.value, float)
            call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float"
            division = isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div)
            if literal or call or division:
                found.append(f"{name}:{getattr(node, 'lineno', 0)}")
    assert found == []


def test_there_is_one_list_of_packages() -> None:
    """The wheel's list, mypy's, import-linter's and the folders name the same packages."""
    settings = pyproject()["tool"]
    packages = set(settings["hatch"]["build"]["targets"]["wheel"]["packages"])
    outside = {"ratestream_client"}  # a distribution of its own
    beside = {"tests", "bench"}  # never installed, nothing may import them
    assert set(settings["importlinter"]["root_packages"]) == packages | outside | {"tests"}
    assert set(settings["mypy"]["packages"]) == packages | outside | beside
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == packages | beside


def test_every_service_has_the_same_names() -> None:
    services = pyproject()["tool"]["importlinter"]["contracts"][1]["containers"]
    for service in services:
        present = {
            path.name for path in (ROOT / service).iterdir() if not path.name.startswith((".", "__pyc"))
        }
        expected = {
            "__init__.py",
            "__main__.py",
            "service.py",
            "adapters",
            "core",
            "settings.py",
            "README.md",
        }
        assert present - BESIDE.get(service, set()) == expected, service


def test_what_import_rules_forbid_exists() -> None:
    """A forbidden name that cannot be imported forbids nothing."""
    names = {
        name.partition(".")[0]
        for contract in pyproject()["tool"]["importlinter"]["contracts"]
        for name in contract.get("forbidden_modules", [])
    }
    # Faust puts an object without a spec in its module's place, so what is imported is not looked for.
    assert [
        name for name in sorted(names) if name not in sys.modules and importlib.util.find_spec(name) is None
    ] == []


def test_no_registry_is_named() -> None:
    """Where packages come from is the installer's setting, never the repository's."""
    found = [f"{name}: {host}" for name, text in texts() for host in REGISTRIES if host in text]
    assert found == []


def test_no_path_of_a_machine_is_named() -> None:
    found = [
        f"{name}: {match.group()}"
        for name, text in texts(but=frozenset({".csv"}))
        for match in MACHINE_PATHS.finditer(text)
    ]
    assert [
        place for place in found if not place.startswith(("tests/unit/test_tidy.py", "cli/stack/place.py"))
    ] == []


def markdown() -> list[Path]:
    return [path for path in files() if path.suffix == ".md"]


@pytest.mark.parametrize("page", markdown(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_paths_in_documents_exist(page: Path) -> None:
    """Relative links lead somewhere; what looks like a path of this project in `code` is there."""
    text = page.read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if ":" not in link]
    missing = [link for link in links if link and not (page.parent / link).exists()]
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    spans = re.findall(r"`([\w.-]+/[\w./*-]*)`", text)
    for span in spans:
        if span.partition("/")[0] in folders and not span.startswith("bench/results"):
            anywhere = span.rstrip("/")
            if not (list(ROOT.glob(anywhere)) or list(page.parent.glob(anywhere))):
                missing.append(span)
    assert missing == []


def test_unfinished_work_has_an_owner() -> None:
    """A note of work to do is `TODO(owner): reason`."""
    word = "TO" + "DO"
    found = [
        f"{name}:{number}"
        for name, text in texts(but=frozenset({".csv"}))
        for number, line in enumerate(text.splitlines(), start=1)
        if re.search(rf"\b(?:{word}|FIXME|XXX)\b(?!\(\w+\): \w)", line)
    ]
    assert [
        place for place in found if not place.startswith(("tests/unit/test_tidy.py", "pyproject.toml"))
    ] == []


def test_every_module_can_be_imported_without_environment_or_network() -> None:
    """Nothing happens at import: no settings read, no connection made."""
    packages = pyproject()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    names = sorted(
        name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        for name, _, _ in python_files()
        if name.partition("/")[0] in packages and not name.startswith("producers/client/")
    )
    code = (
        "import importlib, socket, sys\n"
        "def refuse(*_): raise SystemExit('a socket was opened at import')\n"
        "socket.socket.connect = refuse\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
