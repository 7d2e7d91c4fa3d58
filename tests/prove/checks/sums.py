"""I1, I10, I11: the ledger's sums, record by record and roll-up by roll-up, against the oracle's."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from tests.prove.checks.again import Again, who
from tests.prove.checks.facts import Facts, Json
from tests.prove.checks.rows import Row, Tally
from tests.prove.checks.story import Story, exact, identity_of, number
from tests.prove.checks.wire import HEADER_BYTES, is_newest

ZERO = Fraction(0)
SIGN = {"original": 1, "reversal": -1, "replacement": 1}
Sums = dict[tuple[Any, ...], Fraction]


def line_by_line(facts: Facts, story: Story) -> tuple[Row, Again]:
    """Each rated record computed again by the version that it names."""
    tally = Tally("I1", "every rated record = the oracle's, line by line, by its recorded book version")
    again = Again(facts, story, tally)
    again.run()
    return tally.row(), again


def ledger_sums(facts: Facts, again: Again) -> Row:
    """By customer, billing period and currency, exactly."""
    tally = Tally("I1", "ledger sums per customer, period, side and currency = the oracle's, exactly")
    expected: Sums = defaultdict(lambda: ZERO)
    for (customer_id, _), leg in again.legs.items():
        for side, amount in (("cost", leg.cost), ("price", leg.price)):
            _add(expected, (customer_id, *leg.period, side, amount.currency), amount.amount)
    found: Sums = defaultdict(lambda: ZERO)
    for row in facts.table("ledger.rated"):
        for side in ("cost", "price"):
            period = row["service_start_us"], row["service_end_us"]
            _add(found, (row["customer_id"], *period, side, row[f"{side}_currency"]), number(row[side]))
    _compare(tally, "sums", found, expected)
    tally.told.append(f"{len(facts.table('ledger.rated'))} rows")
    return tally.row()


def meter_sums(facts: Facts, _: Story) -> Row:
    """The ledger's roll-ups by meter are the sums of the lines that were rated, in each grain."""
    tally = Tally(
        "I1", "ledger sums per customer, period, meter and currency = the rated lines, in every grain"
    )
    expected: Sums = defaultdict(lambda: ZERO)
    for item in facts.rated:
        rating, customer_id = item.record["rating"], who(item)
        currencies = {side: rating[side]["currency"] for side in ("cost", "price")}
        for line in rating["lines"]:
            side = line["side"]
            if currencies[side] is not None:
                key = customer_id, rating["service_period"]["start_us"], line["meter"], side, currencies[side]
                _add(expected, key, number(line["amount"]) or ZERO)
    for grain in ("rollup_meters", "rollup_meters_days", "rollup_meters_months"):
        found: Sums = defaultdict(lambda: ZERO)
        for row in facts.table(f"ledger.{grain}"):
            for side in ("cost", "price"):
                if row[f"{side}_currency"] is not None:
                    key = (
                        row["customer_id"],
                        row["service_start_us"],
                        row["meter"],
                        side,
                        row[f"{side}_currency"],
                    )
                    _add(found, key, number(row[side]))
        _compare(tally, grain, _not_nothing(found), _not_nothing(expected))
    return tally.row()


def pure(facts: Facts, story: Story) -> Row:
    """The published bytes stand in the rated record, so that rating it again needs nothing else."""
    tally = Tally("I10", "rated records hold the published bytes of their event")
    raw = {item.place: item for item in facts.events}
    for item in facts.rated:
        if item.record["rating"]["leg"] != "original" or item.value is None:
            continue
        entry = story.events.get(identity_of(item.record["event"]))
        first = None if entry is None else raw.get((entry["partition"], entry["offset"]))
        if first is None or first.value is None or not is_newest("UsageEvent", first.value):
            tally.count("of another schema or not acknowledged")
            continue
        tally.count("spliced")
        begins = item.value[HEADER_BYTES:].startswith(first.value[HEADER_BYTES:])
        tally.expect(begins, f"usage.rated {item.place}: other bytes than usage.events {first.place}")
    return tally.row()


def double_entry(facts: Facts, again: Again) -> Row:
    """What was taken back comes to nothing, and roll-ups, queries and rows say the same."""
    tally = Tally("I11", "reversals and what they negate come to nothing; roll-ups and queries = rows")
    for correction_id, legs in _by_correction(facts).items():
        command = again.commands.get(correction_id)
        reversal = next((rating for rating in legs if rating["leg"] == "reversal"), None)
        target = None if command is None else command["record"]["rating"]
        if reversal is None or target is None:
            tally.expect(False, f"{correction_id}: a reversal of nothing")
            continue
        tally.count("reversals")
        mine = [line for line in reversal["lines"] if line["meter"] != "tier_adjustment"]
        theirs = [line for line in target["lines"] if line["meter"] != "tier_adjustment"]
        for side in ("cost", "price"):
            both = [*_amounts(mine, side), *_amounts(theirs, side)]
            tally.same(f"{correction_id} {side} left", sum(both, ZERO), ZERO)
        pairs = zip(mine, theirs, strict=False)
        left = [exact(one["quantity"]) + exact(other["quantity"]) for one, other in pairs]
        tally.expect(len(mine) == len(theirs) and not any(left), f"{correction_id}: quantities are left")
    _rollups(facts, tally)
    _queries(facts, tally)
    return tally.row()


