"""The telemetry endpoint of a process: /metrics, /livez and /readyz over HTTP, in threads of its own.

It tells what operators may see and takes no command; it listens on loopback unless a setting allows more.
"""

import ipaddress
import json
import logging
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from runtime.clock import Clock
from runtime.errors import InfrastructureError
from runtime.metrics import CONTENT_TYPE, Metrics
from runtime.progress import Progress
from runtime.settings import Section

_LOG = logging.getLogger(__name__)
_OK, _NOT_FOUND, _UNAVAILABLE = 200, 404, 503
_REQUEST_S = 10
_GIVEN_BACK_S = 1.0
REQUESTS_MAX = 32
"""Connections at once, each of which has a thread; for one more the oldest is closed, so that clients that
never end to ask keep no probe out.
"""


class TelemetrySettings(Section):
    """Section `telemetry`. Times in seconds."""

    listen: str | None = Field(
        default=None, description='"127.0.0.1:PORT" of this process, port 0 for a free one; unset: off'
    )
    listen_by: dict[str, str] = Field(
        default_factory=dict, description="the same by service, for a file that several services read"
    )
    allow_remote: bool = Field(default=False, description="listen on addresses that others can reach")
    stuck_s: float = Field(
        default=60, gt=0, description="lag without progress for so long ends the process; also /livez' limit"
    )
    look_s: float = Field(default=5, gt=0, description="between two looks at the broker for lag")

    @field_validator("listen", mode="after")
    @classmethod
    def _listen(cls, value: str | None) -> str | None:
        if value is not None:
            address_of(value)
        return value

    @model_validator(mode="after")
    def _local(self) -> Self:
        for text in filter(None, (self.listen, *self.listen_by.values())):
            host, _ = address_of(text)
            if not (self.allow_remote or ipaddress.ip_address(host).is_loopback):
                raise ValueError(
                    f"{text!r} can be reached from elsewhere: set allow_remote, or use 127.0.0.1"
                )
        return self

    def listen_of(self, service: str) -> str | None:
        """Where a service listens, None for nowhere."""
        return self.listen_by.get(service, self.listen)


def address_of(text: str) -> tuple[str, int]:
    """Host and port of "127.0.0.1:9401" or "[::1]:9401".

    Raises:
        ValueError: it has another form.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f"{text!r} must be ADDRESS:PORT")
    try:
        return str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))), int(port)
    except ValueError:
        raise ValueError(f"{text!r}: {host!r} must be an IP address") from None


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer to a probe: fine, or why not."""

    ok: bool
    why: tuple[str, ...] = ()

    def body(self) -> bytes:
        """One line of JSON."""
        return json.dumps({"ok": self.ok, "why": self.why}).encode() + b"\n"


class Health:
    """Judges what a process's loop says of itself."""

    def __init__(self, progress: Progress, clock: Clock, *, limit_s: float) -> None:
        self._progress = progress
        self._clock = clock
        self._limit_s = limit_s

    def live(self) -> Verdict:
        """The loop moved within the limit, or is in what has a budget of its own."""
        quiet_s = self._clock.monotonic_s() - self._progress.turned_s
        if quiet_s <= self._limit_s or self._progress.within_budget() is not None:
            return Verdict(ok=True)
        return Verdict(ok=False, why=(f"the loop last moved {quiet_s:.0f} s ago, limit {self._limit_s:g} s",))

    def ready(self) -> Verdict:
        """Live, its assigned partitions restored, and its dependencies answered when last asked."""
        why = list(self.live().why)
        if not self._progress.assigned:
            under_way = self._progress.within_budget() or self._progress.over_budget()
            why.append(under_way or "no partitions are assigned yet")
        why += [f"{name}: {problem}" for name, problem in sorted(self._progress.problems.copy().items())]
        why += [f"partition {number}: {reason}" for number, reason in sorted(self._progress.excused.items())]
        return Verdict(ok=not why, why=tuple(why))


class HealthServer:
    """Serves a process's metrics and probes until closed.

    Args:
        listen: address and port; port 0 takes a free one, see `address`.
        metrics: what /metrics shows.
        health: what the probes ask.

    Raises:
        InfrastructureError: the address cannot be listened on.
    """

    def __init__(self, listen: str, metrics: Metrics, health: Health) -> None:
        class Handler(_Handler):
            pass

        Handler.metrics, Handler.health = metrics, health
        host, port = address_of(listen)
        try:
            self._server = (_Server6 if ":" in host else _Server)((host, port), Handler)
        except OSError as error:
            raise InfrastructureError(f"telemetry.listen = {listen!r}: {error.strerror}") from error
        self.address = f"{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="telemetry", daemon=True)
        self._thread.start()
        _LOG.info("telemetry on http://%s", self.address)

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """Without the look-up of the host's name that the library makes and nobody reads."""

    daemon_threads = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._open: dict[int, socket.socket] = {}  # by file descriptor, the oldest first
        self._free = threading.Condition()
        super().__init__(*args, **kwargs)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, once there is a place."""
        with self._free:
            while len(self._open) >= REQUESTS_MAX:
                oldest = next(iter(self._open.values()))
                with suppress(OSError):  # gone by itself
                    oldest.shutdown(socket.SHUT_RDWR)  # its thread reads the end, and gives the place back
                if not self._free.wait(_GIVEN_BACK_S):
                    raise TimeoutError("no place is given back")  # the caller closes the request
            self._open[request.fileno()] = request
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Give the place back, whatever became of the request: each one ends here."""
        with self._free:
            self._open.pop(request.fileno(), None)
            self._free.notify()
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the library's
        """A client that is gone before it has its answer is no error of ours."""
        if not isinstance(sys.exception(), OSError):
            _LOG.exception("telemetry: a request of %s failed", client_address)

    def server_bind(self) -> None:
        """Take the address."""
        TCPServer.server_bind(self)


class _Server6(_Server):
    """The same by IPv6."""

    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    """GET of three paths."""

    metrics: Metrics
    health: Health
    timeout = _REQUEST_S
    server_version = "ratestream"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer one request."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(_OK, CONTENT_TYPE, self.metrics.exposition())
        elif path in {"/livez", "/readyz"}:
            verdict = self.health.live() if path == "/livez" else self.health.ready()
            self._answer(_OK if verdict.ok else _UNAVAILABLE, "application/json", verdict.body())
        else:
            self._answer(_NOT_FOUND, "text/plain", b"there are /metrics, /livez and /readyz\n")

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing: a scrape every few seconds is no news."""
