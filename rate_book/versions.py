"""Versions of the book other than the newest, for corrections: loaded by a thread, so that nobody waits for
PostgreSQL.
"""

import logging
import threading
from collections import OrderedDict

import psycopg

from pricing.compile import CompiledBook
from pricing.errors import PricingError
from rate_book.errors import BookPollerError, NoBookError, StoreBrokenError
from rate_book.store import load_compiled
from runtime.postgres import DatabaseError, connect

log = logging.getLogger(__name__)

_KEPT = 8  # versions; a re-rate names two or three
_BACKOFF_FIRST_S = 0.2
_BACKOFF_MAX_S = 5.0


class BookVersions:
    """A thread with a connection of its own, opened while something is wanted.

    While PostgreSQL is away it tries again with a growing pause. Only versions below a confirmed one may be
    asked for: what is not stored of those never will be, and that is remembered.
    """

    def __init__(self, dsn: str, *, application_name: str = "ratestream-book-versions") -> None:
        self._dsn = dsn
        self._application_name = application_name
        self._found: OrderedDict[int, CompiledBook | NoBookError | StoreBrokenError] = OrderedDict()
        self._wanted: int | None = None
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="book-versions", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def book_at(self, version: int) -> CompiledBook | None:
        """The version, or None while it is being loaded: ask again.

        Raises:
            NoBookError: it is not stored, or this build cannot compile it.
            StoreBrokenError: what is stored is not what was applied.
            BookPollerError: the thread has ended by a bug.
        """
        if self._failure is not None:
            raise BookPollerError(
                f"rate book: the thread that loads versions has ended: {self._failure!r}"
            ) from self._failure
        with self._changed:
            found = self._found.get(version)
            if found is None:
                self._wanted = version
                self._changed.notify_all()
                return None
            self._found.move_to_end(version)
        if isinstance(found, CompiledBook):
            return found
        raise found

    def _run(self) -> None:
        pause_s = _BACKOFF_FIRST_S
        try:
            while not self._stopping.is_set():
                with self._changed:
                    self._changed.wait_for(lambda: self._wanted is not None or self._stopping.is_set())
                    version = self._wanted
                if version is None:
                    return
                try:
                    found = self._load(version)
                except (DatabaseError, psycopg.Error) as error:
                    log.warning("rate book: version %d: %s; again in %.1f s", version, error, pause_s)
                    self._stopping.wait(pause_s)
                    pause_s = min(pause_s * 2, _BACKOFF_MAX_S)
                    continue
                pause_s = _BACKOFF_FIRST_S
                self._keep(version, found)
        except Exception as error:
            self._failure = error
            log.exception("rate book: the thread that loads versions ends")

    def _load(self, version: int) -> CompiledBook | NoBookError | StoreBrokenError:
        with connect(self._dsn, application_name=self._application_name) as connection:
            try:
                book = load_compiled(connection, version, self._dsn)
            except (NoBookError, StoreBrokenError) as error:
                return error
            except PricingError as error:
                return NoBookError(
                    f"version {version} of the rate book: this build cannot compile it: {error}"
                )
        log.info("rate book: version %d loaded for corrections, %s", version, book.content_hash)
        return book

    def _keep(self, version: int, found: CompiledBook | NoBookError | StoreBrokenError) -> None:
        with self._changed:
            self._found[version] = found
            if len(self._found) > _KEPT:
                self._found.popitem(last=False)
            if self._wanted == version:
                self._wanted = None
