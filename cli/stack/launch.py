"""Become a service: write this process's identity to a file, drop root if asked to, then execute the program.

Run as a script by an isolated interpreter, so it imports nothing but the standard library. The file is
written by the process itself before it becomes the service: so there is no instant at which a service runs
unrecorded, even if the command that started it is killed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path


def start_token(pid: int) -> str | None:
    """Return what tells this process from another that gets its number later; None if it is gone."""
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():  # not Linux
        shown = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout.strip()
        return shown or None
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX":  # it has ended and only waits for its parent to notice
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{fields[19]}"


def main(arguments: list[str]) -> None:
    """Take PID_FILE, UID:GID or `-`, working directory, then the program and its arguments."""
    pid_file, user, directory, *command = arguments
    if os.fork():
        os._exit(0)  # the service is nobody's child: it outlives the command, and is collected by the system
    os.setsid()
    target = Path(pid_file)
    temporary = target.with_suffix(".new")
    pid = os.getpid()
    temporary.write_text(json.dumps({"pid": pid, "started": start_token(pid)}))
    temporary.replace(target)
    if user != "-":
        uid, gid = (int(part) for part in user.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    os.chdir(directory)
    os.execv(command[0], command)  # noqa: S606 - becoming the service is the point


if __name__ == "__main__":
    main(sys.argv[1:])
