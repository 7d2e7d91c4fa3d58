"""Void, amend, re-rate: what each command of a batch writes, and what it is refused for.

A command names the current record of an event. Its reversal is that record with every amount and quantity
negated; an amend or a re-rate writes a replacement after it. Both stand in one frame. A void and an amend
leave each pool at the price of what is left in it, by an adjustment in the reversal. A re-rate of a pooled
event belongs to a run: its replacement is rated in the run's own period, which begins at nothing, and only
the run's last command makes the live amount what the new price says of the live quantity.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pricing.compiled import fits
from pricing.corrections import closing, shares, taken_out, void
from pricing.money import format_atto
from pricing.pools import PoolPrice
from pricing.rate import Pools, PoolState, Rating, no_pools
from rater.core.command import Command, EventAt, NotYetError, Target, Written
from rater.core.identity import content_digest, identity_digest
from rater.core.lateness import Windows
from rater.core.rejection import Reject
from rater.core.revisions import Revision, RunAt
from rater.core.rows import CustomerDelta
from rater.core.so_far import SoFar
from rater.core.work import BatchResult, Record, Tools, check_route

_Pools = dict[tuple[str, int], PoolState]


@dataclass(slots=True)
class _Change:
    """What one command does, before any of it is taken: legs with the live pools after them, and runs."""

    legs: list[tuple[Written, Rating]] = field(default_factory=list)
    pools: _Pools = field(default_factory=dict)
    runs: dict[tuple[str, str, int], RunAt] = field(default_factory=dict)


class Corrections:
    """Works through the commands of one batch, in offset order."""

    def __init__(self, result: BatchResult, so_far: SoFar, tools: Tools, windows: Windows) -> None:
        self._result = result
        self._so_far = so_far
        self._tools = tools
        self._corrector = tools.corrector
        self._windows = windows

    def run(self, records: Sequence[Record], topic: str, highest_append_us: int) -> int:
        """Apply what can be applied, refuse the rest; returns the offset to go on at.

        It stops before the first command that needs a version of the book which cannot be had now, or an
        instant beyond the confirmed book's horizon.
        """
        result = self._result
        for record in records:
            identity = None
            try:
                decoded = self._corrector.decode(record.value)
                target = decoded["target"]
                identity = (decoded["customer_id"], target["source"], target["event_id"])
                self._take(record, self._corrector.command(decoded), max(highest_append_us, record.append_us))
            except Reject as verdict:
                result.reject(topic, record, verdict, identity)
                result.corrections_rejected += 1
            except NotYetError:
                result.correction_paused_at = record.offset
                return record.offset
        return records[-1].offset + 1 if records else result.previous.corrections_next

    def _take(self, record: Record, command: Command, highest_us: int) -> None:
        check_route(record, command.customer_id, self._result.partition, self._tools.partition_of)
        digest = identity_digest(*command.identity)
        revision = self._so_far.revision(command.customer_id, digest)
        if revision is not None and revision.correction_id == command.correction_id:
            self._result.corrections_repeated += 1
            return
        self._check_current(command, revision)
        target = self._corrector.target(command)
        if revision is None:
            self._check_rated(target.event, digest, highest_us)
        if command.command == "rerate":
            change = self._rerate(command, target)
        else:
            change = self._void(command, target)
            if command.amended is not None:
                self._check_time(command.amended, highest_us)
                self._amend(command, command.amended, change)
        self._check_amounts(change)
        self._write(record, command, change, digest)

    def _check_current(self, command: Command, revision: Revision | None) -> None:
        """The command was made for the event as it stands now."""
        rating = command.record["rating"]
        now = 0 if revision is None else revision.revision
        if revision is not None and revision.voided:
            raise _stale(f"the event was voided by {revision.correction_id!r}")
        if command.expected_revision != now:
            raise _stale(f"expected revision {command.expected_revision}, the event has revision {now}")
        leg = "replacement" if now else "original"
        if (rating["revision"], rating["leg"]) != (now, leg):
            raise _stale(
                f"target_record is the {rating['leg']} of revision {rating['revision']}, "
                f"the current one is the {leg} of revision {now}"
            )
        last = self._so_far.last_sequence(command.customer_id)
        if rating["customer_seq"] > last:
            raise _stale(
                f"target_record has sequence {rating['customer_seq']}, the customer's last is {last}"
            )

    def _check_rated(self, event: EventAt, digest: bytes, highest_us: int) -> None:
        """The record is of an event that was rated here, and as it was rated, as long as that is remembered.

        A record computes again whoever made it: of another installation, or by hand.
        """
        at_us = event.event["event_time_us"]
        bucket_us = self._windows.bucket_of(at_us)
        if self._windows.bucket_expired(bucket_us, highest_us):
            return
        if not self._so_far.covers(at_us - self._windows.future_us):  # it was appended no earlier
            return
        known = self._so_far.rated(digest, bucket_us)
        if known is None:
            raise _stale("no such event was rated")
        if known.content == content_digest(event.value):
            return
        # Other bytes may say the same: maps have no order, and writers may have other schemas.
        first = self._so_far.first_record(known.first_offset)
        if first is not None and self._tools.decode(first) != event.event:
            raise _stale(f"target_record holds another event than was rated from offset {known.first_offset}")

    def _check_time(self, amended: EventAt, highest_us: int) -> None:
        """An amend is exempt from lateness, not from coming true."""
        at_us = amended.event["event_time_us"]
        if at_us - highest_us > self._windows.future_us:
            raise Reject(
                "in_future",
                "amended_event",
                f"event_time_us {at_us} is more than {self._windows.future_us // 1_000_000} s after "
                f"the highest append time {highest_us}",
            )
        if at_us >= self._tools.horizon_us:
            raise NotYetError(f"event time {at_us} is not confirmed yet")

    # --- what each command does ---

    def _void(self, command: Command, target: Target) -> _Change:
        change = _Change()
        own, newest = target.book_version, self._tools.book_version

        def price_of(state: PoolState) -> PoolPrice:
            # Each event leaves its pool at the price of the version that it was rated with, so the live
            # amount stands under the newest version, or would with the next event: that is the one that the
            # frame records. Where it no longer prices the period, no event is added to it any more, and the
            # record's own version is the last word that is known.
            return self._price(newest, state) or self._price(own, state) or _unpriced(state)

        undone = void(target.rating, self._live(command.customer_id, change), price_of)
        self._reverse(command, target, undone, change)
        return change

    def _amend(self, command: Command, amended: EventAt, change: _Change) -> None:
        version = self._tools.book_version
        rating = self._corrector.rate(amended, version, self._live(command.customer_id, change))
        self._replace(command, amended, rating, version, rating.pools_after, change)

    def _rerate(self, command: Command, target: Target) -> _Change:
        change, customer_id = _Change(), command.customer_id
        version = command.book_version or 0
        if version > self._tools.book_version:
            raise _stale(
                f"book_version {version} is above {self._tools.book_version}, "
                "which this partition is rated with"
            )
        undone = taken_out(target.rating, self._live(customer_id, change))
        self._reverse(command, target, undone, change)

        def in_run(pool: str, start_us: int) -> tuple[int, int]:
            state = self._so_far.run((customer_id, command.run_id or "", pool, start_us))
            return no_pools(pool, start_us) if state is None else (state.quantity_atto, state.amount_atto)

        rating = self._corrector.rate(target.event, version, in_run)
        if command.run_id is None and (undone.pools_before or rating.pools_before):
            raise Reject(
                "invalid_field",
                "run_id",
                "a pool prices the event: only a run over its whole period re-rates it",
            )
        self._check_run(command, rating)
        moved = []
        for share in shares(rating):
            live = self._pool(customer_id, change, share.pool, share.start_us)
            held = (0, 0) if live is None else (live.quantity_atto, live.amount_atto)
            moved.append(
                share._replace(
                    quantity_atto=held[0] + share.quantity_atto, amount_atto=held[1] + share.amount_atto
                )
            )
        self._move(customer_id, change, moved)
        for state in rating.pools_after:
            change.runs[command.run_id or "", state.pool, state.start_us] = RunAt(state)
        closed = self._closed(command, rating, change)
        last = closing(rating, closed, lambda state: self._price(version, state) or _unpriced(state))
        self._replace(
            command,
            target.event,
            last,
            version,
            (*moved, *last.pools_after[len(rating.pools_after) :]),
            change,
        )
        return change

    def _closed(self, command: Command, rating: Rating, change: _Change) -> list[PoolState]:
        """The live periods that the command closes; the run's own are forgotten."""
        states = []
        for pool, start_us in command.closes:
            live = self._pool(command.customer_id, change, pool, start_us)
            if live is None:
                raise _wrong_close(f"the customer has no pool {pool!r} in a period from {start_us} us")
            if live.currency != (rating.price.currency or live.currency):
                raise _wrong_close(
                    f"pool {pool!r} is in {live.currency}, the price that takes its adjustment in "
                    f"{rating.price.currency}"
                )
            states.append(live)
            key = (command.run_id or "", pool, start_us)
            run = change.runs.get(key)
            state = run.state if run is not None else self._so_far.run((command.customer_id, *key))
            if state is not None:
                change.runs[key] = RunAt(state, closed=True)
        if len({state.currency for state in states}) > 1:
            raise _wrong_close("the periods are in several currencies, one price takes their adjustments")
        return states

    def _check_run(self, command: Command, rating: Rating) -> None:
        for now in rating.pools_before:
            held = self._so_far.run((command.customer_id, command.run_id or "", now.pool, now.start_us))
            if held is not None and held.currency != now.currency:
                raise _other_currency(now, held)

    # --- pools while the command is worked out ---

    def _pool(self, customer_id: str, change: _Change, pool: str, start_us: int) -> PoolState | None:
        found = change.pools.get((pool, start_us))
        return self._so_far.pool(customer_id, pool, start_us) if found is None else found

    def _live(self, customer_id: str, change: _Change) -> Pools:
        def live(pool: str, start_us: int) -> tuple[int, int]:
            state = self._pool(customer_id, change, pool, start_us)
            return no_pools(pool, start_us) if state is None else (state.quantity_atto, state.amount_atto)

        return live

    def _move(self, customer_id: str, change: _Change, states: Sequence[PoolState]) -> None:
        for state in states:
            held = self._pool(customer_id, change, state.pool, state.start_us)
            if held is not None and held.currency != state.currency:
                raise _other_currency(state, held)
            change.pools[state.pool, state.start_us] = state

    def _price(self, version: int, state: PoolState) -> PoolPrice | None:
        return self._corrector.price(version, state.pool, state.start_us)

    # --- legs ---

    def _reverse(self, command: Command, target: Target, undone: Rating, change: _Change) -> None:
        self._move(command.customer_id, change, undone.pools_after)
        revision = command.expected_revision + 1
        written = Written(
            target.event, undone, target.book_version, "reversal", revision, command.correction_id
        )
        change.legs.append((written, undone))

    def _replace(  # noqa: PLR0917 - the leg's parts
        self,
        command: Command,
        event: EventAt,
        rating: Rating,
        version: int,
        live: Sequence[PoolState],
        change: _Change,
    ) -> None:
        """`live` are the customer's pools afterwards: for a re-rate not those that it was rated in."""
        self._move(command.customer_id, change, live)
        revision = command.expected_revision + 1
        written = Written(event, rating, version, "replacement", revision, command.correction_id)
        change.legs.append((written, rating._replace(pools_after=tuple(live))))

    def _check_amounts(self, change: _Change) -> None:
        """Sums that the wire could not hold are refused before anything is taken."""
        amounts = [state.amount_atto for state in change.pools.values()]
        amounts += [state.quantity_atto for state in change.pools.values()]
        amounts += [rating.price.amount_atto or 0 for _, rating in change.legs]
        for amount in amounts:
            if not fits(amount):
                raise Reject("amount_overflow", None, f"{format_atto(amount)} has more than 20 digits")

    def _write(self, record: Record, command: Command, change: _Change, digest: bytes) -> None:
        result, customer_id = self._result, command.customer_id
        sequence = self._so_far.last_sequence(customer_id)
        values = [
            self._corrector.encode(written, sequence + number)
            for number, (written, _) in enumerate(change.legs, start=1)
        ]
        delta = result.customers.get(customer_id)
        if delta is None:
            delta = result.customers[customer_id] = CustomerDelta(sequence + 1)
        for (written, rating), value in zip(change.legs, values, strict=True):
            event = written.event.event
            result.rated.append((record.key or b"", value))
            delta.add(
                event["event_time_us"],
                self._tools.dimension_values(event),
                rating,
                -1 if written.leg == "reversal" else 1,
            )
        delta.last_seq = sequence + len(values)
        delta.revisions[digest] = Revision(
            *command.identity,
            revision=command.expected_revision + 1,
            correction_id=command.correction_id,
            voided=command.command == "void",
        )
        delta.runs.update(change.runs)
        result.corrections_applied += 1


def _stale(detail: str) -> Reject:
    return Reject("stale_correction", "target", detail)


def _wrong_close(detail: str) -> Reject:
    return Reject("invalid_field", "closes", detail)


def _other_currency(now: PoolState, held: PoolState) -> Reject:
    return Reject(
        "not_supported",
        None,
        f"pool {now.pool!r}: its period from {now.start_us} us is in {held.currency}, "
        f"the correction's version of the rate book says {now.currency}",
    )


def _unpriced(state: PoolState) -> PoolPrice:
    raise Reject(
        "not_supported",
        None,
        f"pool {state.pool!r}: something is left in its period from {state.start_us} us, "
        "and the version of the rate book has no price of it",
    )
