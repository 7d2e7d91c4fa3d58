"""A small run that went well, written by hand: what was told, and what was read. Tests break one thing of it.

Costs: 0.1 USD a token. Prices: 0.2 USD a token of the list; `pooled` pays 1 USD for each of its first ten
tokens of a month and 0.5 USD for each beyond. The records, in order of sequence:

    plain   #1 10 tokens 1 / 2    #2 20 tokens 2 / 4    #3 void of #1: -1 / -2
    pooled  #1 8 tokens 0.8 / 8   #2 4 tokens 0.4 / 3   #3, #4 #1 amended to 2 tokens:
            #3 takes 8 tokens back: 4 are left, worth 4; 11 - 8 = 3 was paid for them: -8 + 1 = -7
            #4 2 tokens more: 6 tokens, worth 6: 0.2 / 2
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping

from tests.prove.checks.facts import Facts, Item, Json
from tests.prove.checks.story import Story, story
from tests.prove.checks.wire import encoded

NOON_US = 1_782_907_200_000_000  # 2026-07-01T12:00Z, a Wednesday
HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000
MONTH = (1_782_864_000_000_000, 1_785_542_400_000_000)
SECRET = "whsec_" + base64.b64encode(b"a secret of at least 24 bytes").decode()
SETTINGS = {"RATESTREAM_CHANNELS__HOOK__SECRET": SECRET, "RATESTREAM_KAFKA__PARTITIONS": "1"}
BOOK = (
    """
provider: acme
currency: USD
cards:
  - {card: acme/one, models: [one], versions: [{rates: {input_tokens: "0.1"}}]}
""",
    """
price_card: list
currency: USD
cards:
  - {card: list/one, provider: acme, models: [one], versions: [{rates: {input_tokens: "0.2"}}]}
""",
    """
price_card: steps
currency: USD
pools:
  - pool: input
    versions:
      - {shape: graduated, tiers: [{start: "0", rate: "1"}, {start: "10", rate: "0.5"}]}
cards:
  - {card: steps/one, provider: acme, models: [one], versions: [{rates: {input_tokens: {pool: input}}}]}
""",
    """
contracts:
  - {contract: standard, currency: USD, price_cards: [list]}
  - {contract: steps, currency: USD, price_cards: [steps]}
assignments:
  - {customer: "*", contract: standard}
  - {customer: pooled, contract: steps}
""",
)
BUDGET: Json = {
    "budget": "calls",
    "customers": ["*"],
    "measure": "events",
    "window": "lifetime",
    "limit": 2,
    "thresholds": [{"at": "100%", "action": "hard", "channels": ["hook"]}],
}


def event(customer_id: str, name: str, tokens: int) -> Json:
    """A whole event at noon."""
    nothing = dict.fromkeys(
        (
            *("query_id", "parent_event_id", "attempt", "project", "user_id", "product", "feature"),
            *("served_model", "billed_model", "region", "endpoint", "provider_account", "provider_project"),
            *("provider_key_id", "provider_request_id", "provider_response_id", "provider_cost"),
            *("query_complexity", "quality_tier", "routing"),
        )
    )
    return nothing | {
        "customer_id": customer_id, "source": "test", "event_id": name, "event_time_us": NOON_US,
        "provider": "acme", "requested_model": "one", "context": {}, "status": "ok",
        "stream_complete": "unknown", "usage_semantics": "inclusive", "usage": {"input_tokens": str(tokens)},
        "usage_quality": "provider", "compliance_tags": [], "tags": {},
    }  # fmt: skip


PLAIN = [event("plain", "p1", 10), event("plain", "p2", 20)]
POOLED = [event("pooled", "q1", 8), event("pooled", "q2", 4)]
AMENDED = event("pooled", "q1", 2)
OFFSETS = {"p1": 0, "p2": 1, "q1": 2, "q2": 3}
REPEAT, CONFLICT, LATE, POISON = 4, 5, 6, 7


def line(side: str, tokens: int, amount: str, pool: str = "") -> Json:
    """A line of input tokens."""
    return {
        "side": side, "meter": "input_tokens", "quantity": str(tokens), "rate": None, "per": None,
        "amount": amount, "currency": "USD", "card": None, "version": None, "status": "priced",
        "explain": pool, "billed_quantity": None,
    }  # fmt: skip


def record(
    of: Json, seq: int, leg: str, sides: tuple[str, str], *, revision: int = 0, correction: str | None = None,
    pools: Iterable[Json] = (), owed: str | None = None, tokens: int | None = None,
    line_price: str | None = None,
) -> Json:  # fmt: skip
    """A rated record; a reversal's quantities are negative. `owed` is its adjustment."""
    cost, price = sides
    count = int(of["usage"]["input_tokens"]) if tokens is None else tokens
    pool = "steps/input" if of["customer_id"] == "pooled" else ""
    lines = [line("cost", count, cost), line("price", count, line_price or price, pool)]
    if owed is not None:
        lines.append(line("price", 0, owed, pool) | {"meter": "tier_adjustment"})
    rating = {
        "customer_seq": seq, "leg": leg, "revision": revision, "correction_id": correction, "book_version": 1,
        "book_hash": "hash-1", "service_period": {"start_us": MONTH[0], "end_us": MONTH[1]},
        "pools_before": list(pools), "cost": {"status": "priced", "amount": cost, "currency": "USD"},
        "price": {"status": "priced", "amount": price, "currency": "USD"}, "lines": lines, "plan": None,
    }  # fmt: skip
    return {"event": of, "rating": rating}


