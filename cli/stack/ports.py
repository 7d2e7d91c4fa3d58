"""Free ports on the loopback address, kept from one start to the next."""

import socket
import zlib
from pathlib import Path

# Below the range from which systems take the ports of outgoing connections: a client that tries again and
# again to reach a stopped service on a port of that range may be given that port, and be connected to itself.
_FIRST, _LAST = 15_000, 32_000


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is no obstacle
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose(project_dir: Path, names: list[str], kept: dict[str, int]) -> dict[str, int]:
    """Return a port for each name: the kept one if it is free, else one near a place of the project's own.

    Raises:
        OSError: no port is free.
    """
    span = _LAST - _FIRST
    first = zlib.crc32(str(project_dir).encode()) % span
    chosen = {name: kept[name] for name in names if name in kept and is_free(kept[name])}
    for name in names:
        if name in chosen:
            continue
        for step in range(span):
            port = _FIRST + (first + step) % span
            if port not in chosen.values() and is_free(port):
                chosen[name] = port
                break
        else:
            raise OSError(f"no free port between {_FIRST} and {_LAST} on 127.0.0.1")
    return chosen
