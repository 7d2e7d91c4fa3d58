"""Models and Avro schemas say the same: fields in order, types, defaults; strict and frozen."""

import importlib
import json
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from schemas import codec
from schemas.models.base import WireModel
from schemas.models.usage_event import UsageEvent
from tests.unit.schemas.wire_samples import EVENT, RECORDS

MODULES = {
    "UsageEvent": "usage_event",
    "Rating": "rating",
    "RatedUsage": "rated_usage",
    "RejectedUsage": "rejected_usage",
    "Correction": "correction",
    "FramePart": "frame_part",
    "DeltaFrame": "delta_frame",
    "CustomerState": "customer_state",
    "PeriodState": "period_state",
    "PartitionHead": "partition_head",
    "GenerationEnd": "generation_end",
    "RevisionState": "revision_state",
    "RunState": "run_state",
    "TotalsEntry": "totals_entry",
    "RunningTotals": "running_totals",
    "LiveCustomer": "live_customer",
    "LivePartition": "live_partition",
    "BudgetAlert": "budget_alert",
    "BudgetState": "budget_state",
}
PRIMITIVES = {"string": str, "long": int, "boolean": bool, "bytes": bytes, "null": NoneType}


def model_of(name: str) -> type[WireModel]:
    model: type[WireModel] = getattr(importlib.import_module(f"schemas.models.{MODULES[name]}"), name)
    return model


def agrees(annotation: Any, schema: Any, named: dict[str, Any]) -> bool:
    """Whether a model's type says what an Avro type says."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if isinstance(schema, list):
        branches = [arm for arm in get_args(annotation) if arm is not NoneType]
        others = [branch for branch in schema if branch != "null"]
        optional = get_origin(annotation) in (UnionType, Union) and NoneType in get_args(annotation)
        return optional and len(branches) == len(others) == 1 and agrees(branches[0], others[0], named)
    if isinstance(schema, str):
        name = schema.removeprefix("ratestream.")
        return agrees(annotation, named[name], named) if name in named else annotation is PRIMITIVES[schema]
    if schema["type"] == "map":
        return get_origin(annotation) is dict and agrees(get_args(annotation)[1], schema["values"], named)
    if schema["type"] == "array":
        return get_origin(annotation) is tuple and agrees(get_args(annotation)[0], schema["items"], named)
    named[schema["name"]] = schema
    if schema["type"] == "enum":
        return get_origin(annotation) is Literal and list(get_args(annotation)) == schema["symbols"]
    return fields_agree(annotation, schema, named)


def fields_agree(model: type[BaseModel], schema: Any, named: dict[str, Any]) -> bool:
    assert list(model.model_fields) == [field["name"] for field in schema["fields"]], model
    for field in schema["fields"]:
        info = model.model_fields[field["name"]]
        assert agrees(info.rebuild_annotation(), field["type"], named), (model, field)
        assert info.is_required() == ("default" not in field), (model, field)
        if "default" in field:
            default = info.get_default(call_default_factory=True)
            assert json.loads(json.dumps(default)) == field["default"], (model, field)
    return True


def test_there_is_a_model_for_each_schema() -> None:
    assert tuple(sorted(MODULES)) == codec.CODEC.names


@pytest.mark.parametrize("name", MODULES)
def test_a_model_has_its_schemas_fields_in_order_and_type(name: str) -> None:
    assert fields_agree(model_of(name), codec.CODEC.schema(name), {})


@pytest.mark.parametrize("name", MODULES)
def test_a_record_passes_through_model_and_avro_unchanged(name: str) -> None:
    model = model_of(name).from_avro(RECORDS[name])
    value = codec.encode(name, model.to_avro())
    assert value == codec.encode(name, RECORDS[name])
    assert model_of(name).from_avro(codec.decode(name, value)) == model


@pytest.mark.parametrize("name", MODULES)
def test_a_model_is_strict_frozen_and_closed(name: str) -> None:
    model = model_of(name)
    with pytest.raises(ValidationError):
        model.from_avro(RECORDS[name] | {"something": "else"})
    first = next(iter(model.model_fields))
    with pytest.raises(ValidationError):
        model.from_avro(RECORDS[name] | {first: 1.5})
    with pytest.raises(ValidationError):
        setattr(model.from_avro(RECORDS[name]), first, RECORDS[name][first])


def test_a_usage_event_that_breaks_a_rule_cannot_be_built() -> None:
    with pytest.raises(ValidationError, match="not empty"):
        UsageEvent.from_avro(EVENT | {"customer_id": ""})
    with pytest.raises(ValidationError, match="plain decimal"):
        UsageEvent.from_avro(EVENT | {"usage": {"input_tokens": "-1"}})
