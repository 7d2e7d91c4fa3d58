"""A way to a server that a test can cut and mend."""

import socket
import threading
from contextlib import suppress


class Proxy:
    """Forwards TCP connections from a port of its own, while it is not cut."""

    def __init__(self, host: str, port: int, own_port: int = 0) -> None:
        self._to = (host, port)
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self.port = own_port
        self.mend()

    def mend(self) -> None:
        """Accept connections (again), on the same port."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        """Break every connection and refuse new ones."""
        listener, self._listener = self._listener, None
        if listener is not None:
            # Wakes the thread in accept(), which close() alone would not.
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            broken, self._open = self._open, []
        for end in broken:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._to)
            with self._lock:
                self._open += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(
                    target=self._pump, args=(source, target, source is near), daemon=True
                ).start()

    def passes(self, data: bytes, *, from_client: bool) -> bool:
        """Whether the data is handed on; if not, its connection is broken. For tests to override."""
        return True

    def _pump(self, source: socket.socket, target: socket.socket, from_client: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if not self.passes(data, from_client=from_client):
                    source.shutdown(socket.SHUT_RDWR)
                    break
                target.sendall(data)
        _end(source, target)


def _end(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
    source.close()
