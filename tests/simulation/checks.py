"""What must hold when a world has come to rest: the rater's outputs against the oracle."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from schemas.codec import CODEC
from tests.pooled_book import packs_amount, steps_amount
from tests.simulation.books import COST, Version
from tests.simulation.decoding import decoded, exact
from tests.simulation.expected import Outcome, outcome_of
from tests.simulation.stream import CORRECTIONS, EVENTS, PARTITIONS, home

if TYPE_CHECKING:
    from tests.simulation.world import World

Json = Mapping[str, Any]


@dataclass
class Found:
    """What a committed reader finds on the rater's topics, by partition and in order."""

    rated: dict[int, list[tuple[int, Json]]] = field(default_factory=dict)  # offset, record
    rejected: dict[int, list[Json]] = field(default_factory=dict)
    frames: dict[int, list[Json]] = field(default_factory=dict)

    def by_customer(self) -> dict[str, list[Json]]:
        found: dict[str, list[Json]] = {}
        for records in self.rated.values():
            for _, record in records:
                found.setdefault(record["event"]["customer_id"], []).append(record)
        return found


def need(holds: object, rule: str, **what: object) -> None:
    """An invariant."""
    if not holds:
        raise AssertionError(f"{rule}: {', '.join(f'{name} {value!r}' for name, value in what.items())}")


def check(world: "World") -> Found:
    """Everything that the rater has written."""
    found = read(world)
    logs = world.broker.logs
    for number in range(PARTITIONS):
        outcome = outcome_of(number, logs[EVENTS, number].entries, world.stream.events, world.stream.orders)
        check_frames(found.frames[number], logs[EVENTS, number].end, logs[CORRECTIONS, number].end)
        check_outcome(number, outcome, found)
        world.schedule.saw("rated", sum(map(len, outcome.rated.values())))
        world.schedule.saw("duplicate", len(outcome.duplicates))
        world.schedule.saw("correction repeated", outcome.repeated)
        for reason in outcome.rejected.values():
            world.schedule.saw(f"rejected: {reason}")
        for order in outcome.applied:
            world.schedule.saw(f"correction: {order.command}")
    for customer, records in found.by_customer().items():
        check_customer(customer, records, world.versions)
        check_sums(customer, records, found.frames[home(customer)])
        starts = {period_of(customer, it["event"]["event_time_us"]) for it in records}
        world.schedule.saw("a period of a pool rolls", customer[0] in "sp" and len(starts) > 1)
    return found


def read(world: "World") -> Found:
    found, logs = Found(), world.broker.logs
    for number in range(PARTITIONS):
        found.rated[number] = [
            (it.offset, decoded("RatedUsage", it.value or b""))
            for it in logs["usage.rated", number].committed()
        ]
        found.rejected[number] = [
            CODEC.decode("RejectedUsage", it.value) for it in logs["usage.rejected", number].committed()
        ]
        chunks: list[bytes] = []
        found.frames[number] = frames = []
        for entry in logs["usage.deltas", number].committed():
            part = CODEC.decode("FramePart", entry.value)
            need(part["part_no"] == len(chunks), "parts of a frame follow each other", part=part["frame_no"])
            chunks.append(part["chunk"])
            if len(chunks) == part["part_count"]:
                frames.append(CODEC.decode("DeltaFrame", b"".join(chunks)))
                chunks = []
        need(not chunks, "the last frame is whole", partition=number)
    return found


def check_frames(frames: list[Json], events_end: int, corrections_end: int) -> None:
    """Contiguous, each conserving what it received, versions never falling, all of the input behind them."""
    at = {"events": 0, "corrections": 0}
    version = 0
    for count, frame in enumerate(frames, 1):
        need(frame["frame_no"] == count, "frames are contiguous", frame=frame["frame_no"], wanted=count)
        for kind, position in list(at.items()):
            need(frame[kind]["from_offset"] == position, f"frames continue {kind}", frame=count)
            at[kind] = frame[kind]["to_offset"]
        received = frame["events"]["to_offset"] - frame["events"]["from_offset"]
        said = frame["rated"] + frame["rejected"] + len(frame["duplicates"])
        need(received == said, "events received = rated + rejected + duplicates", frame=count)
        received = frame["corrections"]["to_offset"] - frame["corrections"]["from_offset"]
        said = frame["corrections_applied"] + frame["corrections_rejected"] + frame["corrections_repeated"]
        need(received == said, "corrections received = applied + rejected + repeated", frame=count)
        need(frame["book_version"] >= version, "the book's version never falls", frame=count)
        version = frame["book_version"]
    need(at["events"] == events_end, "all events are behind the head", head=at["events"], end=events_end)
    need(at["corrections"] == corrections_end, "all corrections are behind the head", head=at["corrections"])


