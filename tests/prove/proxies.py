"""Ways to brokers that the nemesis makes slow, lossy or deaf in one direction. In front of services only."""

import random
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

_BYTES = 65_536


@dataclass
class Weather:
    """What a proxy does to what passes. Seconds; shares of 1."""

    delay_s: float = 0.0
    drop: float = 0.0
    """So many of the pieces break their connection."""
    deaf_from_client: bool = False
    """What clients send is swallowed."""
    deaf_to_client: bool = False
    """What the broker answers is swallowed."""
    refuse: bool = False
    """New connections are closed at once, and those that are open are broken."""


@dataclass
class Proxy:
    """Forwards TCP connections from `port` to `target`; `weather` may be changed at any time."""

    target: int
    port: int = 0
    weather: Weather = field(default_factory=Weather)
    chance: random.Random = field(default_factory=random.Random)
    passed_bytes: int = 0

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, name=f"proxy-{self.port}", daemon=True).start()

    def change(self, weather: Weather) -> None:
        """From now on. One that refuses breaks what is open."""
        self.weather = weather
        if weather.refuse:
            self._break_all()

    def clear(self) -> None:
        """Fair weather again. Connections that lost bytes are broken: a stream does not heal."""
        was, self.weather = self.weather, Weather()
        if was.deaf_from_client or was.deaf_to_client:
            self._break_all()

    def close(self) -> None:
        """Listen no more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._break_all()

    def _break_all(self) -> None:
        with self._lock:
            ends, self._open = self._open, set()
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self.weather.refuse:
                    raise ConnectionError("refused, as the weather says")
                far = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink, source is near), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, from_client: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_BYTES):
                weather = self.weather
                if weather.delay_s:
                    time.sleep(weather.delay_s)
                if weather.drop and self.chance.random() < weather.drop:
                    break
                if weather.deaf_from_client if from_client else weather.deaf_to_client:
                    continue
                sink.sendall(data)
                self.passed_bytes += len(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._open -= {source, sink}
        source.close()
