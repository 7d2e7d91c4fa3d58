"""Compiles Rate.java against pinned jars and runs it; where there is no Java compiler, that is told."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from bench.load.input import Input, last_line
from bench.load.input import topic as new_topic
from cli.stack.jars import ensure, fetch_with_jgo, pins
from runtime.settings import STATE_DIR, SettingsLoader
from schemas.codec import CODEC
from schemas.topics import USAGE_EVENTS

_HERE = Path(__file__).parent
_RUN_S = 900
STORE = "totals"


def compiler() -> str | None:
    """The Java compiler on the path, if any."""
    return shutil.which("javac")


def run(
    loader: SettingsLoader, made: Input, folder: Path, name: str, *, warm: int, commit_ms: int
) -> dict[str, Any]:
    """Rate all events of the input, the first `warm` of them untimed; figures and the topics it wrote.

    Raises RuntimeError where there is no compiler; CalledProcessError where it fails.
    """
    javac = compiler()
    if javac is None:
        raise RuntimeError("no Java compiler")
    jars = ensure(
        loader.project_dir / STATE_DIR / "jars",
        pins((_HERE / "jars.sha256").read_text("utf-8")),
        fetch_with_jgo,
    )
    classes = folder / "classes"
    path = os.pathsep.join(map(str, [classes, *jars]))
    subprocess.run([javac, "-cp", path, "-d", str(classes), str(_HERE / "Rate.java")], check=True)
    target = new_topic(made.world, name)
    application = f"{made.world.kafka.topic_prefix}{name}-app"
    done = subprocess.run(
        [str(Path(javac).resolve().with_name("java")), "-Xmx1g", "-cp", path,
         "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "Rate",
         "--bootstrap", made.world.kafka.bootstrap_servers, "--id", application,
         "--source", made.world.kafka.topic_prefix + USAGE_EVENTS, "--target", target,
         "--directory", str(folder / application), "--header", CODEC.fingerprint("RatedUsage").hex(),
         "--warm", str(warm), "--events", str(made.count), "--commit-ms", str(commit_ms)],
        stdout=subprocess.PIPE, timeout=_RUN_S, check=True,
    )  # fmt: skip
    return last_line(done.stdout) | {"target": target, "changelog": f"{application}-{STORE}-changelog"}
