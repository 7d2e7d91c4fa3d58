"""Posts a message to a URL that somebody configured, guarding this machine and its network.

The connection goes to an address that `addresses` has judged, while the name stays what the certificate and
the Host header are about; no redirect is followed, no proxy of the environment is used, and one limit of time
holds for all of it, however slowly the other side speaks.
"""

import email.utils
import http.client
import logging
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from budget_guard.adapters.addresses import (
    Network,
    RefusedError,
    Resolver,
    Target,
    UnresolvedError,
    checked_addresses,
    system_resolver,
)
from budget_guard.core.messages import one_line
from runtime.clock import Clock

RESPONSE_BYTES: Final = 64 << 10
KEPT_CHARACTERS: Final = 200
_LOG = logging.getLogger(__name__)
_SECONDS = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one attempt. `error` is None exactly where the message was accepted."""

    status: int | None = None
    error: str | None = None
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What the sender holds a target to.

    `limit_s` is for everything from resolution to the last byte read. `ca_file` holds certificates (PEM) of
    authorities in place of the system's.
    """

    limit_s: float = 10.0
    allow_addresses: tuple[Network, ...] = ()
    ca_file: Path | None = None


Connect = Callable[[str, int, float], socket.socket]


def _connect(address: str, port: int, timeout_s: float) -> socket.socket:
    return socket.create_connection((address, port), timeout=timeout_s)


class Sender:
    """Posts to one target.

    Args:
        target: where to; checked by `addresses.target_of`.
        rules: what must hold.
        clock: for the limit, and for a Retry-After that is a date.
        resolver: name and port -> addresses; default: the operating system's.
        connect: address, port and limit in seconds -> socket.
    """

    def __init__(
        self,
        target: Target,
        rules: Rules,
        clock: Clock,
        *,
        resolver: Resolver | None = None,
        connect: Connect = _connect,
    ) -> None:
        self._target = target
        self._rules = rules
        self._clock = clock
        self._resolver = resolver or system_resolver(rules.limit_s)
        self._connect = connect
        self._tls = (
            ssl.create_default_context(cafile=str(rules.ca_file) if rules.ca_file else None)
            if target.scheme == "https"
            else None
        )

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send the body once. Whatever goes wrong is in the answer, with nothing of the URL but its host."""
        deadline_s = self._clock.monotonic_s() + self._rules.limit_s
        try:
            addresses = checked_addresses(self._target, self._resolver, self._rules.allow_addresses)
            answer = self._post_to(addresses, body, headers, deadline_s)
            # Headers that were cut off read like headers that ended.
            return self._too_late() if self._clock.monotonic_s() >= deadline_s else answer
        except RefusedError as error:
            return Answer(error=f"refused: {error}")
        except UnresolvedError as error:
            return Answer(error=str(error))
        except (OSError, http.client.HTTPException, ValueError) as error:
            if self._clock.monotonic_s() >= deadline_s:
                return self._too_late()
            return Answer(error=_kept(f"{self._target.host}: {type(error).__name__}: {error}"))

    def _too_late(self) -> Answer:
        return Answer(error=f"no complete answer within {self._rules.limit_s:g} s")

    def _post_to(
        self, addresses: Sequence[str], body: bytes, headers: Mapping[str, str], deadline_s: float
    ) -> Answer:
        target = self._target
        raw = self._connected(addresses, deadline_s)
        left_s = max(0.001, deadline_s - self._clock.monotonic_s())
        with raw, _shut_after(raw, left_s):
            raw.settimeout(left_s)
            connection = http.client.HTTPConnection(target.host, target.port)
            connection.sock = self._tls.wrap_socket(raw, server_hostname=target.host) if self._tls else raw
            try:
                connection.putrequest("POST", target.path, skip_host=True, skip_accept_encoding=True)
                fixed = {"Host": target.authority, "Content-Length": str(len(body)), "Connection": "close"}
                for name, value in (fixed | dict(headers)).items():
                    connection.putheader(name, value)
                connection.endheaders(body)
                with connection.getresponse() as response:
                    return self._answer(response)
            finally:
                connection.close()

    def _connected(self, addresses: Sequence[str], deadline_s: float) -> socket.socket:
        """A connection to the first address that takes one. Raises OSError: none does."""
        for place, address in enumerate(addresses, start=1):
            left_s = deadline_s - self._clock.monotonic_s()
            if left_s <= 0:
                break
            try:
                return self._connect(address, self._target.port, left_s / (len(addresses) - place + 1))
            except OSError as error:
                if place == len(addresses):
                    raise
                _LOG.info("%s: %s does not take a connection: %s", self._target.host, address, error)
        raise TimeoutError("no address took a connection in time")

    def _answer(self, response: http.client.HTTPResponse) -> Answer:
        # The status alone decides; the body is for people, and for nobody where all went well.
        status = response.status
        if 200 <= status < 300:
            return Answer(status=status)
        text = self._target.hidden_in(response.read(RESPONSE_BYTES).decode("utf-8", "replace"))
        if 300 <= status < 400:
            return Answer(status=status, error=f"answered {status}: redirects are not followed")
        said = f"answered {status}"
        if 400 <= status < 500 and status not in {408, 425, 429}:
            said += " (the request itself is refused; tried again all the same, until somebody mends it)"
        return Answer(
            status=status,
            error=_kept(f"{said}: {text}" if text.strip() else said),
            retry_after_s=self._retry_after(response.getheader("Retry-After")),
        )

    def _retry_after(self, text: str | None) -> int | None:
        """Seconds from now; None where nothing, or nonsense, was asked."""
        if text is None:
            return None
        if _SECONDS.fullmatch(text.strip()):
            return int(text)
        try:
            at = email.utils.parsedate_to_datetime(text)
        except ValueError:
            return None
        return max(0, int(at.timestamp()) - self._clock.now_us() // 1_000_000)


def _kept(text: str) -> str:
    return one_line(text)[:KEPT_CHARACTERS]


@contextmanager
def _shut_after(raw: socket.socket, left_s: float) -> Iterator[None]:
    """Shut the connection down when the time is over, which ends whatever call waits for it.

    A socket's own time-out begins anew with each byte, so that a drip of them would never end. The second
    descriptor stays valid when TLS takes the first one over.
    """
    with raw.dup() as second:

        def shut() -> None:
            with suppress(OSError):  # the other side was faster
                second.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(left_s, shut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
