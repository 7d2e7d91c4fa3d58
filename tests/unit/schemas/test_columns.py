"""The reader of some fields against the codec, which reads all of them: the same values, or none."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import CODEC, HEADER_BYTES
from schemas.columns import ITEMS_MAX, ColumnReader, _Walk
from schemas.errors import WireError
from tests.unit.schemas.wire_samples import EVENT

SIDE = dict.fromkeys(("status", "amount", "currency"))
WANTED: dict[str, Any] = {
    "event": dict.fromkeys(("customer_id", "event_time_us", "query_id", "attempt", "status", "region")),
    "rating": {
        "customer_seq": None,
        "leg": None,
        "service_period": {"end_us": None},
        "cost": SIDE,
        "price": SIDE,
        "lines": dict.fromkeys(("side", "meter", "amount", "billed_quantity")),
    },
}
READER = ColumnReader("RatedUsage", WANTED)

texts = st.one_of(st.text(max_size=5), st.text(min_size=60, max_size=140))
longs = st.integers(-(2**63), 2**63 - 1)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


def strategy(schema: Any, named: dict[str, Any]) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one a kind
    """Values of a schema with every type inline at its first use."""
    if isinstance(schema, list):
        return st.one_of([strategy(branch, named) for branch in schema])
    if isinstance(schema, str):
        plain = {"string": texts, "long": longs, "null": st.none()}
        return plain[schema] if schema in plain else strategy(named[schema.split(".")[-1]], named)
    kind = schema["type"]
    if kind in ("record", "enum"):
        named[schema["name"]] = schema
    if kind == "enum":
        return st.sampled_from(schema["symbols"])
    if kind == "array":
        return st.lists(strategy(schema["items"], named), max_size=3)
    if kind == "map":
        return st.dictionaries(texts, strategy(schema["values"], named), max_size=3)
    if kind == "record":
        return st.fixed_dictionaries(
            {field["name"]: strategy(field["type"], named) for field in schema["fields"]}
        )
    return strategy(kind, named)


RATED = strategy(CODEC.schema("RatedUsage"), {})


def cut(value: Any, wanted: Any) -> Any:
    if isinstance(value, list):
        return [cut(item, wanted) for item in value]
    return {name: cut(value[name], inner) if inner else value[name] for name, inner in wanted.items()}


@settings(deadline=None, max_examples=40)
@given(st.lists(RATED, max_size=6))
def test_it_gives_what_the_codec_gives(records: list[dict[str, Any]]) -> None:
    values = [CODEC.encode("RatedUsage", record) for record in records]
    assert READER.read(values) == [cut(CODEC.decode("RatedUsage", value), WANTED) for value in values]


@settings(deadline=None, max_examples=40)
@given(st.lists(RATED, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_damaged_bytes_are_left_to_the_codec_and_do_not_touch_their_neighbours(
    records: list[dict[str, Any]], rng: random.Random
) -> None:
    """A byte changed, cut or added: what the codec refuses is not given, but for another field's text."""
    values = [CODEC.encode("RatedUsage", record) for record in records]
    whole = READER.read(values)
    hurt = rng.randrange(len(values))
    damaged = bytearray(values[hurt])
    place = rng.randrange(HEADER_BYTES, len(damaged))
    change = rng.choice(("set", "cut", "add"))
    if change == "set":
        damaged[place] = rng.randrange(256)
    elif change == "cut":
        del damaged[place:]
    else:
        damaged.insert(place, rng.randrange(256))
    read = READER.read([*values[:hurt], bytes(damaged), *values[hurt + 1 :]])
    if read[hurt] is not None:
        try:
            assert read[hurt] == cut(CODEC.decode("RatedUsage", bytes(damaged)), WANTED)
        except WireError as error:
            assert "UnicodeDecodeError" in str(error)  # noqa: PT017 - the one fault that may pass
    assert [item for index, item in enumerate(read) if index != hurt] == [
        item for index, item in enumerate(whole) if index != hurt
    ]


@pytest.mark.parametrize(
    "value", [None, b"", b"\xc3\x01", b"rubbish that is long enough", CODEC.fingerprint("Rating")]
)
def test_what_is_no_such_record_is_left_to_the_codec(value: bytes | None) -> None:
    assert READER.read([value]) == [None]
    assert READER.read([]) == []


def test_another_schema_of_the_name_is_left_to_the_codec() -> None:
    assert READER.read([CODEC.fingerprint("UsageEvent") + bytes(100)]) == [None]


def test_a_map_or_an_array_in_two_blocks_one_with_its_size() -> None:
    """A negative count is followed by the block's bytes: -2, 6 bytes; then 1 more item; then the end."""
    reader = ColumnReader("UsageEvent", {"compliance_tags": None, "usage_semantics": None})
    event: dict[str, Any] = {
        field["name"]: field.get("default") for field in CODEC.schema("UsageEvent")["fields"]
    } | {
        "customer_id": "c",
        "source": "s",
        "event_id": "e",
        "event_time_us": 1,
        "provider": "p",
        "usage_semantics": "exclusive",
        "usage": {},
        "compliance_tags": ["aa", "bb", "cc"],
    }
    value = CODEC.encode("UsageEvent", event)
    one_block = b"\x06\x04aa\x04bb\x04cc\x00"
    assert value.count(one_block) == 1
    blocks = value.replace(one_block, b"\x03\x0c\x04aa\x04bb\x02\x04cc\x00")
    assert CODEC.decode("UsageEvent", blocks)["compliance_tags"] == ["aa", "bb", "cc"]
    expected = {"usage_semantics": "exclusive", "compliance_tags": ["aa", "bb", "cc"]}
    assert reader.read([value, blocks]) == [expected, expected]


def test_a_field_that_the_schema_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="RatedUsage has no field nothing"):
        ColumnReader("RatedUsage", {"nothing": None})


def nested_rubbish() -> bytes:
    """An event whose candidates are said to be 200, of which the first cannot be read."""
    event = EVENT | {"routing": EVENT["routing"] | {"candidates": []}, "tags": {}}
    value = CODEC.encode("UsageEvent", event)
    place = value.rindex(b"quality") + len("quality")  # the candidates' count, 0, follows
    assert value[place] == 0
    return value[:place] + b"\x90\x03" + b"\xff" * 300


def test_what_cannot_be_read_is_not_read_on() -> None:
    """An item was made for each that the count said, however soon the record was known to be none."""
    reader = ColumnReader("UsageEvent", {"customer_id": None, "routing": {"candidates": {"provider": None}}})
    whole = CODEC.encode("UsageEvent", EVENT)
    made: list[int] = []
    reads = _Walk.strings

    def counted(walk: _Walk, rows: Any) -> list[str]:
        made.append(rows.size)
        return reads(walk, rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Walk, "strings", counted)
        before, found, after = reader.read([whole, nested_rubbish(), whole])
    assert (before == after, before is None, found) == (True, False, None)
    assert sum(made) < 20


@pytest.mark.parametrize(("items", "taken"), [(ITEMS_MAX, True), (ITEMS_MAX + 1, False)])
def test_very_many_items_are_left_to_the_codec(items: int, taken: bool) -> None:
    reader = ColumnReader("UsageEvent", {"compliance_tags": None})
    value = CODEC.encode("UsageEvent", EVENT | {"compliance_tags": [""] * items})
    assert reader.read([value]) == [{"compliance_tags": [""] * items} if taken else None]
    skipped = ColumnReader("UsageEvent", {"customer_id": None}).read([value])
    assert skipped == [{"customer_id": EVENT["customer_id"]} if taken else None]
