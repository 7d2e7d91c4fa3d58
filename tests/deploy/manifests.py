"""Readers of deploy/: YAML in which no key comes twice, Kubernetes' schemas, the Dockerfile."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click
import yaml

from cli.__main__ import ratestream
from runtime.settings import ENV_PREFIX

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict,
    "null": type(None),
}  # fmt: skip


class _Strict(yaml.SafeLoader):
    """Refuses a key that comes twice in a mapping."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        twice = {key for key in keys if keys.count(key) > 1}
        # A merged mapping's keys are put in front of the node's own, which go before them.
        if twice and not getattr(node, "merged", False):
            raise yaml.constructor.ConstructorError(None, None, f"twice: {sorted(twice)}", node.start_mark)
        return super().construct_mapping(node, deep)

    def flatten_mapping(self, node: Any) -> None:
        node.merged = any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value)
        super().flatten_mapping(node)


def documents(path: Path) -> list[Any]:
    """A file's documents."""
    return list(yaml.load_all(path.read_text("utf-8"), Loader=_Strict))


@cache
def _schema() -> Any:
    return json.loads((ROOT / "tests/deploy/kubernetes/schema.json").read_text("utf-8"))


def faults(manifest: Mapping[str, Any]) -> list[str]:
    """Where a manifest breaks the schema of its kind, strictly: an unknown field is a fault."""
    kind = f"{manifest.get('apiVersion')} {manifest.get('kind')}"
    if kind not in _schema()["kinds"]:
        return [f"{kind} is in no schema here: see tests/deploy/kubernetes/trim.py"]
    return list(_faults(manifest, {"$ref": _schema()["kinds"][kind]}, str(manifest["kind"])))


def _faults(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    if "$ref" in schema:
        schema = _schema()["definitions"][schema["$ref"]]
    if "oneOf" in schema:
        if all(list(_faults(value, branch, path)) for branch in schema["oneOf"]):
            yield f"{path} = {value!r} is of no type that it may have"
        return
    if not _is(value, schema.get("type")):
        yield f"{path} = {value!r} must be {schema['type']}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path} = {value!r} must be one of {schema['enum']}"
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _faults(item, schema.get("items", {}), f"{path}[{number}]")
    if isinstance(value, dict):
        yield from _members(value, schema, path)


def _members(value: Mapping[str, Any], schema: Mapping[str, Any], path: str) -> Iterator[str]:
    known = schema.get("properties", {})
    other = schema.get("additionalProperties", True)
    yield from (f"{path}.{key} is required" for key in schema.get("required", ()) if key not in value)
    for key, item in value.items():
        if key in known or isinstance(other, dict):
            yield from _faults(item, known.get(key, other), f"{path}.{key}")
        elif other is False:
            yield f"{path}.{key} is no field"


def _is(value: Any, wanted: str | Sequence[str] | None) -> bool:
    if wanted is None:
        return True
    names = [wanted] if isinstance(wanted, str) else wanted
    if isinstance(value, bool):
        return "boolean" in names
    return any(isinstance(value, _TYPES[name]) for name in names)


def parse_command(arguments: Sequence[str]) -> None:
    """Read a command line as `ratestream` would, without running it. Raises click.ClickException."""
    command: click.Command = ratestream
    rest, context = list(arguments), click.Context(ratestream, info_name="ratestream")
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, rest)
        if found is None:
            raise click.UsageError(f"no command {arguments}")
        command, context = found, click.Context(found, info_name=name, parent=context)
    command.make_context(command.name, rest, parent=context.parent)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One of a Dockerfile: its word in capitals, the rest on one line."""

    word: str
    text: str


def dockerfile() -> list[Instruction]:
    """The instructions, comments left out, continued lines joined."""
    lines = [
        line for line in (DEPLOY / "Dockerfile").read_text("utf-8").splitlines() if not line.startswith("#")
    ]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [Instruction(word.upper(), text.strip()) for word, _, text in found]


def image_environment() -> dict[str, str]:
    """The settings that the image has: a container's own variables go before them, they before any file."""
    found = [one.text for one in stages()[-1] if one.word == "ENV"]
    pairs = [pair.partition("=") for text in found for pair in shlex.split(text)]
    return {name: value for name, _, value in pairs if name.startswith(ENV_PREFIX)}


def stages() -> list[list[Instruction]]:
    """The instructions by stage; what is before the first FROM belongs to none."""
    result: list[list[Instruction]] = []
    for instruction in dockerfile():
        if instruction.word == "FROM":
            result.append([])
        if result:
            result[-1].append(instruction)
    return result
