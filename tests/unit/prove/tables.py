"""The topics and tables of the small run in `sample`."""

import copy
from decimal import Decimal

from tests.prove.checks.audit import content_of, digest_of
from tests.prove.checks.facts import Facts, Item, Json
from tests.prove.checks.wire import encoded
from tests.unit.prove import sample
from tests.unit.prove.sample import ALERTS, AMENDED, MONTH, NOON_US, PLAIN, POOLED, RECORDS, TOTALS


def filled() -> Facts:
    """What is read of a run that went well."""
    facts = Facts(at_us=NOON_US + 60_000_000)
    facts.events = _events()
    facts.corrections = [
        Item(0, 0, NOON_US, b"plain", b"", sample.correction("void-1", "void", RECORDS[0])),
        Item(0, 1, NOON_US, b"pooled", b"", sample.correction("amend-1", "amend", RECORDS[2], AMENDED)),
    ]
    facts.rated = sample.items(("RatedUsage", record) for record in RECORDS)
    facts.rejected = _rejected()
    facts.frames = {0: _frames()}
    facts.heads = {0: {"frame_no": 2, "events_next": 8, "corrections_next": 2, "book_version": 1}}
    facts.periods = [
        {
            "customer_id": "pooled",
            "pool": "steps/input",
            "start_us": MONTH[0],
            "quantity": "12",
            "amount": "11",
            "frame_no": 1,
        }
    ]
    facts.totals = {
        name: {"customer_id": name, "as_of_seq": seq, "entries": told} for name, (seq, told) in TOTALS.items()
    }
    facts.live = {
        name: {"seq": seq, "since_seq": None, "entries": told} for name, (seq, told) in TOTALS.items()
    }
    facts.live_frames = {0: 2}
    facts.alerts = list(ALERTS)
    facts.states = {
        "pooled\n": {"state": "hard", "valid_until_us": None},
        "plain\n": {"state": "ok", "valid_until_us": None},
    }
    facts.ends = {("usage.events", 0): (8, 8), ("usage.corrections", 0): (2, 2), ("usage.rated", 0): (9, 9)}
    facts.tables = _ledger() | _guard()
    return copy.deepcopy(facts)


def _events() -> list[Item]:
    conflicting = sample.event("plain", "p1", 11)
    late = sample.event("plain", "old", 10)
    values = [encoded("UsageEvent", one) for one in (*PLAIN, *POOLED, PLAIN[0], conflicting, late)]
    return [
        Item(0, offset, NOON_US + offset, b"key", value)
        for offset, value in enumerate([*values, b"\xc3\x01 no record"])
    ]


def _rejected() -> list[Item]:
    raw = _events()
    found = []
    for number, (offset, reason) in enumerate(
        ((sample.CONFLICT, "id_conflict"), (sample.LATE, "too_late"), (sample.POISON, "undecodable"))
    ):
        record: Json = {
            "reason": reason, "topic": "usage.events", "partition": 0, "offset": offset,
            "original": raw[offset].value, "original_key": raw[offset].key,
        }  # fmt: skip
        found.append(Item(0, number, NOON_US, None, f"rejected {number}".encode(), record))
    return found


def _row(cost: str, price: str, events: int, tokens: int) -> Json:
    return {
        "bucket_us": NOON_US, "period_start_us": MONTH[0], "period_end_us": MONTH[1], "cost_currency": "USD",
        "price_currency": "USD", "dimensions": [None, None, None, "one"], "cost": cost, "price": price,
        "events": events, "unpriced_cost_events": 0, "unpriced_price_events": 0,
        "quantities": {"input_tokens": str(tokens)},
    }  # fmt: skip


def _frame(frame_no: int, events: tuple[int, int], corrections: tuple[int, int], **counts: object) -> Json:
    return {
        "partition": 0, "frame_no": frame_no, "rated": 0, "rejected": 0, "duplicates": [], "book_version": 1,
        "events": {"from_offset": events[0], "to_offset": events[1]},
        "corrections": {"from_offset": corrections[0], "to_offset": corrections[1]},
        "corrections_applied": 0, "corrections_rejected": 0, "corrections_repeated": 0, "digests": [],
        "dimensions": ["project", "product", "feature", "model"], **counts,
    }  # fmt: skip


