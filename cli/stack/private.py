"""Files that only their owner can read."""

import os
from pathlib import Path


def write_private(path: Path, text: str, user: tuple[int, int] | None = None) -> Path:
    """Write a file of mode 0600, whole or not at all; `user` (uid, gid) is whose it is, None: ours."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        if user is not None:
            os.fchown(file.fileno(), *user)
    return temporary.replace(path)
