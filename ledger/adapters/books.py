"""Ratings computed again with the versions of the rate book that they name, from PostgreSQL."""

from collections.abc import Mapping
from typing import Any

from ledger.core.amounts import NotRecomputable
from ledger.core.model import RatedRecord
from ledger.core.periods import PoolAt
from ledger.core.recomputed import Recomputed
from pricing.compile import CompiledBook
from pricing.corrections import shares, taken_out, void
from pricing.errors import UsageError
from pricing.money import format_atto
from pricing.pools import PoolPrice
from pricing.rate import PoolState, Rating, no_pools
from rate_book.errors import NoBookError
from rate_book.store import load_compiled
from rate_book.translate import (
    pool_of_record,
    pool_prices,
    rate_again,
    rate_call_again,
    rating_record,
    with_closed,
)
from runtime.postgres import connect


class StoredBooks:
    """Versions of the rate book, each loaded once; the connection is opened when the first is needed."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._books: dict[int, CompiledBook | NotRecomputable] = {}

    def recompute(self, record: RatedRecord) -> Recomputed:
        """An original or a replacement under the version and from the quantities that it tells.

        Raises:
            NotRecomputable: the version is not stored, or the event cannot be rated.
            DatabaseUnavailableError: PostgreSQL is away.
        """
        told = record.rating
        book = self._book(told["book_version"])
        try:
            own = rate_call_again(record.event, told, book)
        except UsageError as error:
            raise NotRecomputable(f"it was rated, but it cannot be: {error}") from error
        rating = with_closed(own, told, book)
        return Recomputed(
            rating_record(rating, book, **_leg(told)),
            rating.leaves,
            _after(rating),
            len(own.pools_before),
            _after(own),
            {
                (share.pool, share.start_us): (share.quantity_atto, share.amount_atto, share.currency)
                for share in shares(own)
            },
        )

    def reverse(
        self,
        record: RatedRecord,
        target: RatedRecord,
        frame_version: int,
        settles: bool,  # a fact of the record
    ) -> Recomputed:
        """A reversal from the record that it negates and the live pools that it tells.

        A void and an amend settle each pool at the price of the frame's version, or of the record's own where
        that has none. A re-rate does not; where the record alone does not tell which it was (`settles` is
        false), what was recorded decides between the two.

        Raises:
            NotRecomputable: a version is not stored, or the event cannot be rated.
            DatabaseUnavailableError: PostgreSQL is away.
        """
        told = record.rating
        book = self._book(target.rating["book_version"])
        try:
            rating = rate_again(target.event, target.rating, book)
        except UsageError as error:
            raise NotRecomputable(f"what it negates cannot be rated: {error}") from error
        live = {(it.pool, it.start_us): it for it in map(pool_of_record, told["pools_before"])}

        def pools(pool: str, start_us: int) -> tuple[int, int]:
            state = live.get((pool, start_us))
            return no_pools(pool, start_us) if state is None else (state.quantity_atto, state.amount_atto)

        def price_of(state: PoolState) -> PoolPrice:
            try:
                return pool_prices(self._book(frame_version))(state)
            except ValueError:
                return pool_prices(book)(state)

        leg = _leg(told) | {"leg": "reversal", "revision": target.rating["revision"] + 1}
        plain = taken_out(rating, pools)
        found = Recomputed(rating_record(plain, book, **leg), plain.leaves, _after(plain))
        if record.event != target.event:
            raise NotRecomputable("its event is not that of the record that it negates")
        if not plain.pools_before or (not settles and found.rating == told):
            return found
        try:
            settled = void(rating, pools, price_of)
        except ValueError as error:
            raise NotRecomputable(str(error)) from error
        return Recomputed(rating_record(settled, book, **leg), settled.leaves, _after(settled))

    def _book(self, version: int) -> CompiledBook:
        book = self._books.get(version)
        if book is None:
            book = self._books[version] = self._load(version)
        if isinstance(book, NotRecomputable):
            raise NotRecomputable(str(book))
        return book

    def _load(self, version: int) -> CompiledBook | NotRecomputable:
        with connect(self._dsn, application_name="ratestream-verify") as connection:
            try:
                return load_compiled(connection, version, self._dsn)
            except NoBookError as error:
                return NotRecomputable(str(error))


def _leg(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: told[name] for name in ("customer_seq", "leg", "revision", "correction_id")}


def _after(rating: Rating) -> dict[tuple[str, int], PoolAt]:
    return {
        (pool.pool, pool.start_us): PoolAt(
            format_atto(pool.quantity_atto), format_atto(pool.amount_atto), pool.currency
        )
        for pool in rating.pools_after
    }
