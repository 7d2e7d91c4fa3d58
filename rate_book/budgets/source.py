"""Where services get the budgets from: the newest version, kept at hand by a thread."""

import logging
import threading
import time
from collections.abc import Callable

import psycopg

from pricing.budgets import BudgetBook
from rate_book.budgets.errors import BudgetsUnknownError
from rate_book.budgets.store import NOTIFY_CHANNEL, newest_book
from rate_book.errors import RateBookError, StoreBrokenError
from runtime.postgres import Connection, DatabaseError, connect

log = logging.getLogger(__name__)

_SLICE_S = 0.25  # how long a stop may have to wait for the thread
_BACKOFF_FIRST_S = 0.2


class BudgetSource:
    """A thread that keeps the newest budgets at hand: it polls every `poll_s` and listens to NOTIFY.

    While PostgreSQL is away it keeps what it had and says why in `last_error`. It never goes back to a lower
    version. An error that is none of PostgreSQL or of the store ends it, and then whoever asks is told.
    """

    def __init__(
        self,
        dsn: str,
        *,
        poll_s: float = 2,
        application_name: str = "ratestream-budgets",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dsn = dsn
        self._poll_s = poll_s
        self._application_name = application_name
        self._monotonic = monotonic
        self._book: BudgetBook | None = None
        self._first_answer = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="budget-source", daemon=True)
        self._failure: Exception | None = None
        self.last_error: str | None = None
        """Why the last look failed; None after one that succeeded."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread; the newest version stays readable."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def newest(self) -> BudgetBook:
        """The newest version that was seen; version 0 without budgets where none was ever applied.

        Raises:
            BudgetsUnknownError: nothing was read yet, or the thread has ended and nobody stopped it.
        """
        is_gone = self._thread.ident is not None and not self._thread.is_alive()
        if self._failure is not None or (is_gone and not self._stopping.is_set()):
            raise BudgetsUnknownError(
                f"budgets: the thread that reads them has ended: {self._failure!r}"
            ) from self._failure
        book = self._book
        if book is None:
            raise BudgetsUnknownError(f"budgets: not read yet: {self.last_error or 'no look has ended'}")
        return book

    def wait_first(self, timeout_s: float) -> BudgetBook:
        """The first answer, waiting for it at most `timeout_s`. Raises BudgetsUnknownError."""
        self._first_answer.wait(timeout_s)
        return self.newest()

    def _run(self) -> None:
        try:
            self._poll()
        except Exception as error:
            self._failure = error
            log.exception("budgets: the thread that reads them ends")
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
                        self._look(connection)
                        pause_s = _BACKOFF_FIRST_S
                        self._wait_for_change(connection)
            except (DatabaseError, RateBookError, psycopg.Error) as error:
                self.last_error = str(error).strip()
                log.warning("budgets: %s; again in %.1f s", self.last_error, pause_s)
                self._stopping.wait(pause_s)
                pause_s = min(pause_s * 2, self._poll_s)

    def _look(self, connection: Connection) -> None:
        held = self._book
        book = newest_book(connection, held)
        if held is not None and book.version < held.version:
            raise StoreBrokenError(
                f"budgets: version {book.version} is the newest stored, but {held.version} was read before:"
                " the database went back in time, restore it"
            )
        if held is None or book.version != held.version:
            log.info("budgets: version %d, %d budgets", book.version, len(book.budgets))
        self._book = book
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
