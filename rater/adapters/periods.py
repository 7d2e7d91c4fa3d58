"""The periods of a partition's local state: a column family of RocksDB, a bounded cache in front."""

from collections.abc import Callable, Collection, Iterable, Mapping
from struct import Struct
from typing import NamedTuple

from rocksdict import Rdict

from pricing.rate import PoolState
from rater.adapters.rocks import key_bytes
from rater.core.periods import PeriodKey, pack_key, unpack_key

_CACHED_MAX = 100_000
_NUMBERS = Struct(">qqqqq")


class PeriodEntry(NamedTuple):
    """A pool's state in a period, and what rater.state holds of it.

    frame_no is the frame whose word it is. recorded_frame_no is that of its last record in rater.state,
    recorded_day its day (append time), last_frame_us the time of the last frame that changed it.
    """

    state: PoolState
    frame_no: int
    recorded_frame_no: int = 0
    recorded_day: int = 0
    last_frame_us: int = 0

    @property
    def recorded(self) -> bool:
        """Whether rater.state has this quantity and amount."""
        return self.recorded_frame_no >= self.frame_no


class PeriodRecord(NamedTuple):
    """A period's record of rater.state: the state as of a frame, and the day of the record."""

    state: PoolState
    frame_no: int
    day: int


class Periods:
    """Reads the family, and says what to write into it; it never writes itself.

    `family` is asked for each time: RocksDB stays open as long as anything holds one of its families.
    """

    def __init__(self, family: Callable[[], Rdict]) -> None:
        self._family = family
        self._cache: dict[bytes, PeriodEntry] = {}

    def get(self, key: PeriodKey) -> PeriodEntry | None:
        """The entry of a period that has one."""
        packed = pack_key(key)
        entry = self._cache.get(packed)
        if entry is None:
            value = self._family().get(packed)
            if value is None:
                return None
            entry = _unpack(key, value)
            self.remember({packed: entry})
        return entry

    def unrecorded_since(self, before_us: int, limit: int) -> list[tuple[PeriodKey, PeriodEntry]]:
        """Periods whose state is not in rater.state and whose last frame is older than that."""
        found: list[tuple[PeriodKey, PeriodEntry]] = []
        for packed, value in self._family().items():
            key = unpack_key(key_bytes(packed))
            entry = _unpack(key, value)
            if not entry.recorded and entry.last_frame_us < before_us:
                found.append((key, entry))
                if len(found) == limit:
                    break
        return found

    def changed(
        self,
        states: Mapping[PeriodKey, PoolState],
        recorded: Collection[PeriodKey],
        *,
        frame_no: int,
        day: int,
        at_us: int,
    ) -> tuple[dict[bytes, PeriodEntry], int]:
        """The entries after a frame, and how many of them are new.

        Args:
            states: absolute, as the frame tells them. A frame that is read again after a later record of
                rater.state changes nothing.
            recorded: the periods that rater.state got in the same transaction.
            frame_no: of the frame.
            day: of those records.
            at_us: when the frame was written.
        """
        entries: dict[bytes, PeriodEntry] = {}
        new = 0
        for key, state in states.items():
            old = self.get(key)
            new += old is None
            entries[pack_key(key)] = _after(old, state, frame_no)._replace(last_frame_us=at_us)
        for key in recorded:
            packed = pack_key(key)
            known = entries.get(packed) or self.get(key)
            if known is not None:
                entries[packed] = known._replace(recorded_frame_no=frame_no, recorded_day=day)
        return entries, new

    def read_back(self, records: Mapping[PeriodKey, PeriodRecord]) -> tuple[dict[bytes, PeriodEntry], int]:
        """The entries after records of rater.state, and how many are new. A frame may know more."""
        entries: dict[bytes, PeriodEntry] = {}
        new = 0
        for key, (state, frame_no, day) in records.items():
            old = self.get(key)
            new += old is None
            entry = _after(old, state, frame_no)
            entries[pack_key(key)] = entry._replace(
                recorded_frame_no=max(entry.recorded_frame_no, frame_no),
                recorded_day=max(entry.recorded_day, day),
            )
        return entries, new

    def remember(self, entries: Mapping[bytes, PeriodEntry]) -> None:
        """Entries that the family has."""
        if len(self._cache) + len(entries) > _CACHED_MAX:
            self._cache.clear()
        self._cache.update(entries)

    def forget(self) -> None:
        """The family is empty again."""
        self._cache.clear()


def packed_entries(entries: Mapping[bytes, PeriodEntry]) -> Iterable[tuple[bytes, bytes]]:
    """Keys and values to write."""
    for packed, entry in entries.items():
        state, *numbers = entry
        text = f"{state.quantity_atto} {state.amount_atto} {state.currency}"
        yield packed, _NUMBERS.pack(state.end_us, *numbers) + text.encode()


def _after(old: PeriodEntry | None, state: PoolState, frame_no: int) -> PeriodEntry:
    """The entry after a frame's or record's word; an older one changes nothing."""
    if old is None:
        return PeriodEntry(state, frame_no)
    return old if frame_no < old.frame_no else old._replace(state=state, frame_no=frame_no)


def _unpack(key: PeriodKey, value: bytes) -> PeriodEntry:
    end_us, *numbers = _NUMBERS.unpack_from(value)
    quantity, amount, currency = value[_NUMBERS.size :].decode().split(" ", 2)
    state = PoolState(key[1], key[2], end_us, int(quantity), int(amount), currency)
    return PeriodEntry(state, *numbers)
