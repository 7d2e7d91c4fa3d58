"""I3 to I9 can fail: one thing of a run that went well is broken, and the row that minds says so."""

import pytest

from tests.prove.checks.facts import Facts
from tests.prove.checks.story import Story
from tests.unit.prove import sample
from tests.unit.prove.breaks import Breaks, rating

BREAKS = Breaks()

# --- I3, I5, I8, I9 ---


@BREAKS.of("I3")
def a_frame_missing(facts: Facts, _: Story) -> None:
    del facts.frames[0][0]


@BREAKS.of("I3")
def an_offset_that_no_frame_received(facts: Facts, _: Story) -> None:
    facts.frames[0][1]["events"]["from_offset"] = 7


@BREAKS.of("I3")
def a_frame_that_counts_less_than_it_received(facts: Facts, _: Story) -> None:
    facts.frames[0][1]["rejected"] = 1


@BREAKS.of("I3")
def a_head_before_its_frame(facts: Facts, _: Story) -> None:
    facts.heads[0]["frame_no"] = 1


@BREAKS.of("I3")
def records_pending(facts: Facts, _: Story) -> None:
    facts.ends["usage.events", 0] = (9, 9)


@BREAKS.of("I3")
def a_version_that_goes_back(facts: Facts, _: Story) -> None:
    facts.frames[0][0]["book_version"] = 2


@BREAKS.of("I3")
def bytes_that_are_no_record(facts: Facts, _: Story) -> None:
    facts.problems.append("RatedUsage at (0, 9): not a whole record")


@BREAKS.of("I5")
def a_sequence_left_out(facts: Facts, _: Story) -> None:
    rating(facts, 4)["customer_seq"] = 4


@BREAKS.of("I5")
def a_row_of_the_ledger_missing(facts: Facts, _: Story) -> None:
    del facts.tables["ledger.rated"][4]


@BREAKS.of("I5")
def a_gap_in_the_ledger(facts: Facts, _: Story) -> None:
    facts.tables["ledger.customers"][0] |= {"contiguous_seq": 2, "gap_seq": 3}


@BREAKS.of("I8")
def an_open_transaction(facts: Facts, _: Story) -> None:
    facts.ends["usage.rated", 0] = (8, 9)


@BREAKS.of("I9")
def drained_too_late(_: Facts, story: Story) -> None:
    story.drained_s = 61.0


@BREAKS.of("I9")
def never_drained(_: Facts, story: Story) -> None:
    story.drained_s = None


# --- I4 ---


@BREAKS.of("I4")
def a_total_that_counts_twice(facts: Facts, _: Story) -> None:
    facts.totals["plain"]["entries"][4]["events"] = 2


@BREAKS.of("I4")
def a_window_that_is_missing(facts: Facts, _: Story) -> None:
    del facts.totals["pooled"]["entries"][0]


@BREAKS.of("I4")
def totals_that_stayed_behind(facts: Facts, _: Story) -> None:
    facts.totals["plain"]["as_of_seq"] = 2


@BREAKS.of("I4")
def a_changelog_that_differs(facts: Facts, _: Story) -> None:
    facts.live["plain"]["entries"][0]["cost"] = "3"


@BREAKS.of("I4")
def a_customer_repairing_for_ever(facts: Facts, _: Story) -> None:
    facts.live["plain"]["since_seq"] = 2


@BREAKS.of("I4")
def a_copy_in_postgresql_that_differs(facts: Facts, _: Story) -> None:
    facts.tables["totals.customers"][1]["entries"][2]["quantities"]["input_tokens"] = "7"


@BREAKS.of("I4")
def a_frame_whose_sums_are_wrong(facts: Facts, _: Story) -> None:
    facts.frames[0][0]["customers"][0]["rows"][0]["price"] = "6.5"


@BREAKS.of("I4")
def a_frame_that_was_not_applied(facts: Facts, _: Story) -> None:
    facts.live_frames[0] = 1


# --- I6, I7 ---


@BREAKS.of("I6")
def an_alert_missing(facts: Facts, _: Story) -> None:
    del facts.tables["guard.firings"][1]


@BREAKS.of("I6")
def an_alert_without_a_crossing(facts: Facts, story: Story) -> None:
    story.budgets[1][0]["limit"] = 3
    for row in facts.tables["guard.alerts"]:
        row["body"] |= {"limit": "3", "threshold_amount": "3"}


@BREAKS.of("I6")
def an_alert_of_another_amount(facts: Facts, _: Story) -> None:
    facts.tables["guard.alerts"][2]["body"]["amount"] = "3"


@BREAKS.of("I6")
def two_alerts_that_say_the_same(facts: Facts, _: Story) -> None:
    row = facts.tables["guard.alerts"][2]
    facts.tables["guard.alerts"].append(
        {**row, "alert_id": "alr_d", "body": {**row["body"], "alert_id": "alr_d"}}
    )


@BREAKS.of("I6")
def a_fall_that_is_not_taken_back(facts: Facts, _: Story) -> None:
    facts.tables["guard.firings"][0]["retracted_seq"] = None


@BREAKS.of("I6")
def taken_back_without_a_correction(facts: Facts, _: Story) -> None:
    facts.tables["guard.alerts"][0]["body"]["last_seq"] = 3


@BREAKS.of("I6")
def an_episode_that_begins_before_the_last_one_ended(facts: Facts, _: Story) -> None:
    facts.tables["guard.firings"].append({**facts.tables["guard.firings"][1], "episode": 2})


@BREAKS.of("I6")
def an_alert_too_late(facts: Facts, _: Story) -> None:
    facts.tables["guard.alerts"][2]["body"]["raised_at_us"] += 181_000_000


@BREAKS.of("I6")
def an_alert_that_is_not_on_the_topic(facts: Facts, _: Story) -> None:
    del facts.alerts[2]


@BREAKS.of("I6")
def unpriced_usage_that_nobody_was_told_of(facts: Facts, story: Story) -> None:
    for one in (story.events["plain", "test", "p2"]["event"], facts.rated[1].record["event"]):
        one["requested_model"] = "unknown"


@BREAKS.of("I6")
def a_gateway_that_lets_pass(facts: Facts, _: Story) -> None:
    facts.states["pooled\n"]["state"] = "ok"


@BREAKS.of("I6")
def a_state_that_only_postgresql_has(facts: Facts, _: Story) -> None:
    facts.tables["guard.states"][1]["body"]["state"] = "soft"


@BREAKS.of("I7")
def an_alert_never_accepted(_: Facts, story: Story) -> None:
    story.deliveries[1]["answered"] = None


@BREAKS.of("I7")
def a_signature_of_somebody_else(_: Facts, story: Story) -> None:
    headers = story.deliveries[0]["headers"]
    headers["webhook-signature"] = sample.signature(headers, story.deliveries[0]["body"], b"another secret")


@BREAKS.of("I7")
def another_body_under_the_same_id(_: Facts, story: Story) -> None:
    one = story.deliveries[1]
    one["body"] += " "
    one["headers"]["webhook-signature"] = sample.signature(one["headers"], one["body"])


@BREAKS.of("I7")
def a_delivery_of_no_alert(facts: Facts, _: Story) -> None:
    facts.tables["guard.alerts"][0]["channels"] = []


@pytest.mark.parametrize("name", BREAKS)
def test_each_break_is_found(name: str) -> None:
    assert BREAKS[name][0] in BREAKS.found(name)
