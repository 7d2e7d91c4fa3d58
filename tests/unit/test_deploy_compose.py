"""compose.yaml: commands, settings, secrets, volumes and scraped targets that exist."""

import re
from pathlib import Path
from typing import Any

import pytest

from runtime.settings import SettingsLoader
from tests.deploy.manifests import DEPLOY, documents, image_environment, parse_command
from tests.deploy.settings import load_all

FOLDER = DEPLOY / "compose"
COMPOSE = documents(FOLDER / "compose.yaml")[0]
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
LONG = {name for name, service in OURS.items() if service["command"][0] == "run"}
PINNED = re.compile(r"[a-z/]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?(@sha256:[0-9a-f]{64})?")


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_pinned_and_what_is_named_is_declared(name: str) -> None:
    service = SERVICES[name]
    assert PINNED.fullmatch(service["image"])
    assert service["mem_limit"]
    assert set(service["networks"]) <= COMPOSE["networks"].keys()
    assert set(service.get("secrets", [])) <= COMPOSE["secrets"].keys()
    assert set(service.get("depends_on", {})) <= SERVICES.keys()
    for needed, how in service.get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "test" in SERVICES[needed]["healthcheck"]
        else:
            assert SERVICES[needed]["restart"] == "no"
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (FOLDER / source).exists(), source
        else:
            assert source in COMPOSE["volumes"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", OURS)
def test_ours_runs_a_command_with_settings_that_it_reads(name: str, tmp_path: Path) -> None:
    service = OURS[name]
    parse_command(service["command"])
    assert service["build"] == {"context": "../..", "dockerfile": "deploy/Dockerfile"}
    assert (service["read_only"], service["cap_drop"], service["user"]) == (True, ["ALL"], "10001:10001")
    environ = {
        key: value.replace("/run/secrets", str(tmp_path)) for key, value in service["environment"].items()
    }
    for secret in service["secrets"]:
        (tmp_path / secret).write_text("secret\n", "utf-8")
    what = service["command"][1] if name in LONG else "setup"
    loaded = load_all(SettingsLoader(tmp_path, image_environment() | environ), what)
    host, port = loaded["kafka"].bootstrap_servers.split(":")
    listener = SERVICES[host]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert listener == f"CLIENT://{host}:{port}"
    assert loaded["telemetry"].listen_of(what) == "0.0.0.0:9400"


def test_postgres_is_healthy_only_where_others_reach_it() -> None:
    """While it makes the database, its image's first server listens on a socket and nowhere else."""
    assert "--host" in SERVICES["postgres"]["healthcheck"]["test"]


def test_raters_have_slots_and_states_of_their_own() -> None:
    raters = [OURS[name] for name in sorted(LONG) if OURS[name]["command"][1] == "rater"]
    assert [rater["command"][-1] for rater in raters] == ["0", "1"]
    assert len({rater["volumes"][0] for rater in raters}) == 2


def test_every_process_is_scraped_by_its_name() -> None:
    prometheus = documents(FOLDER / "prometheus.yml")[0]
    (job,) = prometheus["scrape_configs"]
    targets = [target for group in job["static_configs"] for target in group["targets"]]
    assert sorted(targets) == sorted(f"{name}:9400" for name in LONG)
    mounted = {volume.split(":")[1] for volume in SERVICES["prometheus"]["volumes"]}
    assert set(prometheus["rule_files"]) <= mounted


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    source = documents(DEPLOY / "grafana/provisioning/datasources/prometheus.yaml")[0]["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    provider = documents(DEPLOY / "grafana/provisioning/dashboards/ratestream.yaml")[0]["providers"][0]
    mounted = {volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]}
    assert f"{provider['options']['path']}/ratestream.json" in mounted


def test_secrets_are_files_that_git_does_not_see() -> None:
    files = {secret["file"] for secret in COMPOSE["secrets"].values()}
    assert {Path(file).parent.as_posix() for file in files} == {"secrets"}
    assert "/deploy/compose/secrets/" in (DEPLOY.parent / ".gitignore").read_text("utf-8").splitlines()
    assert not re.search(
        r"(?i)password\w*: (?!/run/secrets|\{file)\S", (FOLDER / "compose.yaml").read_text("utf-8")
    )
