"""Lines of a file that a command is given, none of them longer than a record may be."""

from collections.abc import Iterator
from typing import IO

from runtime.errors import UsageProblemError

LINE_BYTES_MAX = 4 * 1024 * 1024


def lines_of(file: IO[bytes]) -> Iterator[bytes]:
    """The lines, read one by one. Raises UsageProblemError where one is longer than 4 MiB."""
    number = 0
    while line := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(line) > LINE_BYTES_MAX:
            raise UsageProblemError(
                f"line {number} has more than {LINE_BYTES_MAX} bytes; rule: at most so many"
            )
        yield line
