"""I14 and I7: each ledger row leads back to the record that was published; each alert was delivered."""

import base64
import hashlib
import hmac
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from struct import pack

from tests.prove.checks.facts import Facts, Json, Place
from tests.prove.checks.rows import Row, Tally
from tests.prove.checks.story import Identity, Story, identity_of, number

ENTRY_BYTES = 32


def resolves(facts: Facts, story: Story) -> Row:
    """A row's bytes stand at its place in usage.rated, its event's bytes where the frame says."""
    tally = Tally(
        "I14",
        "every ledger row resolves to its record, its raw event (topic, partition, offset) and its book",
    )
    rated = {item.place: item for item in facts.rated}
    versions = {row["version"] for row in facts.table("rate_book.versions")}
    firsts = _firsts(facts, tally)
    seen: set[Place] = set()
    for row in facts.table("ledger.rated"):
        place = row["kafka_partition"], row["kafka_offset"]
        item, name = rated.get(place), f"{row['customer_id']} #{row['customer_seq']}"
        tally.count("rows")
        tally.expect(place not in seen, f"{name}: two rows of usage.rated {place}")
        seen.add(place)
        if item is None or item.value != row["record"]:
            tally.expect(False, f"{name}: not what stands in usage.rated at {place}")
            continue
        _columns(name, row, item.record, tally)
        tally.expect(
            row["book_version"] in versions, f"{name}: version {row['book_version']} is not in the book"
        )
        entry = story.events.get(identity_of(row))
        if entry is not None and row["leg"] == "original":
            digest = digest_of(identity_of(row))
            tally.same(f"{name}: raw offset", firsts.get((row["kafka_partition"], digest)), entry["offset"])
    missing = rated.keys() - seen
    tally.same("records of usage.rated that the ledger lacks", sorted(missing)[:3], [])
    kept = {
        (row["kafka_partition"], row["kafka_offset"]): row["record"] for row in facts.table("ledger.rejected")
    }
    tally.expect(
        kept == {item.place: item.value for item in facts.rejected}, "ledger.rejected is not usage.rejected"
    )
    tally.same("bad records", len(facts.table("ledger.bad_records")), 0)
    return tally.row()


def _columns(name: str, row: Json, record: Json, tally: Tally) -> None:
    event, rating = record["event"], record["rating"]
    found = [
        row[key]
        for key in ("customer_id", "source", "event_id", "event_time_us", "customer_seq", "leg", "revision")
    ]
    expected = [event[key] for key in ("customer_id", "source", "event_id", "event_time_us")]
    expected += [rating[key] for key in ("customer_seq", "leg", "revision")]
    for side in ("cost", "price"):
        found += [row[f"{side}_status"], number(row[side]), row[f"{side}_currency"]]
        expected += [rating[side]["status"], number(rating[side]["amount"]), rating[side]["currency"]]
    tally.same(f"{name}: columns", found, expected)


def digest_of(identity: Identity) -> bytes:
    """blake2b-128 of the length-prefixed identity."""
    parts = [text.encode() for text in identity]
    return hashlib.blake2b(b"".join(pack(">I", len(part)) + part for part in parts), digest_size=16).digest()


def _firsts(facts: Facts, tally: Tally) -> dict[tuple[int, bytes], int]:
    """Where each identity first stood, as the frames remember it: each once."""
    found: dict[tuple[int, bytes], int] = {}
    raw = {item.place: item for item in facts.events}
    for partition, frames in facts.frames.items():
        for block in (block for frame in frames for block in frame["digests"]):
            for start in range(0, len(block["packed"]), ENTRY_BYTES):
                entry = block["packed"][start : start + ENTRY_BYTES]
                key, offset = (partition, entry[:16]), int.from_bytes(entry[24:], "big")
                tally.expect(
                    key not in found, f"digest at {partition, offset}: there before, of {found.get(key)}"
                )
                found[key] = offset
                first = raw.get((partition, offset))
                fits = first is not None and content_of(first.value) == entry[16:24]
                tally.expect(fits, f"digest at {partition, offset}: not of the bytes that stand there")
    return found


