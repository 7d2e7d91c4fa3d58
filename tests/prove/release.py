"""The release before this one, unpacked from the repository's history: what a rolling upgrade starts from."""

import io
import subprocess
import tarfile
from pathlib import Path

from tests.fix_stack import ROOT

NAMED = ROOT / "tests" / "fault" / "previous_release"


class NotThereError(Exception):
    """This clone has no such commit; the text says why."""


def unpack(into: Path) -> str:
    """Unpack the commit that tests/fault/previous_release names. Returns its hash.

    Raises:
        NotThereError: this is no clone, or a shallow one.
    """
    commit = NAMED.read_text(encoding="ascii").strip()
    done = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().splitlines()
        raise NotThereError(
            f"{commit[:12]} is not in this clone ({why[-1] if why else 'git archive failed'})"
        )
    into.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(into, filter="data")
    return commit


def is_shallow() -> bool:
    """Whether the clone's history is cut off, so that the commit may be missing rightly."""
    done = subprocess.run(
        ["git", "rev-parse", "--is-shallow-repository"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.returncode != 0 or done.stdout.strip() == "true"
