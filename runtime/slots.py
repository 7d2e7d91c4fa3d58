"""Which rater (or other service) of this machine one is: the lowest slot that nobody holds, or the one that
was asked for.

A slot is a file lock, so it is free again the moment its holder dies. The transactional id, or the group's
instance id, carries it: a restarted process gets its predecessor's id and fences it at once.
"""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import InfrastructureError

_SLOTS_MAX = 64


@dataclass(slots=True)
class Slot:
    """A held slot."""

    number: int
    path: Path
    _descriptor: int

    def release(self) -> None:
        """Let another process have it."""
        os.close(self._descriptor)


def take_slot(state_dir: Path, wanted: int | None, service: str) -> Slot:
    """Take the wanted slot of a service, or the lowest free one.

    Raises:
        InfrastructureError: it is held, or all are.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    for number in range(_SLOTS_MAX) if wanted is None else (wanted,):
        path = state_dir / f"slot-{number}"
        path.mkdir(exist_ok=True)
        descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        return Slot(number, path, descriptor)
    raise InfrastructureError(
        f"{service}.slot: {'every slot' if wanted is None else f'slot {wanted}'} under {state_dir} "
        f"is held by a running {service}"
    )
