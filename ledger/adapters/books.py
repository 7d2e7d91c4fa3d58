"""Ratings computed again with the versions of the rate book that they name, from PostgreSQL."""

from ledger.core.amounts import NotRecomputable, Recomputed
from ledger.core.model import ORIGINAL, RatedRecord
from ledger.core.pools import PoolAt
from pricing.compile import CompiledBook
from pricing.errors import UsageError
from pricing.money import format_atto
from rate_book.errors import NoBookError
from rate_book.store import load_compiled
from rate_book.translate import rate_again, rating_record
from runtime.postgres import connect


class StoredBooks:
    """Versions of the rate book, each loaded once; the connection is opened when the first is needed."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._books: dict[int, CompiledBook | NotRecomputable] = {}

    def recompute(self, record: RatedRecord) -> Recomputed:
        """The record's rating under the version and from the quantities that it tells.

        Raises:
            NotRecomputable: the version is not stored, or the event cannot be rated.
            DatabaseUnavailableError: PostgreSQL is away.
        """
        told = record.rating
        if told["leg"] != ORIGINAL:
            raise NotRecomputable(f"leg {told['leg']}: this version verifies originals only")
        book = self._book(told["book_version"])
        try:
            rating = rate_again(record.event, told, book)
        except UsageError as error:
            raise NotRecomputable(f"it was rated, but it cannot be: {error}") from error
        again = rating_record(
            rating,
            book,
            customer_seq=told["customer_seq"],
            leg=told["leg"],
            revision=told["revision"],
            correction_id=told["correction_id"],
        )
        after = {
            (pool.pool, pool.start_us): PoolAt(
                format_atto(pool.quantity_atto), format_atto(pool.amount_atto), pool.currency
            )
            for pool in rating.pools_after
        }
        return Recomputed(again, rating.leaves, after)

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