def check_outcome(number: int, outcome: Outcome, found: Found) -> None:
    """Each id rated once or rejected for the expected reason; each command likewise."""
    rejected = [((it["topic"], it["offset"]), it["reason"]) for it in found.rejected[number]]
    need(len(rejected) == len(dict(rejected)), "each record is rejected once", partition=number)
    expected = outcome.rejected
    differ = {where: (reason, dict(rejected).get(where)) for where, reason in expected.items()}
    differ = {where: both for where, both in differ.items() if both[0] != both[1]}
    differ |= {where: (None, reason) for where, reason in rejected if where not in expected}
    need(not differ, "rejected as expected (expected, found)", partition=number, differ=differ)
    duplicates = [it["offset"] for frame in found.frames[number] for it in frame["duplicates"]]
    need(duplicates == outcome.duplicates, "duplicates as expected", partition=number, found=duplicates)
    originals: dict[str, list[tuple[Any, ...]]] = {}
    applied = []
    for _, record in found.rated[number]:
        event, rating = record["event"], record["rating"]
        if rating["leg"] == "original":
            originals.setdefault(event["customer_id"], []).append((event["event_id"], *_content(event)))
        elif rating["leg"] == "reversal":
            applied.append((event["customer_id"], event["event_id"], rating["correction_id"]))
    wanted = {who: [(it.event_id, *it.content) for it in said] for who, said in outcome.rated.items()}
    need(
        originals == wanted, "each id is rated once, in order", partition=number, **_first(originals, wanted)
    )
    ordered = [(it.customer, it.event_id, it.correction_id) for it in outcome.applied]
    need(applied == ordered, "each correction is applied once, in order", partition=number, found=applied)


def _first(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    for who in sorted({*one, *other}):
        if one.get(who) != other.get(who):
            return {"customer": who, "found": one.get(who), "wanted": other.get(who)}
    return {}


def _content(event: Json) -> tuple[Any, ...]:
    given, made = (int(event["usage"].get(meter, "0")) for meter in ("input_tokens", "output_tokens"))
    return event["event_time_us"], given, made, event["feature"], event["requested_model"]


def period_of(customer: str, at_us: int) -> int:
    """Start of the billing period: packs by the day, everyone else by the month, UTC."""
    at = datetime.fromtimestamp(at_us // 1_000_000, UTC).replace(hour=0, minute=0, second=0)
    return int((at if customer == "packs" else at.replace(day=1)).timestamp()) * 1_000_000


def check_customer(customer: str, records: list[Json], versions: list[Version]) -> None:
    """Sequences without a gap; every amount by fractions; what a period costs is P(Q) after each record."""
    periods: dict[int, tuple[int, int, Fraction]] = {}
    last: dict[tuple[str, int], Fraction] = {}
    for count, record in enumerate(records, 1):
        event, rating = record["event"], record["rating"]
        need(rating["customer_seq"] == count, "sequences are contiguous", customer=customer, wanted=count)
        at_us, given, made, _, model = _content(event)
        sign = -1 if rating["leg"] == "reversal" else 1
        where = {"customer": customer, "seq": count, "event": event["event_id"]}
        if model != "one":
            told = (rating["cost"]["status"], rating["price"]["status"])
            need(told == ("unpriced", "unpriced"), "an unknown model is unpriced", told=told, **where)
            continue
        cost = sign * (COST[0] * given + COST[1] * made)
        need(exact(rating["cost"]["amount"]) == cost, "the cost is exact", **where)
        price = exact(rating["price"]["amount"])
        start_us = period_of(customer, at_us)
        need(rating["service_period"]["start_us"] == start_us, "the period is that of the event", **where)
        version = versions[rating["book_version"] - 1]
        if rating["correction_id"] is None or rating["correction_id"].startswith("amend"):
            check_version(version, versions, at_us, sign, where)
        if customer[0] in "sp":
            before = periods.get(start_us, (0, 0, Fraction(0)))
            after = (before[0] + sign * given, before[1] + sign * made, before[2] + price)
            periods[start_us] = after
            amount = (packs_amount if customer == "packs" else steps_amount)(after[0], after[1])
            need(after[2] == amount, "a period costs P(Q)", found=after[2], wanted=amount, **where)
        elif sign > 0:
            wanted = version.list_price(at_us, given, made)
            need(price == wanted, "the price is exact", found=price, wanted=wanted, **where)
            last[event["event_id"], rating["revision"]] = price
        else:
            undone = last[event["event_id"], rating["revision"] - 1]
            need(price == -undone, "a reversal is its record negated", **where)


def check_version(version: Version, versions: list[Version], at_us: int, sign: int, where: Json) -> None:
    """No later version says otherwise of that instant, but a retroactive one."""
    for later in versions[version.number :] if sign > 0 else ():
        since = later.steps[-1][0]
        need(since is None or since > at_us, "priced beyond the horizon", version=version.number, **where)


def check_sums(customer: str, records: list[Json], frames: list[Json]) -> None:
    """Each frame's rows are the sums of its records."""
    at = 0
    for frame in frames:
        for delta in frame["customers"]:
            if delta["customer_id"] != customer:
                continue
            need(delta["first_seq"] == at + 1, "a customer's frames are contiguous", customer=customer)
            some, at = records[at : delta["last_seq"]], delta["last_seq"]
            paid = sum(exact(it["rating"]["price"]["amount"]) for it in some)
            told = sum(exact(row["price"]) for row in delta["rows"])
            need(paid == told, "a frame's rows are its records", customer=customer, frame=frame["frame_no"])
            events = sum(-1 if it["rating"]["leg"] == "reversal" else 1 for it in some)
            told_events = sum(row["events"] for row in delta["rows"])
            need(events == told_events, "a frame's rows count its records", customer=customer)
    need(at == len(records), "every record is in a frame", customer=customer)
