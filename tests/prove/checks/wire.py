"""Records of the wire, read with the schema files alone: framing by hand, bodies by fastavro."""

import io
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

SCHEMAS = Path(__file__).resolve().parents[3] / "schemas" / "avro"
MARKER = b"\xc3\x01"
HEADER_BYTES = 10
NAMED = ("record", "enum", "fixed")
Json = dict[str, Any]


class NotWholeError(ValueError):
    """The bytes are not one whole record of that name."""


def decoded(name: str, value: bytes | None) -> Json:
    """One record in single-object encoding. Raises NotWholeError."""
    known = _schemas(name)
    if value is None or value[:2] != MARKER or value[2:HEADER_BYTES] not in known:
        raise NotWholeError(f"not a {name}: {None if value is None else value[:HEADER_BYTES].hex()}")
    writer, reader = known[value[2:HEADER_BYTES]]
    body = io.BytesIO(value[HEADER_BYTES:])
    try:
        record = fastavro.schemaless_reader(body, writer, reader)
    except (ValueError, TypeError, LookupError, EOFError, ArithmeticError) as error:
        raise NotWholeError(f"not a whole {name}: {type(error).__name__}: {error}") from error
    if not isinstance(record, dict) or body.read(1):
        raise NotWholeError(f"bytes are left after a {name}")
    return record


def encoded(name: str, record: Json) -> bytes:
    """The record under the newest schema of that name."""
    schema, _ = _schemas(name)[fingerprint_of(name)[2:]]
    body = io.BytesIO()
    fastavro.schemaless_writer(body, schema, record)
    return fingerprint_of(name) + body.getvalue()


def is_newest(name: str, value: bytes) -> bool:
    """Whether the bytes were written with the newest schema of that name."""
    return value[:HEADER_BYTES] == fingerprint_of(name)


@cache
def fingerprint_of(name: str) -> bytes:
    """The ten bytes in front of a record of the newest schema."""
    return MARKER + _print(_inline(name))


@cache
def _schemas(name: str) -> dict[bytes, tuple[Any, Any]]:
    """(writer, reader or None) by fingerprint: the schema as it is now, and those before it."""
    newest = fastavro.parse_schema(_inline(name))
    known: dict[bytes, tuple[Any, Any]] = {_print(_inline(name)): (newest, None)}
    for old in _history():
        if old["name"].removeprefix("ratestream.") == name:
            known.setdefault(_print(old), (fastavro.parse_schema(old), newest))
    return known


def _history() -> Iterator[Json]:
    for path in sorted((SCHEMAS / "history").glob("*.avsc")):
        yield json.loads(path.read_text(encoding="utf-8"))


def _print(schema: Json) -> bytes:
    # In hexadecimal, its bytes in little-endian order already.
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


@cache
def _inline(name: str) -> Json:
    """The schema with every type that stands in another file written out where it is first named."""
    files = {path.name.split(".")[1]: path for path in SCHEMAS.glob("*.avsc")}
    seen: set[str] = set()

    def walk(node: Any) -> Any:
        if isinstance(node, str):
            short = node.removeprefix("ratestream.")
            if short in files and short not in seen:
                return walk(json.loads(files[short].read_text(encoding="utf-8")))
            return node
        if isinstance(node, list):
            return [walk(item) for item in node]
        if isinstance(node, dict):
            if "name" in node and isinstance(node["type"], str) and node["type"] in NAMED:
                seen.add(node["name"].removeprefix("ratestream."))
            return {
                key: walk(item) if key in {"type", "items", "values", "fields"} else item
                for key, item in node.items()
            }
        return node

    found: Json = walk(json.loads(files[name].read_text(encoding="utf-8")))
    return found
