"""Records that wait in a file without a name for the transaction that will write them."""

import tempfile
from collections.abc import Iterator
from struct import Struct
from types import TracebackType
from typing import Self

from rater.adapters.outputs import Output

_HEAD = Struct(">HIiI")  # topic, partition, bytes of the key (-1: none), bytes of the value


class Spool:
    """Written once, then read once; gone with the process."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._topics: list[str] = []
        self.records = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def put(self, partition: int, output: Output) -> None:
        """Append a record that has a value."""
        if output.topic not in self._topics:
            self._topics.append(output.topic)
        key, value = output.key, output.value or b""
        size = -1 if key is None else len(key)
        self._file.write(_HEAD.pack(self._topics.index(output.topic), partition, size, len(value)))
        self._file.write(key or b"")
        self._file.write(value)
        self.records += 1

    def read(self) -> Iterator[tuple[int, Output]]:
        """Every record with its partition, in the order in which they were put."""
        self._file.seek(0)
        while head := self._file.read(_HEAD.size):
            topic, partition, key_bytes, value_bytes = _HEAD.unpack(head)
            key = None if key_bytes < 0 else self._file.read(key_bytes)
            yield partition, Output(self._topics[topic], key, self._file.read(value_bytes))
