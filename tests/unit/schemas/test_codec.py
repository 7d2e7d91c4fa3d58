"""Single-object encoding: the specification's framing, every fault a WireError, nothing half read."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import codec
from schemas.errors import Undecodable, Unencodable, UnknownSchema, WireError
from tests.unit.schemas.wire_samples import EVENT, RATING, RECORDS, event

AVRO = Path(codec.__file__).parent / "avro"
HEADER_BYTES = 10


def fingerprint_of_specification(canonical: bytes) -> bytes:
    """CRC-64-AVRO as the Avro specification writes it, least significant byte first."""
    empty = 0xC15D213AA4D7A795
    table = []
    for number in range(256):
        entry = number
        for _ in range(8):
            entry = (entry >> 1) ^ (empty & -(entry & 1))
        table.append(entry)
    value = empty
    for byte in canonical:
        value = (value >> 8) ^ table[(value ^ byte) & 0xFF]
    return value.to_bytes(8, "little")


def canonical_of_specification(schema: Any, namespace: str = "") -> str:
    """Parsing Canonical Form: full names, only what counts for reading, in the fixed order."""
    primitive = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
    if isinstance(schema, str):
        name = schema if schema in primitive or "." in schema else f"{namespace}.{schema}"
        return f'"{name}"'
    if isinstance(schema, list):
        return f"[{','.join(canonical_of_specification(branch, namespace) for branch in schema)}]"
    kind = schema["type"]
    if kind == "map":
        return f'{{"type":"map","values":{canonical_of_specification(schema["values"], namespace)}}}'
    if kind == "array":
        return f'{{"type":"array","items":{canonical_of_specification(schema["items"], namespace)}}}'
    space = schema.get("namespace", namespace)
    head = f'{{"name":"{space}.{schema["name"]}","type":"{kind}"'
    if kind == "enum":
        return f'{head},"symbols":[{",".join(json.dumps(symbol) for symbol in schema["symbols"])}]}}'
    fields = ",".join(
        f'{{"name":"{field["name"]}","type":{canonical_of_specification(field["type"], space)}}}'
        for field in schema["fields"]
    )
    return f'{head},"fields":[{fields}]}}'


def test_the_fingerprint_function_of_this_test_agrees_with_the_published_value() -> None:
    """The Avro project's own test cases: "int" is 0x7275d51a3f395c8f."""
    assert fingerprint_of_specification(b'"int"') == bytes.fromhex("8f5c393f1ad57572")


@pytest.mark.parametrize("name", codec.CODEC.names)
def test_the_header_is_the_specifications(name: str) -> None:
    canonical = canonical_of_specification(codec.CODEC.schema(name))
    assert codec.fingerprint(name) == b"\xc3\x01" + fingerprint_of_specification(canonical.encode())


@pytest.mark.parametrize("name", codec.CODEC.names)
def test_a_record_comes_back_as_it_went(name: str) -> None:
    value = codec.encode(name, RECORDS[name])
    assert value == codec.fingerprint(name) + codec.encode_body(name, RECORDS[name])
    assert codec.decode(name, value) == RECORDS[name]


@pytest.mark.parametrize("name", codec.CODEC.names)
def test_every_truncation_and_any_byte_left_over_is_refused(name: str) -> None:
    value = codec.encode(name, RECORDS[name])
    for length in range(len(value)):
        with pytest.raises(WireError):
            codec.decode(name, value[:length])
    with pytest.raises(Undecodable, match="1 bytes are left over"):
        codec.decode(name, value + b"\x00")


@pytest.mark.parametrize("data", [None, b"", b"\xc3\x01", b"\xc3\x01" + b"x" * 7, b"{}" + b" " * 20])
def test_what_has_no_header_is_undecodable(data: bytes | None) -> None:
    with pytest.raises(Undecodable) as caught:
        codec.decode("UsageEvent", data)
    assert (caught.value.reason, caught.value.field) == ("undecodable", "header")


def test_an_unknown_fingerprint_and_another_records_are_unknown_schemas() -> None:
    value = codec.encode("UsageEvent", EVENT)
    for data in (b"\xc3\x01" + b"\x00" * 8 + value[10:], codec.encode("Rating", RATING)):
        with pytest.raises(UnknownSchema) as caught:
            codec.decode("UsageEvent", data)
        assert caught.value.reason == "unknown_schema"


def _with_body_of_first_string(body: bytes) -> bytes:
    return codec.fingerprint("CustomerState") + body


@pytest.mark.parametrize(
    "body",
    [
        b"\x04\xff\xff\x00\x00",  # a string that is not UTF-8
        b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01ab",  # a length of 2**63 - 1
        b"\x01\x00\x00",  # a length of -1
        b"\xff" * 30,  # a number without end
        b"\xfe\xff\xff\xff\x0fab",  # a length of 2 GiB
    ],
)
def test_absurd_lengths_and_characters_are_undecodable(body: bytes) -> None:
    with pytest.raises(Undecodable):
        codec.decode("CustomerState", _with_body_of_first_string(body))