def pool(quantity: int, amount: int) -> Json:
    """The state of the customer's only pool before a record."""
    period = {"start_us": MONTH[0], "end_us": MONTH[1]}
    return {
        "pool": "steps/input",
        "period": period,
        "quantity": str(quantity),
        "amount": str(amount),
        "currency": "USD",
    }


RECORDS = [
    record(PLAIN[0], 1, "original", ("1", "2")),
    record(PLAIN[1], 2, "original", ("2", "4")),
    record(POOLED[0], 1, "original", ("0.8", "8"), pools=[pool(0, 0)]),
    record(POOLED[1], 2, "original", ("0.4", "3"), pools=[pool(8, 8)]),
    record(PLAIN[0], 3, "reversal", ("-1", "-2"), revision=1, correction="void-1", tokens=-10),
    record(
        POOLED[0], 3, "reversal", ("-0.8", "-7"), revision=1, correction="amend-1", tokens=-8,
        line_price="-8", owed="1", pools=[pool(12, 11)],
    ),
    record(AMENDED, 4, "replacement", ("0.2", "2"), revision=1, correction="amend-1", pools=[pool(4, 4)]),
]  # fmt: skip


def items(topic_records: Iterable[tuple[str, Json]], *, key: str | None = None) -> list[Item]:
    """Records of a topic, one offset after the other, each a second after the one before."""
    return [
        Item(
            0,
            offset,
            NOON_US + offset,
            None if key is None else record[key].encode(),
            encoded(name, record),
            record,
        )
        for offset, (name, record) in enumerate(topic_records)
    ]


def told() -> list[Json]:
    """The journal."""
    entries: list[Json] = [
        {"kind": "book", "version": 1, "texts": list(BOOK)},
        {"kind": "budget", "version": 1, "budgets": [BUDGET]},
    ]
    entries += [
        {"kind": "event", "event": one, **_place(one, OFFSETS[one["event_id"]])} for one in (*PLAIN, *POOLED)
    ]
    entries += [
        {"kind": "repeat", "event": PLAIN[0], "of": 0, **_place(PLAIN[0], REPEAT)},
        {"kind": "conflict", "event": PLAIN[0], "of": 0, **_place(PLAIN[0], CONFLICT)},
        {"kind": "late", "event": PLAIN[0], "expected_reason": "too_late", **_place(PLAIN[0], LATE)},
        {"kind": "poison", "expected_reason": "undecodable", "partition": 0, "offset": POISON},
        {
            "kind": "correction", "action": "amend", "identity": ["pooled", "test", "q1"], "event": AMENDED,
            "answer": {"state": "applied"},
        },
        *deliveries(),
        {"kind": "phase", "name": "drained", "after_s": 3.5},
    ]  # fmt: skip
    return [{"at": 100.0 + number, **entry} for number, entry in enumerate(entries)]


