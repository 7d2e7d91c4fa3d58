"""`make fuzz`: every target in turn under atheris, for a time in all; exit code 1 where anything was found.

The corpus that grew and what was found stay in `.ratestream/fuzz/<target>`: the next run goes on from there.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".ratestream" / "fuzz"
INPUT_S, MEMORY_MB = 10, 1_024
"""An input may take so long, and a whole process so much memory."""


def main() -> int:
    """Fuzz; print a line a target."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=17, help="for all targets together")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    options = parser.parse_args()
    names = options.targets or list(TARGETS)
    found = 0
    print(f"{'target':<12} {'CPU s':>8} {'inputs':>10} {'taken':>10} {'slowest ms':>10} {'findings':>8}")
    for name in names:
        found += _fuzz(TARGETS[name], options.minutes * 60 / len(names))
    return 1 if found else 0


def _fuzz(target: Target, seconds: float) -> int:
    folder = FOLDER / target.name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    begun_s, cpu_s = time.monotonic(), _cpu_s()
    total = {"inputs": 0, "taken": 0, "slowest_ms": 0}
    while (left_s := seconds - (time.monotonic() - begun_s)) >= 1:
        counts = _process(target, folder, int(left_s))
        total = {key: (max if key == "slowest_ms" else int.__add__)(total[key], counts[key]) for key in total}
    findings = [*folder.glob("findings/*.input"), *folder.glob("ended-*")]
    print(f"{target.name:<12} {_cpu_s() - cpu_s:>8.0f} {total['inputs']:>10} {total['taken']:>10} "
          f"{total['slowest_ms']:>10} {len(findings):>8}", flush=True)  # fmt: skip
    for path in findings:
        print(f"    {path.relative_to(ROOT)}", flush=True)
    return len(findings)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _process(target: Target, folder: Path, seconds: int) -> dict[str, int]:
    """One process until its time is over, or an input ended it."""
    told = folder / "counts.json"
    told.unlink(missing_ok=True)
    arguments = (f"-max_total_time={seconds}", f"-timeout={INPUT_S}", f"-rss_limit_mb={MEMORY_MB}",
                 f"-max_len={target.bytes_max}", f"-artifact_prefix={folder}/ended-",
                 *_dictionary(target, folder), str(folder / "corpus"))  # fmt: skip
    with (folder / "log").open("w") as log:
        command = [sys.executable, "-m", "tests.fuzz.worker", target.name, str(folder), *arguments]
        done = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=False)
    if not told.is_file() and done.returncode == 0:
        return {"inputs": 0, "taken": 0, "slowest_ms": 0}  # its time was over when it had been imported
    if not told.is_file():
        raise SystemExit(f"{target.name}: ended before its first second: see {folder / 'log'}")
    counts: dict[str, int] = json.loads(told.read_text("utf-8"))
    return counts


def _dictionary(target: Target, folder: Path) -> list[str]:
    """The argument that names the words; libFuzzer ends where a file of them is empty."""
    if not target.words:
        return []
    path = folder / "words"
    path.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words), "ascii")
    return [f"-dict={path}"]


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    sys.exit(main())
