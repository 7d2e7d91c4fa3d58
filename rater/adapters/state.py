"""A partition's local state: one RocksDB, a column family a bucket of digests, a filter in RAM in front.

A cache of the rater's own log: behind it, never ahead, and deleted at any time without loss. It names the
cluster and topics it belongs to, and is discarded where they differ.
"""

import json
import logging
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from rocksdict import Cache, Rdict, WriteBatch

from pricing.rate import PoolState
from rater.adapters.corrected import (
    REVISIONS,
    RUNS,
    Corrected,
    CorrectedChanges,
    RevisionRecord,
    RunRecord,
)
from rater.adapters.customers import CustomerEntry
from rater.adapters.digest_filter import DigestFilter
from rater.adapters.digests import entries_of, look_up
from rater.adapters.meta import FORMAT, LogIdentity, Meta
from rater.adapters.periods import PeriodEntry, PeriodRecord, Periods, packed_entries
from rater.adapters.rocks import key_bytes, keys_of, table_options
from rater.core.frames import FrameEffects
from rater.core.identity import ENTRY_BYTES, FORGOTTEN, Known
from rater.core.lateness import Windows
from rater.core.periods import PeriodKey
from rater.core.revisions import RunKey
from rater.core.work import Head

_LOG = logging.getLogger(__name__)

_META_KEY = b"meta"
_CUSTOMERS = "customers"
_PERIODS = "periods"
_DIGESTS = "d"
_CACHED_CUSTOMERS_MAX = 200_000
_LOCKED = "lock hold"  # what RocksDB says of a directory that is open already


class _DamagedError(Exception):
    """The state holds less than it says."""