def test_a_negative_union_branch_or_enum_symbol_is_refused() -> None:
    """-1 would be a Python list's last entry; on the wire it is the byte 01."""
    plain = event(query_id="Q" * 7)
    value = codec.encode("UsageEvent", plain)
    branch = value.index(b"\x02\x0e" + b"Q" * 7)
    with pytest.raises(Undecodable):
        codec.decode("UsageEvent", value[:branch] + b"\x01" + value[branch + 1 :])
    status = value.index(b"batch\x00") + len(b"batch\x00")
    assert value[status] == 4  # "error" is symbol 2
    with pytest.raises(Undecodable):
        codec.decode("UsageEvent", value[:status] + b"\x01" + value[status + 1 :])


@pytest.mark.parametrize(
    "count", [b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\xfe\xff\xff\xff\x0f", b"\x01"]
)
def test_a_map_that_claims_more_entries_than_bytes_is_undecodable(count: bytes) -> None:
    value = codec.encode("UsageEvent", event(context={}, tags={}))
    with pytest.raises(Undecodable):
        codec.decode("UsageEvent", value[:-1] + count)


@given(body=st.binary(max_size=400), name=st.sampled_from(codec.CODEC.names))
def test_random_bodies_raise_nothing_but_wire_errors(body: bytes, name: str) -> None:
    try:
        record = codec.decode(name, codec.fingerprint(name) + body)
    except WireError:
        return
    assert set(record) == {field["name"] for field in codec.CODEC.schema(name)["fields"]}


@given(data=st.data())
def test_damaged_events_raise_nothing_but_wire_errors(data: st.DataObject) -> None:
    value = bytearray(codec.encode("UsageEvent", EVENT))
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    with suppress(WireError):
        codec.decode("UsageEvent", bytes(value))


@pytest.mark.parametrize(
    "changes",
    [
        {"customer_id": None},
        {"customer_id": 7},
        {"event_time_us": "7"},
        {"event_time_us": 2**63},
        {"status": "fine"},
        {"usage": {"input_tokens": 12}},
        {"produkt": "assistant"},
        {"customer_id": "\ud800"},
        {"routing": {}},
    ],
)
def test_a_record_that_does_not_fit_is_unencodable(changes: dict[str, Any]) -> None:
    with pytest.raises(Unencodable):
        codec.encode("UsageEvent", event(**changes))


def test_splicing_gives_the_bytes_of_encoding_the_whole() -> None:
    whole = codec.encode("RatedUsage", {"event": EVENT, "rating": RATING})
    spliced = codec.splice_rated(codec.encode("UsageEvent", EVENT), codec.encode_body("Rating", RATING))
    assert spliced == whole
    assert codec.decode("RatedUsage", spliced) == {"event": EVENT, "rating": RATING}


def made_up_versions(folder: Path, **fields: Any) -> codec.Codec:
    """A codec whose history holds another UsageEvent; `fields` are changes, None takes a field away."""
    schema = json.loads(json.dumps(codec.CODEC.schema("UsageEvent")))
    schema["fields"] = [
        field | fields.pop(field["name"], {})
        for field in schema["fields"]
        if fields.get(field["name"], {}) is not None
    ]
    schema["fields"] += [{"name": name} | field for name, field in fields.items() if field]
    for file in AVRO.glob("*.avsc"):
        (folder / file.name).write_bytes(file.read_bytes())
    history = folder / "history"
    history.mkdir()
    (history / "ratestream.UsageEvent.other.avsc").write_text(json.dumps(schema), "utf-8")
    writer = folder / "writer"
    writer.mkdir()
    (writer / "ratestream.UsageEvent.avsc").write_text(json.dumps(schema), "utf-8")
    return codec.Codec(folder)


def writer_of(folder: Path) -> codec.Codec:
    return codec.Codec(folder / "writer")


def test_an_older_writers_record_gets_the_defaults_of_fields_it_lacks(tmp_path: Path) -> None:
    reader = made_up_versions(tmp_path, tags=None, usage_quality=None)
    old = {key: value for key, value in EVENT.items() if key not in ("tags", "usage_quality")}
    value = writer_of(tmp_path).encode("UsageEvent", old)
    assert value[:HEADER_BYTES] != reader.fingerprint("UsageEvent")
    assert reader.decode("UsageEvent", value) == old | {"tags": {}, "usage_quality": "provider"}
    with pytest.raises(UnknownSchema):
        codec.decode("UsageEvent", value)


def test_a_newer_writers_new_fields_and_symbols_are_passed_over(tmp_path: Path) -> None:
    status = next(field for field in codec.CODEC.schema("UsageEvent")["fields"] if field["name"] == "status")
    symbols = [*status["type"]["symbols"], "throttled"]
    reader = made_up_versions(
        tmp_path,
        status={"type": status["type"] | {"symbols": symbols}},
        carbon_g={"type": ["null", "string"], "default": None},
    )
    new = event(status="throttled", carbon_g="1.5")
    assert reader.decode("UsageEvent", writer_of(tmp_path).encode("UsageEvent", new)) == event(
        status="unknown"
    )


def test_an_event_of_another_version_is_encoded_again_before_it_is_spliced(tmp_path: Path) -> None:
    reader = made_up_versions(tmp_path, tags=None)
    old = {key: value for key, value in EVENT.items() if key != "tags"}
    value = writer_of(tmp_path).encode("UsageEvent", old)
    rated = reader.splice_rated(value, codec.encode_body("Rating", RATING))
    assert rated == codec.encode("RatedUsage", {"event": event(tags={}), "rating": RATING})
