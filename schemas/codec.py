"""Records to bytes and back, in Avro's single-object encoding: C3 01, the schema's fingerprint, the body.

The fingerprint is CRC-64-AVRO of the schema's canonical form, little-endian. Bytes written with the shipped
schema of that name, or with any schema of it in `avro/history/`, decode to the shipped one. Every fault of
bytes or of a record is a `schemas.errors.WireError`.
"""

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final, cast

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.read import SchemaResolutionError
from fastavro.schema import fingerprint as schema_fingerprint
from fastavro.schema import to_parsing_canonical_form

from schemas.errors import Undecodable, Unencodable, UnknownSchema

NAMESPACE: Final = "ratestream"
MARKER: Final = b"\xc3\x01"
HEADER_BYTES: Final = len(MARKER) + 8

_LONG_BYTES_MAX: Final = 10
_NO_BRANCH: Final = "no such branch"
_NEGATIVE_BRANCHES: Final = 4  # -4 to -1; each costs a decoded event 0.1 µs

# What fastavro raises on bytes that do not follow the schema; the body is the only input, so it is to blame.
_READ_FAULTS: Final = (ValueError, TypeError, LookupError, EOFError, ArithmeticError, SchemaResolutionError)
# What it raises on a record that does not fit the schema.
_WRITE_FAULTS: Final = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError)


@dataclass(frozen=True, slots=True)
class _Written:
    """How to read bytes of one schema version: the reader is None where it is the shipped version itself."""

    name: str
    writer: Any
    reader: Any


class Codec:
    """All schemas of one directory; building it parses them, so there is one for the process (`CODEC`).

    `directory` holds `ratestream.<Name>.avsc` and, if it exists, `history/` with earlier or later versions,
    each in one file with every type inline.
    """

    def __init__(self, directory: Traversable) -> None:
        definitions = {
            entry.name.removesuffix(".avsc").removeprefix(f"{NAMESPACE}."): json.loads(
                entry.read_text("utf-8")
            )
            for entry in directory.iterdir()
            if entry.name.endswith(".avsc")
        }
        self._inline = {name: _inlined(schema, definitions) for name, schema in definitions.items()}
        self._writers = {name: parse_schema(schema) for name, schema in self._inline.items()}
        self._headers = {name: _header(schema) for name, schema in self._inline.items()}
        self._heads: dict[str, Any] = {}
        self._written = {
            self._headers[name]: _Written(name, _guarded(schema), None)
            for name, schema in self._writers.items()
        }
        for schema in _history(directory):
            name = schema["name"].removeprefix(f"{NAMESPACE}.")
            known = _Written(name, _guarded(parse_schema(schema)), self._writers[name])
            self._written.setdefault(_header(schema), known)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._writers))

    def schema(self, name: str) -> Any:
        """The shipped schema with every type inline, as a value for `json.dumps`."""
        return self._inline[name]

    def fingerprint(self, name: str) -> bytes:
        """The 10 bytes that begin each record written by `encode`: C3 01 and the fingerprint."""
        return self._headers[name]

    def encode(self, name: str, record: Mapping[str, Any]) -> bytes:
        """The record in single-object encoding.

        Raises Unencodable where a field is missing without default, unknown or of another type.
        """
        return self._write(name, self._headers[name], record)

    def encode_body(self, name: str, record: Mapping[str, Any]) -> bytes:
        """The record's bytes without the header. Raises Unencodable as `encode` does."""
        return self._write(name, b"", record)

    def decode(self, name: str, data: bytes | None) -> dict[str, Any]:
        """The record in `data`, resolved to the shipped schema.

        Raises UnknownSchema for a fingerprint that is not of this name, Undecodable for any other fault,
        bytes left over among them.
        """
        if not data or len(data) < HEADER_BYTES or data[:2] != MARKER:
            raise Undecodable("header", data, "10 bytes: C3 01 and a schema fingerprint of 8 bytes")
        written = self._written.get(data[:HEADER_BYTES])
        if written is None or written.name != name:
            raise UnknownSchema("fingerprint", data[2:HEADER_BYTES].hex(), f"one of a known schema of {name}")
        body = io.BytesIO(data)
        body.seek(HEADER_BYTES)
        try:
            # The schemas here are records, so what they read is a dictionary.
            record = cast("dict[str, Any]", schemaless_reader(body, written.writer, written.reader))
        except _READ_FAULTS as error:
            rule = f"one whole {name} ({type(error).__name__}: {error})"
            raise Undecodable("body", data[HEADER_BYTES:], rule) from error
        left = len(data) - body.tell()
        if left:
            raise Undecodable("body", data[-left:], f"nothing after the record; {left} bytes are left over")
        return record

    def read_head(self, name: str, data: bytes | None) -> tuple[dict[str, Any], int]:
        """The record without its last field, and where that begins in `data`.

        Raises UnknownSchema for anything but the shipped schema of this name, Undecodable as `decode` does.
        """
        if not data or data[:HEADER_BYTES] != self._headers[name]:
            raise UnknownSchema(
                "fingerprint", data and data[2:HEADER_BYTES].hex(), f"the shipped one of {name}"
            )
        head = self._heads.get(name)
        if head is None:
            whole = self._written[self._headers[name]].writer
            head = self._heads[name] = {**whole, "fields": whole["fields"][:-1]}
        body = io.BytesIO(data)
        body.seek(HEADER_BYTES)
        try:
            return cast("dict[str, Any]", schemaless_reader(body, head, None)), body.tell()
        except _READ_FAULTS as error:
            rule = f"the head of a {name} ({type(error).__name__}: {error})"
            raise Undecodable("body", data[HEADER_BYTES:], rule) from error

    def leading_long(self, name: str, data: bytes) -> int:
        """The record's first field, which is a long, without reading the rest.

        Raises UnknownSchema and Undecodable as `decode` does; for a value of another version of the schema it
        decodes.
        """
        if data[:HEADER_BYTES] != self._headers[name]:
            return cast("int", next(iter(self.decode(name, data).values())))
        number = shift = 0
        for byte in data[HEADER_BYTES : HEADER_BYTES + _LONG_BYTES_MAX]:
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (number >> 1) ^ -(number & 1)
            shift += 7
        raise Undecodable("body", data[HEADER_BYTES:], f"one whole {name}, which begins with a long")

    def splice_rated(self, event_value: bytes, rating_body: bytes) -> bytes:
        """RatedUsage in single-object encoding from an event's value that `decode` took, and a Rating's body.

        The event's bytes are kept as they came where the shipped UsageEvent wrote them; else they are decoded
        and encoded again, for the nested schema is that one.
        """
        if event_value[:HEADER_BYTES] == self._headers["UsageEvent"]:
            event_body = event_value[HEADER_BYTES:]
        else:
            event_body = self.encode_body("UsageEvent", self.decode("UsageEvent", event_value))
        return self._headers["RatedUsage"] + event_body + rating_body

    def encode_with_entries(self, name: str, record: Mapping[str, Any], entries: Sequence[bytes]) -> bytes:
        """A record whose last field is the array `entries`, given as encoded items: most of a customer's
        windows stay as they were, and so may their bytes. `record` has no entries.

        Raises Unencodable as `encode` does.
        """
        head = self._write(name, self._headers[name], {**record, "entries": ()})
        if not entries:
            return head
        # The empty array is its end alone, one byte 0; before it goes one block: the count and the items.
        return b"".join((head[:-1], long_bytes(len(entries)), *entries, b"\0"))

    def _write(self, name: str, header: bytes, record: Mapping[str, Any]) -> bytes:
        out = io.BytesIO()
        out.write(header)
        try:
            schemaless_writer(out, self._writers[name], record, strict_allow_default=True)
        except _WRITE_FAULTS as error:
            rule = f"fields and types of {NAMESPACE}.{name}.avsc ({type(error).__name__}: {error})"
            raise Unencodable(name, record, rule) from error
        return out.getvalue()


