"""The on-call's endpoint: takes webhooks, and misbehaves when it is told to."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.prove.journal import Journal

_BODY_BYTES_MAX = 1 << 20
SECRET = "whsec_cHJvdmUtcHJvdmUtcHJvdmUtcHJvdmUtMTIz"  # noqa: S105 - of this receiver alone
_HANGS_S = 30.0


class Receiver:
    """Answers 204, or as `mode` says: ok, 500, hang, redirect. Each request stands in the journal."""

    def __init__(self, journal: Journal) -> None:
        self.mode = "ok"
        self._closing = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = min(int(self.headers.get("Content-Length") or 0), _BODY_BYTES_MAX)
                body = self.rfile.read(length)
                status = receiver.answer()
                journal.add(
                    "delivery",
                    webhook_id=self.headers.get("webhook-id", ""),
                    answered=status,
                    path=self.path,
                    headers={name.lower(): value for name, value in self.headers.items()},
                    body=body.decode(errors="replace"),
                )
                if status is None:
                    receiver.wait()
                    self.close_connection = True
                    return
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", receiver.url + "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/alerts"

    def answer(self) -> int | None:
        """The status to answer with now; None: never."""
        return {"ok": 204, "500": 500, "redirect": 302, "hang": None}[self.mode]

    def wait(self) -> None:
        """What a request does that hangs."""
        self._closing.wait(_HANGS_S)

    def close(self) -> None:
        """Listen no more."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
