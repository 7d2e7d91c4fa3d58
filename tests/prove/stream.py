"""The seeded stream: which records, in which order. What it makes depends on the seed alone, times apart."""

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from schemas import reasons
from schemas.codec import CODEC
from tests.prove.books import GRADUATED, MODELS, PACKS, UNKNOWN_MODEL
from tests.prove.poison import KINDS, Poison, poison

PLAIN = tuple(f"customer-{number}" for number in range(17))
CUSTOMERS = (*PLAIN, *GRADUATED, *PACKS)
FEATURES, PROJECTS = ("chat", "search", "batch", None), ("alpha", "beta", None)
_SECOND_US, _DAY_US = 1_000_000, 86_400_000_000
_EVERY = 40  # each so many records, what is rare comes in turn
_KEPT = 4_000


@dataclass(frozen=True)
class Item:
    """One record to publish. `of` is the identity that a repeat or conflict belongs to."""

    kind: str
    event: dict[str, Any] | None
    value: bytes | None
    key: bytes | None
    note: str = ""
    of: tuple[str, str, str] | None = None
    encoding: str = "bytes"
    expected_reason: str | None = None
    poison: Poison | None = None


def identity(event: Mapping[str, Any]) -> tuple[str, str, str]:
    """What makes two records the same event."""
    return event["customer_id"], event["source"], event["event_id"]


def item_of(kind: str, event: dict[str, Any], **more: Any) -> Item:
    """An event as a record, encoded as a service does."""
    return Item(kind, event, CODEC.encode("UsageEvent", event), event["customer_id"].encode(), **more)


def new_event(name: str, customer: str, at_us: int, **fields: Any) -> dict[str, Any]:
    """A whole event; every field of the schema is there."""
    known = {field["name"]: field.get("default") for field in CODEC.schema("UsageEvent")["fields"]}
    return known | {
        "customer_id": customer,
        "source": "prove",
        "event_id": name,
        "event_time_us": at_us,
        "provider": "acme",
        "requested_model": "one",
        "usage_semantics": "inclusive",
        "usage": {"input_tokens": "1000", "output_tokens": "100"},
        **fields,
    }


class Stream:
    """Makes records one after the other; remembers what it made, to repeat it."""

    def __init__(self, seed: int, partitions: int) -> None:
        self._chance = random.Random(f"stream {seed}")
        self._partitions = partitions
        self._made: list[Item] = []
        self._count = 0
        self._rare = self._in_turn()

    def next(self) -> list[Item]:
        """The next record, and what comes right behind it."""
        self._count += 1
        if self._count % _EVERY == 0:
            return [next(self._rare)]
        draw = self._chance.random()
        if draw < 0.08 and self._made:
            return [self._repeat(self._made[-self._chance.choice((1, 5, 60)) :])]
        if draw < 0.13 and self._made:
            return [self._repeat(self._made)]
        found = self._ordinary()
        self._remember(found)
        return [found]

    # --- what is ordinary ---

    def _ordinary(self) -> Item:
        chance, now_us = self._chance, _now_us()
        draw = chance.random()
        note, at_us = "plain", now_us - chance.randrange(_SECOND_US)
        if draw < 0.15:
            note, at_us = "out_of_order", now_us - chance.randrange(90 * _SECOND_US)
        elif draw < 0.18:
            note, at_us = "late", now_us - chance.randrange(3600 * _SECOND_US, 33 * _DAY_US)
        elif draw < 0.20:
            # Less than the book's lead: what is beyond it waits until the book is confirmed.
            note, at_us = "future_within", now_us + chance.randrange(3 * _SECOND_US)
        customer = chance.choice(CUSTOMERS)
        model = chance.choice(MODELS)
        if chance.random() < 0.03:
            note, model = "unpriced", UNKNOWN_MODEL
        elif note == "plain" and customer not in PLAIN:
            note = "pooled"
        return item_of("event", self._event(customer, at_us, model), note=note)

    def _event(self, customer: str, at_us: int, model: str) -> dict[str, Any]:
        chance = self._chance
        given = chance.choice((chance.randrange(1, 2000), chance.randrange(1, 200_000 // 7), 0))
        usage = {"input_tokens": str(given), "output_tokens": str(chance.randrange(0, 900))}
        if chance.random() < 0.4:
            usage["cache_read_tokens"] = str(chance.randrange(given + 1))
        if chance.random() < 0.02:
            usage["input_tokens"] = f"{given}.5"
        return new_event(
            f"{self._count}",
            customer,
            at_us,
            source=chance.choice(("prove", "prove-b")),
            requested_model=model,
            feature=chance.choice(FEATURES),
            project=chance.choice(PROJECTS),
            usage=usage,
            tags={"team": "a", "run": str(chance.randrange(9))},
        )

    def _repeat(self, among: list[Item]) -> Item:
        first = self._chance.choice(among)
        event = first.event
        if event is None:
            raise TypeError("only events are remembered")
        if self._chance.random() < 0.6:
            return item_of("repeat", event, of=identity(event))
        turned = {**event, **{name: _turned(event[name]) for name in ("usage", "tags")}}
        made = item_of("repeat", turned, of=identity(event))
        return Item(
            **{**made.__dict__, "event": event, "encoding": "bytes" if made.value == first.value else "other"}
        )

    def _remember(self, item: Item) -> None:
        self._made.append(item)
        if len(self._made) > _KEPT:
            del self._made[: _KEPT // 2]

    # --- what is rare: each kind in turn, so that none is missed ---

    def _in_turn(self) -> Iterator[Item]:
        while True:
            for what in self._chance.sample(KINDS, len(KINDS)):
                yield self._poisoned(what)
                yield self._conflict()
                yield self._outside(self._chance.choice((reasons.TOO_LATE, reasons.IN_FUTURE)))

    def _poisoned(self, what: str) -> Item:
        event = self._event(self._chance.choice(CUSTOMERS), _now_us(), "one")
        bad = poison(what, event, self._chance, self._partitions)
        return Item("poison", None, bad.value, bad.key, expected_reason=bad.expected_reason, poison=bad)

    def _conflict(self) -> Item:
        event = self._chance.choice(self._made).event
        if event is None:
            raise TypeError("only events are remembered")
        other = event | {"usage": event["usage"] | {"output_tokens": "901"}}
        return item_of("conflict", other, of=identity(event), expected_reason=reasons.ID_CONFLICT)

    def _outside(self, reason: str) -> Item:
        days = self._chance.randrange(36, 60)
        at_us = _now_us() - days * _DAY_US if reason == reasons.TOO_LATE else _now_us() + 3600 * _SECOND_US
        event = self._event(self._chance.choice(CUSTOMERS), at_us, "one")
        return item_of("late", event, expected_reason=reason)


def _turned(entries: dict[str, str]) -> dict[str, str]:
    return dict(reversed(entries.items()))


def _now_us() -> int:
    return time.time_ns() // 1000