def long_bytes(number: int) -> bytes:
    """A whole number of 64 bits in Avro's variable-length zigzag form."""
    rest = (number << 1) ^ (number >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def _header(schema: Any) -> bytes:
    # fastavro gives the fingerprint in hexadecimal, its bytes already in little-endian order.
    return MARKER + bytes.fromhex(schema_fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def _history(directory: Traversable) -> Iterator[Any]:
    folder = directory / "history"
    if folder.is_dir():
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if entry.name.endswith(".avsc"):
                yield json.loads(entry.read_text("utf-8"))


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """The schema with each type of another file put in at its first use, as the fingerprint demands."""
    seen: set[str] = set()

    def walk(node: Any) -> Any:
        if isinstance(node, str):
            name = node.removeprefix(f"{NAMESPACE}.")
            if name in definitions and name not in seen:
                return walk(definitions[name])
            return node
        if isinstance(node, list):
            return [walk(branch) for branch in node]
        if node.get("type") in ("record", "enum"):
            seen.add(node["name"])
        return _mapped(node, walk)

    return walk(schema)


def _guarded(schema: Any) -> Any:
    """A parsed schema for reading in which a negative union branch or enum symbol is a fault.

    fastavro indexes Python lists with the number on the wire, so that -1 would be the last branch. A union's
    list is therefore filled up with branches that do not exist, where -1 to -4 point, and an enum's symbols
    are looked up in a dictionary. The next few absurd numbers (-5, -6) stay readable; no writer has them.
    """
    if isinstance(schema, list):
        return [*(_guarded(branch) for branch in schema), *[_NO_BRANCH] * _NEGATIVE_BRANCHES]
    if not isinstance(schema, dict):
        return schema
    guarded: dict[str, Any] = _mapped(schema, _guarded)
    if "symbols" in schema:
        guarded["symbols"] = dict(enumerate(schema["symbols"]))
    if "__named_schemas" in schema:
        guarded["__named_schemas"] = {
            name: _guarded(named) for name, named in schema["__named_schemas"].items()
        }
    return guarded


def _mapped(node: Mapping[str, Any], walk: Callable[[Any], Any]) -> dict[str, Any]:
    """A copy of a schema node with `walk` applied to the schemas in it."""
    copy = dict(node)
    for part in ("type", "items", "values"):
        if part in node:
            copy[part] = walk(node[part])
    if "fields" in node:
        copy["fields"] = [{**field, "type": walk(field["type"])} for field in node["fields"]]
    return copy


CODEC: Final = Codec(files("schemas") / "avro")

encode: Final = CODEC.encode
encode_body: Final = CODEC.encode_body
decode: Final = CODEC.decode
fingerprint: Final = CODEC.fingerprint
splice_rated: Final = CODEC.splice_rated
encode_with_entries: Final = CODEC.encode_with_entries
leading_long: Final = CODEC.leading_long
