"""A partition that goes on from another generation of topics, told by its first frame; what may be wrong."""

from typing import Any

from ledger.core.model import InputRecord, content_digest, identity_digest, is_carried
from tests.unit.ledger.world import TIME_US, World, delta, event, rated, sound, value_of

OLD = event("z", 1)


def at_rest(customer: str, last_seq: int) -> dict[str, Any]:
    """A customer as a carried frame tells it."""
    return delta(customer, 1, 1) | {"first_seq": last_seq + 1, "last_seq": last_seq, "rows": []}


def carried() -> World:
    """The sound world behind a frame 1: customers b and z stand at sequences 4 and 9.

    What came at offset 3 is that event again.
    """
    world = sound()
    first = world.frames[0]
    packed = identity_digest(OLD) + content_digest(value_of(OLD)) + (-1).to_bytes(8, "big", signed=True)
    taken = {"from_offset": 0, "to_offset": 0}
    before = first | {
        "events": taken,
        "corrections": taken,
        "rated": 0,
        "rejected": 0,
        "duplicates": [],
        "rejected_by_reason": {},
        "digests": [{"bucket_us": TIME_US, "packed": packed}],
        "customers": [at_rest("b", 4), at_rest("z", 9)],
    }
    for frame in world.frames:
        frame["frame_no"] += 1
        for customer in frame["customers"]:
            if customer["customer_id"] == "b":
                customer["first_seq"] += 4
                customer["last_seq"] += 4
    first["duplicates"] = [{"digest": identity_digest(OLD), "offset": 3, "first_offset": -1}]
    world.inputs[3] = InputRecord(3, 3000, b"k", value_of(OLD))
    world.frames.insert(0, before)
    for at in (1, 5):
        record = world.rated[at]
        world.rated[at] = rated(record.event, record.rating["customer_seq"] + 4, at)
    world.head["frame_no"] = 3
    for state in world.customers.values():
        state["frame_no"] += 1
    world.customers["b"]["last_seq"] = 5
    world.customers["z"] = {"last_seq": 9, "frame_no": 1}
    return world


def test_a_partition_that_goes_on_is_sound() -> None:
    world = carried()
    assert is_carried(world.frames[0])
    assert not any(is_carried(frame) for frame in world.frames[1:])
    assert not world.found()
    assert (world.totals.received, world.totals.rated) == (10, 6)


def test_a_sequence_that_does_not_go_on_is_found() -> None:
    world = carried()
    world.frames[0]["customers"][0] = at_rest("b", 3)
    assert set(world.found()) == {"sequence_gap"}


def test_what_is_told_behind_records_is_found() -> None:
    world = carried()
    world.frames.append(
        world.frames[0]
        | {
            "frame_no": 4,
            "events": {"from_offset": 10, "to_offset": 10},
            "highest_append_us": 10_000,
            "digests": [],
            "customers": [at_rest("new", 2)],
        }
    )
    world.head["frame_no"] = 4
    world.customers["new"] = {"last_seq": 2, "frame_no": 4}
    assert set(world.found()) == {"carried"}


def test_an_event_that_was_carried_and_rated_again_is_found() -> None:
    world = carried()
    world.frames[1]["digests"][0]["packed"] += world.frames[0]["digests"][0]["packed"]
    assert world.found()["id_twice"] == 1


def test_sequences_that_were_given_are_never_taken_for_carried() -> None:
    frame = carried().frames[0]
    frame["customers"].append(delta("x", 1, 1))
    assert not is_carried(frame)
