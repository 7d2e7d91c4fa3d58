"""The Kubernetes manifests, against the cluster's own schemas; and they fit each other and the code."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.settings import SettingsLoader
from tests.deploy.manifests import DEPLOY, ROOT, documents, faults, image_environment, parse_command
from tests.deploy.settings import SECTIONS, load_all

FOLDER = DEPLOY / "kubernetes"
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
MANIFESTS = [manifest for path in FILES for manifest in documents(path)]
KUSTOMIZATION = documents(FOLDER / "kustomization.yaml")[0]
WORKLOADS = [one for one in MANIFESTS if one["kind"] in ("StatefulSet", "Deployment", "Job")]
SERVICES = [one for one in WORKLOADS if one["kind"] != "Job"]
PORT = 9400
SECRETS = "/run/secrets/ratestream"


def name_of(manifest: dict[str, Any]) -> str:
    return f"{manifest['kind']}-{manifest['metadata']['name']}"


def named(kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in MANIFESTS if one["kind"] == kind}


def pod_of(workload: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = workload["spec"]["template"]["spec"]
    return pod


def containers(workload: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from pod_of(workload).get("initContainers", [])
    yield from pod_of(workload)["containers"]


def environment(container: dict[str, Any]) -> dict[str, str]:
    """A container's variables, the image's among them; what the pod is told by the cluster is 1."""
    own = {one["name"]: one.get("value", "1") for one in container.get("env", [])}
    return image_environment() | own


def shared_settings() -> str:
    text: str = named("ConfigMap")["ratestream"]["data"]["ratestream.toml"]
    return text


@pytest.mark.parametrize("manifest", MANIFESTS, ids=name_of)
def test_a_manifest_fits_its_schema(manifest: dict[str, Any]) -> None:
    assert faults(manifest) == []
    assert manifest["metadata"].get("namespace", "ratestream") == "ratestream"


def test_a_misspelt_field_and_a_wrong_type_are_faults() -> None:
    workload = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicsa": 1, "replicas": "1"}}
    told = " ".join(faults(workload))
    assert "Deployment.spec.replicsa is no field" in told
    assert "Deployment.spec.replicas = '1' must be" in told
    assert "Deployment.spec.selector is required" in told


def test_the_kustomization_lists_every_file_and_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert sorted(KUSTOMIZATION["resources"]) == [path.name for path in FILES]
    assert KUSTOMIZATION["images"] == [{"name": "ratestream", "newName": "ratestream", "newTag": version}]
    images = {container["image"] for workload in WORKLOADS for container in containers(workload)}
    assert images == {f"ratestream:{version}"}
    assert named("Job").keys() == {f"setup-{version.replace('.', '-')}"}


@pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)
def test_a_pod_may_do_nothing_that_it_does_not_need(workload: dict[str, Any]) -> None:
    pod = pod_of(workload)
    assert pod["serviceAccountName"] in named("ServiceAccount")
    assert pod["automountServiceAccountToken"] is False
    context = pod["securityContext"]
    assert (context["runAsNonRoot"], context["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    assert context["runAsUser"] == context["runAsGroup"] == context["fsGroup"] == 10001
    for container in containers(workload):
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False
        assert own["readOnlyRootFilesystem"] is True
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["requests"].keys() == container["resources"]["limits"].keys()
        assert container["resources"]["limits"].keys() == {"cpu", "memory"}


@pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)
def test_what_a_pod_refers_to_is_there(workload: dict[str, Any]) -> None:
    page = (ROOT / "docs/operating/deploy.md").read_text("utf-8")
    volumes = {volume["name"]: volume for volume in pod_of(workload)["volumes"]}
    claims = {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
    for volume in volumes.values():
        if "configMap" in volume:
            assert volume["configMap"]["name"] in named("ConfigMap")
        if "secret" in volume:
            assert f"| `{volume['secret']['secretName']}` |" in page
    for container in containers(workload):
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == volumes.keys() | claims
        assert all("secretKeyRef" not in str(variable) for variable in container.get("env", []))


@pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)
def test_commands_and_settings_are_those_of_the_code(workload: dict[str, Any], tmp_path: Path) -> None:
    text = shared_settings().replace(SECRETS, str(tmp_path))
    (tmp_path / "ratestream.toml").write_text(text, "utf-8")
    for secret in ("kafka-password", "postgres-dsn"):
        (tmp_path / secret).write_text("secret\n", "utf-8")
    for container in containers(workload):
        parse_command(container["args"])
        service = container["args"][1] if container["args"][0] == "run" else "setup"
        loaded = load_all(SettingsLoader(tmp_path, environment(container)), service)
        kafka = loaded["kafka"]
        assert kafka.security_protocol == "SASL_SSL"
        assert kafka.sasl_username == ("admin" if service == "setup" else service)
        assert loaded["log"].format == "json"
        if service != "setup":
            assert loaded["telemetry"].listen_of(service) == f"0.0.0.0:{PORT}"


def test_the_shared_settings_have_no_section_that_nobody_reads() -> None:
    read = {name for sections in SECTIONS.values() for name in sections}
    assert tomllib.loads(shared_settings()).keys() <= read


@pytest.mark.parametrize("workload", SERVICES, ids=name_of)
def test_a_service_is_probed_and_told_to_stop_in_time(workload: dict[str, Any]) -> None:
    (container,) = pod_of(workload)["containers"]
    assert container["ports"] == [{"name": "telemetry", "containerPort": PORT}]
    paths = {
        probe: container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert {get["port"] for get in paths.values()} == {"telemetry"}
    assert [get["path"] for get in paths.values()] == ["/livez", "/livez", "/readyz"]
    patience_s = container["livenessProbe"]["periodSeconds"] * container["livenessProbe"]["failureThreshold"]
    assert patience_s > 60, "the watchdog, telemetry.stuck_s, ends the process first and says why"
    assert pod_of(workload)["terminationGracePeriodSeconds"] >= 45, "a transaction may take 30 s"


@pytest.mark.parametrize("workload", SERVICES, ids=name_of)
def test_selectors_find_their_pods(workload: dict[str, Any]) -> None:
    name = workload["metadata"]["name"]
    labels = workload["spec"]["template"]["metadata"]["labels"]
    assert workload["spec"]["selector"]["matchLabels"] == labels
    budget = named("PodDisruptionBudget")[name]["spec"]
    assert (budget["selector"]["matchLabels"], budget["maxUnavailable"]) == (labels, 1)
    if workload["kind"] == "StatefulSet":
        headless = named("Service")[workload["spec"]["serviceName"]]["spec"]
        assert (headless["selector"], headless["clusterIP"]) == (labels, "None")
        (container,) = pod_of(workload)["containers"]
        slot = next(one for one in container["env"] if one["name"].endswith("__SLOT"))
        assert "pod-index" in slot["valueFrom"]["fieldRef"]["fieldPath"]
    else:
        assert (workload["spec"]["replicas"], workload["spec"]["strategy"]["type"]) == (1, "Recreate")


def test_the_network_lets_through_what_the_settings_name() -> None:
    rules = named("NetworkPolicy")["everything"]["spec"]
    assert [port["port"] for port in rules["ingress"][0]["ports"]] == [PORT]
    out = {port["port"] for rule in rules["egress"] for port in rule["ports"]}
    kafka = tomllib.loads(shared_settings())["kafka"]["bootstrap_servers"]
    assert out == {53, int(kafka.rpartition(":")[2]), 5432}