def content_of(value: bytes | None) -> bytes:
    """blake2b-64 of a record's bytes."""
    return hashlib.blake2b(value or b"", digest_size=8).digest()


def signed_by(secrets: Sequence[str], headers: Mapping[str, str], body: str) -> bool:
    """Standard Webhooks, by hand: HMAC-SHA256 over `id.timestamp.body`."""
    named = {name.lower(): value for name, value in headers.items()}
    signed = f"{named['webhook-id']}.{named['webhook-timestamp']}.{body}".encode()
    for secret in secrets:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        if expected in named["webhook-signature"].split():
            return True
    return False


def delivered(facts: Facts, story: Story, settings: Mapping[str, str]) -> Row:
    """Each alert reached each webhook that it was routed to, under its own id or that of a group."""
    tally = Tally(
        "I7", "each alert delivered to its webhooks at least once, ids = alerts, signatures verified by hand"
    )
    channels = webhooks(settings)
    secrets = [secret for found in channels.values() for secret in found]
    bodies: dict[str, set[str]] = defaultdict(set)
    arrived: set[str] = set()
    for entry in story.deliveries:
        tally.count("requests")
        named = {name.lower(): value for name, value in entry["headers"].items()}
        same = named.get("webhook-id") == entry["webhook_id"]
        good = same and signed_by(secrets, entry["headers"], entry["body"])
        tally.expect(good, f"delivery of {entry['webhook_id']}: its signature does not fit")
        bodies[entry["webhook_id"]].add(entry["body"])
        if entry["answered"] is not None and 200 <= entry["answered"] < 300:  # accepted
            arrived |= alerts_in(entry["webhook_id"], entry["body"])
    for webhook_id, said in bodies.items():
        tally.expect(len(said) == 1, f"{webhook_id}: {len(said)} different bodies under one id")
    routed = {
        row["alert_id"] for row in facts.table("guard.alerts") if set(row["channels"]) & channels.keys()
    } - _skipped(facts, channels)
    tally.count("alerts routed to webhooks", len(routed))
    tally.extend(
        f"{alert_id}: routed to a webhook and never accepted there" for alert_id in sorted(routed - arrived)
    )
    tests = {
        entry["webhook_id"]
        for entry in story.deliveries
        if json.loads(entry["body"])["type"] == "channel.test"
    }
    tally.extend(
        f"{alert_id}: delivered, and no such alert is routed there"
        for alert_id in sorted(arrived - routed - tests)
    )
    return tally.row()


def _skipped(facts: Facts, channels: Mapping[str, Sequence[str]]) -> set[str]:
    """Those too mild for the channel."""
    rows = [row for row in facts.table("guard.deliveries") if row["channel"] in channels]
    sent = {row["alert_id"] for row in rows if row["status"] != "skipped"}
    return {row["alert_id"] for row in rows if row["status"] == "skipped"} - sent


def alerts_in(webhook_id: str, body: str) -> set[str]:
    """The alerts that a message carries: itself, or those of its group."""
    said = json.loads(body)
    if said["type"] == "alerts.grouped":
        return {alert["alert_id"] for alert in said["data"]["alerts"]} | set(said["data"]["more"])
    return {webhook_id}


def webhooks(settings: Mapping[str, str]) -> dict[str, list[str]]:
    """Secrets of each webhook channel, by its name, from the environment's settings."""
    found: dict[str, list[str]] = {}
    for key, value in settings.items():
        section, _, name = key.upper().removeprefix("RATESTREAM_").partition("__")
        if section == "CHANNELS" and name.endswith("__SECRET"):
            found[name.removesuffix("__SECRET").lower().replace("_", "-")] = value.split()
    return found
