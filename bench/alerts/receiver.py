"""A webhook on loopback: writes down when each message came, and answers that all is well."""

import argparse
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_LOCK = threading.Lock()


def main() -> None:
    """Append `{"at_ns", "body"}` lines to a file; the port is printed first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, required=True)
    arguments = parser.parse_args()
    with arguments.file.open("a", encoding="utf-8") as file:

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                told = {"at_ns": time.time_ns(), "body": json.loads(body)}
                with _LOCK:
                    file.write(json.dumps(told) + "\n")
                    file.flush()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing: a line for each message would be work."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
