"""Bill shock in the demo: budgets, events that cross them one after another, and what reached the on-call."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cli.demo.corrections import command
from cli.demo.plans import PLANS
from cli.demo.receiver import Arrival, Receiver
from cli.demo.traffic import Message, message_of
from cli.demo.world import AUTHOR, World
from ratestream_client import Emitter
from runtime.clock import Clock
from runtime.kafka.offsets import list_offsets
from runtime.kafka.reading import PartitionReader
from schemas.codec import CODEC
from schemas.topics import BUDGET_STATE, USAGE_EVENTS

CHANNEL = "oncall"
LIVE = 40
EVERYBODY = "everybody"
_PERIOD_LIMIT_USD = 2
_PAUSE_S = 0.1
_ARRIVES_S = 60.0
_LOOK_S = 0.05
_ACK_S = 30.0


@dataclass(frozen=True, slots=True)
class Crossing:
    """An event that is published when all others are rated, and must cross its customer's budget."""

    event: Mapping[str, Any]
    budget_id: str
    events_before: int

    @property
    def customer_id(self) -> str:
        return str(self.event["customer_id"])

    @property
    def message(self) -> Message:
        return message_of(self.event)


def crossings(events: Sequence[Mapping[str, Any]], *, but: str) -> list[Crossing]:
    """One event for each of so many customers that pay by the token.

    Args:
        events: all that is published before.
        but: a customer whose events are not only these.
    """
    counted = Counter(str(event["customer_id"]) for event in events)
    chosen = [name for name, _ in counted.most_common() if name not in PLANS and name != but][:LIVE]
    last = {str(event["customer_id"]): event for event in events}
    newest_us = max(event["event_time_us"] for event in events)
    return [
        Crossing(
            dict(last[name])
            | {"event_id": f"live-{number}", "event_time_us": newest_us, "parent_event_id": None},
            f"calls-{name}",
            counted[name],
        )
        for number, name in enumerate(chosen)
    ]


def budgets_yaml(live: Sequence[Crossing]) -> str:
    """A monthly budget for everybody, and one of calls for each customer of the live part."""
    lines = [
        "budgets:",
        f"- budget: {EVERYBODY}",
        "  customers: ['*']",
        "  measure: price",
        "  currency: USD",
        "  window: period",
        f"  limit: {_PERIOD_LIMIT_USD}",
        "  thresholds:",
        f"  - {{at: 80%, severity: warning, action: soft, channels: [{CHANNEL}]}}",
        f"  - {{at: 100%, severity: critical, action: soft, channels: [{CHANNEL}]}}",
    ]
    for crossing in live:
        lines += [
            f"- budget: {crossing.budget_id}",
            f"  customers: [{crossing.customer_id}]",
            "  measure: events",
            "  window: lifetime",
            f"  limit: {crossing.events_before + 1}",
            "  thresholds:",
            f"  - {{at: 100%, severity: critical, action: hard, channels: [{CHANNEL}]}}",
        ]
    return "\n".join([*lines, "routes:", f"- {{channels: [{CHANNEL}]}}", ""])


def apply_budgets(world: World, live: Sequence[Crossing]) -> None:
    """As an operator does."""
    path = world.directory / "budgets.yaml"
    path.write_text(budgets_yaml(live), encoding="utf-8")
    command(world, "budget", "apply", str(path), "--by", AUTHOR)


@dataclass(frozen=True, slots=True)
class Watched:
    """What the live part showed. Latency: from the producer's acknowledgement to the alert's arrival."""

    latencies_ms: Sequence[int]
    missing: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        return {"p50": _percentile(self.latencies_ms, 50), "p99": _percentile(self.latencies_ms, 99)}


