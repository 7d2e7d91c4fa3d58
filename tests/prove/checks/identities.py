"""I2: each event once, as rated or as rejected; duplicates and corrections find what they are of."""

from collections import Counter

from tests.prove.checks.facts import Facts, Json, Place
from tests.prove.checks.rows import Row, Tally
from tests.prove.checks.story import Story, identity_of

EVENTS, CORRECTIONS = "usage.events", "usage.corrections"


def once(facts: Facts, story: Story) -> Row:
    """Published = rated once, rejected once with its reason, or a duplicate of its first publication."""
    tally = Tally(
        "I2", "each event id exactly once in rated or rejected, with its reason; duplicates name the first"
    )
    rated = Counter(
        identity_of(item.record["event"])
        for item in facts.rated
        if item.record["rating"]["leg"] == "original"
    )
    may_be = {identity_of(entry["entry"]) for entry in story.unacked if "customer_id" in entry["entry"]}
    for identity in story.events.keys() | rated.keys():
        times = rated[identity]
        tally.count("rated", times)
        if identity in story.events or times > 1:
            tally.same(f"{identity} times rated", times, 1)
        else:
            tally.expect(identity in may_be, f"{identity}: rated and never published")
    _rejected(facts, story, tally)
    _duplicates(facts, story, tally)
    for item in facts.events:
        if item.place not in story.by_place:
            tally.expect(story.is_unsure(item.place), f"usage.events {item.place}: in no journal")
    tally.count("not acknowledged", len(story.unacked))
    return tally.row()


EXPECTED = {"conflict": "id_conflict"}


def _rejected(facts: Facts, story: Story, tally: Tally) -> None:
    raw = {item.place: item for item in facts.events}
    found: dict[Place, list[Json]] = {}
    for item in facts.rejected:
        if item.record["topic"] == EVENTS:
            found.setdefault((item.record["partition"], item.record["offset"]), []).append(item.record)
    for place, entry in story.by_place.items():
        reason = EXPECTED.get(entry["kind"]) or entry.get("expected_reason")
        reasons = [record["reason"] for record in found.pop(place, [])]
        tally.count("rejected", len(reasons))
        tally.same(f"{entry['kind']} at {place} rejected as", reasons, [reason] if reason else [])
    for place, records in found.items():
        tally.expect(story.is_unsure(place), f"rejected {place} as {records[0]['reason']}: in no journal")
    for item in facts.rejected:
        record = item.record
        if record["topic"] == EVENTS and record["reason"] != "too_large":
            first = raw.get((record["partition"], record["offset"]))
            kept = first is not None and (record["original"], record["original_key"]) == (
                first.value,
                first.key,
            )
            tally.expect(kept, f"rejected {record['partition'], record['offset']}: not its original bytes")


def _duplicates(facts: Facts, story: Story, tally: Tally) -> None:
    found: dict[Place, list[int]] = {}
    for partition, frames in facts.frames.items():
        for frame in frames:
            for one in frame["duplicates"]:
                found.setdefault((partition, one["offset"]), []).append(one["first_offset"])
    for entry in story.repeats:
        place = entry["partition"], entry["offset"]
        tally.count("duplicates")
        tally.same(f"repeat at {place} is of", found.pop(place, []), [entry["of"]])
    for place in found:
        tally.expect(story.is_unsure(place), f"duplicate at {place}: in no journal")


def corrected(facts: Facts, story: Story) -> Row:
    """Each command applied once, refused once, or known as a repetition of one that was applied."""
    tally = Tally("I2", "each correction applied once or refused, its legs in pairs and adjoining")
    legs: dict[str, list[Json]] = {}
    for item in facts.rated:
        if item.record["rating"]["leg"] != "original":
            legs.setdefault(item.record["rating"]["correction_id"], []).append(item.record["rating"])
    refused = Counter(
        (item.record["partition"], item.record["offset"])
        for item in facts.rejected
        if item.record["topic"] == CORRECTIONS
    )
    wanted = {
        "void": ["reversal"],
        "amend": ["reversal", "replacement"],
        "rerate": ["reversal", "replacement"],
    }
    outcomes: Counter[tuple[int, str]] = Counter()
    applied: set[str] = set()
    for item in facts.corrections:
        command = item.record
        if item.place in refused:
            tally.same(f"correction at {item.place} refused", refused[item.place], 1)
            outcomes[item.partition, "corrections_rejected"] += 1
            continue
        if not tally.expect(bool(command), f"correction at {item.place}: not readable and not refused"):
            continue
        name = command["correction_id"]
        outcomes[item.partition, "corrections_repeated" if name in applied else "corrections_applied"] += 1
        applied.add(name)
        ratings = sorted(legs.get(name, []), key=lambda rating: rating["customer_seq"])
        tally.same(f"legs of {name}", [rating["leg"] for rating in ratings], wanted[command["command"]])
        seqs = [rating["customer_seq"] for rating in ratings]
        tally.expect(
            not seqs or seqs == list(range(seqs[0], seqs[0] + len(seqs))), f"legs of {name} stand apart"
        )
        revisions = {rating["revision"] for rating in ratings}
        tally.expect(
            revisions <= {command["target"]["expected_revision"] + 1}, f"revisions of {name}: {revisions}"
        )
        tally.count(command["command"])
    tally.extend(f"legs of {name}, which no command names" for name in legs.keys() - applied)
    _counted(facts, outcomes, tally)
    _asked(facts, story, tally)
    return tally.row()


def _counted(facts: Facts, outcomes: Counter[tuple[int, str]], tally: Tally) -> None:
    for partition, frames in facts.frames.items():
        for name in ("corrections_applied", "corrections_rejected", "corrections_repeated"):
            told = sum(frame[name] for frame in frames)
            tally.same(f"partition {partition} {name}", told, outcomes[partition, name])


def _asked(facts: Facts, story: Story, tally: Tally) -> None:
    """What operators asked for stands on the topic as they asked it."""
    commands = [item.record for item in facts.corrections if item.record]
    by_target = {(one["command"], identity_of({**one, **one["target"]})): one for one in commands}
    for entry in story.corrections:
        if entry["action"] == "rerate" or "identity" not in entry or not (entry.get("answer") or {}):
            continue
        command = by_target.get((entry["action"], tuple(entry["identity"])))
        if command is None:
            tally.told.append(f"{entry['action']} of {entry['identity']} was not published")
        elif entry["action"] == "amend":
            said = {key: value for key, value in command["amended"].items() if key in entry["event"]}
            tally.same(f"amendment of {entry['identity']}", said, {key: entry["event"][key] for key in said})
