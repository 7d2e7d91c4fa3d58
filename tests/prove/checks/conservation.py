"""I3, I5, I8, I9: frames, sequences, heads and positions account for everything."""

from collections import Counter
from collections.abc import Iterable

from tests.prove.checks.facts import Facts, Json
from tests.prove.checks.rows import Row, Tally
from tests.prove.checks.story import Story

DRAINED_S = 60.0


def frame_problems(before: Json | None, frame: Json) -> Iterable[str]:
    """Whether a frame follows the one before it and accounts for what it received."""
    name = f"frame {frame['frame_no']} of partition {frame['partition']}"
    wanted = 1 if before is None else before["frame_no"] + 1
    if frame["frame_no"] != wanted:
        yield f"{name}: expected frame {wanted}"
    for topic in ("events", "corrections"):
        begins = 0 if before is None else before[topic]["to_offset"]
        if frame[topic]["from_offset"] != begins:
            yield f"{name}: {topic} begin at {frame[topic]['from_offset']}, expected {begins}"
    received = frame["events"]["to_offset"] - frame["events"]["from_offset"]
    accounted = frame["rated"] + frame["rejected"] + len(frame["duplicates"])
    if received != accounted:
        yield f"{name}: {received} received, {accounted} rated, rejected or duplicates"
    received = frame["corrections"]["to_offset"] - frame["corrections"]["from_offset"]
    accounted = sum(frame[f"corrections_{how}"] for how in ("applied", "rejected", "repeated"))
    if received != accounted:
        yield f"{name}: {received} corrections received, {accounted} accounted for"
    if before is not None and frame["book_version"] < before["book_version"]:
        yield f"{name}: version {frame['book_version']} after {before['book_version']}"


def conserved(facts: Facts, _: Story) -> Row:
    """Received = rated + rejected + duplicates, by the frames and by the records themselves."""
    tally = Tally("I3", "per partition received = rated + rejected + duplicates; nothing is pending")
    rated = Counter(item.partition for item in facts.rated if item.record["rating"]["leg"] == "original")
    rejected = Counter(item.partition for item in facts.rejected if item.record["topic"] == "usage.events")
    received = Counter(item.partition for item in facts.events)
    for partition in received.keys() | facts.frames.keys():
        frames = facts.frames.get(partition, [])
        before = None
        for frame in frames:
            tally.extend(frame_problems(before, frame))
            before = frame
        tally.count("frames", len(frames))
        tally.count("received", received[partition])
        for name, found in (("rated", rated), ("rejected", rejected)):
            told = sum(frame[name] for frame in frames)
            tally.same(f"partition {partition} {name} by frames", told, found[partition])
        accounted = rated[partition] + rejected[partition] + sum(len(frame["duplicates"]) for frame in frames)
        tally.same(f"partition {partition} accounted for", accounted, received[partition])
        _head(facts, partition, before, tally)
    tally.extend(facts.problems)
    return tally.row()


def _head(facts: Facts, partition: int, last: Json | None, tally: Tally) -> None:
    head = facts.heads.get(partition)
    if last is None or head is None:
        tally.expect(last is head, f"partition {partition}: a head without frames, or frames without a head")
        return
    found = head["frame_no"], head["events_next"], head["corrections_next"], head["book_version"]
    tally.same(
        f"head of partition {partition}",
        found,
        (
            last["frame_no"],
            last["events"]["to_offset"],
            last["corrections"]["to_offset"],
            last["book_version"],
        ),
    )
    for topic in ("events", "corrections"):
        end = facts.ends.get((f"usage.{topic}", partition), (0, 0))[1]
        tally.same(f"partition {partition} pending of usage.{topic}", end - head[f"{topic}_next"], 0)


def sequences(facts: Facts, _: Story) -> Row:
    """1, 2, 3 ... for each customer: in usage.rated in the order of offsets, in frames, in PostgreSQL."""
    tally = Tally("I5", "customer_seq 1..n without gaps, in rated, in the frames and in PostgreSQL")
    of_topic: dict[str, list[int]] = {}
    for item in sorted(facts.rated, key=lambda one: one.place):
        of_topic.setdefault(item.record["event"]["customer_id"], []).append(
            item.record["rating"]["customer_seq"]
        )
    of_ledger: dict[str, list[int]] = {}
    for row in facts.table("ledger.rated"):
        of_ledger.setdefault(row["customer_id"], []).append(row["customer_seq"])
    of_frames: dict[str, list[int]] = {}
    for frames in facts.frames.values():
        for one in (one for frame in frames for one in frame["customers"]):
            of_frames.setdefault(one["customer_id"], []).extend(range(one["first_seq"], one["last_seq"] + 1))
    kept = {row["customer_id"]: row for row in facts.table("ledger.customers")}
    for customer_id in of_topic.keys() | of_ledger.keys() | of_frames.keys() | kept.keys():
        seqs = of_topic.get(customer_id, [])
        tally.count("customers")
        tally.count("records", len(seqs))
        tally.expect(seqs == list(range(1, len(seqs) + 1)), f"{customer_id}: gaps in usage.rated")
        tally.expect(seqs == of_frames.get(customer_id), f"{customer_id}: frames have other sequences")
        tally.expect(
            seqs == sorted(of_ledger.get(customer_id, [])), f"{customer_id}: PostgreSQL has other sequences"
        )
        row = kept.get(customer_id, {})
        told = row.get("contiguous_seq"), row.get("last_seq"), row.get("gap_seq")
        tally.same(f"{customer_id}: ledger.customers", told, (len(seqs), len(seqs), None))
    return tally.row()


def closed(facts: Facts, _: Story) -> Row:
    """No transaction stays open."""
    tally = Tally("I8", "no open transaction: last stable offset = high watermark on every topic")
    for (topic, partition), (stable, high) in facts.ends.items():
        tally.count("partitions")
        tally.same(f"{topic} {partition}: last stable offset", stable, high)
    return tally.row()


def drained(_: Facts, story: Story) -> Row:
    """Everything caught up in time, as the run measured."""
    tally = Tally("I9", "every position at its end within 60 s after the last fault")
    if tally.expect(story.drained_s is not None, "the run did not tell when it had drained"):
        tally.told.append(f"{story.drained_s} s")
        tally.expect((story.drained_s or 0) <= DRAINED_S, f"later than {DRAINED_S} s")
    return tally.row()
