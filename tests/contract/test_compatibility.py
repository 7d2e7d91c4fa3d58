"""Old and new readers and writers of every record understand each other, and golden bytes stay readable.

The rules of docs/reference/wire.md are tried on each schema: a field more on either side, a symbol more.
"""

import io
import json
from copy import deepcopy
from typing import Any

import fastavro
import pytest

from schemas import codec
from schemas.errors import Undecodable
from tests.unit.schemas.wire_samples import EVENT, RECORDS

NAMES = codec.CODEC.names
HOT = ("UsageEvent", "RatedUsage")
HOT_TYPES = {"string", "long", "enum", "map", "array", "record", "null"}

# CustomerState{customer_id: "c", last_seq: 2, frame_no: -1}, put together by hand from the specification:
# header; length 1 is 02, "c" is 63; 2 is 04; -1 is 01 (zigzag).
GOLDEN_CUSTOMER_STATE = bytes.fromhex("c301" + "9cea4f18cfcb9da1" + "0263" + "04" + "01")


def newer(name: str) -> dict[str, Any]:
    """The schema with one more field that has a default, as the rules allow."""
    schema: dict[str, Any] = deepcopy(codec.CODEC.schema(name))
    schema["fields"].append({"name": "added_later", "type": ["null", "string"], "default": None})
    return schema


def converted(written: bytes, writer: Any, reader: Any) -> Any:
    stream = io.BytesIO(written)
    record = fastavro.schemaless_reader(stream, fastavro.parse_schema(writer), fastavro.parse_schema(reader))
    assert stream.read() == b""
    return record


@pytest.mark.parametrize("name", NAMES)
def test_an_old_writers_record_is_read_by_a_new_reader(name: str) -> None:
    written = codec.encode_body(name, RECORDS[name])
    assert converted(written, codec.CODEC.schema(name), newer(name)) == RECORDS[name] | {"added_later": None}


@pytest.mark.parametrize("name", NAMES)
def test_a_new_writers_record_is_read_by_an_old_reader(name: str) -> None:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(newer(name)), RECORDS[name] | {"added_later": "x"})
    assert converted(out.getvalue(), newer(name), codec.CODEC.schema(name)) == RECORDS[name]


@pytest.mark.parametrize("field", ["status", "stream_complete", "usage_quality"])
def test_an_old_reader_takes_an_unknown_symbol_for_unknown(field: str) -> None:
    writer = deepcopy(codec.CODEC.schema("UsageEvent"))
    enum = next(entry["type"] for entry in writer["fields"] if entry["name"] == field)
    enum["symbols"].append("brand_new")
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(writer), EVENT | {field: "brand_new"})
    assert converted(out.getvalue(), writer, codec.CODEC.schema("UsageEvent")) == EVENT | {field: "unknown"}


def test_golden_bytes_stay_readable() -> None:
    state = {"customer_id": "c", "last_seq": 2, "frame_no": -1}
    assert codec.decode("CustomerState", GOLDEN_CUSTOMER_STATE) == state
    assert codec.encode("CustomerState", state) == GOLDEN_CUSTOMER_STATE
    with pytest.raises(Undecodable):
        codec.decode("CustomerState", GOLDEN_CUSTOMER_STATE[:-1])


@pytest.mark.parametrize("name", HOT)
def test_the_hot_schemas_use_only_types_that_every_implementation_knows(name: str) -> None:
    def types(node: Any) -> set[str]:
        if isinstance(node, list):
            return set().union(*map(types, node))
        if isinstance(node, str):
            return {node} if node in ("bytes", "int", "float", "double", "boolean", *HOT_TYPES) else set()
        assert "logicalType" not in node
        inner = [node[part] for part in ("items", "values") if part in node]
        inner += [field["type"] for field in node.get("fields", ())]
        return {node["type"]}.union(*map(types, inner))

    assert types(codec.CODEC.schema(name)) <= HOT_TYPES


def test_usage_event_begins_with_its_identity_and_time() -> None:
    fields = [field["name"] for field in codec.CODEC.schema("UsageEvent")["fields"]]
    assert fields[:4] == ["customer_id", "source", "event_id", "event_time_us"]


def test_rated_usage_nests_the_very_usage_event_of_usage_events() -> None:
    """Or splicing would put bytes of one schema under the fingerprint of another."""
    nested = codec.CODEC.schema("RatedUsage")["fields"][0]["type"]
    assert json.dumps(nested) == json.dumps(codec.CODEC.schema("UsageEvent"))
