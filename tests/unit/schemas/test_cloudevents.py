"""UsageEvent as JSON: there and back, exact numbers, faults named by JSON path."""

import json
from typing import Any

import pytest

from schemas.errors import InvalidEvent
from schemas.models.usage_event import UsageEvent
from tests.unit.schemas.wire_samples import EVENT

LINE = (
    '{"specversion":"1.0","type":"ai.usage.v1","id":"call-1","source":"chat","subject":"amber-bank",'
    '"time":"2026-11-18T13:00:00.000001+01:00",'
    '"data":{"provider":"openai","usage_semantics":"inclusive","usage":{"input_tokens":1200}}}'
)


def refused(before: str, after: str) -> InvalidEvent:
    assert before in LINE
    with pytest.raises(InvalidEvent) as caught:
        UsageEvent.from_json(LINE.replace(before, after, 1))
    return caught.value


def test_the_attributes_are_the_identity_and_the_instant() -> None:
    """13:00:00.000001 at +01:00 is 12:00 UTC; 2026-11-18 is day 20,775: 20,775 * 86,400 + 43,200 seconds."""
    event = UsageEvent.from_json(LINE)
    assert (event.customer_id, event.source, event.event_id) == ("amber-bank", "chat", "call-1")
    assert event.event_time_us == (20_775 * 86_400 + 43_200) * 1_000_000 + 1
    assert event.usage == {"input_tokens": "1200"}
    assert event.to_cloudevent()["time"] == "2026-11-18T12:00:00.000001Z"


def test_the_json_form_keeps_every_field() -> None:
    event = UsageEvent.from_avro(EVENT)
    text = json.dumps(event.to_cloudevent())
    assert UsageEvent.from_json(text) == event
    assert UsageEvent.from_json(text.encode()).to_avro() == event.to_avro()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("0.1", "0.1"),
        ("1200", "1200"),
        ("0.10", "0.10"),
        ("1e3", "1000"),
        ("1.5E-3", "0.0015"),
        ("0.000000000000000001", "0.000000000000000001"),
        ("12345678901234567890.123456789012345678", "12345678901234567890.123456789012345678"),
        ('"0.30"', "0.30"),
    ],
)
def test_numbers_are_read_without_a_float(number: str, text: str) -> None:
    event = UsageEvent.from_json(LINE.replace("1200", number))
    assert event.usage == {"input_tokens": text}


@pytest.mark.parametrize(
    "number",
    [
        "-1",
        "-0",
        "-0.0",
        "-0e0",
        "1e39",
        "1e999999999",
        "1e-999999999",
        "9" * 21,
        "0." + "1" * 19,
        '"abc"',
        '""',
    ],
)
def test_a_quantity_out_of_its_domain_is_a_bad_quantity(number: str) -> None:
    error = refused("1200", number)
    assert (error.reason, error.field) == ("bad_quantity", "data.usage.input_tokens")


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ('"specversion":"1.0"', '"specversion":"0.3"', "specversion"),
        ('"specversion":"1.0"', '"specversion":1.0', "specversion"),
        ("ai.usage.v1", "ai.usage.v2", "type"),
        ('"id":"call-1",', "", "id"),
        ('"id":"call-1"', '"id":7', "id"),
        ('"subject":"amber-bank"', '"subject":""', "subject"),
        ('"source":"chat"', '"source":null', "source"),
        ('"source":"chat"', '"source":"chat","traceparent":"00"', "attribute"),
        ('"source":"chat"', '"source":"chat","datacontenttype":"text/xml"', "datacontenttype"),
        ('"source":"chat"', '"source":"chat","datacontenttype":"application/jsonl"', "datacontenttype"),
        ('"source":"chat"', '"source":"chat","datacontenttype":null', "datacontenttype"),
        ('"source":"chat"', '"source":"chat","dataschema":7', "dataschema"),
        ('"source":"chat"', '"source":"chat","source":"chat"', "key"),
        ('"2026-11-18T13:00:00.000001+01:00"', "17", "time"),
        ("13:00:00.000001+01:00", "13:00:00.0000010+01:00", "time"),
        ("13:00:00.000001+01:00", "13:00:00.000001", "time"),
        ("2026-11-18T13", "2026-02-30T13", "time"),
        ('"provider":"openai"', '"provider":"openai","event_time_us":7', "data.event_time_us"),
        ('"provider":"openai"', '"provider":"openai","produkt":"x"', "data.produkt"),
        ('"provider":"openai",', "", "data.provider"),
        ('"inclusive"', '"sometimes"', "data.usage_semantics"),
        ('"provider":"openai"', '"provider":"openai","attempt":1.5', "data.attempt"),
        ('"provider":"openai"', '"provider":"openai","tags":{"a":1}', "data.tags.a"),
        ("1200", "true", "data.usage.input_tokens"),
        ("1200", "NaN", "number"),
        ("1200", "9" * 5000, "line"),
        ("{", "[", "line"),
        (LINE, "7", "line"),
        (LINE, "[" * 100_000, "line"),
    ],
)
def test_a_fault_is_named_by_its_place_in_the_json(before: str, after: str, field: str) -> None:
    assert refused(before, after).field == field


@pytest.mark.parametrize(
    "attribute",
    [
        '"datacontenttype":"application/json"',
        '"datacontenttype":"application/json; charset=utf-8"',
        '"datacontenttype":"Application/JSON;charset=utf-8"',
        '"dataschema":"https://example.com/usage.json"',
    ],
)
def test_optional_attributes_of_cloudevents_are_taken_and_change_nothing(attribute: str) -> None:
    event = UsageEvent.from_json(LINE.replace('"source":"chat"', f'"source":"chat",{attribute}'))
    assert event == UsageEvent.from_json(LINE)


def test_bytes_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(InvalidEvent):
        UsageEvent.from_json(b'{"id": "\xff"}')


def test_the_message_names_field_value_and_rule() -> None:
    error = refused("1200", "-5")
    assert str(error) == f"data.usage.input_tokens is '-5'; rule: {error.rule}"
    assert error.rule.startswith("a plain decimal without sign or exponent")


def test_costs_take_json_numbers_too() -> None:
    costs: Any = '"provider_cost":{"amount":0.5,"currency":"USD"},"routing":{"router":"r","candidates":[%s]},'
    candidate = '{"provider":"a","model":"b","estimated_cost":{"amount":2,"currency":"USD"}}'
    event = UsageEvent.from_json(LINE.replace('"provider":', costs % candidate + '"provider":', 1))
    assert event.provider_cost is not None
    assert event.routing is not None
    assert event.provider_cost.amount == "0.5"
    estimated = event.routing.candidates[0].estimated_cost
    assert estimated is not None
    assert estimated.amount == "2"


def test_a_number_beyond_what_the_decimal_module_takes_is_a_bad_line() -> None:
    with pytest.raises(InvalidEvent):
        UsageEvent.from_json(LINE.replace("1200", "1e99999999999999999999"))


@pytest.mark.parametrize("before", ['"openai"', '"chat"', '"input_tokens"'])
def test_half_of_a_character_is_refused_where_it_is_read(before: str) -> None:
    """It was taken and could not be encoded, so that `amend` named no line (found by fuzzing)."""
    assert r"half of a character" in refused(before, r'"\ud800"').rule


def test_a_character_in_two_halves_is_one() -> None:
    assert UsageEvent.from_json(LINE.replace('"chat"', r'"\ud83d\ude00"')).source == "\U0001f600"
