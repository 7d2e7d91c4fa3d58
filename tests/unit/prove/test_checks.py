"""Each invariant can fail: one thing of a run that went well is broken, and the row that minds says so."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from schemas.codec import CODEC
from tests.prove.checks import judge, wire
from tests.prove.checks.facts import Facts, Item
from tests.prove.checks.story import Story
from tests.unit.prove import sample
from tests.unit.prove.sample import SETTINGS, went_well

Break = Callable[[Facts, Story], Any]
BREAKS: dict[str, tuple[str, Break]] = {}


def breaks(invariant: str) -> Callable[[Break], Break]:
    """Register a break and the invariant that must find it."""

    def named(function: Break) -> Break:
        BREAKS[function.__name__] = (invariant, function)
        return function

    return named


def rating(facts: Facts, place: int) -> Any:
    return facts.rated[place].record["rating"]


# --- I1 ---


@breaks("I1")
def a_price_that_is_not_the_books(facts: Facts, _: Story) -> None:
    rating(facts, 1)["price"]["amount"] = "4.000000000000000001"


@breaks("I1")
def a_line_beside_its_side(facts: Facts, _: Story) -> None:
    rating(facts, 0)["lines"][0]["amount"] = "1.1"


@breaks("I1")
def a_line_of_another_meter(facts: Facts, _: Story) -> None:
    rating(facts, 0)["lines"][0]["meter"] = "output_tokens"


@breaks("I1")
def a_pool_that_forgets_its_quantity(facts: Facts, _: Story) -> None:
    rating(facts, 3)["price"]["amount"] = rating(facts, 3)["lines"][1]["amount"] = "4"  # 4 x 1, not 2 + 1


@breaks("I1")
def a_void_without_its_adjustment(facts: Facts, _: Story) -> None:
    rating(facts, 5)["price"]["amount"] = "-8"
    del rating(facts, 5)["lines"][2]


@breaks("I1")
def a_period_that_does_not_end_at_the_price_of_its_quantity(facts: Facts, _: Story) -> None:
    facts.periods[0]["amount"] = "7"


@breaks("I1")
def a_record_in_another_period(facts: Facts, _: Story) -> None:
    rating(facts, 0)["service_period"]["start_us"] -= sample.DAY_US


@breaks("I1")
def a_row_with_another_sum(facts: Facts, _: Story) -> None:
    facts.tables["ledger.rated"][1]["cost"] = Decimal("2.000000000000000001")


@breaks("I1")
def a_meter_summed_twice(facts: Facts, _: Story) -> None:
    facts.tables["ledger.rollup_meters_days"][0]["cost"] *= 2


@breaks("I1")
def a_version_that_another_had_replaced(facts: Facts, story: Story) -> None:
    story.books[2] = story.books[1]
    facts.tables["rate_book.versions"].append(
        {
            "version": 2,
            "content_hash": "hash-2",
            "in_force_us": sample.NOON_US,
            "retroactive": False,
            "recorded_us": 0,
        }
    )


@breaks("I1")
def a_version_before_it_was_known(facts: Facts, _: Story) -> None:
    facts.tables["rate_book.versions"][0]["recorded_us"] = sample.NOON_US + 1


# --- I2 ---


@breaks("I2")
def an_event_lost(facts: Facts, _: Story) -> None:
    del facts.rated[1]


@breaks("I2")
def an_event_twice(facts: Facts, _: Story) -> None:
    facts.rated.append(facts.rated[1])


@breaks("I2")
def an_event_from_nowhere(_: Facts, story: Story) -> None:
    del story.events["plain", "test", "p2"]


@breaks("I2")
def a_conflict_that_was_taken_for_a_duplicate(facts: Facts, _: Story) -> None:
    del facts.rejected[0]
    facts.frames[0][0]["duplicates"].append({"offset": sample.CONFLICT, "first_offset": 0})


@breaks("I2")
def another_reason(facts: Facts, _: Story) -> None:
    facts.rejected[1].record["reason"] = "in_future"


@breaks("I2")
def rejected_twice(facts: Facts, _: Story) -> None:
    facts.rejected.append(facts.rejected[2])


@breaks("I2")
def original_bytes_lost(facts: Facts, _: Story) -> None:
    facts.rejected[2].record["original"] = b""


@breaks("I2")
def a_duplicate_of_something_else(facts: Facts, _: Story) -> None:
    facts.frames[0][0]["duplicates"][0]["first_offset"] = 1


@breaks("I2")
def a_replacement_that_is_missing(facts: Facts, _: Story) -> None:
    del facts.rated[6]


@breaks("I2")
def a_correction_that_did_nothing(facts: Facts, _: Story) -> None:
    del facts.rated[4]


@breaks("I2")
def legs_of_no_command(facts: Facts, _: Story) -> None:
    del facts.corrections[0]


@breaks("I2")
def an_amendment_of_other_content(facts: Facts, _: Story) -> None:
    facts.corrections[1].record["amended"]["usage"] = {"input_tokens": "3"}


# --- I3, I5, I8, I9 ---


@breaks("I3")
def a_frame_missing(facts: Facts, _: Story) -> None:
    del facts.frames[0][0]


@breaks("I3")
def an_offset_that_no_frame_received(facts: Facts, _: Story) -> None:
    facts.frames[0][1]["events"]["from_offset"] = 7


@breaks("I3")
def a_frame_that_counts_less_than_it_received(facts: Facts, _: Story) -> None:
    facts.frames[0][1]["rejected"] = 1


@breaks("I3")
def a_head_before_its_frame(facts: Facts, _: Story) -> None:
    facts.heads[0]["frame_no"] = 1


@breaks("I3")
def records_pending(facts: Facts, _: Story) -> None:
    facts.ends["usage.events", 0] = (9, 9)


@breaks("I3")
def a_version_that_goes_back(facts: Facts, _: Story) -> None:
    facts.frames[0][0]["book_version"] = 2


@breaks("I3")
def bytes_that_are_no_record(facts: Facts, _: Story) -> None:
    facts.problems.append("RatedUsage at (0, 9): not a whole record")


@breaks("I5")
def a_sequence_left_out(facts: Facts, _: Story) -> None:
    rating(facts, 4)["customer_seq"] = 4


@breaks("I5")
def a_row_of_the_ledger_missing(facts: Facts, _: Story) -> None:
    del facts.tables["ledger.rated"][4]


@breaks("I5")
def a_gap_in_the_ledger(facts: Facts, _: Story) -> None:
    facts.tables["ledger.customers"][0] |= {"contiguous_seq": 2, "gap_seq": 3}


@breaks("I8")
def an_open_transaction(facts: Facts, _: Story) -> None:
    facts.ends["usage.rated", 0] = (8, 9)


@breaks("I9")
def drained_too_late(_: Facts, story: Story) -> None:
    story.drained_s = 61.0


@breaks("I9")
def never_drained(_: Facts, story: Story) -> None:
    story.drained_s = None


# --- I4 ---


@breaks("I4")
def a_total_that_counts_twice(facts: Facts, _: Story) -> None:
    facts.totals["plain"]["entries"][4]["events"] = 2


@breaks("I4")
def a_window_that_is_missing(facts: Facts, _: Story) -> None:
    del facts.totals["pooled"]["entries"][0]


@breaks("I4")
def totals_that_stayed_behind(facts: Facts, _: Story) -> None:
    facts.totals["plain"]["as_of_seq"] = 2


@breaks("I4")
def a_changelog_that_differs(facts: Facts, _: Story) -> None:
    facts.live["plain"]["entries"][0]["cost"] = "3"


@breaks("I4")
def a_customer_repairing_for_ever(facts: Facts, _: Story) -> None:
    facts.live["plain"]["since_seq"] = 2


@breaks("I4")
def a_copy_in_postgresql_that_differs(facts: Facts, _: Story) -> None:
    facts.tables["totals.customers"][1]["entries"][2]["quantities"]["input_tokens"] = "7"


@breaks("I4")
def a_frame_whose_sums_are_wrong(facts: Facts, _: Story) -> None:
    facts.frames[0][0]["customers"][0]["rows"][0]["price"] = "6.5"


@breaks("I4")
def a_frame_that_was_not_applied(facts: Facts, _: Story) -> None:
    facts.live_frames[0] = 1


# --- I6, I7 ---


@breaks("I6")
def an_alert_missing(facts: Facts, _: Story) -> None:
    del facts.tables["guard.firings"][1]


@breaks("I6")
def an_alert_without_a_crossing(facts: Facts, story: Story) -> None:
    story.budgets[1][0]["limit"] = 3
    for row in facts.tables["guard.alerts"]:
        row["body"] |= {"limit": "3", "threshold_amount": "3"}


@breaks("I6")
def an_alert_of_another_amount(facts: Facts, _: Story) -> None:
    facts.tables["guard.alerts"][2]["body"]["amount"] = "3"


@breaks("I6")
def two_alerts_that_say_the_same(facts: Facts, _: Story) -> None:
    row = facts.tables["guard.alerts"][2]
    facts.tables["guard.alerts"].append(
        {**row, "alert_id": "alr_d", "body": {**row["body"], "alert_id": "alr_d"}}
    )


@breaks("I6")
def a_fall_that_is_not_taken_back(facts: Facts, _: Story) -> None:
    facts.tables["guard.firings"][0]["retracted_seq"] = None


@breaks("I6")
def taken_back_without_a_correction(facts: Facts, _: Story) -> None:
    facts.tables["guard.alerts"][0]["body"]["last_seq"] = 3


@breaks("I6")
def an_episode_that_begins_before_the_last_one_ended(facts: Facts, _: Story) -> None:
    facts.tables["guard.firings"].append({**facts.tables["guard.firings"][1], "episode": 2})


@breaks("I6")
def an_alert_too_late(facts: Facts, _: Story) -> None:
    facts.tables["guard.alerts"][2]["body"]["raised_at_us"] += 61_000_000


@breaks("I6")
def an_alert_that_is_not_on_the_topic(facts: Facts, _: Story) -> None:
    del facts.alerts[2]


@breaks("I6")
def unpriced_usage_that_nobody_was_told_of(facts: Facts, story: Story) -> None:
    for one in (story.events["plain", "test", "p2"]["event"], facts.rated[1].record["event"]):
        one["requested_model"] = "unknown"


@breaks("I6")
def a_gateway_that_lets_pass(facts: Facts, _: Story) -> None:
    facts.states["pooled\n"]["state"] = "ok"


@breaks("I6")
def a_state_that_only_postgresql_has(facts: Facts, _: Story) -> None:
    facts.tables["guard.states"][1]["body"]["state"] = "soft"


@breaks("I7")
def an_alert_never_accepted(_: Facts, story: Story) -> None:
    story.deliveries[1]["answered"] = None


@breaks("I7")
def a_signature_of_somebody_else(_: Facts, story: Story) -> None:
    headers = story.deliveries[0]["headers"]
    headers["webhook-signature"] = sample.signature(headers, story.deliveries[0]["body"], b"another secret")


@breaks("I7")
def another_body_under_the_same_id(_: Facts, story: Story) -> None:
    one = story.deliveries[1]
    one["body"] += " "
    one["headers"]["webhook-signature"] = sample.signature(one["headers"], one["body"])


@breaks("I7")
def a_delivery_of_no_alert(facts: Facts, _: Story) -> None:
    facts.tables["guard.alerts"][0]["channels"] = []


# --- I10, I11, I14 ---


@breaks("I10")
def an_event_written_anew(facts: Facts, _: Story) -> None:
    other = sample.event("plain", "p1", 10) | {"tags": {"a": "b"}}
    facts.rated[0].value = wire.encoded("RatedUsage", {**facts.rated[0].record, "event": other})


@breaks("I11")
def a_reversal_that_leaves_something(facts: Facts, _: Story) -> None:
    rating(facts, 4)["lines"][0]["amount"] = "-0.9"


@breaks("I11")
def a_roll_up_that_counts_a_reversal(facts: Facts, _: Story) -> None:
    facts.tables["ledger.rollup_months"][0]["events"] = 3


@breaks("I11")
def a_query_of_nothing(facts: Facts, _: Story) -> None:
    facts.tables["ledger.queries"].append(
        {
            "customer_id": "plain",
            "query_id": "q",
            "currency": "USD",
            "calls": 1,
            "cost": Decimal(1),
            "price": None,
        }
    )


@breaks("I14")
def a_row_that_was_altered(facts: Facts, _: Story) -> None:
    facts.tables["ledger.rated"][0]["record"] += b" "


@breaks("I14")
def a_column_beside_its_record(facts: Facts, _: Story) -> None:
    facts.tables["ledger.rated"][0]["price"] = Decimal(3)


@breaks("I14")
def a_digest_of_other_bytes(facts: Facts, _: Story) -> None:
    facts.events[0].value = facts.events[1].value


@breaks("I14")
def a_record_that_the_ledger_lacks(facts: Facts, _: Story) -> None:
    facts.rated.append(Item(0, 99, sample.NOON_US, None, b"", facts.rated[0].record))


@breaks("I14")
def a_row_that_could_not_be_one(facts: Facts, _: Story) -> None:
    facts.tables["ledger.bad_records"].append({"kafka_offset": 3})


@breaks("I14")
def an_identity_remembered_twice(facts: Facts, _: Story) -> None:
    facts.frames[0][1]["digests"] = facts.frames[0][0]["digests"]


# --- the tests ---


def test_a_run_that_went_well() -> None:
    facts, story = went_well()
    rows = judge(facts, story, "UTC", SETTINGS)
    assert [row for row in rows if not row.ok] == []
    assert {row.invariant for row in rows} == {f"I{number}" for number in (*range(1, 12), 14)}
    assert not any("nothing looked at" in row.measured for row in rows if row.invariant != "I9")


@pytest.mark.parametrize("name", BREAKS)
def test_each_break_is_found(name: str) -> None:
    invariant, spoil = BREAKS[name]
    facts, story = went_well()
    spoil(facts, story)
    found = [row.invariant for row in judge(facts, story, "UTC", SETTINGS) if not row.ok]
    assert invariant in found


def test_what_was_not_acknowledged_may_be_there_or_not() -> None:
    facts, story = went_well()
    entry = story.events.pop(("plain", "test", "p2"))
    del story.by_place[0, 1]
    story.unacked.append({"entry": entry})
    rows = {row.promise: row for row in judge(facts, story, "UTC", SETTINGS) if row.invariant == "I2"}
    assert all(row.ok for row in rows.values())


@pytest.mark.parametrize("name", CODEC.names)
def test_schemas_are_read_as_the_product_reads_them(name: str) -> None:
    """Not the same code, the same fingerprint: the schema files are the contract between the two."""
    assert wire.fingerprint_of(name) == CODEC.fingerprint(name)
