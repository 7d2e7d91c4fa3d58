"""`ratestream rejected replay --ids`: a line that names nothing is a usage error with its number."""

import click
import pytest

from cli.rejected import _read_ids


@pytest.mark.parametrize(
    "line",
    [
        '{"rejected_partition":1,"rejected_offset":1e999}',
        "[" * 100_000,
        "7",
        '"rejected_offset"',
        "{}",
        "null",
    ],
    ids=["infinity", "nested", "number", "text", "empty", "null"],
)
def test_a_line_that_names_nothing_is_told_with_its_number(line: str) -> None:
    """The first two ended the command with a traceback (found by fuzzing)."""
    with pytest.raises(click.UsageError, match=r"--ids line 2: "):
        _read_ids(["", line])