def publish_live(
    world: World, receiver: Receiver, live: Sequence[Crossing], clock: Clock, keep_alive: Callable[[], None]
) -> Watched:
    """Publish the crossing events, some a second, and see each alert arrive."""
    acknowledged_us: dict[str, int] = {}
    topic = world.kafka.topic_prefix + USAGE_EVENTS
    with Emitter(world.kafka.client_config(), topic=topic) as emitter:
        for crossing in live:
            message = crossing.message
            emitter.emit_encoded(message.key, message.value)
            emitter.flush(_ACK_S)
            acknowledged_us[crossing.budget_id] = clock.now_us()
            time.sleep(_PAUSE_S)

    def arrivals() -> dict[str, Arrival]:
        return {
            str(arrival.alert["budget_id"]): arrival
            for arrival in receiver.arrived().values()
            if arrival.alert["kind"] == "threshold" and arrival.alert["budget_id"] in acknowledged_us
        }

    wait_until(lambda: len(arrivals()) == len(live), clock, keep_alive)
    found = arrivals()
    return Watched(
        sorted((arrival.at_us - acknowledged_us[budget]) // 1_000 for budget, arrival in found.items()),
        sorted(acknowledged_us.keys() - found.keys()),
    )


def retraction_of(
    receiver: Receiver, crossing: Crossing, clock: Clock, keep_alive: Callable[[], None]
) -> Mapping[str, Any] | None:
    """The alert that takes back the crossing's, once it has come."""

    def found() -> Mapping[str, Any] | None:
        return next(
            (
                arrival.alert
                for arrival in receiver.arrived().values()
                if arrival.alert["kind"] == "retraction" and arrival.alert["budget_id"] == crossing.budget_id
            ),
            None,
        )

    wait_until(lambda: found() is not None, clock, keep_alive)
    return found()


def wait_until(
    holds: Callable[[], bool], clock: Clock, keep_alive: Callable[[], None], limit_s: float = _ARRIVES_S
) -> bool:
    """Whether it held within the time."""
    end_s = clock.monotonic_s() + limit_s
    while not holds():
        if clock.monotonic_s() > end_s:
            return False
        keep_alive()
        time.sleep(_LOOK_S)
    return True


def states(world: World) -> dict[str, str]:
    """What gateways obey: the newest state of each customer as a whole."""
    kafka = world.kafka
    topic = kafka.topic_prefix + BUDGET_STATE
    where = [(topic, partition) for partition in range(kafka.partitions)]
    newest: dict[str, str] = {}
    with PartitionReader(kafka.client_config()) as reader:
        for (_, partition), end in list_offsets(kafka.client_config(), where, "latest").items():
            for record in reader.read(topic, partition, 0, end):
                state = CODEC.decode("BudgetState", record.value)
                if not state["scope"]:
                    newest[state["customer_id"]] = state["state"]
    return newest


def told(
    receiver: Receiver, live: Sequence[Crossing], watched: Watched, retraction: Mapping[str, Any] | None,
    found: Mapping[str, str],
) -> dict[str, Any]:  # fmt: skip
    """For the summary: what was raised, whether it was as planned, one alert as an example."""
    alerts = [arrival.alert for arrival in receiver.arrived().values()]
    voided, others = live[0], live[1:]
    expected = {crossing.budget_id for crossing in live}
    per_budget = Counter(
        alert["budget_id"]
        for alert in alerts
        if alert["kind"] == "threshold" and alert["budget_id"] in expected
    )
    hard = sum(found.get(crossing.customer_id) == "hard" for crossing in others)
    example = next((alert for alert in alerts if alert["budget_id"] == others[0].budget_id), None)
    return {
        "arrived": len(alerts),
        "by_kind": dict(sorted(Counter(alert["kind"] for alert in alerts).items())),
        "live": len(live),
        "live_missing": list(watched.missing),
        "retracted": None if retraction is None else retraction["budget_id"],
        "hard": hard,
        "forged": receiver.forged,
        "example": None if example is None else {"text": example["text"], "look": example["look_closer"]},
        "as_planned": not watched.missing
        and all(per_budget[budget] == 1 for budget in expected)
        and retraction is not None
        and found.get(voided.customer_id) != "hard"
        and hard == len(others)
        and not receiver.forged,
    }


def render(summary: Mapping[str, Any]) -> Iterator[str]:
    """For people."""
    alerts, latency = summary["alerts"], summary["alert_latency_ms"]
    kinds = ", ".join(f"{number} {kind}" for kind, number in alerts["by_kind"].items())
    yield f"alerts at a webhook on this machine: {alerts['arrived']} ({kinds})"
    yield (
        f"  live      {alerts['live']} events crossed {alerts['live']} budgets, one alert each; from Kafka's "
        f"acknowledgement to the webhook"
    )
    yield f"            p50 {latency['p50']} ms, p99 {latency['p99']} ms"
    if alerts["example"] is not None:
        yield f"  e.g.      {alerts['example']['text']}"
        yield f"            {alerts['example']['look']}"
    yield f"  void      took {alerts['retracted']} back: a retraction, and its budget.state is no longer hard"
    yield f"  state     hard for {alerts['hard']} of the others, for gateways to obey"
    if not alerts["as_planned"]:
        yield f"  NOT AS PLANNED: missing {', '.join(alerts['live_missing']) or 'none'}"


def _percentile(ordered: Sequence[int], percent: int) -> int | None:
    """The least value that so many per cent of all do not exceed."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None
