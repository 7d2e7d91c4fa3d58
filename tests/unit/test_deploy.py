"""Dashboard, alert rules and documents name metrics that exist; services count under names of the table."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.metrics import METRICS

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy/prometheus/rules.yml"
DASHBOARD = ROOT / "deploy/grafana/ratestream.json"
DOCUMENT = ROOT / "docs/operating/metrics.md"
SERVICES = {
    "process": "Every process", "rater": "Rater", "ledger": "Ledger", "aggregator": "Aggregator",
    "totals": "Totals sink", "guard": "Budget guard", "delivery": "Delivery",
}  # fmt: skip
NAME = re.compile(r"\bratestream_[a-z_]+\b")
SELECTED = re.compile(r"(ratestream_[a-z_]+)\{([^}]*)\}")
GROUPED = re.compile(r"\b(?:by|on) \(([^)]*)\)")
EXPOSED = {
    name
    for metric in METRICS
    for name in (
        [f"{metric.name}_{part}" for part in ("bucket", "sum", "count")]
        if metric.kind == "histogram"
        else [metric.name]
    )
}
ROLE = re.compile(r"ratestream_(?:guard|[a-z]+_(?:reader|writer|owner))")  # of PostgreSQL
BY_NAME = {metric.name: metric for metric in METRICS}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for panel in panels() for target in panel["targets"])


def labels_of(name: str) -> set[str]:
    metric = BY_NAME.get(name) or BY_NAME[name.rpartition("_")[0]]
    return set(metric.labels)


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_an_expression_asks_for_metrics_and_labels_that_exist(expression: str) -> None:
    names = set(NAME.findall(expression))
    assert names <= EXPOSED
    assert names or "up{" in expression
    for name, selector in SELECTED.findall(expression):
        assert set(re.findall(r"(\w+)(?:=~?|!=|!~)", selector)) <= labels_of(name)
    known = set[str]().union(*(labels_of(name) for name in names)) | {"le"}
    for labels in GROUPED.findall(expression):
        assert {label.strip() for label in labels.split(",")} <= known
    assert expression.count("(") == expression.count(")")
    for name in names:
        counts = name.endswith(("_total", "_bucket"))
        assert counts == bool(re.search(rf"(?:rate|increase)\({name}\b", expression)), (
            "counters by their rate"
        )


def sections(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_says_how_bad_what_and_what_to_do(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"Ratestream[A-Z]\w+", rule["alert"])
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert re.fullmatch(r"\d+m", rule["for"])
    assert rule["annotations"]["summary"]
    page, _, section = rule["annotations"]["runbook"].partition("#")
    assert section in sections(ROOT / page)


def test_the_runbook_has_no_section_without_an_alert_and_no_alert_twice() -> None:
    named = [rule["alert"] for rule in rules()]
    assert len(named) == len(set(named))
    linked = {rule["annotations"]["runbook"].partition("#")[2] for rule in rules()}
    assert linked == sections(ROOT / "docs/operating/runbook.md") - {"runbook"}


def test_each_metric_is_on_the_dashboard() -> None:
    shown = {
        name for panel in panels() for target in panel["targets"] for name in NAME.findall(target["expr"])
    }
    assert {name.removesuffix("_bucket") for name in shown} == set(BY_NAME)


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        assert at["x"] + at["w"] <= 24


def test_the_document_has_the_tables_lines() -> None:
    lines: list[str] = []
    for service, title in SERVICES.items():
        lines += [f"### {title}", "| name | type | labels | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{metric.name}` | {metric.kind} | "
            f"{', '.join(f'`{label}`' for label in metric.labels) or '-'} | {metric.meaning} |"
            for metric in METRICS
            if metric.service == service
        ]
        lines.append("")
    assert DOCUMENT.read_text(encoding="utf-8").endswith("\n".join(lines).rstrip() + "\n")


def counted() -> set[str]:
    """Metrics' names in the code of services and of runtime, its table aside."""
    texts = [
        node.value
        for folder in ("rater", "ledger", "aggregator", "budget_guard", "runtime")
        for path in (ROOT / folder).rglob("*.py")
        if path != ROOT / "runtime/metrics.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return {
        text
        for text in texts
        if NAME.fullmatch(text) and text.split("_")[1] in SERVICES and not ROLE.fullmatch(text)
    }


def test_every_metric_is_counted_somewhere_and_nothing_else_is() -> None:
    assert counted() == set(BY_NAME)
