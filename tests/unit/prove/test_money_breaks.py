"""I1, I2, I10, I11 and I14 can fail: one thing of a run that went well is broken, and a row says so."""

from decimal import Decimal

import pytest

from tests.prove.checks import wire
from tests.prove.checks.facts import Facts, Item
from tests.prove.checks.story import Story
from tests.unit.prove import sample
from tests.unit.prove.breaks import Breaks, rating

BREAKS = Breaks()

# --- I1 ---


@BREAKS.of("I1")
def a_price_that_is_not_the_books(facts: Facts, _: Story) -> None:
    rating(facts, 1)["price"]["amount"] = "4.000000000000000001"


@BREAKS.of("I1")
def a_line_beside_its_side(facts: Facts, _: Story) -> None:
    rating(facts, 0)["lines"][0]["amount"] = "1.1"


@BREAKS.of("I1")
def a_line_of_another_meter(facts: Facts, _: Story) -> None:
    rating(facts, 0)["lines"][0]["meter"] = "output_tokens"


@BREAKS.of("I1")
def a_pool_that_forgets_its_quantity(facts: Facts, _: Story) -> None:
    rating(facts, 3)["price"]["amount"] = rating(facts, 3)["lines"][1]["amount"] = "4"  # 4 x 1, not 2 + 1


@BREAKS.of("I1")
def a_void_without_its_adjustment(facts: Facts, _: Story) -> None:
    rating(facts, 5)["price"]["amount"] = "-8"
    del rating(facts, 5)["lines"][2]


@BREAKS.of("I1")
def a_period_that_does_not_end_at_the_price_of_its_quantity(facts: Facts, _: Story) -> None:
    facts.frames[0][1]["customers"][1]["pools"][0]["amount"] = "7"


@BREAKS.of("I1")
def a_record_in_another_period(facts: Facts, _: Story) -> None:
    rating(facts, 0)["service_period"]["start_us"] -= sample.DAY_US


@BREAKS.of("I1")
def a_row_with_another_sum(facts: Facts, _: Story) -> None:
    facts.tables["ledger.rated"][1]["cost"] = Decimal("2.000000000000000001")


@BREAKS.of("I1")
def a_meter_summed_twice(facts: Facts, _: Story) -> None:
    facts.tables["ledger.rollup_meters_days"][0]["cost"] *= 2


@BREAKS.of("I1")
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


@BREAKS.of("I1")
def a_version_before_it_was_known(facts: Facts, _: Story) -> None:
    facts.tables["rate_book.versions"][0]["recorded_us"] = sample.NOON_US + 1


# --- I2 ---


@BREAKS.of("I2")
def an_event_lost(facts: Facts, _: Story) -> None:
    del facts.rated[1]


@BREAKS.of("I2")
def an_event_twice(facts: Facts, _: Story) -> None:
    facts.rated.append(facts.rated[1])


@BREAKS.of("I2")
def an_event_from_nowhere(_: Facts, story: Story) -> None:
    del story.events["plain", "test", "p2"]


@BREAKS.of("I2")
def a_conflict_that_was_taken_for_a_duplicate(facts: Facts, _: Story) -> None:
    del facts.rejected[0]
    facts.frames[0][0]["duplicates"].append({"offset": sample.CONFLICT, "first_offset": 0})


@BREAKS.of("I2")
def another_reason(facts: Facts, _: Story) -> None:
    facts.rejected[1].record["reason"] = "in_future"


@BREAKS.of("I2")
def rejected_twice(facts: Facts, _: Story) -> None:
    facts.rejected.append(facts.rejected[2])


@BREAKS.of("I2")
def original_bytes_lost(facts: Facts, _: Story) -> None:
    facts.rejected[2].record["original"] = b""


@BREAKS.of("I2")
def a_duplicate_of_something_else(facts: Facts, _: Story) -> None:
    facts.frames[0][0]["duplicates"][0]["first_offset"] = 1


@BREAKS.of("I2")
def a_replacement_that_is_missing(facts: Facts, _: Story) -> None:
    del facts.rated[6]


@BREAKS.of("I2")
def a_correction_that_did_nothing(facts: Facts, _: Story) -> None:
    del facts.rated[4]


@BREAKS.of("I2")
def legs_of_no_command(facts: Facts, _: Story) -> None:
    del facts.corrections[0]


@BREAKS.of("I2")
def an_amendment_of_other_content(facts: Facts, _: Story) -> None:
    facts.corrections[1].record["amended"]["usage"] = {"input_tokens": "3"}


# --- I10, I11, I14 ---


@BREAKS.of("I10")
def an_event_written_anew(facts: Facts, _: Story) -> None:
    other = sample.event("plain", "p1", 10) | {"tags": {"a": "b"}}
    facts.rated[0].value = wire.encoded("RatedUsage", {**facts.rated[0].record, "event": other})


@BREAKS.of("I11")
def a_reversal_that_leaves_something(facts: Facts, _: Story) -> None:
    rating(facts, 4)["lines"][0]["amount"] = "-0.9"


@BREAKS.of("I11")
def a_roll_up_that_counts_a_reversal(facts: Facts, _: Story) -> None:
    facts.tables["ledger.rollup_months"][0]["events"] = 3


@BREAKS.of("I11")
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


@BREAKS.of("I14")
def a_row_that_was_altered(facts: Facts, _: Story) -> None:
    facts.tables["ledger.rated"][0]["record"] += b" "


@BREAKS.of("I14")
def a_column_beside_its_record(facts: Facts, _: Story) -> None:
    facts.tables["ledger.rated"][0]["price"] = Decimal(3)


@BREAKS.of("I14")
def a_digest_of_other_bytes(facts: Facts, _: Story) -> None:
    facts.events[0].value = facts.events[1].value


@BREAKS.of("I14")
def a_record_that_the_ledger_lacks(facts: Facts, _: Story) -> None:
    facts.rated.append(Item(0, 99, sample.NOON_US, None, b"", facts.rated[0].record))


@BREAKS.of("I14")
def a_row_that_could_not_be_one(facts: Facts, _: Story) -> None:
    facts.tables["ledger.bad_records"].append({"kafka_offset": 3})


@BREAKS.of("I14")
def an_identity_remembered_twice(facts: Facts, _: Story) -> None:
    facts.frames[0][1]["digests"] = facts.frames[0][0]["digests"]


@pytest.mark.parametrize("name", BREAKS)
def test_each_break_is_found(name: str) -> None:
    assert BREAKS[name][0] in BREAKS.found(name)
