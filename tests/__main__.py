"""All tests but the slow ones, in lanes side by side: `python -m tests`, which `make test` calls.

Most tests of services wait (for a session to time out, for a poll), so one lane after the other would leave
the processors idle for most of the time. The lanes share the local stack, where no other service is named;
topics and databases are each test's own. Arguments go to pytest. `--prove`, which `make test` says, adds one
seed of the whole pipeline under faults behind the lanes, alone (`tests/prove`).
"""

import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from cli.stack.local import LocalStack
from tests.fix_stack import ROOT, settings_loader

LANES: Mapping[str, Sequence[str]] = {
    "the rest": ("tests/unit", "tests/property", "tests/contract", "tests/e2e"),
    "faults": ("tests/fault",),
}
PROVED = ("--seed", "3", "--minutes", "4")
_PROVED_WITHIN_S = 1_200.0  # six minutes on a machine that has nothing else to do
_LAST_WORDS_S = 10.0
_RESULT = re.compile(r"\d+ (passed|failed|errors?|deselected)\b.* in [\d.]+s")
_FAILED = re.compile(r"(\d+) (?:failed|error)")
_TESTS_FAILED, _AGAIN_MAX = 1, 3
_LAST_FAILED = ("--last-failed", "--last-failed-no-failures", "none")
SPREAD, SPREAD_LANES = "tests/integration", 2
"""The folder that waits the most: its files are dealt out to lanes of their own."""


def main(arguments: Sequence[str]) -> int:
    """Run the lanes; the exit code is the worst of theirs."""
    check_lanes()
    with ExitStack() as stack:
        loader = settings_loader()
        if not (loader.names_endpoint("kafka") and loader.names_endpoint("postgres")):
            local = LocalStack(ROOT)
            if not local.is_up():
                local.up()
                stack.callback(local.down)
        lanes = [_Lane(name, paths, arguments) for name, paths in [*LANES.items(), *_spread().items()]]
        codes = [lane.wait() for lane in lanes]
        for number, lane in enumerate(lanes):
            if codes[number] == _TESTS_FAILED and lane.failed <= _AGAIN_MAX:
                # Tests with time-outs beside three lanes of others: what fails alone as well has failed.
                print(f"lane {lane.name}: {lane.failed} failed, once more by themselves", flush=True)
                lanes[number] = again = _Lane(lane.name, lane.paths, [*arguments, *_LAST_FAILED], "again")
                codes[number] = again.wait()
                again.last_line += f" (FAILED AT FIRST: {lane.last_line})"
            elif lane.died:
                print(f"lane {lane.name}: no result, see its stacks above: once more", flush=True)
                lanes[number] = again = _Lane(lane.name, lane.paths, arguments, "again")
                codes[number] = again.wait()
    for lane, code in zip(lanes, codes, strict=True):
        print(f"lane {lane.name}: {'passed' if code == 0 else f'FAILED, exit code {code}'}: {lane.last_line}")
    return max(codes)


def prove() -> int:
    """One seed of `make prove`, after everything else: it has time-outs of seconds and needs the machine."""
    process = subprocess.Popen([sys.executable, "-m", "tests.prove", *PROVED], cwd=ROOT)
    try:
        return process.wait(_PROVED_WITHIN_S)
    except subprocess.TimeoutExpired:
        print(f"prove: not over after {_PROVED_WITHIN_S:.0f} s")
        process.terminate()
        return process.wait() or _TESTS_FAILED


def check_lanes() -> None:
    """Every folder of tests is in one lane: one that is forgotten would never run."""
    inside = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    folders = {f"tests/{path.relative_to(ROOT / 'tests').parts[0]}" for path in inside}
    listed = [SPREAD, *(path for paths in LANES.values() for path in paths)]
    if sorted(listed) != sorted(folders):
        raise SystemExit(f"tests/__main__.py lists {sorted(listed)}, the folders are {sorted(folders)}")


def _spread() -> dict[str, list[str]]:
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / SPREAD).glob("test_*.py"))
    return {f"services {lane}": files[lane::SPREAD_LANES] for lane in range(SPREAD_LANES)}


class _Lane:
    """One pytest process, its lines shown as they come with the lane's name in front."""

    def __init__(self, name: str, paths: Sequence[str], arguments: Sequence[str], note: str = "") -> None:
        self.name = f"{name}, {note}" if note else name
        self.paths = paths
        self.last_line = ""
        cache = (
            "-o",
            f"cache_dir=.pytest_cache/{name.replace(' ', '-')}",
        )  # of its own: it tells what failed
        command = [sys.executable, "-m", "pytest", "-m", "not slow", *cache, *paths, *arguments]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        self._reader = threading.Thread(target=self._show, daemon=True)
        self._reader.start()

    def _show(self) -> None:
        for line in self._process.stdout or ():
            print(f"[{self.name}] {line}", end="", flush=True)
            if _RESULT.search(line):
                self.last_line = line.strip("= \n")

    def wait(self) -> int:
        try:
            code = self._process.wait()
        except KeyboardInterrupt:
            self._process.wait()
            raise
        # A process that a dead test left behind may hold the pipe open: what it says is not waited for.
        self._reader.join(_LAST_WORDS_S)
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()
        return code

    @property
    def failed(self) -> int:
        """How many tests failed, or could not be set up."""
        return sum(int(number) for number in _FAILED.findall(self.last_line))

    @property
    def died(self) -> bool:
        """It ended itself, or was ended, before pytest had counted: a client library that never came back."""
        return self._process.returncode != 0 and not self.last_line


if __name__ == "__main__":
    given = [argument for argument in sys.argv[1:] if argument != "--prove"]
    tested = main(given)
    sys.exit(max(tested, prove()) if "--prove" in sys.argv else tested)