def _by_correction(facts: Facts) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = defaultdict(list)
    for item in facts.rated:
        if item.record["rating"]["correction_id"] is not None:
            found[item.record["rating"]["correction_id"]].append(item.record["rating"])
    return found


def _amounts(lines: Iterable[Json], side: str) -> list[Fraction]:
    return [number(line["amount"]) or ZERO for line in lines if line["side"] == side]


def _rollups(facts: Facts, tally: Tally) -> None:
    expected: Sums = defaultdict(lambda: ZERO)
    for row in facts.table("ledger.rated"):
        _add_row(expected, row, SIGN[row["leg"]])
    for grain in ("rollup", "rollup_days", "rollup_months"):
        found: Sums = defaultdict(lambda: ZERO)
        for row in facts.table(f"ledger.{grain}"):
            _add_row(found, row, row["events"])
        _compare(tally, grain, _not_nothing(found), _not_nothing(expected))


def _add_row(sums: Sums, row: Json, events: int) -> None:
    key = row["customer_id"], row["service_start_us"], row["cost_currency"], row["price_currency"]
    _add(sums, (*key, "events"), Fraction(events))
    _add(sums, (*key, "cost"), number(row["cost"]))
    _add(sums, (*key, "price"), number(row["price"]))


def _queries(facts: Facts, tally: Tally) -> None:
    expected: Sums = defaultdict(lambda: ZERO)
    for row in facts.table("ledger.rated"):
        if row["query_id"] is None:
            continue
        name = row["customer_id"], row["query_id"]
        for side in ("cost", "price"):
            if row[f"{side}_currency"] is not None:
                _add(expected, (*name, row[f"{side}_currency"], side), number(row[side]))
        _add(
            expected,
            (*name, row["cost_currency"] or row["price_currency"] or "", "calls"),
            Fraction(SIGN[row["leg"]]),
        )
    found: Sums = defaultdict(lambda: ZERO)
    for row in facts.table("ledger.queries"):
        for what in ("calls", "cost", "price"):
            _add(found, (row["customer_id"], row["query_id"], row["currency"], what), number(row[what]))
    _compare(tally, "queries", _not_nothing(found), _not_nothing(expected))


def legal(facts: Facts, story: Story) -> Row:
    """By the version that was to be used: not one that did not exist, not one that another had replaced."""
    tally = Tally(
        "I1", "every record by a version of the book that was legal: known, and in force at event time"
    )
    versions = {row["version"]: row for row in facts.table("rate_book.versions")}
    tally.same("versions applied", sorted(versions), sorted(story.books))
    in_force = [row for row in versions.values() if row["in_force_us"] is not None and not row["retroactive"]]
    for item in facts.rated:
        rating, event = item.record["rating"], item.record["event"]
        row = versions.get(rating["book_version"])
        name = f"{who(item)} #{rating['customer_seq']}"
        if row is None:
            tally.expect(False, f"{name}: version {rating['book_version']} is not in the book")
            continue
        tally.count("records")
        tally.same(f"{name}: hash of its version", rating["book_hash"], row["content_hash"])
        known_us = row["recorded_us"]
        tally.expect(
            item.append_us >= known_us, f"{name}: rated before version {rating['book_version']} was known"
        )
        if rating["leg"] != "original":
            continue
        for later in in_force:
            replaced = (
                rating["book_version"] < later["version"] and event["event_time_us"] >= later["in_force_us"]
            )
            tally.expect(
                not replaced, f"{name}: by {rating['book_version']}, and {later['version']} was in force"
            )
    return tally.row()


def _add(sums: Sums, key: tuple[Any, ...], amount: Fraction | None) -> None:
    if amount is not None:
        sums[key] += amount


def _not_nothing(sums: Mapping[tuple[Any, ...], Fraction]) -> Sums:
    return {key: amount for key, amount in sums.items() if amount}


def _compare(
    tally: Tally, what: str, found: Mapping[Any, Fraction], expected: Mapping[Any, Fraction]
) -> None:
    for key in found.keys() | expected.keys():
        tally.count(what)
        tally.same(f"{what} of {key}", found.get(key), expected.get(key))


__all__ = ["double_entry", "ledger_sums", "legal", "line_by_line", "meter_sums", "pure"]
