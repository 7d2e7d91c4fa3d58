"""Processes are found again by identity, never by a bare number; ports are kept while they are free."""

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from cli.stack import launch, ports
from cli.stack.process import Service, StackError, locked, wait_until

SLEEPER = ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"]


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service("sleeper", tmp_path / "s.pid", tmp_path / "s.lock", tmp_path / "logs" / "s.log")


def started(service: Service, command: list[str] = SLEEPER) -> int:
    service.start(command, {"PATH": os.defpath}, service.pid_file.parent, None)
    pid = service.pid()
    assert pid is not None
    return pid


def test_a_service_outlives_its_starter_in_a_session_of_its_own_and_stops_politely(service: Service) -> None:
    pid = started(service)
    assert os.getsid(pid) == pid
    assert os.getsid(pid) != os.getsid(0)
    service.stop(signal.SIGTERM, 10)
    assert service.pid() is None
    assert service.ended()


def test_a_killed_service_is_known_to_be_gone_and_starts_again(service: Service) -> None:
    first = started(service)
    os.kill(first, signal.SIGKILL)
    assert wait_until(lambda: service.pid() is None, 10)
    second = started(service)
    assert second != first
    service.kill9()


def test_a_recycled_number_is_not_the_service_and_is_not_signalled(service: Service) -> None:
    """The pid file names this very test's process with another start: it must survive."""
    service.pid_file.write_text(json.dumps({"pid": os.getpid(), "started": "some other start"}))
    assert service.pid() is None
    service.stop(signal.SIGKILL, 1)
    assert not service.pid_file.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "started": "y"}'])
def test_a_damaged_pid_file_names_nobody(service: Service, content: str) -> None:
    service.pid_file.write_text(content)
    assert service.pid() is None


def test_a_service_that_does_not_stop_politely_is_killed(service: Service) -> None:
    started(service, ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"])
    service.stop(signal.SIGTERM, 1)
    assert service.ended()


def test_a_service_has_ended_only_when_its_children_have(service: Service) -> None:
    pid = started(service, ["/bin/sh", "-c", "sleep 2 & : > child-started; wait"])
    assert wait_until((service.pid_file.parent / "child-started").exists, 10)
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: service.pid() is None, 10)
    assert not service.ended()
    assert wait_until(service.ended, 10)


def test_a_program_that_is_not_there_is_reported_as_not_running(service: Service) -> None:
    service.start(["/no/such/program"], {"PATH": os.defpath}, service.pid_file.parent, None)
    assert wait_until(service.ended, 10)
    assert service.pid() is None
    assert "FileNotFoundError" in service.log_tail()


def test_start_tokens_differ_and_the_dead_have_none() -> None:
    own = launch.start_token(os.getpid())
    assert own is not None
    assert own != launch.start_token(1)
    assert launch.start_token(2**22 + 1) is None


def test_a_lock_that_is_held_is_reported(tmp_path: Path) -> None:
    held = locked(tmp_path / "lock", 0, "unused")
    with (
        held,
        pytest.raises(StackError, match="somebody else"),
        locked(tmp_path / "lock", 0, "somebody else"),
    ):
        pass
    with locked(tmp_path / "lock", 0, "free again"):
        pass


def test_ports_are_kept_while_free_and_changed_when_taken(tmp_path: Path) -> None:
    first = ports.choose(tmp_path, ["a", "b"], {})
    assert len(set(first.values())) == 2
    assert ports.choose(tmp_path, ["a", "b"], first) == first
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first["a"]))
        taken.listen()
        second = ports.choose(tmp_path, ["a", "b"], first)
    assert second["b"] == first["b"]
    assert second["a"] not in first.values()


def test_ports_stay_below_those_of_outgoing_connections(tmp_path: Path) -> None:
    assert all(15_000 <= port < 32_000 for port in ports.choose(tmp_path, ["a", "b", "c"], {}).values())
