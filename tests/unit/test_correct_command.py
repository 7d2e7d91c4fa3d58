"""What void, amend and rerate refuse before they ask anything."""

import pytest
from click.testing import CliRunner

from cli.correct import void
from cli.rerate import rerate
from runtime.errors import UsageProblemError

SPAN = ("--from", "2026-11-01T00:00:00Z", "--to", "2026-11-02T00:00:00Z", "--book", "1", "--apply")


@pytest.mark.parametrize(("author", "reason"), [("ops", "x" * 1025), ("a" * 257, "why"), ("ops", "a\0b")])
def test_words_that_no_command_may_hold_are_refused_before_a_run_is_stored(author: str, reason: str) -> None:
    said = ("--author", author, "--reason", reason)
    for command, arguments in ((void, ("e1", "--customer", "c")), (rerate, SPAN)):
        done = CliRunner().invoke(command, [*arguments, *said])
        assert isinstance(done.exception, UsageProblemError), done.output
        assert "rule: " in str(done.exception)
