"""Jars are used only with the bytes that were pinned, whatever lies in the repository."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.stack import jars
from cli.stack.jars import Pin
from cli.stack.process import StackError

GOOD = b"the bytes that were pinned"
PIN = Pin(hashlib.sha256(GOOD).hexdigest(), "org/example/tool/1.0/tool-1.0.jar")


def fetcher(content: bytes, fetched: list[str]) -> Callable[[Path, Pin], None]:
    def fetch(repository: Path, pin: Pin) -> None:
        path = repository / pin.path
        assert not path.exists(), "jgo does not overwrite"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        fetched.append(pin.path)

    return fetch


def test_the_place_in_the_repository_tells_the_coordinates() -> None:
    assert PIN.coordinates == ("org.example", "tool", "1.0")


def test_every_pin_is_a_checksum_and_a_place() -> None:
    """Kafka's 44 jars and the one that lets it log."""
    pins = jars.pins()
    assert len(pins) == 45
    assert len({pin.path for pin in pins}) == 45
    for pin in pins:
        assert len(bytes.fromhex(pin.sha256)) == 32
        group, artifact, version = pin.coordinates
        assert pin.path == f"{group.replace('.', '/')}/{artifact}/{version}/{artifact}-{version}.jar"


def test_a_missing_jar_is_fetched_once(tmp_path: Path) -> None:
    fetched: list[str] = []
    for _ in range(2):
        assert jars.ensure(tmp_path, [PIN], fetcher(GOOD, fetched)) == [tmp_path / PIN.path]
    assert fetched == [PIN.path]


@pytest.mark.parametrize("found", [b"", GOOD[:-1], GOOD + b"!", b"something else"], ids=str)
def test_a_jar_with_other_bytes_is_deleted_and_fetched_again(tmp_path: Path, found: bytes) -> None:
    path = tmp_path / PIN.path
    path.parent.mkdir(parents=True)
    path.write_bytes(found)
    fetched: list[str] = []
    jars.ensure(tmp_path, [PIN], fetcher(GOOD, fetched))
    assert fetched == [PIN.path]
    assert path.read_bytes() == GOOD


def test_a_wrong_jar_from_the_repository_is_refused_and_not_kept(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"org\.example:tool:1\.0: what was fetched is not what .* pins"):
        jars.ensure(tmp_path, [PIN], fetcher(b"changed on the way", []))
    assert not (tmp_path / PIN.path).exists()


def test_a_failed_fetch_names_the_jar_and_the_cause(tmp_path: Path) -> None:
    def fetch(_repository: Path, _pin: Pin) -> None:
        raise ConnectionError("no route to host")

    with pytest.raises(StackError, match=r"cannot fetch org\.example:tool:1\.0: no route to host"):
        jars.ensure(tmp_path, [PIN], fetch)


def test_a_fetch_that_fails_half_way_is_tried_again(tmp_path: Path) -> None:
    tries: list[int] = []

    def fetch(repository: Path, pin: Pin) -> None:
        path = repository / pin.path
        assert not path.exists(), "jgo does not overwrite"
        path.parent.mkdir(parents=True, exist_ok=True)
        tries.append(1)
        path.write_bytes(GOOD[: len(tries) * 9])
        if len(tries) < 3:
            raise ConnectionError("cut off")

    jars.ensure(tmp_path, [PIN], fetch)
    assert len(tries) == 3  # 9, 18 and then all 26 bytes
    assert len(GOOD) == 26
