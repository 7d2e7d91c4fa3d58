"""`ratestream rejected`: see what could not be rated and why, and send it again once the reason is gone."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

import click
from tqdm import tqdm

from rater.adapters.rejected import Replayed, read_rejected, replay_rejected
from rater.core.replay import Identity, RejectedItem, Selection
from runtime.settings import KafkaSettings, SettingsLoader
from schemas.reasons import REASONS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_REASON = click.option(
    "--reason",
    "reasons",
    type=click.Choice(sorted(REASONS)),
    multiple=True,
    help="Only this reason; may be repeated.",
)


@click.group()
def rejected() -> None:
    """See what could not be rated, and replay it.

    Example: ratestream rejected list --reason misrouted
    """


@rejected.command("list")
@_REASON
@click.option(
    "--partition", "partitions", type=int, multiple=True, help="Only this partition; may be repeated."
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Show at most so many."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object a record, which `replay --ids` takes."
)
def list_rejected(*, reasons: Sequence[str], partitions: Sequence[int], limit: int, as_json: bool) -> None:
    """Show rejected records, oldest first, and how many there are of each reason.

    Example: ratestream rejected list --reason too_late --limit 10
    """
    selection = Selection(frozenset(reasons), frozenset(partitions))
    counts: Counter[str] = Counter()
    for item in read_rejected(SettingsLoader.of_process().section("kafka", KafkaSettings), selection):
        counts[item.record["reason"]] += 1
        if counts.total() <= limit:
            click.echo(json.dumps(_as_json(item)) if as_json else _as_text(item))
    if as_json:
        return
    shown = min(limit, counts.total())
    click.echo(f"{counts.total():,} rejected records, {shown:,} shown")
    for reason, count in counts.most_common():
        click.echo(
            f"  {count:>10,}  {reason}: {REASONS.get(reason, 'a reason that this build does not know')}"
        )


@rejected.command("replay")
@_REASON
@click.option(
    "--partition", "partitions", type=int, multiple=True, help="Only this partition; may be repeated."
)
@click.option(
    "--ids",
    "ids",
    type=click.File(encoding="utf-8"),
    help="Lines of `rejected list --json`; - is standard input.",
)
@click.option(
    "--offset",
    "offsets",
    multiple=True,
    metavar="P:O",
    help="Partition and offset in usage.rejected; may be repeated.",
)
@click.option("--all", "everything", is_flag=True, help="Every rejected record.")
@click.option("--dry-run", is_flag=True, help="Say what would be replayed, publish nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def replay(
    *,
    reasons: Sequence[str],
    partitions: Sequence[int],
    ids: TextIO | None,
    offsets: Sequence[str],
    everything: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Publish the original bytes again, to the topic they came from, with the time of their first arrival.

    Misrouted records get their customer as key. Replaying twice bills once. Name what is meant: by reason,
    partition, ids, offsets, or --all. Exit code 1 where a record cannot go back.

    Example: ratestream rejected replay --reason unknown_schema --dry-run
    """
    identities, places = _read_ids(ids) if ids is not None else (set[Identity](), set[tuple[int, int]]())
    places |= {_place(text) for text in offsets}
    if ids is not None and not identities and not places:
        raise click.UsageError("--ids names no record")
    selection = Selection(frozenset(reasons), frozenset(partitions), frozenset(identities), frozenset(places))
    if everything == (selection != Selection()):
        raise click.UsageError("say which records: --reason, --partition, --ids or --offset; or --all, alone")
    settings = SettingsLoader.of_process().section("kafka", KafkaSettings)
    with tqdm(unit=" records", desc="replaying", leave=False, disable=True if as_json else None) as bar:
        result = replay_rejected(settings, selection, dry_run=dry_run, progress=bar.update)
    _show(result, as_json=as_json)
    if result.skipped:
        sys.exit(1)


def _read_ids(lines: Iterable[str]) -> tuple[set[Identity], set[tuple[int, int]]]:
    """Places where a line names one, else identities. Raises UsageError naming the line."""
    identities: set[Identity] = set()
    places: set[tuple[int, int]] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            given = json.loads(line)
            if "rejected_offset" in given:
                places.add((int(given["rejected_partition"]), int(given["rejected_offset"])))
            else:
                identities.add((str(given["customer_id"]), str(given["source"]), str(given["event_id"])))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise click.UsageError(
                f"--ids line {number}: {line.strip()[:80]!r}: needs rejected_partition and"
                f" rejected_offset, or customer_id, source and event_id ({error})"
            ) from error
    return identities, places


def _place(text: str) -> tuple[int, int]:
    partition, colon, offset = text.partition(":")
    if not (colon and partition.isdecimal() and offset.isdecimal()):
        raise click.UsageError(f"--offset {text!r}: must be PARTITION:OFFSET, for example 2:1041")
    return int(partition), int(offset)


def _instant(us: int) -> str:
    return (_EPOCH + timedelta(microseconds=us)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _as_text(item: RejectedItem) -> str:
    record = item.record
    who = "unknown customer" if item.identity is None else "{} {} {}".format(*item.identity)
    came = (
        f"{record['topic']} {record['partition']}:{record['offset']} at {_instant(record['append_time_us'])}"
    )
    return f"{item.partition}:{item.offset} {record['reason']}: {who}: {record['detail']} ({came})"


def _as_json(item: RejectedItem) -> dict[str, Any]:
    record = item.record
    return {
        "rejected_partition": item.partition,
        "rejected_offset": item.offset,
        **{name: value for name, value in record.items() if name not in {"original", "original_key"}},
        "original_key_hex": None if record["original_key"] is None else record["original_key"].hex(),
        "original_hex": None if record["original"] is None else record["original"].hex(),
    }


def _show(result: Replayed, *, as_json: bool) -> None:
    if as_json:
        facts = {
            "dry_run": result.dry_run,
            "matched": result.matched,
            "published": result.published,
            "by_reason": dict(sorted(result.by_reason.items())),
            "skipped": result.skipped,
        }
        click.echo(json.dumps(facts))
        return
    done = "would be published again" if result.dry_run else "published again and acknowledged"
    count = result.by_reason.total() if result.dry_run else result.published
    click.echo(f"{result.matched:,} rejected records meant, {count:,} {done}")
    for reason, number in result.by_reason.most_common():
        click.echo(f"  {number:>10,}  {reason}")
    for why in result.skipped:
        click.echo(f"skipped: {why}", err=True)
