"""docs/reference/wire.md says what the code does: its tables, its example, its reader."""

import re
from pathlib import Path
from typing import Any

import pytest

from schemas import codec, event_rules
from schemas.models.usage_event import UsageEvent
from schemas.topics import DAY_S, KIB, MIB, TOPICS, Cleanup, Topic
from tests.unit.schemas.wire_samples import RECORDS

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = (ROOT / "docs/reference/wire.md").read_text("utf-8")


def table_after(marker: str) -> list[list[str]]:
    """The rows of the first table after a marker, without its head."""
    lines = REFERENCE.split(marker, 1)[1].splitlines()[1:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows[2:]


def code_block(language: str) -> str:
    match = re.search(rf"```{language}\n(.*?)```", REFERENCE, re.DOTALL)
    assert match is not None
    return match[1]


def kept(topic: Topic) -> str:
    if topic.cleanup is Cleanup.COMPACT:
        return "compact"
    if topic.retention_s is None:
        return "for ever"
    return "1 day" if topic.retention_s == DAY_S else f"{topic.retention_s // DAY_S} days"


def size(bytes_max: int) -> str:
    return f"{bytes_max // MIB} MiB" if bytes_max >= MIB else f"{bytes_max // KIB} KiB"


def test_the_table_of_topics_is_the_declaration() -> None:
    declared = [
        [topic.name, topic.key.value, topic.value, size(topic.value_bytes_max), kept(topic), topic.written_by]
        for topic in TOPICS
    ]
    assert table_after("<!-- topics:") == declared


def type_name(schema: Any) -> str:
    if isinstance(schema, list):
        return " or ".join(type_name(branch) for branch in schema if branch != "null") + ", may be null"
    if isinstance(schema, str):
        return schema
    inner = {"map": "map of {}", "array": "list of {}"}.get(schema["type"])
    if inner is not None:
        return inner.format(type_name(schema.get("values", schema.get("items"))))
    return ", ".join(f"`{symbol}`" for symbol in schema["symbols"]) if "symbols" in schema else schema["name"]


def limit(field: str) -> str:
    if field in event_rules.STRING_CHARACTERS_MAX:
        return f"{event_rules.STRING_CHARACTERS_MAX[field]} characters"
    if field in event_rules.MAP_ENTRIES_MAX:
        return f"{event_rules.MAP_ENTRIES_MAX[field]} entries"
    tags = (
        f"{event_rules.COMPLIANCE_TAGS_MAX} entries of {event_rules.COMPLIANCE_TAG_CHARACTERS_MAX} characters"
    )
    others = {
        "attempt": "1 or more",
        "provider_cost": "amount not negative",
        "compliance_tags": tags,
        "routing": f"{event_rules.CANDIDATES_MAX} candidates",
    }
    return others.get(field, "")


def test_the_table_of_fields_is_the_schema_with_its_limits() -> None:
    fields = codec.CODEC.schema("UsageEvent")["fields"]
    expected = [[field["name"], type_name(field["type"]), limit(field["name"])] for field in fields]
    expected += [
        ["in all maps", "keys", f"{event_rules.MAP_KEY_CHARACTERS_MAX} characters"],
        ["in all maps", "values", f"{event_rules.MAP_VALUE_CHARACTERS_MAX} characters"],
    ]
    assert table_after("<!-- fields:") == expected


def test_the_example_in_json_is_an_event() -> None:
    event = UsageEvent.from_json(code_block("json"))
    assert (event.customer_id, event.usage["input_tokens"]) == ("amber-bank", "1200")


class _Message:
    def __init__(self, value: bytes) -> None:
        self._value = value

    def value(self) -> bytes:
        return self._value

    def error(self) -> None:
        return None


class _Consumer:
    """Gives one record, then nothing, as a consumer at the end of its topic does."""

    def __init__(self, config: dict[str, Any]) -> None:
        assert config["isolation.level"] == "read_committed"
        self._messages = [_Message(codec.encode("RatedUsage", RECORDS["RatedUsage"]))]

    def subscribe(self, topics: list[str]) -> None:
        assert topics == ["usage.rated"]

    def poll(self, timeout_s: float) -> _Message | None:
        return self._messages.pop() if self._messages else None

    def close(self) -> None: ...


def test_the_reader_for_finance_reads_rated_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    source = code_block("python")
    reading = source.split("if __name__")[0].split("def rated_usage")[1]
    assert len([line for line in reading.splitlines() if line.strip()]) <= 20
    monkeypatch.chdir(ROOT)
    namespace: dict[str, Any] = {"__name__": "finance"}
    exec(compile(source, "wire.md", "exec"), namespace)  # noqa: S102 - the document's own code
    monkeypatch.setattr(namespace["confluent_kafka"], "Consumer", _Consumer)
    assert list(namespace["rated_usage"]("127.0.0.1:9092")) == [RECORDS["RatedUsage"]]
