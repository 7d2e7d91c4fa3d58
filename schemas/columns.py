"""Some fields of many records at once: every record a step, field by field, over arrays of positions.

A batch of records of one schema is walked in lockstep: one array holds where each record stands, a field is
read or skipped for all of them by a few array operations, and Python objects are made for wanted fields only.
What comes out is what `codec.decode` gives, less the fields that were not asked for. A record that this
reader does not take (another schema version, anything that is not well formed, an array or map of more than
`ITEMS_MAX` items) it leaves to `decode`, which names the fault; the text of fields that were not asked for is
not looked at.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.codec import CODEC, HEADER_BYTES, NAMESPACE, Codec

Wanted = Mapping[str, "Wanted | None"]
"""Fields by name; None for a plain one, the wanted fields of it for a record or an array of records."""

_Ints = NDArray[np.int64]
_VARINT_BYTES_MAX = 10
_MORE = 0x80  # set in each byte but the last
_SMALL = np.array([number >> 1 ^ -(number & 1) for number in range(_MORE)], np.int64)  # what one byte says
ITEMS_MAX = (
    1_024  # of one array or map: each is a step of its own, so that a megabyte of them would take minutes
)
_PAD = 16  # bytes behind the last record that a step beyond its end may look at


class ColumnReader:
    """Reads the wanted fields of records of one schema, as shipped.

    Raises ValueError for a wanted field that the schema does not have.
    """

    def __init__(self, name: str, wanted: Wanted, codec: Codec = CODEC) -> None:
        self._header = codec.fingerprint(name)
        self._root = _node(codec.schema(name), wanted, {})

    def read(self, values: Sequence[bytes | None]) -> list[dict[str, Any] | None]:
        """The wanted fields of each value; None for one that is left to `decode`."""
        taken = [
            index
            for index, value in enumerate(values)
            if value is not None and value[:HEADER_BYTES] == self._header
        ]
        found: list[dict[str, Any] | None] = [None] * len(values)
        if taken:
            walk = _Walk([values[index] or b"" for index in taken])
            records = self._root.read(walk, np.arange(len(taken)))
            for index, record, good in zip(taken, records, walk.good(), strict=True):
                if good:
                    found[index] = record
        return found


class _Walk:
    """Where each record stands, and the bytes of all."""

    def __init__(self, values: Sequence[bytes]) -> None:
        joined = b"".join(values) + bytes(_PAD)
        self.bytes = joined
        self.text = joined.decode(
            "latin-1"
        )  # one character a byte: slices of it are the text where that is ASCII
        self._buffer = np.frombuffer(joined, np.uint8)
        lengths = np.fromiter(map(len, values), np.int64, len(values))
        self._end = np.cumsum(lengths)
        self._at = self._end - lengths + HEADER_BYTES
        self._bad = np.zeros(len(values), np.bool_)
        self._any_bad = False

    def good(self) -> list[bool]:
        """Which records were walked to exactly their end."""
        ended: list[bool] = (~self._bad & (self._at == self._end)).tolist()
        return ended

    def sound(self, rows: _Ints) -> NDArray[np.bool_] | bool:
        """Which of these records are not left to `decode` yet."""
        return ~self._bad[rows] if self._any_bad else True

    def _leave(self, rows: _Ints) -> None:
        """These records are left to `decode`: nothing of them remains to be read, or each item that a count
        says would be made, rubbish or not.
        """
        self._bad[rows] = True
        self._any_bad = True
        self._at[rows] = self._end[rows]

    def long(self, rows: _Ints) -> _Ints:
        """A long of each of these records."""
        at = self._at[rows]
        first = self._buffer[at]
        at += 1
        more = np.flatnonzero(first >= _MORE)
        if not more.size:  # nearly always
            self._move(rows, at)
            small: _Ints = _SMALL[first]
            return small
        value = (first & (_MORE - 1)).astype(np.uint64)
        for place in range(1, _VARINT_BYTES_MAX):
            if not more.size:
                break
            byte = self._buffer[np.minimum(at[more], self._buffer.size - 1)].astype(np.uint64)
            value[more] |= (byte & np.uint64(0x7F)) << np.uint64(7 * place)
            at[more] += 1
            more = more[(byte & np.uint64(0x80)) != 0]
        self._move(rows, at)
        if more.size:
            self._leave(rows[more])
        told: _Ints = (value >> np.uint64(1)).astype(np.int64) ^ -(value & np.uint64(1)).astype(np.int64)
        return told

    def string(self, rows: _Ints) -> tuple[_Ints, _Ints]:
        """Where a string of each of these records begins and ends; they stand behind it."""
        length = self.long(rows)
        start = self._at[rows]
        wrong = (length < 0) | (length > self._end[rows] - start)
        if wrong.any():
            length = np.where(wrong, 0, length)
        end = start + length
        self._at[rows] = end
        if wrong.any():
            self._leave(rows[wrong])
        return start, end

    def strings(self, rows: _Ints) -> list[str]:
        """A string of each of these records."""
        start, end = self.string(rows)
        text = self.text
        found = [text[a:b] for a, b in zip(start.tolist(), end.tolist(), strict=True)]
        if not all(map(str.isascii, found)):
            for index, read in enumerate(found):
                if not read.isascii():
                    found[index] = self._decoded(start[index], end[index], rows[index])
        return found

    def _decoded(self, start: int, end: int, row: int) -> str:
        try:
            return self.bytes[start:end].decode()
        except UnicodeDecodeError:
            self._leave(np.array([row]))
            return ""

    def counts(self, rows: _Ints, most: _Ints) -> _Ints:
        """How many items a block of each of these records has, at most `most`; 0 where none follows."""
        count = self.long(rows)
        sized = rows[count < 0]
        if sized.size:
            self.long(sized)  # the block's bytes
        count = np.abs(count)
        # An item takes a byte at least.
        wrong = (count < 0) | (count > np.minimum(most, self._end[rows] - self._at[rows]))
        if wrong.any():
            self._leave(rows[wrong])
            count = np.where(wrong, 0, count)
        return count

    def within(self, numbers: _Ints, count: int, rows: _Ints) -> _Ints:
        """Branches or symbols, those that do not exist set to 0 and their records left to `decode`."""
        wrong = (numbers < 0) | (numbers >= count)
        if wrong.any():
            self._leave(rows[wrong])
            return np.where(wrong, 0, numbers)
        return numbers

    def _move(self, rows: _Ints, at: _Ints) -> None:
        end = self._end[rows]
        over = at > end
        self._at[rows] = at
        if over.any():
            self._leave(rows[over])


class _Node(Protocol):
    """One type of the schema. `rows` are the records that have it here."""

    def read(self, walk: _Walk, rows: _Ints) -> list[Any]: ...

    def skip(self, walk: _Walk, rows: _Ints) -> None: ...


class _Long:
    def read(self, walk: _Walk, rows: _Ints) -> list[Any]:
        found: list[Any] = walk.long(rows).tolist()
        return found

    def skip(self, walk: _Walk, rows: _Ints) -> None:
        walk.long(rows)


class _Null:
    def read(self, walk: _Walk, rows: _Ints) -> list[Any]:  # noqa: ARG002 - takes no byte
        return [None] * rows.size

    def skip(self, walk: _Walk, rows: _Ints) -> None:
        pass


class _String:
    def read(self, walk: _Walk, rows: _Ints) -> list[Any]:
        return walk.strings(rows)

    def skip(self, walk: _Walk, rows: _Ints) -> None:
        walk.string(rows)


class _Enum:
    def __init__(self, symbols: Sequence[str]) -> None:
        self._symbols = symbols

    def read(self, walk: _Walk, rows: _Ints) -> list[Any]:
        numbers = walk.within(walk.long(rows), len(self._symbols), rows)
        return [self._symbols[number] for number in numbers.tolist()]

    def skip(self, walk: _Walk, rows: _Ints) -> None:
        walk.within(walk.long(rows), len(self._symbols), rows)


class _Union:
    def __init__(self, branches: Sequence[_Node]) -> None:
        self._branches = branches

    def read(self, walk: _Walk, rows: _Ints) -> list[Any]:
        taken = walk.within(walk.long(rows), len(self._branches), rows)
        found: list[Any] = [None] * rows.size
        for number, branch in enumerate(self._branches):
            places = np.flatnonzero(taken == number)
            if places.size == rows.size:
                return branch.read(walk, rows)
            if places.size and not isinstance(branch, _Null):
                for place, value in zip(places.tolist(), branch.read(walk, rows[places]), strict=True):
                    found[place] = value
        return found

    def skip(self, walk: _Walk, rows: _Ints) -> None:
        taken = walk.within(walk.long(rows), len(self._branches), rows)
        for number, branch in enumerate(self._branches):
            of_this = rows[taken == number]
            if of_this.size:
                branch.skip(walk, of_this)


class _Items:
    """An array, or (with keys) a map, whose values can be skipped only."""

    def __init__(self, item: _Node, *, keys: bool) -> None:
        self._item = item
        self._keys = keys

    def read(self, walk: _Walk, rows: _Ints) -> list[Any]:
        found: list[list[Any]] = [[] for _ in range(rows.size)]
        places, left = np.arange(rows.size), np.full(rows.size, ITEMS_MAX)
        while places.size:
            counts = walk.counts(rows[places], left[places])
            places, counts = places[counts > 0], counts[counts > 0]
            left[places] -= counts
            for number in range(int(counts.max(initial=0))):
                of_this = places[(counts > number) & walk.sound(rows[places])]
                for place, item in zip(of_this.tolist(), self._item.read(walk, rows[of_this]), strict=True):
                    found[place].append(item)
        return found

    def skip(self, walk: _Walk, rows: _Ints) -> None:
        left = np.full(rows.size, ITEMS_MAX)
        while rows.size:
            counts = walk.counts(rows, left)
            more = counts > 0
            rows, counts = rows[more], counts[more]
            left = left[more] - counts
            for number in range(int(counts.max(initial=0))):
                of_this = rows[(counts > number) & walk.sound(rows)]
                if self._keys:
                    walk.string(of_this)
                self._item.skip(walk, of_this)


class _Record:
    def __init__(self, fields: Sequence[tuple[str, _Node, bool]]) -> None:
        self._fields = fields
        self._names = [name for name, _, wanted in fields if wanted]

    def read(self, walk: _Walk, rows: _Ints) -> list[Any]:
        columns = []
        for _, node, wanted in self._fields:
            if wanted:
                columns.append(node.read(walk, rows))
            else:
                node.skip(walk, rows)
        return list(map(dict, map(zip, repeat(self._names), zip(*columns, strict=True))))

    def skip(self, walk: _Walk, rows: _Ints) -> None:
        for _, node, _ in self._fields:
            node.skip(walk, rows)


_PLAIN: Mapping[str, Callable[[], _Node]] = {"long": _Long, "string": _String, "null": _Null}


def _node(schema: Any, wanted: Wanted | None, named: dict[str, Any]) -> _Node:  # noqa: PLR0911 - one a kind of type
    """The reader of a schema with every type inline at its first use; `named` are those seen so far."""
    if isinstance(schema, list):
        return _Union([_node(branch, wanted, named) for branch in schema])
    if isinstance(schema, str):
        if schema in _PLAIN:
            return _PLAIN[schema]()
        return _node(named[schema.removeprefix(f"{NAMESPACE}.")], wanted, named)
    kind = schema["type"]
    if kind in ("record", "enum"):
        named[schema["name"].removeprefix(f"{NAMESPACE}.")] = schema
    if kind == "enum":
        return _Enum(schema["symbols"])
    if kind == "array":
        return _Items(_node(schema["items"], wanted, named), keys=False)
    if kind == "map":
        return _Items(_node(schema["values"], None, named), keys=True)
    if kind != "record":
        return _node(kind, wanted, named)
    unknown = sorted((wanted or {}).keys() - {field["name"] for field in schema["fields"]})
    if unknown:
        raise ValueError(f"{schema['name']} has no field {', '.join(unknown)}")
    return _Record(
        [
            (
                field["name"],
                _node(field["type"], (wanted or {}).get(field["name"]), named),
                field["name"] in (wanted or {}),
            )
            for field in schema["fields"]
        ]
    )
