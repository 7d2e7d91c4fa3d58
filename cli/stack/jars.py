"""Kafka's jars: fetched by Maven coordinates with jgo, trusted only by the checksums pinned here."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cli.stack.process import StackError, locked

PINS_FILE = Path(__file__).with_name("kafka_jars.sha256")
FETCH_S = 600
TRIES = 3


@dataclass(frozen=True)
class Pin:
    """One jar: its place in a Maven repository, and the checksum of its bytes."""

    sha256: str
    path: str

    @property
    def coordinates(self) -> tuple[str, str, str]:
        """Group, artifact and version, as the place in the repository tells them."""
        *group, artifact, version, _ = self.path.split("/")
        return ".".join(group), artifact, version


Fetch = Callable[[Path, Pin], None]
"""Bring one jar to its place below the given repository directory."""


def pins(text: str | None = None) -> list[Pin]:
    """Return the pinned jars; the file has the form of sha256sum."""
    lines = (text if text is not None else PINS_FILE.read_text(encoding="utf-8")).splitlines()
    return [Pin(*line.split(maxsplit=1)) for line in lines if line and not line.startswith("#")]


def is_intact(repository: Path, pin: Pin) -> bool:
    """Tell whether the jar is there with the bytes that were pinned."""
    path = repository / pin.path
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == pin.sha256


def ensure(
    repository: Path,
    wanted: list[Pin],
    fetch: Fetch,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[Path]:
    """Return the jars' paths, fetching what is missing and what is not what was pinned.

    Raises:
        StackError: a jar could not be fetched, or has other bytes than pinned even when fetched afresh.
    """
    with locked(repository / ".lock", FETCH_S, f"another process has been fetching jars into {repository}"):
        broken = [pin for pin in wanted if not is_intact(repository, pin)]
        with ThreadPoolExecutor(max_workers=8) as pool:
            for done, _ in enumerate(pool.map(lambda pin: _fetched(repository, pin, fetch), broken), start=1):
                progress(done, len(broken))
    return [repository / pin.path for pin in wanted]


def _fetched(repository: Path, pin: Pin, fetch: Fetch) -> None:
    for attempt in range(1, TRIES + 1):
        (repository / pin.path).unlink(missing_ok=True)  # cut short or changed: never used
        try:
            fetch(repository, pin)
            break
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors; jgo raises RuntimeError
            if attempt == TRIES:
                raise StackError(f"cannot fetch {':'.join(pin.coordinates)}: {error}") from error
    if not is_intact(repository, pin):
        (repository / pin.path).unlink(missing_ok=True)
        raise StackError(f"{':'.join(pin.coordinates)}: what was fetched is not what {PINS_FILE.name} pins")


def fetch_with_jgo(repository: Path, pin: Pin) -> None:
    """Fetch from the repositories that jgo knows; it checks nothing and may leave half a file."""
    try:
        from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415 - the optional extra `stack`
    except ModuleNotFoundError as error:
        raise StackError(MISSING_EXTRA) from error

    group, artifact, version = pin.coordinates
    context = MavenContext(resolver=PythonResolver(), repo_cache=repository, timeout=60)
    context.project(group, artifact).at_version(version).artifact().resolve()


MISSING_EXTRA = "the local stack's packages are not installed: install ratestream with its extra `stack`"