def _place(one: Json, offset: int) -> Json:
    told_ = {name: one[name] for name in ("customer_id", "source", "event_id")}
    return told_ | {"partition": 0, "offset": offset, "append_us": NOON_US + offset}


def correction(name: str, command: str, target: Json, amended: Json | None = None) -> Json:
    """A command, as it is read: with what its bytes hold."""
    one = target["event"]
    return {
        "correction_id": name, "customer_id": one["customer_id"],
        "target": {"source": "test", "event_id": one["event_id"], "expected_revision": 0},
        "command": command, "run_id": None, "closes": [], "book_version": None, "record": target,
        "amended": amended,
    }  # fmt: skip


def alert(  # noqa: PLR0917 - what it says, in the order in which it is said
    name: str, kind: str, customer_id: str, amount: str, seq: int, retracts: str | None = None
) -> Json:  # fmt: skip
    """A BudgetAlert of the only budget."""
    return {
        "alert_id": name, "kind": kind, "severity": "warning", "customer_id": customer_id,
        "budget_id": "calls", "budget_version": 1, "scope": {}, "measure": "events", "currency": None,
        "window": "lifetime", "period_start_us": 0, "period_end_us": None, "threshold": "100%", "limit": "2",
        "threshold_amount": "2", "amount": amount, "episode": 1, "retracts": retracts, "first_seq": None,
        "last_seq": seq,
        "raised_at_us": NOON_US + 1_000_000, "text": f"{kind} of {customer_id}",
    }  # fmt: skip


ALERTS = [
    alert("alr_a", "threshold", "plain", "2", 2),
    alert("alr_b", "retraction", "plain", "1", 3, "alr_a"),
    alert("alr_c", "threshold", "pooled", "2", 2),
]


def deliveries() -> list[Json]:
    """Each alert twice: refused, then accepted."""
    found = []
    for body in ALERTS:
        text = json.dumps({"type": "budget.threshold.crossed", "data": body})
        for number, answered in enumerate((500, 204)):
            headers = {"webhook-id": body["alert_id"], "webhook-timestamp": str(1_782_907_201 + number)}
            headers["webhook-signature"] = signature(headers, text)
            found.append(
                {
                    "kind": "delivery",
                    "webhook_id": body["alert_id"],
                    "answered": answered,
                    "headers": headers,
                    "body": text,
                }
            )
    return found


def signature(headers: Mapping[str, str], body: str, secret: bytes = b"a secret of at least 24 bytes") -> str:
    """Of Standard Webhooks."""
    said = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}".encode()
    return "v1," + base64.b64encode(hmac.new(secret, said, hashlib.sha256).digest()).decode()


def entry(span: tuple[str, int, int | None], cost: str, price: str, events: int, tokens: int) -> Json:
    """A TotalsEntry of the whole customer."""
    window, start_us, end_us = span
    return {
        "window": window, "start_us": start_us, "end_us": end_us, "scope": {}, "cost_currency": "USD",
        "price_currency": "USD", "cost": cost, "price": price, "events": events, "unpriced_cost_events": 0,
        "unpriced_price_events": 0, "quantities": {"input_tokens": str(tokens)},
    }  # fmt: skip


def entries(cost: str, price: str, events: int, tokens: int) -> list[Json]:
    """Everything happened in one hour."""
    day, week = NOON_US - 12 * HOUR_US, NOON_US - 12 * HOUR_US - 2 * DAY_US
    windows: list[tuple[str, int, int | None]] = [
        ("hour", NOON_US, NOON_US + HOUR_US), ("day", day, day + DAY_US), ("week", week, week + 7 * DAY_US),
        ("period", *MONTH), ("lifetime", 0, None),
    ]  # fmt: skip
    return [entry(window, cost, price, events, tokens) for window in windows]


TOTALS = {"plain": (3, entries("2", "4", 1, 20)), "pooled": (4, entries("0.6", "6", 2, 6))}


def went_well() -> tuple[Facts, Story]:
    """Facts and story that agree; new ones at each call, so that a test may break them."""
    from tests.unit.prove.tables import filled  # noqa: PLC0415  # the tables are made of what stands here

    return filled(), story(json.loads(json.dumps(told())))
