"""`ratestream topics password`: what is refused before anything is asked of a cluster."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import topics_password
from runtime.errors import UsageProblemError

GOOD = "a1b2c3d4e5f60718293a4b5c"


@pytest.mark.parametrize(
    "content", [b"", b"short", b"two\nlines of a password", b"\xff" * 20, b"tab\tin the middle"]
)
def test_what_no_part_would_read_back_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "new"
    path.write_bytes(content)
    done = CliRunner().invoke(topics_password.topics_password, ["rater", "--file", str(path)])
    assert isinstance(done.exception, UsageProblemError)
    assert str(path) in str(done.exception)


def test_only_a_principal_has_a_password(tmp_path: Path) -> None:
    path = tmp_path / "new"
    path.write_text(GOOD)
    done = CliRunner().invoke(topics_password.topics_password, ["nobody", "--file", str(path)])
    assert done.exit_code == 2
    assert "'nobody' is not one of 'producer', 'rater'" in done.output


def test_white_space_around_it_does_not_count_and_nothing_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new"
    path.write_text(f"{GOOD}\n")
    given: list[tuple[str, str]] = []
    monkeypatch.setenv("RATESTREAM_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setattr(topics_password, "admin_client", lambda _: None)
    monkeypatch.setattr(topics_password, "set_password", lambda _, user, word: given.append((user, word)))
    done = CliRunner().invoke(topics_password.topics_password, ["rater", "--file", str(path)])
    assert done.exit_code == 0, done.output
    assert given == [("rater", GOOD)]
    assert GOOD not in done.output
