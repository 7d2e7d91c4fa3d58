"""`ratestream verify`: the verdict on the books, for an engineer at night and for machines."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import click
from tqdm import tqdm

from ledger.core.against_ledger import LedgerSummary
from ledger.core.findings import Finding
from ledger.core.queries import QueriesWithoutRoot
from ledger.core.report import Report
from ledger.service import Depth
from ledger.service import verify as verify_books
from ledger.settings import LedgerSettings
from runtime.errors import UsageProblemError
from runtime.settings import SettingsLoader

FINDINGS = 1

# What each kind of finding means for its reader.
_MEANING = {
    "amount": "an amount is not what the recorded version and quantities give",
    "book_version": "an event was rated with another version than its frame names",
    "book_version_falls": "a partition went back to an older version of the rate book",
    "conservation": "received is not rated + rejected + duplicates",
    "content": "a frame's digest is not that of the event",
    "digests": "a frame's digests cannot be read",
    "duplicate": "an event was called a duplicate and is not one of a rated event",
    "event_bytes": "a rated event is not the event that came",
    "frame_gap": "frames are missing or stand twice",
    "head": "the head is not the last committed frame",
    "highest_append": "a frame's highest append time is below an event's",
    "highest_append_us_falls": "the highest append time of a partition went back",
    "id_twice": "an event was rated twice",
    "id_unlisted": "a rated event is in no frame: a retry of it would be billed again",
    "id_without_record": "a frame names an event that is not in usage.rated",
    "input_gap": "usage.events has lost records",
    "ledger_bad_record": "a record could not be a row: what it holds is in no sum and on no statement",
    "ledger_beyond": "a row stands at or beyond the position up to which the ledger has read",
    "ledger_count": "the ledger has not as many rows as usage.rated has records below its position",
    "ledger_customer": "ledger.customers contradicts the customer's rows",
    "ledger_extra": "a row of the ledger has no record",
    "ledger_gap": "the ledger lacks records of a customer's sequence",
    "ledger_grain": "a roll-up of days or months is not the sum of the finer ones",
    "ledger_missing": "a record below the ledger's position has no row",
    "ledger_posting": "a row is not in the period that the customer's closed statements leave for it",
    "ledger_position": "the ledger's position is not one that the broker holds",
    "ledger_query": "what a query cost is not the sum of its rows",
    "ledger_record": "a row does not hold what its record says",
    "ledger_reversal": "a correction's row does not fit the row that it takes back",
    "ledger_rollup": "a roll-up is not the sum of its rows",
    "ledger_row": "a column contradicts the record that the row holds",
    "ledger_sequences": "a customer's rows are not one for each number of its sequence",
    "ledger_statement": "a closed statement was altered",
    "ledger_twice": "a row stands twice, on different days",
    "misrouted": "a customer was rated on a partition that is not its own",
    "offset_unaccounted": "an event was neither rated, rejected nor a duplicate, or more than one of these",
    "open_transaction": "a transaction stays open: its records are not visible",
    "order": "a customer's sequences do not follow the order of its events",
    "partition": "a frame stands on another partition than it names",
    "pool_chain": "a record's period quantities are not those that the customer's record before it left",
    "pools": "a frame's period quantities are not those that its records lead to",
    "position": "the broker no longer holds the position at which the rater would go on",
    "range_gap": "input ranges of frames do not follow each other",
    "rated_again": "rated records of an older frame stand again in usage.rated",
    "rated_count": "a frame counts other rated events than usage.rated holds",
    "rated_headers": "rated records carry headers",
    "rated_key": "rated records carry another key than their customer",
    "rated_without_frame": "rated records that no frame names",
    "recompute": "a rating cannot be computed again",
    "rejected_again": "rejected records of an older frame stand again in usage.rejected",
    "rejected_by_reason": "a frame counts other reasons than usage.rejected holds",
    "rejected_bytes": "a rejected record does not carry its original bytes",
    "rejected_count": "a frame counts other rejects than usage.rejected holds",
    "rejected_place": "a rejected record stands on another partition than it names",
    "rejected_without_frame": "rejected records that no frame names",
    "rows": "sums in a frame are not the sums of its rated records",
    "sequence_gap": "a customer's sequence has a gap or an overlap between frames",
    "sequence_missing": "a customer's sequence lacks records in usage.rated",
    "sequence_twice": "a customer's sequence number was given twice",
    "state": "rater.state contradicts the frames",
    "state_ahead": "rater.state is ahead of the frames",
    "state_missing": "a customer has no record in rater.state",
    "torn_frame": "parts of a frame are missing or out of order",
    "undecodable": "an output record cannot be decoded",
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--partition", "partitions", type=int, multiple=True, help="Only this partition; may be repeated."
)
@click.option("--quick", is_flag=True, help="Only the ledger's positions, counts and sums: each minute.")
@click.option("--complete", is_flag=True, help="Every row of the ledger too, each sum made again from them.")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Only the ledger's rows posted from this UTC day on; --quick takes the latest by itself.",
)
def verify(
    *, as_json: bool, partitions: Sequence[int], quick: bool, complete: bool, since: datetime | None
) -> None:
    """Prove that nothing was lost, billed twice or mispriced, by reading every record at one cut.

    Safe at any moment, also while raters and ledger run: it writes nothing. Exit code 1 where something is
    wrong, with the offending records.

    Example: ratestream verify --json | jq .verified
    """
    depth = _depth(quick=quick, complete=complete, since=since)
    settings = LedgerSettings.load(SettingsLoader.of_process())
    day: date | None = None if since is None else since.date()
    # tqdm draws nothing where standard error is no terminal (disable=None).
    with tqdm(unit=" records", desc="verifying", leave=False, disable=True if as_json else None) as bar:

        def progress(done: int, bound: int) -> None:
            bar.total = bound
            bar.update(done)

        report = verify_books(
            settings, partitions=partitions or None, depth=depth, since=day, progress=progress
        )
    click.echo(json.dumps(report.as_json()) if as_json else describe(report))
    if not report.verified:
        sys.exit(FINDINGS)


def _depth(*, quick: bool, complete: bool, since: datetime | None) -> Depth:
    if quick and complete:
        raise UsageProblemError("--quick and --complete exclude each other")
    if complete and since is not None:
        raise UsageProblemError("--complete reads every row: it takes no --since")
    if quick:
        return Depth.QUICK
    return Depth.COMPLETE if complete else Depth.TOPICS


def describe(report: Report) -> str:
    """The report as text: the verdict first, then what to look at."""
    lines = [_verdict(report), ""]
    if report.of_topics:
        lines += _counts(report.as_json())
    lines += _queries(report.queries)
    lines += _ledger(report.ledger)
    lines += [f"note: partition {p.partition}: {note}" for p in report.partitions for note in p.notes]
    if not report.verified:
        lines += ["", *_findings(report)]
    return "\n".join(lines)


def _verdict(report: Report) -> str:
    frames = sum(
        (p.to_frame or 0) - (p.from_frame or 0) + 1 for p in report.partitions if p.from_frame is not None
    )
    read = f"{frames:,} frames in {len(report.partitions)} partitions"
    if not report.of_topics:
        read = "the ledger's positions, counts and sums"
        if report.verified:
            return f"VERIFIED: {read}" if report.ledger.present else "VERIFIED: there is no ledger to verify"
    if report.verified and not frames:
        return f"VERIFIED: there is nothing to verify in {len(report.partitions)} partitions"
    if report.verified:
        return f"VERIFIED: {read}: every event once, every amount computed again, every sum added up again"
    kinds = len(report.findings.counts)
    return f"NOT VERIFIED: {report.findings.total:,} findings of {kinds} kinds in {read}"


def _counts(facts: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{name:<12}{facts[name]:>14,}" for name in ("received", "rated", "rejected", "duplicates", "pending")
    ]
    reasons = facts["rejected_by_reason"]
    if reasons:
        told = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
        lines[2] += f"   {told}"
    for side in ("cost", "price"):
        amounts = ", ".join(f"{amount} {currency}" for currency, amount in facts[side].items()) or "none"
        unpriced = facts[f"unpriced_{side}_events"]
        lines.append(
            f"{side:<12}{amounts:>14}" + (f"   and {unpriced:,} events not fully priced" if unpriced else "")
        )
    return lines


def _queries(queries: QueriesWithoutRoot) -> list[str]:
    """No finding: the root may still come."""
    if not queries.count:
        return []
    about = "" if queries.exact else "about "
    count = f"{about}{queries.count:,}"
    lines = [f"queries     {count} have included calls, but no root event an hour after the last one"]
    for query in queries.first:
        calls = f"{query.calls:,} call{'s' if query.calls > 1 else ''}"
        lines.append(f"  customer {query.customer_id!r} query {query.query_id!r}: {calls}")
    if queries.count > len(queries.first):
        lines.append(f"  and {queries.count - len(queries.first):,} more")
    return lines


def _ledger(ledger: LedgerSummary) -> list[str]:
    """What the ledger has, and how far it is behind."""
    if not ledger.present:
        return ["ledger      there is none in this database"]
    since = "" if ledger.since is None else f" posted since {ledger.since}"
    behind = f"{'' if all(one.exact for one in ledger.partitions) else 'at most '}{ledger.behind:,}"
    lines = [
        f"ledger      {ledger.rows:>14,}   rows{since}, {ledger.customers:,} customers",
        f"behind      {behind:>14}   records that the ledger has not taken over yet",
    ]
    most = max(ledger.partitions, key=lambda one: one.behind, default=None)
    if most is not None and most.behind:
        lines[1] += f", most of them {most.topic} {most.partition}: {most.behind:,}"
    if ledger.proved:
        beside = f"{ledger.compared:,} of them beside their record"
        lines.append(f"proved      {ledger.proved:>14,}   rows one by one, {beside}")
    return lines + [f"note: {note}" for note in ledger.notes]


def _findings(report: Report) -> list[str]:
    lines = []
    for check, count in report.findings.counts.most_common():
        lines.append(f"{check} ({count:,}): {_MEANING.get(check, check)}")
        kept = [finding for finding in report.findings.kept if finding.check == check]
        lines += [f"  {_place(finding)}: {finding.detail}" for finding in kept]
        if count > len(kept):
            lines.append(f"  and {count - len(kept):,} more")
    return lines


def _place(finding: Finding) -> str:
    return finding.where if finding.partition is None else f"partition {finding.partition} {finding.where}"
