"""Void, amend and re-rate of one partition, each sum by hand."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rater.adapters.outputs import rejected_output
from schemas.codec import CODEC
from tests.unit.rater.corrected import DAY_US, HOUR_US, Partition, prices, usage
from tests.unit.rater.fakes import NOW_US, WINDOWS


def three() -> Partition:
    """900 at 0.01 = 9; 200: 100 x 0.01 + 100 x 0.008 = 1.8; 100 x 0.008 = 0.8. Together 11.6."""
    partition = Partition()
    partition.run([usage(1, 900), usage(2, 200), usage(3, 100)])
    assert prices(partition) == [("original", 0, "9"), ("original", 0, "1.8"), ("original", 0, "0.8")]
    return partition


def test_a_void_in_the_middle_of_a_graduated_period_adjusts_what_came_after() -> None:
    """Without the 200: 900 + 100 = 1000 at 0.01 = 10. 11.6 - 1.8 = 9.8, so 0.2 more: -1.8 + 0.2 = -1.6."""
    partition = three()
    partition.run(commands=[partition.command("void", 2)])
    assert prices(partition)[3:] == [("reversal", 1, "-1.6")]
    reversal = partition.rated[3]
    original = partition.rated[1]
    assert reversal["event"] == original["event"]
    assert [(line["meter"], line["quantity"], line["amount"]) for line in reversal["rating"]["lines"]] == [
        ("input_tokens", "-200", "-0.0004"),
        ("input_tokens", "-100", "-1"),
        ("input_tokens", "-100", "-0.8"),
        ("tier_adjustment", "0", "0.2"),
    ]
    rating = reversal["rating"]
    assert (rating["customer_seq"], rating["correction_id"], rating["plan"]) == (4, "void 2 0", "graduated")
    assert [(it["quantity"], it["amount"]) for it in rating["pools_before"]] == [("1200", "11.6")]
    assert partition.live() == ("1000", "10")


def test_the_frame_of_a_void_takes_its_event_out_of_the_sums() -> None:
    partition = three()
    result = partition.run(commands=[partition.command("void", 2)])
    frame = partition.frames[-1]
    (delta,) = frame["customers"]
    (row,) = delta["rows"]
    assert (row["events"], row["cost"], row["price"], row["quantities"]) == (
        -1,
        "-0.0004",
        "-1.6",
        {"input_tokens": "-200"},
    )
    assert (frame["rated"], frame["corrections_applied"], frame["corrections"]["to_offset"]) == (0, 1, 1)
    assert (delta["first_seq"], delta["last_seq"]) == (4, 4)
    assert delta["revisions"] == [
        {"source": "s", "event_id": "e2", "revision": 1, "correction_id": "void 2 0", "voided": True}
    ]
    assert (result.events_rated, result.corrections_applied) == (0, 1)


def test_a_void_of_an_event_without_a_pool_is_its_negation() -> None:
    """1000 at 3 a million is 0.003, and costs 0.002."""
    partition = Partition()
    partition.run([usage(1, 1000, "flat")])
    partition.run(commands=[partition.command("void", 1, "flat")])
    rating = partition.rated[1]["rating"]
    assert (rating["cost"]["amount"], rating["price"]["amount"]) == ("-0.002", "-0.003")
    assert rating["pools_before"] == []


def test_an_amend_moves_an_event_to_another_bucket() -> None:
    """It was 5 hours ago, and 300 tokens: 900 + 100 + 300 = 1300 are 10 + 300 x 0.008 = 12.4.

    The reversal leaves 10 as a void does (-1.6); the replacement pays 2.4.
    """
    partition = three()
    amended = usage(2, 300, at_us=NOW_US - 5 * HOUR_US)
    partition.run(commands=[partition.amend(2, amended)])
    assert prices(partition)[3:] == [("reversal", 1, "-1.6"), ("replacement", 1, "2.4")]
    assert partition.live() == ("1300", "12.4")
    (delta,) = partition.frames[-1]["customers"]
    assert [(row["bucket_us"], row["events"], row["price"]) for row in delta["rows"]] == [
        (NOW_US, -1, "-1.6"),
        (NOW_US - 5 * HOUR_US, 1, "2.4"),
    ]
    assert partition.rated[4]["event"] == amended
    assert [it["rating"]["customer_seq"] for it in partition.rated[3:]] == [4, 5]


def test_an_amend_is_exempt_from_lateness_and_can_be_amended_again() -> None:
    partition = Partition()
    partition.run([usage(1, 1000, "flat")])
    partition.run(commands=[partition.amend(1, usage(1, 2000, "flat", NOW_US - 90 * DAY_US))])
    partition.run(commands=[partition.amend(1, usage(1, 3000, "flat"))])
    assert prices(partition) == [
        ("original", 0, "0.003"),
        ("reversal", 1, "-0.003"),
        ("replacement", 1, "0.006"),
        ("reversal", 2, "-0.006"),
        ("replacement", 2, "0.009"),
    ]
    assert partition.rejected == []


def rerate(partition: Partition, number: int, **fields: Any) -> dict[str, Any]:
    return partition.command("rerate", number, **{"run_id": "run"} | fields)


def closes(partition: Partition) -> list[dict[str, Any]]:
    return [{"pool": pool, "start_us": start_us} for _, pool, start_us in partition.memory.periods]


def test_a_rerate_of_a_period_ends_at_the_new_price_of_all_that_is_there() -> None:
    """Five of 300 under version 1: 3, 3, 3, 100 x 0.01 + 200 x 0.008 = 2.6, 2.4; together 14.

    The run prices them at 0.02, from 1000 at 0.01: 6, 6, 6, 100 x 0.02 + 200 x 0.01 = 4, 3; together 25.
    After two of them 500 more arrive, under version 2: 2000 tokens are 20 + 10 = 30, and the live amount is
    14 - 6 + 12 = 20, so they pay 10. The last command owes what is missing of 30: 20 + 10 - 3 + 6 - 2.6 + 4
    - 2.4 + 3 = 35, so -5.
    """
    partition = Partition()
    partition.run([usage(number, 300) for number in range(5)])
    assert [price for _, _, price in prices(partition)] == ["3", "3", "3", "2.6", "2.4"]
    partition.version = 2
    partition.run(commands=[rerate(partition, 0), rerate(partition, 1)])
    partition.run([usage(9, 500)])
    partition.run(commands=[rerate(partition, 2), rerate(partition, 3)])
    assert [str(it.quantity_atto // 10**18) for it in partition.memory.runs.values()] == ["1200"]
    partition.run(commands=[rerate(partition, 4, closes=closes(partition))])
    assert prices(partition)[5:] == [
        ("reversal", 1, "-3"),
        ("replacement", 1, "6"),
        ("reversal", 1, "-3"),
        ("replacement", 1, "6"),
        ("original", 0, "10"),
        ("reversal", 1, "-3"),
        ("replacement", 1, "6"),
        ("reversal", 1, "-2.6"),
        ("replacement", 1, "4"),
        ("reversal", 1, "-2.4"),
        ("replacement", 1, "-2"),
    ]
    assert partition.live() == ("2000", "30")
    last = partition.rated[-1]["rating"]
    assert [(line["meter"], line["amount"]) for line in last["lines"] if line["side"] == "price"] == [
        ("input_tokens", "3"),
        ("tier_adjustment", "-5"),
    ]
    assert [(it["quantity"], it["amount"]) for it in last["pools_before"]] == [("1200", "22"), ("2000", "35")]
    assert partition.memory.runs == {}
    assert [run["closed"] for run in partition.frames[-1]["customers"][0]["runs"]] == [True]


def test_what_closed_a_run_can_be_voided() -> None:
    """As above with two events of 600 and 600: 6 and 400 x 0.01 + 200 x 0.008 = 5.6; under version 2 12 and
    8 + 2 = 10, and nothing is owed. With 800 arrived before the end, at 22 + 8 = 30 for 2000: the close owes.

    Voided, the last 600 leave 1400 tokens: 20 + 4 = 24.
    """
    partition = Partition()
    partition.run([usage(1, 600), usage(2, 600)])
    partition.version = 2
    partition.run([usage(9, 800)], [rerate(partition, 1), rerate(partition, 2, closes=closes(partition))])
    assert partition.live() == ("2000", "30")
    partition.run(commands=[partition.command("void", 2)])
    assert partition.live() == ("1400", "24")
    assert partition.rejected == []


def test_a_rerate_of_an_event_without_a_pool_needs_no_run() -> None:
    """1000 at 6 a million instead of 3."""
    partition = Partition()
    partition.run([usage(1, 1000, "flat")])
    partition.version = 2
    partition.run(commands=[partition.command("rerate", 1, "flat")])
    assert prices(partition)[1:] == [("reversal", 1, "-0.003"), ("replacement", 1, "0.006")]
    assert [it["rating"]["book_version"] for it in partition.rated] == [1, 1, 2]


def test_the_same_command_again_is_repeated() -> None:
    partition = three()
    void = partition.command("void", 2)
    partition.run(commands=[void, void])
    result = partition.run(commands=[void])
    assert len(partition.values) == 4
    assert (result.corrections_repeated, result.corrections_rejected) == (1, 0)
    assert [frame["corrections_repeated"] for frame in partition.frames] == [0, 1, 1]


def test_two_commands_for_one_revision_are_one_and_a_stale_one() -> None:
    partition = three()
    first = partition.amend(2, usage(2, 300))
    second = partition.command("void", 2)
    partition.run(commands=[first, second])
    assert partition.rejected == [("usage.corrections", "stale_correction", "target")]
    assert partition.live() == ("1300", "12.4")


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"target": {"source": "s", "event_id": "e2", "expected_revision": 1}}, "stale_correction", "target"),
        ({"target": {"source": "s", "event_id": "e2", "expected_revision": -1}}, "invalid_field", None),
        ({"target": {"source": "s", "event_id": "e1", "expected_revision": 0}}, "invalid_field", None),
        ({"customer_id": "steps-2"}, "invalid_field", "target_record"),
        ({"correction_id": ""}, "invalid_field", "correction_id"),
        ({"author": "a\0b"}, "invalid_field", "author"),
        ({"book_version": 1}, "invalid_field", "book_version"),
        ({"run_id": "run"}, "invalid_field", "run_id"),
        ({"command": "amend"}, "invalid_field", "amended_event"),
        ({"command": "rerate", "book_version": 2}, "stale_correction", "target"),
        ({"command": "rerate", "book_version": 1}, "invalid_field", "run_id"),
        ({"command": "rerate", "book_version": 0, "run_id": "run"}, "invalid_field", "book_version"),
        ({"target_record": b"rated"}, "undecodable", "target_record"),
        ({"closes": [{"pool": "p", "start_us": 0}]}, "invalid_field", "closes"),
        (
            {"command": "rerate", "book_version": 1, "run_id": "r", "closes": [{"pool": "p", "start_us": 0}]},
            "invalid_field",
            "closes",
        ),
    ],
)
def test_a_command_that_breaks_a_rule_changes_nothing(
    change: dict[str, Any], reason: str, field: str | None
) -> None:
    partition = three()
    result = partition.run(commands=[partition.command("void", 2) | change])
    ((topic, found, where),) = partition.rejected
    assert (topic, found) == ("usage.corrections", reason)
    assert field is None or where == field
    assert (result.customers, result.rated, result.corrections_rejected) == ({}, [], 1)


def test_bytes_that_are_no_command_are_rejected_and_the_next_one_is_applied() -> None:
    partition = three()
    partition.run(
        commands=[b"", b"\xc3\x01", CODEC.encode("UsageEvent", usage(1, 1)), partition.command("void", 2)]
    )
    assert [reason for _, reason, _ in partition.rejected] == ["undecodable", "undecodable", "unknown_schema"]
    assert partition.live() == ("1000", "10")


def with_names(**names: str) -> Callable[[dict[str, Any]], None]:
    return lambda record: record["event"].update(names)


def with_quantity(quantity: str) -> Callable[[dict[str, Any]], None]:
    return lambda record: record["rating"]["pools_before"][0].update(quantity=quantity)


@pytest.mark.parametrize(
    "change",
    [
        {"customer_id": "c" * 3_000_000},
        {"target": {"source": "s", "event_id": "e" * 3_000_000, "expected_revision": 0}},
        {"target": {"source": "\0" * 3_000_000, "event_id": "e2", "expected_revision": 0}},
        with_names(customer_id="\1" * 3_000_000),
        with_quantity("x" * 3_000_000),
    ],
)
def test_a_command_with_endless_names_is_rejected_in_a_record_that_its_topic_takes(
    change: dict[str, Any] | Callable[[dict[str, Any]], None],
) -> None:
    """usage.rejected takes 4 MiB; the original is 3 MB of them, so nothing of it may be told twice."""
    partition = three()
    void = partition.command("void", 2)
    command = (
        void | change
        if isinstance(change, dict)
        else void | {"target_record": forged(change, partition.current(2))}
    )
    result = partition.run(commands=[CODEC.encode("Correction", command)])
    (rejected,) = result.rejected
    output = rejected_output("usage.rejected", 0, rejected)
    assert len(output.key or b"") + len(output.value or b"") < 3_100_000
    assert (result.corrections_rejected, partition.live()) == (1, ("1200", "11.6"))


def test_a_target_record_with_what_no_event_may_hold_is_refused() -> None:
    partition = three()
    record = forged(with_names(project="a\0b"), partition.current(2))
    partition.run(commands=[partition.command("void", 2, target_record=record)])
    assert partition.rejected == [("usage.corrections", "invalid_field", "target_record.project")]


def forged(change: Callable[[dict[str, Any]], None], value: bytes) -> bytes:
    record = CODEC.decode("RatedUsage", value)
    change(record)
    return CODEC.encode("RatedUsage", record)


def more_money(record: dict[str, Any]) -> None:
    record["rating"]["price"]["amount"] = "1000"


def other_version(record: dict[str, Any]) -> None:
    record["rating"]["book_version"] = 7


def other_event(record: dict[str, Any]) -> None:
    record["event"]["usage"] = {"input_tokens": "201"}


def later(record: dict[str, Any]) -> None:
    record["rating"]["customer_seq"] = 4


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (more_money, "not_supported"),
        (other_version, "not_supported"),
        (other_event, "not_supported"),
        (later, "stale_correction"),
    ],
)
def test_a_target_that_was_not_rated_so_is_refused(
    change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    partition = three()
    partition.run(commands=[partition.command("void", 2, target_record=forged(change, partition.current(2)))])
    assert [found for _, found, _ in partition.rejected] == [reason]
    assert partition.live() == ("1200", "11.6")


@pytest.mark.parametrize("event", [usage(7, 200), usage(2, 300)])
def test_a_record_that_computes_but_was_never_rated_here_takes_no_money_back(event: dict[str, Any]) -> None:
    """Another partition's record of an unknown event, and one of a known event with other quantities."""
    other, partition = Partition(), three()
    partition.memory.values = dict(enumerate(partition.events))
    other.run([event])
    number = int(event["event_id"][1:])
    partition.run(commands=[other.command("void", number)])
    assert partition.rejected == [("usage.corrections", "stale_correction", "target")]
    assert partition.live() == ("1200", "11.6")


