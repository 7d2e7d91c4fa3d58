"""The command's front door: one table of commands, one place for exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from confluent_kafka import KafkaError, KafkaException

from cli import __main__ as front
from pricing.errors import BookError, CardError
from runtime.errors import FindingError, InfrastructureError, UsageProblemError


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """A command that raises whatever the test puts in the list."""
    errors: list[BaseException] = []

    @click.command()
    def fail() -> None:
        raise errors[0]

    monkeypatch.setattr(front, "fail", fail, raising=False)
    monkeypatch.setitem(front.COMMANDS, "fail", "cli.__main__:fail")
    monkeypatch.setattr(sys, "argv", ["ratestream", "fail"])
    return errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FindingError("three lines differ"), 1),
        (BookError((CardError("c", "versions", "[1, 2)", "overlaps"),)), 1),
        (UsageProblemError("no such file"), 2),
        (InfrastructureError("no broker"), 3),
        (KafkaException(KafkaError(KafkaError._TRANSPORT, "no broker")), 3),
    ],
)
def test_a_known_failure_is_one_line_and_its_exit_code(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    failing.append(error)
    with pytest.raises(SystemExit) as ended:
        front.main()
    assert ended.value.code == code
    written = capsys.readouterr().err
    assert written.startswith("ratestream: ")
    assert "Traceback" not in written


def test_a_bug_shows_its_trace_and_is_none_of_the_documented_codes(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    failing.append(ZeroDivisionError("a bug"))
    with pytest.raises(SystemExit) as ended:
        front.main()
    assert ended.value.code == 70
    assert "ZeroDivisionError: a bug" in capsys.readouterr().err


def test_debug_shows_the_trace_of_a_known_failure(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["ratestream", "--debug", "fail"])
    failing.append(InfrastructureError("no broker"))
    with pytest.raises(SystemExit):
        front.main()
    assert "Traceback" in capsys.readouterr().err


def test_an_unknown_command_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["ratestream", "nonsense"])
    with pytest.raises(SystemExit) as ended:
        front.main()
    assert ended.value.code == 2
    assert "No such command 'nonsense'" in capsys.readouterr().err


def test_a_command_that_cannot_be_imported_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(front.COMMANDS, "absent", "cli.no_such_module:absent")
    shown = CliRunner().invoke(front.ratestream, ["--help"])
    assert shown.exit_code == 0
    assert "No module named 'cli.no_such_module'" in " ".join(shown.output.split())
    refused = CliRunner().invoke(front.ratestream, ["absent", "--flag"])
    assert refused.exit_code == 2
    assert "is not available here" in refused.output


@pytest.mark.parametrize("name", list(front.COMMANDS))
def test_every_command_is_there_and_its_help_shows_an_example(name: str) -> None:
    def check(command: click.Command, path: str) -> None:
        assert "Example" in (command.help or ""), f"{path} --help shows no example"
        if isinstance(command, click.Group):
            context = click.Context(command)
            for child in command.list_commands(context):
                inner = command.get_command(context, child)
                assert inner is not None
                check(inner, f"{path} {child}")

    command = front.ratestream.get_command(click.Context(front.ratestream), name)
    assert command is not None
    check(command, name)


def test_the_command_starts_without_importing_clients_of_kafka_and_postgres() -> None:
    heavy = "{'confluent_kafka', 'psycopg', 'rocksdict'}"
    code = f"import sys; import cli.__main__; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_wrong_setting_ends_with_a_line_and_2(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("ratestream")), "stack", "status"]
    environment = {
        "PATH": os.defpath,
        "RATESTREAM_PROJECT_DIR": str(tmp_path),
        "RATESTREAM_LOG__LEVEL": "LOUD",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(
        "ratestream: log.level = 'LOUD' (from RATESTREAM_LOG__LEVEL): Input should be 'DEBUG'"
    )
