"""Where a rater gets its book from: the newest version, and until when it may rely on it.

Why a rater may go on while PostgreSQL is away: an apply takes the advisory lock exclusively and reads its
time after it holds it; a check takes the same lock shared and reads its time while it holds it. So where a
check says at T that version N is the newest, version N + 1 is applied later than T, and without
`--retroactive` changes nothing before T + the lead that version N recorded. Events up to then are priced by
N, whatever happens meanwhile.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import psycopg

from pricing.compile import CompiledBook
from pricing.errors import PricingError
from rate_book.errors import BookPollerError, NoBookError, RateBookError, StoreBrokenError
from rate_book.store import NOTIFY_CHANNEL, check_newest, load_compiled
from runtime.postgres import Connection, DatabaseError, connect

log = logging.getLogger(__name__)

_SLICE_S = 0.25  # how long a stop may have to wait for the thread
_BACKOFF_FIRST_S = 0.2


@dataclass(frozen=True, slots=True)
class Confirmed:
    """At `confirmed_us` (PostgreSQL's clock) `book` was the newest version; it prices events up to the
    horizon.
    """

    book: CompiledBook
    confirmed_us: int
    lead_us: int

    @property
    def horizon_us(self) -> int:
        """Event times below this instant are priced by this version for good (retroactive changes are
        re-rates).
        """
        return self.confirmed_us + self.lead_us


class BookSource(Protocol):
    """What a rater needs of a rate book."""

    def newest(self) -> Confirmed:
        """The last confirmation. Raises NoBookError where there is none yet."""


class StaticSource:
    """A book that never changes, for tests and tools without PostgreSQL. Times in microseconds UTC."""

    def __init__(self, book: CompiledBook, confirmed_us: int, lead_us: int = 2**62) -> None:
        self._confirmed = Confirmed(book, confirmed_us, lead_us)

    def newest(self) -> Confirmed:
        return self._confirmed


class BookPoller:
    """A thread that keeps the newest version at hand: it polls every `poll_s` and listens to NOTIFY.

    While PostgreSQL is away it keeps the last confirmation, tries again with a growing pause of at most
    `poll_s`, and says why in `last_error`. It never takes a lower version than it had. An error that is none
    of PostgreSQL, the store or the book ends it, and then whoever asks for the newest version is told.
    """

    def __init__(
        self,
        dsn: str,
        *,
        poll_s: float = 5,
        application_name: str = "ratestream-book",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dsn = dsn
        self._poll_s = poll_s
        self._application_name = application_name
        self._monotonic = monotonic
        self._confirmed: Confirmed | None = None
        self._first_answer = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="book-poller", daemon=True)
        self._failure: Exception | None = None
        self.last_error: str | None = None
        """Why the last check failed; None after one that succeeded."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread; the last confirmation stays readable."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def newest(self) -> Confirmed:
        """The last confirmation.

        Raises:
            NoBookError: there is none yet.
            BookPollerError: the thread has ended, and nobody stopped it.
        """
        is_gone = self._thread.ident is not None and not self._thread.is_alive()
        if self._failure is not None or (is_gone and not self._stopping.is_set()):
            raise BookPollerError(
                f"rate book: the thread that confirms versions has ended: {self._failure!r}"
            ) from self._failure
        confirmed = self._confirmed
        if confirmed is None:
            raise NoBookError(
                f"rate book: no version confirmed yet: {self.last_error or 'no check has ended'}"
            )
        return confirmed

    def wait_first(self, timeout_s: float) -> Confirmed:
        """The first confirmation, waiting for it at most `timeout_s`. Raises NoBookError saying why there is
        none.
        """
        self._first_answer.wait(timeout_s)
        return self.newest()

    def _run(self) -> None:
        try:
            self._poll()
        except Exception as error:
            self._failure = error
            log.exception("rate book: the thread that confirms versions ends")
        finally:
            self._first_answer.set()  # nobody waits for an answer that cannot come

    def _poll(self) -> None:
        pause_s = _BACKOFF_FIRST_S
        while not self._stopping.is_set():
            try:
                with connect(
                    self._dsn, application_name=self._application_name, statement_timeout_ms=10_000
                ) as connection:
                    connection.set_autocommit(True)
                    connection.execute(f"listen {NOTIFY_CHANNEL}".encode())
                    while not self._stopping.is_set():
                        self._check(connection)
                        pause_s = _BACKOFF_FIRST_S
                        self._wait_for_change(connection)
            except (DatabaseError, RateBookError, PricingError, psycopg.Error) as error:
                self.last_error = str(error).strip()
                log.warning("rate book: %s; again in %.1f s", self.last_error, pause_s)
                self._stopping.wait(pause_s)
                pause_s = min(pause_s * 2, self._poll_s)

    def _check(self, connection: Connection) -> None:
        newest = check_newest(connection)
        if newest is None:
            raise NoBookError("rate book: no version is stored; apply one with `ratestream book apply DIR`")
        held = self._confirmed
        if held is not None and newest.version < held.book.version:
            raise StoreBrokenError(
                f"rate book: version {newest.version} is the newest stored, but {held.book.version} was"
                " confirmed before: the database went back in time, restore it or stop every rater"
            )
        if held is None or newest.version != held.book.version:
            book = load_compiled(
                connection, newest.version, self._dsn, held.book if held is not None else None
            )
            log.info("rate book: version %d, %s", book.version, book.content_hash)
        else:
            book = held.book
        if newest.content_hash != book.content_hash:
            raise StoreBrokenError(
                f"rate book: version {newest.version} has hash {newest.content_hash}, it was confirmed with"
                f" {book.content_hash}; stored versions never change, stop every rater"
            )
        # The instant is that of the check under the lock, before the book was loaded and compiled.
        self._confirmed = Confirmed(book, newest.checked_us, newest.lead_us)
        self.last_error = None
        self._first_answer.set()

    def _wait_for_change(self, connection: Connection) -> None:
        deadline_s = self._monotonic() + self._poll_s
        while not self._stopping.is_set():
            left_s = deadline_s - self._monotonic()
            if left_s <= 0:
                return
            for _ in connection.notifies(timeout=min(_SLICE_S, left_s), stop_after=1):
                return
