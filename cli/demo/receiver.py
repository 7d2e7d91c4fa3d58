"""The demo's on-call: a webhook receiver on loopback that checks signatures and notes when alerts came."""

import base64
import hashlib
import hmac
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from runtime.clock import Clock

_BODY_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message as it came first: `at_us` by this machine's clock."""

    at_us: int
    alert: dict[str, Any]


@dataclass
class Receiver:
    """Accepts what is signed with the key; the first arrival of each id counts.

    Attributes:
        secret: as a webhook channel's `secret` wants it.
        forged: messages whose signature was wrong.
    """

    clock: Clock
    key: bytes
    forged: int = 0
    _arrived: dict[str, Arrival] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _server: ThreadingHTTPServer | None = None

    @property
    def secret(self) -> str:
        return "whsec_" + base64.b64encode(self.key).decode()

    def start(self) -> str:
        """Listen on a free port of loopback. Returns the URL."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = min(int(self.headers.get("Content-Length") or 0), _BODY_BYTES_MAX)
                body = self.rfile.read(length)
                accepted = receiver.take(dict(self.headers.items()), body)
                self.send_response(204 if accepted else 401)
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_address[1]}/alerts"

    def take(self, headers: dict[str, str], body: bytes) -> bool:
        """One delivery: whether it is accepted."""
        at_us = self.clock.now_us()
        given = {name.lower(): value for name, value in headers.items()}
        message_id, sent_s = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
        signed = f"{message_id}.{sent_s}.".encode() + body
        expected = "v1," + base64.b64encode(hmac.new(self.key, signed, hashlib.sha256).digest()).decode()
        if not any(hmac.compare_digest(expected, one) for one in given.get("webhook-signature", "").split()):
            self.forged += 1
            return False
        data = json.loads(body)["data"]
        alerts = data.get("alerts", [data])
        with self._lock:
            for alert in alerts:
                self._arrived.setdefault(alert["alert_id"], Arrival(at_us, alert))
        return True

    def arrived(self) -> dict[str, Arrival]:
        """What has come so far, by id."""
        with self._lock:
            return dict(self._arrived)

    def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
