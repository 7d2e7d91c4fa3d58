"""The one table: Faust's changelog, recovery and partition assignment over a RocksDB that may be deleted.

Values are bytes. What is written goes through `put` and through this service's own writer, whose
acknowledgements gate the offsets; Faust's own `table[key] = value`, which only logs a failed changelog
record, is switched off.
"""

import logging
import shutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from faust import Table
from faust.stores.rocksdb import Store
from faust.types import TP, EventT, Message
from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch

_LOG = logging.getLogger(__name__)
_WRITE_BUFFER_BYTES = 4 << 20
_OPEN_FILES = 64

Sequence = Callable[[bytes, bytes], int]
"""How far a value of a key has come: a customer's sequence, a partition's frame number."""
Between = Callable[[], None]
"""Called before each batch of changelog records is restored."""
Failed = Callable[[BaseException], None]
"""Ends the process."""


class LiveStore(Store):
    """One RocksDB a partition, small: Faust's own would have a block cache of 2 GiB each."""

    def __init__(
        self, *args: Any, cache: Cache, sequence: Sequence, between: Between, failed: Failed, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._cache = cache
        self._sequence = sequence
        self._between = between
        self._failed = failed

    def _open_for_partition(self, partition: int) -> Rdict:
        path = self.partition_path(partition)
        try:
            return Rdict(str(path), options=_options(self._cache))
        except Exception as error:  # rocksdict raises nothing narrower
            if "lock" in repr(error).lower():
                raise
            _LOG.warning("partition %d: the local state cannot be opened (%s): discarded", partition, error)
            shutil.rmtree(path, ignore_errors=True)
            return Rdict(str(path), options=_options(self._cache))

    def apply_changelog_batch(
        self,
        batch: Iterable[EventT[Any]],
        to_key: Callable[[Any], Any],
        to_value: Callable[[Any], Any],
    ) -> None:
        """Restore: of two values of a key the one that has come further holds, the later one where they are
        equal.

        The last record of a key is not always the newest value: a worker that was paused while its
        partitions went to another may still write what it had.
        """
        del to_key, to_value
        # Faust logs an error in here as a warning and goes on: with a table that lacks records.
        try:
            self._between()
            self._restore([event.message for event in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the process
            self._failed(error)

    def _restore(self, messages: list[Message]) -> None:
        newest: dict[int, dict[bytes, bytes]] = {}
        reached: dict[TP, int] = {}
        for message in messages:
            if not self.held(message.partition):
                continue  # of an assignment that is over
            reached[message.tp] = max(message.offset, reached.get(message.tp, 0))
            key, value = message.key, message.value
            if key is None or value is None:
                continue  # nothing here deletes a key
            values = newest.setdefault(message.partition, {})
            had = values.get(key) or self.local(message.partition, key)
            if had is None or self._sequence(key, value) >= self._sequence(key, had):
                values[key] = value
        for partition, values in newest.items():
            self.keep(partition, values)
        for tp, offset in reached.items():
            self.set_persisted_offset(tp, offset)

    def wrote(self, partition: int, count: int, last: int) -> None:
        """So many records of the changelog, up to that offset, are of this table.

        Where another's stand between them and what was read, theirs are not in here: a worker that was paused
        while its partitions were another's would else never read what that one wrote.
        """
        if not self.held(partition):
            return
        before = self.local(partition, self.offset_key)
        if last - count == (-1 if before is None else int(before)):
            self._db_for_partition(partition).put(self.offset_key, str(last).encode())

    def revoke_partitions(self, table: Any, tps: set[TP]) -> None:
        """Close what is given away: Faust leaves that to the garbage collector, and the lock with it."""
        for tp in tps:
            if tp.topic in table.changelog_topic.topics:
                self._close(tp.partition)

    async def stop(self) -> None:
        for partition in list(self._dbs):
            self._close(partition)

    def held(self, partition: int) -> bool:
        """Whether the partition's database is open here."""
        return partition in self._dbs

    def local(self, partition: int, key: bytes) -> bytes | None:
        value = self._db_for_partition(partition).get(key)
        return value if isinstance(value, bytes) else None

    def keep(self, partition: int, values: Mapping[bytes, bytes]) -> None:
        """Write values, all or none."""
        writes = WriteBatch(raw_mode=True)
        for key, value in values.items():
            writes.put(key, value)
        self._db_for_partition(partition).write(writes)

    def stored(self, partition: int, after: bytes, at_most: int) -> list[tuple[bytes, bytes]]:
        """Keys and values that follow a key, in the order of keys."""
        found: list[tuple[bytes, bytes]] = []
        for key, value in self._db_for_partition(partition).items(from_key=after):
            if key not in {after, self.offset_key}:
                found.append((key, value))
            if len(found) >= at_most:
                break
        return found

    def _close(self, partition: int) -> None:
        database = self._dbs.pop(partition, None)
        if database is not None:
            database.close()


class LiveTable(Table[bytes, bytes]):
    """The table of states, by partition and key."""

    data: LiveStore

    def __init__(
        self, *args: Any, cache: Cache, sequence: Sequence, between: Between, failed: Failed, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._cache = cache
        self._sequence = sequence
        self._between = between
        self._failed = failed

    def _new_store(self) -> LiveStore:
        return LiveStore(
            "rocksdb://",
            self.app,
            self,
            table_name=self.name,
            key_type=self.key_type,
            value_type=self.value_type,
            loop=self.loop,
            options={"driver": "rocksdict"},
            cache=self._cache,
            sequence=self._sequence,
            between=self._between,
            failed=self._failed,
        )

    def on_key_set(self, key: bytes, value: bytes) -> NoReturn:
        raise NotImplementedError("a state is written by the writer, whose acknowledgements are waited for")

    def on_key_del(self, key: bytes) -> NoReturn:
        raise NotImplementedError("a state is never deleted: the changelog needs a last record")


def _options(cache: Cache) -> Options:
    options = Options(raw_mode=True)
    table = BlockBasedOptions()
    table.set_block_cache(cache)
    table.set_bloom_filter(10, block_based=False)
    options.set_block_based_table_factory(table)
    options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(2)
    options.set_max_open_files(_OPEN_FILES)
    options.create_if_missing(create_if_missing=True)
    return options
