"""What comes in: events of every kind, and corrections of what was rated."""

from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Any

from schemas.codec import CODEC
from schemas.partitioning import partition_of
from tests.simulation.books import CUSTOMERS, Version
from tests.simulation.broker import Broker, Where, visible
from tests.simulation.decoding import decoded
from tests.simulation.schedule import SECOND_US, Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping

PARTITIONS = 3
EVENTS, CORRECTIONS = "usage.events", "usage.corrections"
LATE_US, REPLAY_US, FUTURE_US, BUCKET_US = (seconds * SECOND_US for seconds in (60, 90, 20, 15))
_FIELDS = tuple((each["name"], each.get("default")) for each in CODEC.schema("UsageEvent")["fields"])


@lru_cache(maxsize=1_000)
def home(customer: str) -> int:
    """The customer's partition."""
    return partition_of(customer.encode(), PARTITIONS)


@dataclass(frozen=True, slots=True)
class Said:
    """An event as its producer meant it; `reason` is what it is rejected for whatever its time."""

    customer: str
    event_id: str
    at_us: int
    given: int
    made: int
    feature: str | None
    model: str = "one"
    reason: str | None = None
    turned: bool = False

    @property
    def content(self) -> tuple[Any, ...]:
        return (self.at_us, self.given, self.made, self.feature, self.model)

    def value(self) -> bytes:
        usage = {"input_tokens": str(self.given), "output_tokens": str(self.made)}
        if self.turned:
            usage = dict(reversed(usage.items()))
        if self.reason == "bad_quantity":
            usage["output_tokens"] = "-1"
        told = {
            "customer_id": self.customer,
            "source": "sim",
            "event_id": self.event_id,
            "event_time_us": self.at_us,
            "provider": "acme",
            "requested_model": self.model,
            "usage_semantics": "inclusive",
            "usage": usage,
            "feature": self.feature,
        }
        value = CODEC.encode("UsageEvent", {name: told.get(name, default) for name, default in _FIELDS})
        if self.reason == "undecodable":
            return value + b"\0" if self.given % 2 else value[:-1]
        return b"\xc3\x01unknown!" + value[10:] if self.reason == "unknown_schema" else value


@dataclass(frozen=True, slots=True)
class Ordered:
    """A correction as its operator meant it."""

    customer: str
    event_id: str
    correction_id: str
    command: str
    expected: int
    amended: Said | None = None
    version: int | None = None
    reason: str | None = None


@dataclass(eq=False)
class Stream:
    """Publishes, and remembers what it meant by each record."""

    schedule: Schedule
    broker: Broker
    versions: list[Version]
    events: dict[Where, dict[int, Said]] = field(default_factory=dict)
    orders: dict[Where, dict[int, Ordered]] = field(default_factory=dict)
    originals: list[Said] = field(default_factory=list)
    ended: bool = False
    _number: int = 0

    def run(self, records: int) -> None:
        """The producers' task, and the operator's."""
        random, schedule = self.schedule.random, self.schedule
        for _ in range(records):
            if random.random() < 0.5:
                schedule.sleep(random.random() ** 3 * 14)
            if random.random() < 0.13 and self._correct():
                continue
            self._emit(random)
        self.ended = True

    def _emit(self, random: Random) -> None:
        dice = random.random()
        if self.originals and dice < 0.22:
            self._again(random, random.choice(self.originals[-40:]), dice)
            return
        self._number += 1
        customer = random.choice(CUSTOMERS)
        at_us = self.schedule.now_us - int(random.random() ** 4 * 50 * SECOND_US)
        if dice > 0.93:
            at_us = self.schedule.now_us + int((random.random() * 40 - 2) * SECOND_US)
        elif dice > 0.88:
            at_us = self.schedule.now_us - int((45 + random.random() * 40) * SECOND_US)
        reason = None
        if random.random() < 0.06:
            reason = random.choice(("undecodable", "unknown_schema", "bad_quantity", "misrouted"))
        said = Said(
            customer,
            f"e{self._number}",
            at_us,
            random.randint(1, 2_000),
            random.randint(1, 300),
            random.choice((None, "chat", "search")),
            "two" if random.random() < 0.04 else "one",
            reason,
        )
        if reason is None:
            self.originals.append(said)
        self._publish(said)

    def _again(self, random: Random, said: Said, dice: float) -> None:
        """A resend: the same bytes, the same said otherwise, or another content under the same id."""
        content = (said.customer, said.event_id, said.at_us, said.given, said.made, said.feature, said.model)
        if dice < 0.10:
            self._publish(said)
        elif dice < 0.16:
            self._publish(Said(*content, turned=True))
        else:
            self._publish(Said(*content[:4], said.made + 1, *content[5:]))

    def _publish(self, said: Said) -> None:
        customer = said.customer
        key = b"somebody" if said.reason == "misrouted" else customer.encode()
        where = (EVENTS, home(customer))
        offset = self.broker.append(where, key, said.value())
        self.events.setdefault(where, {})[offset] = said

    # --- corrections ---

    def _correct(self) -> bool:
        """A command for a record that is out, as the operators' tool makes it."""
        random = self.schedule.random
        number = random.randrange(PARTITIONS)
        log = self.broker.logs["usage.rated", number]
        found = [it for it in log.entries if it.offset < log.stable and visible(it)]
        if not found:
            return False
        value = random.choice(found).value or b""
        record = decoded("RatedUsage", value)
        event, rating = record["event"], record["rating"]
        if rating["leg"] == "reversal":
            return False
        kind = random.choice(("void", "amend", "rerate"))
        amended = version = None
        if kind == "amend":
            amended = Said(
                event["customer_id"], event["event_id"], event["event_time_us"], random.randint(1, 2_000),
                random.randint(1, 300), event["feature"], event["requested_model"],
            )  # fmt: skip
        elif kind == "rerate":
            if event["customer_id"][0] in "sp":
                return False  # a pooled event belongs to a run over its whole period
            highest = max(
                decoded("RatedUsage", it.value or b"")["rating"]["book_version"] for it in found[-3:]
            )
            version = random.randint(1, highest)
        self._number += 1
        order = Ordered(
            event["customer_id"], event["event_id"], f"{kind} {self._number}", kind,
            rating["revision"], amended, version,
        )  # fmt: skip
        command = self._command(order, value, rating["revision"], number)
        for _ in range(random.choice((1, 1, 1, 2))):
            offset = self.broker.append((CORRECTIONS, number), order.customer.encode(), command)
            self.orders.setdefault((CORRECTIONS, number), {})[offset] = order
        return True

    def _command(self, order: Ordered, target: bytes, revision: int, number: int) -> bytes:
        told: Mapping[str, Any] = {
            "correction_id": order.correction_id,
            "customer_id": order.customer,
            "target": {"source": "sim", "event_id": order.event_id, "expected_revision": revision},
            "command": order.command,
            "reason": "simulated",
            "author": "operator",
            "book_version": order.version,
            "amended_event": None if order.amended is None else order.amended.value(),
            "target_record": target,
            "position": {"partition": number, "offset": 0},
            "run_id": None,
            "closes": [],
        }
        return CODEC.encode("Correction", told)
