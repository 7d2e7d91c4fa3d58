"""An HTTP receiver on the loopback interface: a real endpoint that a test makes misbehave."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

Behave = Callable[[socket.socket, "Received"], None]


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


def answer(status: int, text: str = "", **headers: str) -> Behave:
    """Answer with a status, a body, and headers whose names have _ for -."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())

    def behave(connection: socket.socket, _: Received) -> None:
        connection.sendall(
            f"HTTP/1.1 {status} Any\r\n{lines}Content-Length: {len(text)}\r\n\r\n{text}".encode()
        )

    return behave


@dataclass
class Receiver:
    """Takes requests; `behave` says what becomes of each, and may be changed at any time."""

    listener: socket.socket
    tls: ssl.SSLContext | None
    behave: Behave = field(default_factory=lambda: answer(200))
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    arrived: threading.Condition = field(default_factory=threading.Condition)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/t0ken-of-the-receiver"

    def wait(self, count: int, limit_s: float = 20) -> list[Received]:
        """Wait until so many requests have come."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.received) >= count, limit_s), self.received
            return list(self.received)

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        try:
            with self.tls.wrap_socket(connection, server_side=True) if self.tls else connection as taken:
                request = _read(taken)
                with self.arrived:
                    self.received.append(request)
                    self.arrived.notify_all()
                self.behave(taken, request)
        except OSError:
            return  # the other side gave up, which is what some tests are about


def _read(connection: socket.socket) -> Received:
    stream = connection.makefile("rb")
    line = stream.readline().decode().strip()
    headers: dict[str, str] = {}
    while (text := stream.readline().decode().strip()) != "":
        name, _, value = text.partition(":")
        headers[name.lower()] = value.strip()
    return Received(line, headers, stream.read(int(headers.get("content-length", "0"))))


def _receiver(tls: ssl.SSLContext | None) -> Iterator[Receiver]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Receiver(listener, tls)
        serving = threading.Thread(target=made.serve, daemon=True)
        serving.start()
        yield made
        made.closing.set()
        listener.shutdown(socket.SHUT_RDWR)
        serving.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver without TLS that answers 200."""
    yield from _receiver(None)


@pytest.fixture
def tls_receiver() -> Iterator[Receiver]:
    """A receiver whose certificate is for hooks.example.test."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).parent / "unit" / "budget_guard" / "tls" / "server.pem")
    yield from _receiver(context)