def _frames() -> list[Json]:
    raw = _events()
    packed = b"".join(
        digest_of((one["customer_id"], "test", one["event_id"]))
        + content_of(raw[offset].value)
        + offset.to_bytes(8, "big")
        for offset, one in enumerate((*PLAIN, *POOLED))
    )
    first = _frame(
        1, (0, 6), (0, 0), rated=4, rejected=1, digests=[{"bucket_us": 0, "packed": packed}],
        duplicates=[{"offset": sample.REPEAT, "first_offset": 0}],
        customers=[
            {"customer_id": "plain", "first_seq": 1, "last_seq": 2, "rows": [_row("3", "6", 2, 30)]},
            {"customer_id": "pooled", "first_seq": 1, "last_seq": 2, "rows": [_row("1.2", "11", 2, 12)]},
        ],
    )  # fmt: skip
    second = _frame(
        2, (6, 8), (0, 2), rejected=2, corrections_applied=2,
        customers=[
            {"customer_id": "plain", "first_seq": 3, "last_seq": 3, "rows": [_row("-1", "-2", -1, -10)]},
            {"customer_id": "pooled", "first_seq": 3, "last_seq": 4, "rows": [_row("-0.6", "-5", 0, -6)],
             "pools": [{"pool": "steps/input", "start_us": MONTH[0], "quantity": "6", "amount": "6"}]},
        ],
    )  # fmt: skip
    for customer in (*first["customers"], *second["customers"]):
        customer.setdefault("pools", [])
    return [first, second]


def _ledger() -> dict[str, list[Json]]:
    rows = []
    for item in sample.items(("RatedUsage", record) for record in RECORDS):
        event, rating = item.record["event"], item.record["rating"]
        row: Json = {
            name: event[name] for name in ("customer_id", "source", "event_id", "event_time_us", "query_id")
        }
        row |= {name: rating[name] for name in ("customer_seq", "leg", "revision", "book_version")}
        row |= {"kafka_partition": 0, "kafka_offset": item.offset, "record": item.value}
        row |= {"service_start_us": MONTH[0], "service_end_us": MONTH[1]}
        for side in ("cost", "price"):
            row |= {
                side: Decimal(rating[side]["amount"]),
                f"{side}_currency": "USD",
                f"{side}_status": "priced",
            }
        rows.append(row)
    rollup = [
        {**_key("plain"), "events": 1, "cost": Decimal(2), "price": Decimal(4)},
        {**_key("pooled"), "events": 2, "cost": Decimal("0.6"), "price": Decimal(6)},
    ]
    meters = [
        {**_key("plain"), "meter": "input_tokens", "cost": Decimal(2), "price": Decimal(4)},
        {**_key("pooled"), "meter": "input_tokens", "cost": Decimal("0.6"), "price": Decimal(5)},
        {**_key("pooled"), "meter": "tier_adjustment", "cost": Decimal(0), "price": Decimal(1)},
    ]
    rejected = [
        {"kafka_partition": 0, "kafka_offset": item.offset, "record": item.value} for item in _rejected()
    ]
    return {
        "ledger.rated": rows, "ledger.rejected": rejected, "ledger.bad_records": [], "ledger.queries": [],
        "ledger.customers": [
            {"customer_id": name, "contiguous_seq": seq, "last_seq": seq, "gap_seq": None}
            for name, (seq, _) in TOTALS.items()
        ],
        **{f"ledger.{name}": list(rollup) for name in ("rollup", "rollup_days", "rollup_months")},
        **{
            f"ledger.{name}": list(meters)
            for name in ("rollup_meters", "rollup_meters_days", "rollup_meters_months")
        },
        "rate_book.versions": [
            {"version": 1, "content_hash": "hash-1", "in_force_us": None, "retroactive": False,
             "recorded_us": 0}
        ],
        "totals.customers": [
            {"customer_id": name, "as_of_seq": seq, "entries": told} for name, (seq, told) in TOTALS.items()
        ],
    }  # fmt: skip


def _key(customer_id: str) -> Json:
    return {
        "customer_id": customer_id, "service_start_us": MONTH[0], "cost_currency": "USD",
        "price_currency": "USD",
    }  # fmt: skip


def _guard() -> dict[str, list[Json]]:
    return {
        "guard.budget_versions": [{"version": 1, "applied_us": 0}],
        "guard.alerts": [
            {"alert_id": body["alert_id"], "body": body, "channels": ["hook"]} for body in ALERTS
        ],
        "guard.firings": [_firing("plain", "alr_a", 3), _firing("pooled", "alr_c", None)],
        "guard.deliveries": [
            {"alert_id": body["alert_id"], "channel": "hook", "status": "delivered"} for body in ALERTS
        ],
        "guard.states": [
            {"customer_id": "pooled", "scope_key": "", "body": {"state": "hard"}},
            {"customer_id": "plain", "scope_key": "", "body": {"state": "ok"}},
        ],
    }


def _firing(customer_id: str, alert_id: str, retracted_seq: int | None) -> Json:
    return {
        "customer_id": customer_id, "budget_id": "calls", "scope_key": "", "window_kind": "lifetime",
        "period_start_us": 0, "episode": 1, "threshold_amount": Decimal(2), "measure": "events",
        "currency": None, "alert_id": alert_id, "fired_seq": 2, "retracted_seq": retracted_seq,
    }  # fmt: skip
