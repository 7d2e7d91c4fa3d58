"""The poller: the newest version within moments, and the last confirmation while PostgreSQL is away."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pricing.cards import BookContent, CardVersion, Cell, Rate, RateCard
from pricing.compile import compile_book
from rate_book.errors import BookPollerError, NoBookError
from rate_book.shelf import Shelf
from rate_book.source import BookPoller, Confirmed, StaticSource
from rate_book.store import apply
from runtime.postgres import connect, migrate
from tests.fix_postgres import PostgresFixture

pytestmark = pytest.mark.postgres

DEADLINE_S = 20.0
LEAD_US = 900_000_000


def content(rate: str) -> BookContent:
    version = CardVersion(Cell((Rate("input_tokens", rate),)))
    return BookContent(provider_cards=(RateCard("p/m", "p", "USD", (version,), models=("m",)),))


def put(postgres: PostgresFixture, rate: str) -> None:
    with connect(postgres.dsn) as connection:
        migrate(connection)
        apply(connection, content(rate), author="test", lead_us=LEAD_US, retroactive=True)


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, "condition not met in time"
        pause.wait(0.02)


@contextmanager
def polling(dsn: str, poll_s: float) -> Iterator[BookPoller]:
    poller = BookPoller(dsn, poll_s=poll_s)
    poller.start()
    try:
        yield poller
    finally:
        poller.stop()


class Gate:
    """A TCP door to PostgreSQL that a test can shut: PostgreSQL is away for whoever goes through it."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open = True
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        self._open = False
        for item in self._sockets:
            with suppress(OSError):  # the other side may have closed it already
                item.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    def open(self) -> None:
        self._open = True

    def close(self) -> None:
        self.shut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                inner, _ = self._listener.accept()
            except OSError:
                return
            if not self._open:
                inner.close()
                continue
            outer = socket.create_connection(self._target)
            self._sockets += [inner, outer]
            for source, target in ((inner, outer), (outer, inner)):
                threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with source:
        try:
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


@pytest.fixture
def gate(postgres: PostgresFixture) -> Iterator[Gate]:
    parts = conninfo_to_dict(postgres.dsn)
    opened = Gate(str(parts["host"]), int(str(parts["port"])))
    yield opened
    opened.close()


def test_the_newest_version_comes_by_notify_long_before_the_next_poll(postgres: PostgresFixture) -> None:
    put(postgres, "1")
    with polling(postgres.dsn, poll_s=3600) as poller:
        first = poller.wait_first(DEADLINE_S)
        assert first.book.version == 1
        assert first.lead_us == LEAD_US
        assert first.horizon_us == first.confirmed_us + LEAD_US
        put(postgres, "2")
        until(lambda: poller.newest().book.version == 2)


def test_each_poll_moves_the_horizon_and_keeps_the_compiled_book(postgres: PostgresFixture) -> None:
    put(postgres, "1")
    with polling(postgres.dsn, poll_s=0.05) as poller:
        first = poller.wait_first(DEADLINE_S)
        until(lambda: poller.newest().confirmed_us > first.confirmed_us)
        assert poller.newest().book is first.book


def test_without_a_book_there_is_nothing_to_rate_by_until_one_is_applied(postgres: PostgresFixture) -> None:
    with polling(postgres.dsn, poll_s=0.1) as poller:
        until(lambda: poller.last_error is not None)
        with pytest.raises(NoBookError, match="no version is stored"):
            poller.newest()
        put(postgres, "1")
        assert poller.wait_first(DEADLINE_S).book.version == 1
        until(lambda: poller.last_error is None)


def test_while_postgresql_is_away_the_last_confirmation_stays(postgres: PostgresFixture, gate: Gate) -> None:
    put(postgres, "1")
    dsn = make_conninfo(postgres.dsn, host="127.0.0.1", port=gate.port)
    with polling(dsn, poll_s=0.1) as poller:
        poller.wait_first(DEADLINE_S)
        gate.shut()
        until(lambda: poller.last_error is not None)
        held = poller.newest()
        assert held.book.version == 1
        put(postgres, "2")
        assert poller.newest() == held
        gate.open()
        until(lambda: poller.newest().book.version == 2)
        until(lambda: poller.last_error is None)


def test_a_database_that_went_back_in_time_is_refused(postgres: PostgresFixture) -> None:
    put(postgres, "1")
    put(postgres, "2")
    with polling(postgres.dsn, poll_s=0.1) as poller:
        assert poller.wait_first(DEADLINE_S).book.version == 2
        with psycopg.connect(postgres.dsn) as connection:
            connection.execute("alter table rate_book.versions disable trigger user")
            connection.execute("delete from rate_book.versions where version = 2")
        until(lambda: "went back in time" in (poller.last_error or ""))
        assert poller.newest().book.version == 2


def test_a_thread_that_ends_by_a_bug_is_told_to_whoever_asks(
    postgres: PostgresFixture, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The first check confirms version 1; then a bug ends the thread: nothing is told any more."""
    put(postgres, "1")
    with polling(postgres.dsn, poll_s=0.05) as poller:
        poller.wait_first(DEADLINE_S)

        def bug(_connection: object) -> None:
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr("rate_book.source.check_newest", bug)
        until(lambda: not poller._thread.is_alive())
        with pytest.raises(BookPollerError, match="a bug") as caught:
            poller.newest()
        assert caught.value.exit_code == 3
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "the thread that confirms versions ends" in caplog.text


def test_a_bug_before_the_first_answer_keeps_nobody_waiting(
    postgres: PostgresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rate_book.source.connect", None)
    with polling(postgres.dsn, poll_s=3600) as poller, pytest.raises(BookPollerError, match="TypeError"):
        poller.wait_first(3600)


def test_a_poller_that_was_stopped_still_tells_what_it_confirmed(postgres: PostgresFixture) -> None:
    put(postgres, "1")
    with polling(postgres.dsn, poll_s=0.05) as poller:
        confirmed = poller.wait_first(DEADLINE_S)
    assert poller.newest().book is confirmed.book


def test_the_poller_loads_for_rating_and_shares_parts_with_the_version_before(
    postgres: PostgresFixture,
) -> None:
    put(postgres, "1")
    with polling(postgres.dsn, poll_s=3600) as poller:
        first = poller.wait_first(DEADLINE_S).book.shelf
        put(postgres, "2")
        until(lambda: poller.newest().book.version == 2)
        second = poller.newest().book.shelf
    assert isinstance(first, Shelf)
    assert isinstance(second, Shelf)
    assert [version.base.rates[0].rate for version in second.recent("", "p/m").versions] == ["2"]


def test_a_static_source_always_confirms() -> None:
    book = compile_book(content("1"), 1, "")
    assert StaticSource(book, 5, 7).newest() == Confirmed(book, 5, 7)
