"""Avro as few writers put it: blocks with their size, several of them, keys twice or turned, long numbers
longer than they need be. What it says is the same, but for a key that stands twice.
"""

from collections.abc import Mapping
from random import Random
from typing import Any

from schemas.codec import CODEC, long_bytes

_LONG_BYTES_MAX = 10
_RARE = 12  # one of so many


class OddWriter:
    """Writes events with oddities that the generator picks."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._named: dict[str, Any] = {}  # types by name: each is inline where it first stands

    def event(self, event: Mapping[str, Any]) -> bytes:
        """A UsageEvent in single-object encoding."""
        return self.record("UsageEvent", event)

    def record(self, name: str, record: Mapping[str, Any]) -> bytes:
        """A record whose arrays and maps come as they are, with no field left out."""
        self._name(CODEC.schema(name))
        return CODEC.fingerprint(name) + self._write(CODEC.schema(name), record)

    def _name(self, schema: Any) -> None:
        if isinstance(schema, list):
            for branch in schema:
                self._name(branch)
        elif isinstance(schema, dict):
            if "name" in schema:
                self._named[schema["name"].rpartition(".")[2]] = schema
            for field in schema.get("fields", ()):
                self._name(field["type"])
            self._name([schema.get("items"), schema["type"]])

    def _rarely(self) -> bool:
        return self._random.randrange(_RARE) == 0

    def _long(self, number: int) -> bytes:
        plain = long_bytes(number)
        if not self._rarely():
            return plain
        longer = self._random.randrange(_LONG_BYTES_MAX - len(plain) + 1)
        if not longer:
            return plain
        return plain[:-1] + bytes([plain[-1] | 0x80]) + b"\x80" * (longer - 1) + b"\0"

    def _string(self, text: str) -> bytes:
        data = text.encode()
        return self._long(len(data)) + data

    def _write(self, schema: Any, value: Any) -> bytes:
        schema = self._named.get(schema.rpartition(".")[2], schema) if isinstance(schema, str) else schema
        kind = schema if isinstance(schema, (str, list)) else schema["type"]
        if isinstance(kind, list):
            # Each union here is null or one other type.
            return self._long(0) if value is None else self._long(1) + self._write(kind[1], value)
        if kind == "record":
            return b"".join(self._write(field["type"], value[field["name"]]) for field in schema["fields"])
        if kind == "enum":
            return self._long(schema["symbols"].index(value))
        if kind == "array":
            return self._blocks([self._write(schema["items"], item) for item in value])
        if kind == "map":
            return self._map(value)
        return self._long(value) if kind == "long" else self._string(value)

    def _map(self, entries: Mapping[str, str]) -> bytes:
        told = list(entries.items())
        if self._rarely():
            self._random.shuffle(told)
        if told and self._rarely():
            told.insert(0, (told[self._random.randrange(len(told))][0], "5"))
        return self._blocks([self._string(key) + self._string(text) for key, text in told])

    def _blocks(self, items: list[bytes]) -> bytes:
        parts = []
        while items:
            count = self._random.randint(1, len(items)) if self._rarely() else len(items)
            block, items = b"".join(items[:count]), items[count:]
            sized = self._rarely()
            parts += (
                [self._long(-count), self._long(len(block)), block] if sized else [self._long(count), block]
            )
        return b"".join((*parts, b"\0"))