def test_a_void_of_what_is_no_longer_remembered_is_taken() -> None:
    """Its bucket has expired: the record is all that there is. 900 + 100 are left, 10."""
    partition = three()
    partition.memory.digests.clear()
    expired_us = NOW_US + WINDOWS.replay_us + 2 * DAY_US
    partition.memory.head = replace(partition.memory.head, highest_append_us=expired_us)
    partition.run(commands=[partition.command("void", 2)])
    assert partition.live() == ("1000", "10")


def test_a_reversal_is_no_target_and_a_voided_event_has_none() -> None:
    partition = three()
    partition.run(commands=[partition.command("void", 2)])
    target = {"source": "s", "event_id": "e2", "expected_revision": 1}
    again = partition.command("void", 2, target=target, correction_id="again")
    partition.run(commands=[again, again | {"target_record": partition.values[-1]}])
    assert [reason for _, reason, _ in partition.rejected] == ["stale_correction"] * 2


def test_a_voided_event_that_comes_again_is_a_duplicate() -> None:
    partition = three()
    partition.run(commands=[partition.command("void", 2)])
    result = partition.run([usage(2, 200)])
    assert (len(result.duplicates), result.rated) == (1, [])


def test_an_amend_into_the_future_is_rejected_and_one_beyond_the_horizon_waits() -> None:
    partition = three()
    partition.run(commands=[partition.amend(2, usage(2, 300, at_us=NOW_US + HOUR_US))])
    assert partition.rejected == [("usage.corrections", "in_future", "amended_event")]
    partition.horizon_us = NOW_US + 1
    waiting = partition.amend(2, usage(2, 300, at_us=NOW_US + 1))
    result = partition.run(commands=[waiting, partition.command("void", 1)])
    assert (result.correction_paused_at, result.head.corrections_next, result.rated) == (1, 1, [])
    partition.horizon_us = NOW_US + 2
    partition.run(commands=[waiting])
    assert partition.live() == ("1300", "12.4")


def test_a_version_that_is_not_at_hand_makes_the_command_wait_and_events_go_on() -> None:
    """Void of the 200 under version 2: 1000 x 0.02 = 20 is what 900 + 100 cost there; with 10 more 20.1."""
    partition = three()
    partition.version, partition.at_hand = 2, {2}
    void = partition.command("void", 2)
    result = partition.run([usage(4, 10)], [void])
    assert (result.correction_paused_at, result.head.corrections_next, result.events_rated) == (0, 0, 1)
    partition.at_hand = {1, 2}
    partition.run(commands=[void])
    assert partition.live() == ("1010", "20.1")


def test_a_command_under_another_key_is_misrouted() -> None:
    partition = Partition()
    partition.run([usage(1, 1000, "flat")])
    value = CODEC.encode("Correction", partition.command("void", 1, "flat"))
    partition.run(commands=[value])  # bytes are sent under the key `steps`
    assert [reason for _, reason, _ in partition.rejected] == ["misrouted"]
