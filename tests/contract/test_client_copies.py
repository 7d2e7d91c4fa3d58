"""The client package stands alone: what it repeats of the application is held equal here."""

import ast
import re
import sys
from pathlib import Path

import ratestream_client
from ratestream_client import codec as client_codec
from ratestream_client import emitter, errors, event, rules
from schemas import codec, event_rules, reasons, topics
from schemas.models.money import Money
from schemas.models.routing_decision import RoutingCandidate, RoutingDecision
from schemas.models.usage_event import UsageEvent
from tests.unit.schemas.wire_samples import EVENT

CLIENT = Path(ratestream_client.__file__).parent


def after_imports(module_file: str | None) -> str:
    assert module_file is not None
    source = Path(module_file).read_text("utf-8")
    return source[source.index("# customer_id, source and event_id") :]


def test_the_rules_are_the_applications() -> None:
    assert after_imports(rules.__file__) == after_imports(event_rules.__file__)
    assert (errors.INVALID_FIELD, errors.BAD_QUANTITY) == (reasons.INVALID_FIELD, reasons.BAD_QUANTITY)


def test_topic_and_sizes_are_the_applications() -> None:
    events = topics.topic(topics.USAGE_EVENTS)
    assert events.name == emitter.TOPIC
    assert events.value_bytes_max == emitter.EVENT_BYTES_MAX
    limits = topics.producer_limits(topics.USAGE_EVENTS)
    assert limits == {key: emitter._PROMISES[key] for key in limits}


def test_the_dataclasses_have_the_models_fields_in_order() -> None:
    for ours, theirs in (
        (event.UsageEvent, UsageEvent),
        (event.Money, Money),
        (event.RoutingDecision, RoutingDecision),
        (event.RoutingCandidate, RoutingCandidate),
    ):
        assert list(ours.__dataclass_fields__) == list(theirs.model_fields)


def test_the_bytes_are_the_applications() -> None:
    money = event.Money(**EVENT["provider_cost"])
    routing = EVENT["routing"]
    candidates = tuple(
        event.RoutingCandidate(**(candidate | {"estimated_cost": money}))
        for candidate in routing["candidates"]
    )
    decision = event.RoutingDecision(**(routing | {"candidates": candidates}))
    ours = event.UsageEvent(**(EVENT | {"provider_cost": money, "routing": decision}))

    assert client_codec.encode(ours.to_record()) == codec.encode("UsageEvent", EVENT)


def test_the_client_imports_nothing_but_its_two_dependencies() -> None:
    allowed = {"ratestream_client", "confluent_kafka", "fastavro", "__future__", *sys.stdlib_module_names}
    for file in CLIENT.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, file.name


def test_the_public_surface_is_sorted_and_whole() -> None:
    assert ratestream_client.__all__ == sorted(ratestream_client.__all__)
    assert all(hasattr(ratestream_client, name) for name in ratestream_client.__all__)


def test_the_readme_shows_code_that_compiles() -> None:
    readme = (CLIENT.parent / "README.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec")
