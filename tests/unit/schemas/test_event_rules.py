"""Each rule of an event at its limit and one beyond, with the field named."""

from typing import Any

import pytest

from schemas import event_rules as rules
from schemas.errors import InvalidEvent
from schemas.event_rules import check_event, check_usage
from tests.unit.schemas.wire_samples import EVENT, event


def refused(**changes: Any) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        check_event(event(**changes))
    return caught.value


def test_the_sample_keeps_every_rule() -> None:
    check_event(EVENT)


@pytest.mark.parametrize(("field", "characters_max"), rules.STRING_CHARACTERS_MAX.items())
def test_a_string_may_be_as_long_as_declared_and_no_longer(field: str, characters_max: int) -> None:
    check_event(event(**{field: "é" * characters_max}))
    error = refused(**{field: "é" * (characters_max + 1)})
    assert (error.reason, error.field) == ("invalid_field", field)
    assert f"at most {characters_max} characters" in error.rule


@pytest.mark.parametrize("field", rules.STRING_CHARACTERS_MAX)
def test_a_string_holds_no_nul(field: str) -> None:
    error = refused(**{field: "a\0b"})
    assert error.field == field
    assert "\0" not in str(error)


@pytest.mark.parametrize("field", rules.NOT_EMPTY)
def test_identity_and_provider_are_not_empty(field: str) -> None:
    assert (refused(**{field: ""}).field, refused(**{field: ""}).rule) == (field, "not empty")


@pytest.mark.parametrize(("field", "entries_max"), rules.MAP_ENTRIES_MAX.items())
def test_maps_have_limits_on_entries_keys_and_values(field: str, entries_max: int) -> None:
    check_event(event(**{field: {f"k{number}": "1" for number in range(entries_max)}}))
    assert (
        refused(**{field: {f"k{number}": "1" for number in range(entries_max + 1)}}).field
        == f"size of {field}"
    )
    check_event(event(**{field: {"k" * 64: "1" * 256}}))
    assert refused(**{field: {"k" * 65: "1"}}).field == f"{field} key"
    assert refused(**{field: {"key": "1" * 257}}).field == f"{field}.key"
    assert refused(**{field: {"key\0": "1"}}).field == f"{field} key"
    assert refused(**{field: {"key": "\0"}}).field == f"{field}.key"


@pytest.mark.parametrize("key", rules.FIELDS_IN_CONTEXT)
def test_what_is_a_field_of_its_own_is_no_context_key(key: str) -> None:
    """Two places for one thing could say two things."""
    error = refused(context={"processing": "batch", key: "eu"}, **{key: None})
    assert (error.reason, error.field) == ("invalid_field", f"context.{key}")
    check_event(event(context={"processing": "batch"}, **{key: "eu"}))


def test_compliance_tags_have_limits() -> None:
    check_event(event(compliance_tags=["t" * 64] * 64))
    assert refused(compliance_tags=["t"] * 65).field == "size of compliance_tags"
    assert refused(compliance_tags=["t" * 65]).field == "compliance_tags"
    assert refused(compliance_tags=["\0"]).field == "compliance_tags"


def test_an_attempt_counts_from_one() -> None:
    check_event(event(attempt=1))
    check_event(event(attempt=None))
    assert refused(attempt=0).field == "attempt"


@pytest.mark.parametrize("amount", ["0", "0.0", "12.5", "9" * 20 + "." + "9" * 18])
def test_a_provider_cost_is_a_plain_decimal(amount: str) -> None:
    check_event(event(provider_cost={"amount": amount, "currency": "USD"}))


@pytest.mark.parametrize(
    "amount",
    ["", ".5", "5.", "-1", "+1", "1e3", "NaN", "1,5", "\u0661", "1_0", " 1", "9" * 21, "0." + "1" * 19],
)
def test_what_is_no_plain_decimal_is_refused(amount: str) -> None:
    cost = {"amount": amount, "currency": "USD"}
    assert refused(provider_cost=cost).field == "provider_cost.amount"
    routing = EVENT["routing"] | {"candidates": [{"provider": "a", "model": "b", "estimated_cost": cost}]}
    assert refused(routing=routing).field == "routing.candidates[0].estimated_cost.amount"
    with pytest.raises(InvalidEvent) as caught:
        check_usage(event(usage={"input_tokens": amount}))
    assert (caught.value.reason, caught.value.field) == ("bad_quantity", "usage.input_tokens")


@pytest.mark.parametrize("currency", ["", "C" * 17, "U\0D"])
def test_a_currency_is_named_shortly(currency: str) -> None:
    assert refused(provider_cost={"amount": "1", "currency": currency}).field == "provider_cost.currency"


def test_a_routing_decision_has_limits() -> None:
    for field, characters_max in rules.ROUTING_CHARACTERS_MAX.items():
        check_event(event(routing=EVENT["routing"] | {field: "x" * characters_max}))
        assert (
            refused(routing=EVENT["routing"] | {field: "x" * (characters_max + 1)}).field
            == f"routing.{field}"
        )
    candidate = {"provider": "p", "model": "m", "estimated_cost": None}
    check_event(event(routing=EVENT["routing"] | {"candidates": [candidate] * 64}))
    assert (
        refused(routing=EVENT["routing"] | {"candidates": [candidate] * 65}).field
        == "size of routing.candidates"
    )
    long = candidate | {"model": "m" * 257}
    assert refused(routing=EVENT["routing"] | {"candidates": [long]}).field == "routing.candidates[0].model"
