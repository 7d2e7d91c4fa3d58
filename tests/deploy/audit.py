"""`make audit`: known vulnerabilities of the locked requirements, as pip-audit's services know them.

Exit codes: 0 none known, 1 some are, 3 the service could not be asked about every package.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOCKED = ("requirements/prod.txt", "requirements/dev.txt")
_FINE, _FOUND, _UNREACHABLE = 0, 1, 3
_WAIT_S = 300


class UnansweredError(Exception):
    """The service gave no answer, or none that pip-audit could read."""


def main() -> int:
    """Ask about each file; print a line a file and a line a vulnerability."""
    return max(_tell(name) for name in LOCKED)


def _tell(name: str) -> int:
    try:
        known = ask(ROOT / name)
    except UnansweredError as error:
        print(f"{name}: NOT AUDITED: {error}")
        return _UNREACHABLE
    vulnerable = [package for package in known if package.get("vulns")]
    unasked = [package["name"] for package in known if "skip_reason" in package]
    for package in vulnerable:
        for one in package["vulns"]:
            fixed = ", ".join(one["fix_versions"]) or "no version"
            print(f"{name}: {package['name']} {package['version']}: {one['id']}, fixed in {fixed}")
    answered = len(known) - len(unasked)
    print(f"{name}: {len(known)} packages, {answered} answered for, {len(vulnerable)} vulnerable")
    if unasked:
        print(f"{name}: NOT AUDITED: {len(unasked)} packages: the service knows them not, or is away")
    return _UNREACHABLE if unasked else _FOUND if vulnerable else _FINE


def ask(requirements: Path) -> list[dict[str, Any]]:
    """What pip-audit says of each package. Raises UnansweredError."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(requirements), "--disable-pip",
               "--require-hashes", "--format", "json", "--progress-spinner", "off"]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_WAIT_S, check=False)
        answer = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise UnansweredError(f"{type(error).__name__}: the vulnerability service did not answer") from error
    dependencies: list[dict[str, Any]] = answer["dependencies"]
    return dependencies


if __name__ == "__main__":
    sys.exit(main())