class StateStore:
    """The local state of one partition. Not safe for threads: its rater has one."""

    def __init__(self, path: Path, log: LogIdentity, windows: Windows, cache: Cache) -> None:
        self._path = path
        self._windows = windows
        self._cache = cache
        self._customers_cache: dict[str, CustomerEntry] = {}
        self._periods = Periods(lambda: self._families[_PERIODS])
        self._corrected = Corrected(lambda name: self._families[name])
        self.revision, self.run = self._corrected.revision, self._corrected.run
        self._filter = DigestFilter()
        meta = None
        try:
            self._db = self._open()
            meta = self._read_meta(log)
        except Exception as error:  # RocksDB's errors have no class of their own
            if _LOCKED in str(error):
                raise
            _LOG.warning("state %s is damaged, it is restored from the log: %s", path, str(error))
        if meta is None:
            self.discard(log)
        else:
            self.meta = meta

    def _open(self) -> Rdict:
        self._path.mkdir(parents=True, exist_ok=True)
        names = [_CUSTOMERS, _PERIODS, REVISIONS, RUNS]
        if (self._path / "CURRENT").exists():
            names = sorted({*names, *Rdict.list_cf(str(self._path))} - {"default"})
        options = table_options(self._cache)
        options.create_missing_column_families(create_missing_cfs=True)
        database = Rdict(
            str(self._path),
            options,
            column_families={"default": table_options(self._cache)}
            | {name: table_options(self._cache) for name in names},
        )
        self._families = {name: database.get_column_family(name) for name in names}
        self._handles = {name: database.get_column_family_handle(name) for name in names}
        return database

    def _read_meta(self, log: LogIdentity) -> Meta | None:
        """What the state says of itself, every file read once; None where it is of no use for this log."""
        stored = self._db.get(_META_KEY)
        if stored is None:
            return None  # never written: whatever else is here has no known position
        fields = json.loads(stored)
        fields |= {"head": Head(**fields["head"]), "log": LogIdentity(**fields["log"])}
        kept_us, fields["replay_us"] = fields["replay_us"], self._windows.replay_us
        # Kept for a shorter window than is in force now, it lacks digests that may be repeated.
        if fields["format"] != FORMAT or fields["log"] != log or kept_us < self._windows.replay_us:
            return None
        fields["digests"] = {int(bucket_us): count for bucket_us, count in fields["digests"].items()}
        meta = Meta(**fields)
        self._check_content(meta)
        return meta

    def _check_content(self, meta: Meta) -> None:
        """Read every key, fill the filter, and count: an iteration over a damaged file just ends early,
        a lost manifest loses whole families, and a digest that is not found would be billed again.
        """
        self._drop_families(self._digest_families().keys() - meta.digests.keys())
        families = self._digest_families()
        for bucket_us, count in meta.digests.items():
            keys = keys_of(families.get(bucket_us))
            if len(keys) != count:
                raise _DamagedError(f"{len(keys)} of {count} digests of bucket {bucket_us} are left")
            self._filter.add(b"".join(keys), bucket_us)
        revisions = len(self._corrected.opened())
        if revisions != meta.revisions:
            raise _DamagedError(f"{revisions} of {meta.revisions} {REVISIONS} are left")
        for name, count in (
            (_CUSTOMERS, meta.customers),
            (_PERIODS, meta.periods),
            (RUNS, meta.runs),
        ):
            found = len(keys_of(self._families[name]))
            if found != count:
                raise _DamagedError(f"{found} of {count} {name} are left")

    def discard(self, log: LogIdentity) -> None:
        """Start again from nothing: the log has it all."""
        if hasattr(self, "_db"):
            self.close()
        shutil.rmtree(self._path)
        self._customers_cache.clear()
        self._periods.forget()
        self._filter = DigestFilter()
        self._db = self._open()
        self.meta = Meta(log, self._windows.replay_us)

    def close(self) -> None:
        """Release the files; the path can be opened again at once."""
        self._families.clear()
        self._handles.clear()
        self._db.close()

    # --- what the batch asks (rater.core.work.Memory, but for first_record) ---
    def known(self, digests: Sequence[bytes], buckets: Sequence[int]) -> dict[bytes, Known]:
        """Those digests that were rated before. Only the filter's positives reach RocksDB."""
        found: dict[bytes, Known] = {}
        if not digests:
            return found
        maybe = [int(index) for index in self._filter.maybe(b"".join(digests)).nonzero()[0]]
        families = self._digest_families() if maybe else {}
        wanted: dict[int, list[bytes]] = {}
        for index in maybe:
            wanted.setdefault(buckets[index], []).append(digests[index])
        # A resend usually keeps its event time, so its own bucket is asked first; but the same identity
        # with another event time is still the same identity.
        for bucket_us, keys in wanted.items():
            missing = look_up(families.get(bucket_us), keys, found)
            for other_us, family in families.items():
                if not missing:
                    break
                if other_us != bucket_us:
                    missing = look_up(family, missing, found)
        if self.meta.revisions:
            # An amend may have moved an event far past the expiry of its digest: it is never new again.
            left = [digest for digest in digests if digest not in found]
            found |= dict.fromkeys(self._corrected.among(left), FORGOTTEN)
        return found

    def covers(self, append_us: int) -> bool:
        """Whether every event that was appended then or later is known, but for those of expired buckets."""
        from_us = self.meta.coverage_from_us
        return from_us is not None and from_us <= append_us

    def last_sequences(self, customer_ids: Sequence[str]) -> dict[str, int]:
        """The last sequence of each customer that has one."""
        return {customer_id: entry.last_seq for customer_id, entry in self.customers(customer_ids).items()}

    def customers(self, customer_ids: Sequence[str]) -> dict[str, CustomerEntry]:
        """The entries of those customers that have one."""
        cache = self._customers_cache
        if len(cache) > _CACHED_CUSTOMERS_MAX:
            cache.clear()
        missing = [customer_id for customer_id in customer_ids if customer_id not in cache]
        if missing:
            stored = self._families[_CUSTOMERS].get([customer_id.encode() for customer_id in missing])
            for customer_id, value in zip(missing, stored or (), strict=True):
                if value is not None:
                    cache[customer_id] = CustomerEntry.unpacked(value)
        return {customer_id: cache[customer_id] for customer_id in customer_ids if customer_id in cache}

    def period(self, key: PeriodKey) -> PoolState | None:
        """Where a customer's pool stands in a period, if anything has happened in it."""
        entry = self._periods.get(key)
        return None if entry is None else entry.state

    def period_entry(self, key: PeriodKey) -> PeriodEntry | None:
        """The same, and what rater.state holds of it."""
        return self._periods.get(key)

    def unrecorded_periods_since(self, before_us: int, limit: int) -> list[tuple[PeriodKey, PeriodEntry]]:
        """As unrecorded_since, of periods."""
        return self._periods.unrecorded_since(before_us, limit)

    def unrecorded_since(self, before_us: int, limit: int) -> list[tuple[str, CustomerEntry]]:
        """Customers whose last sequence is not in rater.state and whose last frame is older than that."""
        found: list[tuple[str, CustomerEntry]] = []
        for key, value in self._families[_CUSTOMERS].items():
            entry = CustomerEntry.unpacked(value)
            if not entry.recorded and entry.last_frame_us < before_us:
                found.append((key_bytes(key).decode(), entry))
                if len(found) == limit:
                    break
        return found

    # --- what a committed frame or a record of the log does ---

    def apply(
        self,
        effects: FrameEffects,
        *,
        at_us: int,
        recorded: Mapping[str, int] | None = None,
        recorded_periods: Collection[PeriodKey] = (),
        recorded_day: int = 0,
        deltas_next: int | None = None,
        state_next: int | None = None,
        coverage_from_us: int | None = None,
    ) -> None:
        """Apply one committed frame, in one atomic write.

        Args:
            effects: of the frame.
            at_us: when the frame was written (a clock's or the log's time; it only ages records).
            recorded: the sequences that rater.state got in the same transaction.
            recorded_periods: the periods that it got.
            recorded_day: the day of those records, in days since 1970.
            deltas_next: where usage.deltas goes on after this frame, if known.
            state_next: where rater.state goes on, if known.
            coverage_from_us: set by the first frame only.
        """
        counts = dict(self.meta.digests)
        for bucket_us, packed in effects.digests.items():
            counts[bucket_us] = counts.get(bucket_us, 0) + len(packed) // ENTRY_BYTES
        meta = replace(
            self.meta,
            head=effects.head,
            digests=counts,
            deltas_next=self.meta.deltas_next if deltas_next is None else deltas_next,
            state_next=self.meta.state_next if state_next is None else state_next,
            coverage_from_us=(
                self.meta.coverage_from_us if self.meta.coverage_from_us is not None else coverage_from_us
            ),
        )
        for bucket_us in effects.digests:
            self._ensure_digest_family(bucket_us)
        batch = WriteBatch(raw_mode=True)
        for bucket_us, packed in effects.digests.items():
            handle = self._handles[f"{_DIGESTS}{bucket_us}"]
            for digest, known in entries_of(packed):
                batch.put(digest, known, handle)
        entries, new = self._changed_customers(effects.last_sequences, recorded or {}, recorded_day, at_us)
        periods, new_periods = self._periods.changed(
            effects.periods,
            recorded_periods,
            frame_no=effects.head.frame_no,
            day=recorded_day,
            at_us=at_us,
        )
        meta = replace(meta, customers=meta.customers + new, periods=meta.periods + new_periods)
        changes = self._corrected.changed(effects.revisions, effects.runs, effects.head.frame_no)
        self._write(batch, meta, entries, periods, changes)
        for bucket_us, packed in effects.digests.items():
            self._filter.add(b"".join(digest for digest, _ in entries_of(packed)), bucket_us)

    def apply_records(
        self,
        records: Mapping[str, tuple[int, int]],
        periods: Mapping[PeriodKey, PeriodRecord],
        revisions: Mapping[bytes, RevisionRecord] = MappingProxyType({}),
        runs: Mapping[RunKey, RunRecord] = MappingProxyType({}),
    ) -> None:
        """Apply records read back from rater.state: customers' (last sequence, day), periods, corrections.
        A frame may know more.
        """
        entries = {}
        known = self.customers(list(records))
        for customer_id, (sequence, recorded_day) in records.items():
            old = known.get(customer_id, CustomerEntry(0, 0, 0, 0))
            entries[customer_id] = CustomerEntry(
                max(old.last_seq, sequence),
                max(old.recorded_seq, sequence),
                max(old.recorded_day, recorded_day),
                old.last_frame_us,
            )
        period_entries, new = self._periods.read_back(periods)
        meta = replace(
            self.meta,
            customers=self.meta.customers + len(entries) - len(known),
            periods=self.meta.periods + new,
        )
        changes = self._corrected.read_back(revisions, runs)
        self._write(WriteBatch(raw_mode=True), meta, entries, period_entries, changes)

    def set_head(self, head: Head) -> None:
        """Take a head whose frames have all expired: they held no event appended later than it says."""
        covered = replace(self.meta, head=head, coverage_from_us=head.highest_append_us + 1)
        self._write(WriteBatch(raw_mode=True), covered, {}, {})

    def set_positions(self, *, deltas_next: int, state_next: int) -> None:
        """Remember where the log goes on."""
        meta = replace(self.meta, deltas_next=deltas_next, state_next=state_next)
        self._write(WriteBatch(raw_mode=True), meta, {}, {})

    def drop_expired(self) -> list[int]:
        """Drop whole buckets of digests that nothing can repeat any more. Returns their starts."""
        highest_us = self.meta.head.highest_append_us
        expired = [
            bucket_us
            for bucket_us in self.meta.digests  # each has its family
            if self._windows.bucket_expired(bucket_us, highest_us)
        ]
        if expired:
            kept = {bucket_us: n for bucket_us, n in self.meta.digests.items() if bucket_us not in expired}
            # First: a family that the meta does not name is dropped at the next opening.
            self._write(WriteBatch(raw_mode=True), replace(self.meta, digests=kept), {}, {})
            self._drop_families(expired)
            self._filter.drop_expired(lambda bucket_us: self._windows.bucket_expired(bucket_us, highest_us))
        return expired

    def _changed_customers(
        self, last_sequences: Mapping[str, int], recorded: Mapping[str, int], day: int, at_us: int
    ) -> tuple[dict[str, CustomerEntry], int]:
        """The entries to write, and how many of them are new."""
        touched = list(last_sequences.keys() | recorded.keys())
        known = self.customers(touched)
        entries = {}
        for customer_id in touched:
            old = known.get(customer_id, CustomerEntry(0, 0, 0, 0))
            in_frame = customer_id in last_sequences
            entries[customer_id] = CustomerEntry(
                last_sequences.get(customer_id, old.last_seq),
                recorded.get(customer_id, old.recorded_seq),
                day if customer_id in recorded else old.recorded_day,
                at_us if in_frame else old.last_frame_us,
            )
        return entries, len(entries) - len(known)

    def _write(
        self,
        batch: WriteBatch,
        meta: Meta,
        entries: Mapping[str, CustomerEntry],
        periods: Mapping[bytes, PeriodEntry],
        corrected: CorrectedChanges | None = None,
    ) -> None:
        if corrected is not None and corrected.values:
            corrected.write(batch, self._handles)
            meta = replace(
                meta, revisions=meta.revisions + corrected.revisions, runs=meta.runs + corrected.runs
            )
        handle = self._handles[_CUSTOMERS]
        for customer_id, entry in entries.items():
            batch.put(customer_id.encode(), entry.packed(), handle)
        handle = self._handles[_PERIODS]
        for key, value in packed_entries(periods):
            batch.put(key, value, handle)
        batch.put(_META_KEY, meta.packed())
        self._db.write(batch)
        self.meta = meta
        self._customers_cache.update(entries)
        self._periods.remember(periods)

    def _drop_families(self, buckets: Iterable[int]) -> None:
        for bucket_us in buckets:
            name = f"{_DIGESTS}{bucket_us}"
            del self._families[name], self._handles[name]
            self._db.drop_column_family(name)

    def _ensure_digest_family(self, bucket_us: int) -> None:
        name = f"{_DIGESTS}{bucket_us}"
        if name not in self._families:
            self._families[name] = self._db.create_column_family(name, table_options(self._cache))
            self._handles[name] = self._db.get_column_family_handle(name)

    def _digest_families(self) -> dict[int, Rdict]:
        return {
            int(name.removeprefix(_DIGESTS)): family
            for name, family in self._families.items()
            if name.startswith(_DIGESTS)
        }
