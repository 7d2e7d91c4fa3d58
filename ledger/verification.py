"""Verification at one cut, partition by partition, and the order in which the cut is made; beside it what is
asked of single events (`explain`) and of a draft of the book (`simulate`).

1. The end of usage.deltas, once every transaction that was open in it has ended: the frames up to there are
   the cut.
2. The ends of usage.rated, usage.rejected and rater.state, in the same way: whatever a frame of the cut names
   is there by now, whatever is there beyond it is of a transaction that ended since.
3. The ends of the inputs: no head can stand beyond them.
4. For each partition: where retention cut a log, the first frame that is whole; then every check over every
   frame from there.
5. Where something stands beyond the cut, the frames that came since, which must name it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum
from functools import partial
from typing import Any

from ledger.adapters.again import compute_again
from ledger.adapters.books import StoredBooks
from ledger.adapters.find import Log, Range
from ledger.adapters.ledger_cut import LedgerCut, negated
from ledger.adapters.ledger_proof import LedgerProof
from ledger.adapters.ledger_reader import reading
from ledger.adapters.topics import Topics, decode_event
from ledger.core.explain import Answer, Explanation, Rated, Wanted
from ledger.core.explain import explain as explain_record
from ledger.core.findings import Findings, Reporter
from ledger.core.queries import QueriesWithoutRoot
from ledger.core.report import Report
from ledger.core.simulate import Draft, Names, Simulation, compare
from ledger.core.state import InputEnds
from ledger.core.streams import Start, Walk, Whole, find_start
from ledger.core.totals import Totals
from ledger.core.verification import PartitionLogs, PartitionSummary, PartitionVerifier, Tools
from ledger.settings import LedgerSettings
from pricing.cards import BookContent
from pricing.compile import compile_book
from rate_book.content import canonical_json, content_hash
from rate_book.dimensions import dimension_values, priced_model
from rate_book.translate import call_of_event
from runtime.errors import UsageProblemError
from runtime.kafka.offsets import Isolation
from schemas import topics
from schemas.partitioning import partition_of

Offsets = Mapping[tuple[str, int], int]
Progress = Callable[[int, int], None]
"""Told (records done since the last call, records in all by offsets: an upper bound)."""

_OUTPUTS = (topics.USAGE_RATED, topics.USAGE_REJECTED, topics.RATER_STATE)
_INPUTS = {"events": topics.USAGE_EVENTS, "corrections": topics.USAGE_CORRECTIONS}
_ALL = (topics.USAGE_DELTAS, *_OUTPUTS, *_INPUTS.values())


class Depth(Enum):
    """How much is verified: the ledger's counts and sums; beside it every record of the topics; and every row
    of the ledger.
    """

    QUICK = "quick"
    TOPICS = "topics"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class _Cut:
    """Offsets at which everything is read: where each log begins, and where it ends for this verification."""

    first: Offsets
    end: Offsets

    def range(self, name: str, partition: int) -> tuple[int, int]:
        return self.first[name, partition], self.end[name, partition]


def verify(
    settings: LedgerSettings,
    *,
    partitions: Sequence[int] | None = None,
    depth: Depth = Depth.TOPICS,
    since: date | None = None,
    progress: Progress | None = None,
) -> Report:
    """Proves what topics and ledger hold, at one cut, and says what it found. Writes nothing.

    Args:
        settings: where Kafka and PostgreSQL are, and how long to wait.
        partitions: only these; None for all.
        depth: how much is verified.
        since: the first day, by append time in usage.rated, of which the ledger's rows are read; None for
            all, in a quick verification for the latest.
        progress: told as records are verified.

    Raises:
        UsageProblemError: a partition that does not exist.
        InfrastructureError: Kafka or PostgreSQL did not answer.
    """
    dsn = settings.postgres.dsn.get_secret_value()
    findings, quick = Findings(), depth is Depth.QUICK
    with Log(settings.kafka, stalled_s=settings.verify.stalled_s) as logs:
        wanted = _wanted(partitions, logs.partitions())
        with reading(dsn) as reader:
            ledger = LedgerCut.make(logs, reader, wanted, quick=quick, since=since)
            if ledger is not None and depth is Depth.COMPLETE:
                LedgerProof(ledger, StoredBooks(dsn).recompute, findings, progress).run()
        if quick:
            report = Report(findings, Totals(), (), of_topics=False)
        else:
            report = _verify_topics(settings, logs, wanted, findings, ledger, progress)
    if ledger is not None:
        report.ledger = ledger.check(findings)
    return report


def _verify_topics(  # noqa: PLR0917  # where to read, what of, and what it adds to
    settings: LedgerSettings,
    logs: Topics,
    wanted: Sequence[int],
    findings: Findings,
    ledger: LedgerCut | None,
    progress: Progress | None,
) -> Report:
    """Every record of the topics."""
    dsn = settings.postgres.dsn.get_secret_value()
    books = StoredBooks(dsn)
    count, wait_s = logs.partitions(), settings.verify.open_transaction_wait_s
    totals, queries = Totals(), QueriesWithoutRoot()
    cut = _make_cut(logs, wanted, findings, wait_s)
    tools = Tools(
        recompute=books.recompute,
        reverse=books.reverse,
        dimensions_of=dimension_values,
        decode_event=decode_event,
        partition_of=lambda customer: partition_of(customer.encode(), count),
        earlier=(lambda _reversal: None) if ledger is None else partial(negated, dsn),
    )
    outputs = (topics.USAGE_RATED, topics.USAGE_REJECTED)
    bound = sum(cut.end[key] - cut.first[key] for key in cut.end if key[0] in outputs)
    summaries: list[PartitionSummary] = []
    for partition in wanted:
        reporter = Reporter(findings, partition)
        read = _read(logs, cut, partition, reporter, wait_s, ledger)
        verifier = PartitionVerifier(partition, read, tools, findings, totals, queries)
        summaries.append(verifier.run(lambda done: progress(done, bound) if progress else None))
    return Report(findings, totals, summaries, queries)


def _wanted(partitions: Sequence[int] | None, count: int) -> list[int]:
    wanted = sorted(set(range(count) if partitions is None else partitions))
    unknown = [partition for partition in wanted if not 0 <= partition < count]
    if unknown:
        raise UsageProblemError(f"partition {unknown[0]} does not exist: the topics have 0..{count - 1}")
    return wanted


def _make_cut(logs: Topics, partitions: Sequence[int], findings: Findings, wait_s: float) -> _Cut:
    """Steps 1 to 3."""
    first = logs.offsets(_ALL, partitions, "earliest", Isolation.UNCOMMITTED)
    frames, open_frames = logs.settled([topics.USAGE_DELTAS], partitions, wait_s)
    outputs, open_outputs = logs.settled(_OUTPUTS, partitions, wait_s)
    inputs = logs.offsets(tuple(_INPUTS.values()), partitions, "latest", Isolation.UNCOMMITTED)
    for (name, partition), mark in sorted((open_frames | open_outputs).items()):
        findings.add(
            "open_transaction",
            partition,
            name,
            f"a transaction stays open: records up to offset {mark} are not stable after {wait_s:g} s",
        )
    return _Cut(first, {**frames, **outputs, **inputs})


def _read(  # noqa: PLR0917  # what to read, up to where, and who wants to know
    logs: Topics, cut: _Cut, partition: int, report: Reporter, wait_s: float, ledger: LedgerCut | None
) -> PartitionLogs:
    """Steps 4 and 5 of one partition, to be read as the checks ask for it."""
    whole = Whole(
        frames=cut.first[topics.USAGE_DELTAS, partition] == 0,
        rated=cut.first[topics.USAGE_RATED, partition] == 0,
        rejected=cut.first[topics.USAGE_REJECTED, partition] == 0,
    )
    deltas = cut.range(topics.USAGE_DELTAS, partition)

    def tail() -> Iterator[Mapping[str, Any]]:
        stable, _ = logs.settled([topics.USAGE_DELTAS], [partition], wait_s)
        return logs.frames(partition, deltas[1], stable[topics.USAGE_DELTAS, partition], report)

    records = logs.rated(partition, *cut.range(topics.USAGE_RATED, partition), report)
    rated = Walk(records if ledger is None else ledger.counted(partition, records))
    rejected = Walk(logs.rejected(partition, *cut.range(topics.USAGE_REJECTED, partition), report))
    start = Start()
    if not whole.all:
        silent = Reporter(Findings(), partition)  # the verification itself reports what is wrong with frames
        start = find_start(logs.frames(partition, *deltas, silent), whole, rated.peek(), rejected.peek())
    return PartitionLogs(
        frames=logs.frames(partition, *deltas, report),
        rated=rated,
        rejected=rejected,
        inputs=logs.inputs(partition, *cut.range(topics.USAGE_EVENTS, partition)),
        state=logs.state(partition, *cut.range(topics.RATER_STATE, partition)),
        ends={name: InputEnds(*cut.range(topic, partition)) for name, topic in _INPUTS.items()},
        tail=tail,
        whole=whole,
        start=start,
    )


def explain(settings: LedgerSettings, wanted: Wanted, *, progress: Progress | None = None) -> Answer:
    """Finds an event and walks it from its offset to its amounts, computing everything again.

    With a customer only that customer's partition is read. Where nothing of the id was rated, the rejected
    records are searched. Writes nothing.

    Raises:
        InfrastructureError: Kafka or PostgreSQL did not answer.
        FindingError: a record that may be the one cannot be decoded.
    """
    dsn = settings.postgres.dsn.get_secret_value()
    with Log(settings.kafka, stalled_s=settings.verify.stalled_s) as log:
        count = log.partitions()
        everywhere = range(count)
        own = everywhere if wanted.customer is None else [partition_of(wanted.customer.encode(), count)]
        found = log.rated_of(wanted, own, progress)
        identities = sorted({record.identity for record in found})
        if len(identities) > 1:
            return Answer(wanted, several=tuple(identities))
        if not found:  # a misrouted event stands on another partition than its customer's
            return Answer(wanted, refused=tuple(log.refused_of(wanted, everywhere, progress)))
        return Answer(wanted, tuple(_explained(log, dsn, record) for record in found))


def _explained(log: Log, dsn: str, record: Rated) -> Explanation:
    again = compute_again(dsn, record)
    came = log.came(record)
    if isinstance(again, str):
        return explain_record(record, came, None, again)
    return explain_record(record, came, again)


def simulate(
    settings: LedgerSettings,
    content: BookContent,
    *,
    from_us: int,
    to_us: int,
    customers: Sequence[str] = (),
    kept: int = 20,
    progress: Progress | None = None,
) -> Simulation:
    """Prices the recorded events of [from_us, to_us) by a draft and compares. Writes nothing anywhere.

    Args:
        settings: where Kafka is.
        content: the draft.
        from_us: event time, microseconds UTC.
        to_us: the same, exclusive.
        customers: only these; none for all.
        kept: how many of the events that change most are named.
        progress: told as records are read.

    Raises:
        pricing.errors.BookError: the draft does not compile; every fault is named.
        InfrastructureError: Kafka did not answer.
    """
    if from_us >= to_us:
        raise UsageProblemError("--from must be before --to")
    book = compile_book(content, 0, content_hash(canonical_json(content)))
    draft, simulation = Draft(content, book, from_us, to_us), Simulation(from_us, to_us, kept)
    with Log(settings.kafka, stalled_s=settings.verify.stalled_s) as log:
        count = log.partitions()
        own = sorted({partition_of(customer.encode(), count) for customer in customers}) or range(count)
        parts = log.ranges(topics.USAGE_RATED, own)
        bound = sum(part.end - part.first for part in parts)
        for part in parts:
            told = None if progress is None else lambda done, _: progress(done, bound)
            _simulate_part(log, part, draft, simulation, frozenset(customers), told)
    return simulation


def _simulate_part(  # noqa: PLR0917  # one partition, and what it adds to
    log: Log,
    part: Range,
    draft: Draft,
    simulation: Simulation,
    customers: frozenset[str],
    progress: Progress | None,
) -> None:
    """A partition's records in order, which is the order of each customer's sequences."""
    corrected = log.corrected(part)
    for record in log.rated_records([part], progress):
        customer, event = record.event["customer_id"], record.event
        if customers and customer not in customers:
            continue
        at_us = event["event_time_us"]
        if not draft.span(customer).holds(at_us):
            continue
        if part.first:
            draft.begin(customer, record.quantities_before, at_us)
        if not record.is_current(corrected):
            continue
        model = priced_model(event)
        names = Names(customer, f"{event['provider']}: {model or '(none)'}", event["feature"] or "(none)")
        compare(simulation, draft, record, call_of_event(event, draft.attributes), names)
    if part.first:
        simulation.notes.append(
            f"partition {part.partition}: records before offset {part.first} are gone; periods begun before"
            " them go on from the recorded quantities"
        )
