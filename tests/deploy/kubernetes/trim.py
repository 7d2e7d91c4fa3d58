"""Makes `schema.json` anew: `python -m tests.deploy.kubernetes.trim DEFINITIONS`.

DEFINITIONS is the file `kubernetes-json-schema/v1.34.0-local-strict/_definitions.json` of the package
kubernetes-validate (Apache-2.0).
Only what the kinds in use reach is kept, without descriptions; strict, so that an unknown field is a fault.
"""

import json
import sys
from pathlib import Path
from typing import Any

VERSION = "1.34.0"
KINDS = {
    "apps/v1 Deployment": "io.k8s.api.apps.v1.Deployment",
    "apps/v1 StatefulSet": "io.k8s.api.apps.v1.StatefulSet",
    "batch/v1 Job": "io.k8s.api.batch.v1.Job",
    "networking.k8s.io/v1 NetworkPolicy": "io.k8s.api.networking.v1.NetworkPolicy",
    "policy/v1 PodDisruptionBudget": "io.k8s.api.policy.v1.PodDisruptionBudget",
    "v1 ConfigMap": "io.k8s.api.core.v1.ConfigMap",
    "v1 Namespace": "io.k8s.api.core.v1.Namespace",
    "v1 Service": "io.k8s.api.core.v1.Service",
    "v1 ServiceAccount": "io.k8s.api.core.v1.ServiceAccount",
}
_LEFT_OUT = {"status", "managedFields", "ephemeralContainers"}
_VOLUMES = {"configMap", "emptyDir", "name", "persistentVolumeClaim", "projected", "secret"}


def main() -> None:
    """Write the schema beside this file."""
    given = json.loads(Path(sys.argv[1]).read_text("utf-8"))["$defs"]
    kept: dict[str, Any] = {}
    wanted = list(KINDS.values())
    while wanted:
        name = wanted.pop()
        if name not in kept:
            node = dict(given[name])
            if name.endswith(".core.v1.Volume"):
                node["properties"] = {key: node["properties"][key] for key in sorted(_VOLUMES)}
            kept[name] = _cleaned(node, wanted)
    text = json.dumps({"version": VERSION, "kinds": KINDS, "definitions": kept}, sort_keys=True, indent=1)
    (Path(__file__).parent / "schema.json").write_text(text + "\n", "utf-8")


def _cleaned(node: Any, wanted: list[str], *, names: bool = False) -> Any:
    """Without descriptions; `names`: the node's keys are fields. What it refers to becomes wanted."""
    if isinstance(node, list):
        return [_cleaned(item, wanted) for item in node]
    if not isinstance(node, dict):
        return node
    result = {}
    for key, value in node.items():
        if (key in _LEFT_OUT) if names else (key == "description" or key.startswith("x-kubernetes")):
            continue
        if key == "$ref" and not names:
            result[key] = value.rpartition("/")[2]
            wanted.append(result[key])
        else:
            result[key] = _cleaned(value, wanted, names=key == "properties" and not names)
    return result


if __name__ == "__main__":
    main()
