"""`ratestream verify`: the verdict on the books, for an engineer at night and for machines."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
from tqdm import tqdm

from ledger.core.queries import QueriesWithoutRoot
from ledger.core.report import Report
from ledger.service import verify as verify_books
from ledger.settings import LedgerSettings
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
def verify(*, as_json: bool, partitions: Sequence[int]) -> None:
    """Prove that nothing was lost, billed twice or mispriced, by reading every record at one cut.

    Safe at any moment, also while raters run: it writes nothing. Exit code 1 where something is wrong, with
    the offending records.

    Example: ratestream verify --json | jq .verified
    """
    settings = LedgerSettings.load(SettingsLoader.of_process())
    # tqdm draws nothing where standard error is no terminal (disable=None).
    with tqdm(unit=" records", desc="verifying", leave=False, disable=True if as_json else None) as bar:

        def progress(done: int, bound: int) -> None:
            bar.total = bound
            bar.update(done)

        report = verify_books(settings, partitions=partitions or None, progress=progress)
    click.echo(json.dumps(report.as_json()) if as_json else describe(report))
    if not report.verified:
        sys.exit(FINDINGS)


def describe(report: Report) -> str:
    """The report as text: the verdict first, then what to look at."""
    facts = report.as_json()
    lines = [_verdict(report), "", *_counts(facts)]
    lines += _queries(report.queries)
    lines += [f"note: partition {p.partition}: {note}" for p in report.partitions for note in p.notes]
    if not report.verified:
        lines += ["", *_findings(report)]
    return "\n".join(lines)


def _verdict(report: Report) -> str:
    frames = sum(
        (p.to_frame or 0) - (p.from_frame or 0) + 1 for p in report.partitions if p.from_frame is not None
    )
    read = f"{frames:,} frames in {len(report.partitions)} partitions"
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


def _findings(report: Report) -> list[str]:
    lines = []
    for check, count in report.findings.counts.most_common():
        lines.append(f"{check} ({count:,}): {_MEANING.get(check, check)}")
        kept = [finding for finding in report.findings.kept if finding.check == check]
        lines += [f"  partition {f.partition} {f.where}: {f.detail}" for f in kept]
        if count > len(kept):
            lines.append(f"  and {count - len(kept):,} more")
    return lines
