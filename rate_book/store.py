"""The rate book in PostgreSQL: immutable versions in one order, and the lead that lets raters trust what
they hold.

apply, in one transaction:
1. take the advisory lock exclusively (checks take it shared), so that no check is under way;
2. read PostgreSQL's time: later than that of every check that found the older version newest;
3. compare with the newest version: the same content and lead is no new version;
4. refuse a change that takes effect before some rater's horizon may have passed (that time + the newest
   version's lead, and for each older version the time it was replaced + its lead), unless it is declared
   retroactive; the first version of an empty book may be in force at any instant;
5. append, and notify at commit.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from psycopg.errors import UndefinedTable

from pricing.cards import BookContent
from pricing.compile import CompiledBook, compile_book
from pricing.instants import instant_text
from rate_book.changes import Change, changes
from rate_book.content import canonical_json, content_from_json, content_hash
from rate_book.errors import ChangeTooSoonError, NoBookError, StoreBrokenError
from rate_book.instants import format_from, moment
from runtime.postgres import RATE_BOOK_LOCK, Connection

NOTIFY_CHANNEL = "ratestream_book"
BOOK_LEAD_US = 15 * 60 * 1_000_000
"""The default lead: how long before it takes effect a change must be applied."""

_NOW_US = "(extract(epoch from clock_timestamp()) * 1000000)::bigint"
_TOUCHES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version without its content. Instants in microseconds UTC; `in_force_us` None is since ever."""

    version: int
    content_hash: str
    author: str
    recorded_us: int
    lead_us: int
    in_force_us: int | None
    retroactive: bool
    touches: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome of an apply: the newest version, and whether this apply made it."""

    stored: StoredVersion
    is_new: bool


@dataclass(frozen=True, slots=True)
class Newest:
    """What a check found under the lock, and PostgreSQL's time then."""

    version: int
    content_hash: str
    lead_us: int
    checked_us: int


def apply(
    connection: Connection,
    content: BookContent,
    *,
    author: str,
    lead_us: int = BOOK_LEAD_US,
    retroactive: bool = False,
) -> Applied:
    """Make `content` the newest version and commit. The connection must not be inside a transaction.

    Raises:
        pricing.errors.BookError: the content does not compile; every fault is named.
        ChangeTooSoonError: something would take effect before the lead allows, and `retroactive` was not
        given.
    """
    text = canonical_json(content)
    hashed = content_hash(text)
    compile_book(content, 0, hashed)
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", (RATE_BOOK_LOCK,))
        now_us = _integer(connection, f"select {_NOW_US}")
        known = versions(connection)
        newest = known[:1]
        if newest and newest[0].content_hash == hashed and newest[0].lead_us == lead_us:
            return Applied(newest[0], is_new=False)
        before = load_version(connection, newest[0].version) if newest else BookContent()
        touched = changes(before, content)
        if newest and not retroactive:
            _check_lead(touched, _required_us(now_us, known))
        stored = StoredVersion(
            version=newest[0].version + 1 if newest else 1,
            content_hash=hashed,
            author=author,
            recorded_us=now_us,
            lead_us=lead_us,
            in_force_us=touched[0].from_us if touched else now_us,
            retroactive=retroactive,
            touches=touched,
        )
        _append(connection, stored, text)
    return Applied(stored, is_new=True)


def check_newest(connection: Connection) -> Newest | None:
    """The newest version and PostgreSQL's time while no apply is under way; None: no version is stored."""
    try:
        with connection.transaction():
            connection.execute("select pg_advisory_xact_lock_shared(%s)", (RATE_BOOK_LOCK,))
            row = connection.execute(
                f"select version, content_hash, lead_us, {_NOW_US} from rate_book.versions"  # noqa: S608 - a constant
                " order by version desc limit 1"
            ).fetchone()
    except UndefinedTable:
        return None
    if row is None:
        return None
    version, hashed, lead_us, now_us = row
    return Newest(int(str(version)), str(hashed), int(str(lead_us)), int(str(now_us)))


def versions(connection: Connection, limit: int = 1_000_000) -> list[StoredVersion]:
    """The versions, newest first; none where the book was never applied."""
    try:
        with connection.transaction():
            rows = connection.execute(
                "select version, content_hash, author, (extract(epoch from recorded_at) * 1000000)::bigint,"
                " lead_us, in_force_us, retroactive, touches"
                " from rate_book.versions order by version desc limit %s",
                (limit,),
            ).fetchall()
    except UndefinedTable:
        return []
    return [_stored(row) for row in rows]


def load_version(connection: Connection, version: int) -> BookContent:
    """The content of a version. Raises NoBookError where there is none, StoreBrokenError where its hash is
    not.
    """
    return _content(*_text(connection, version), version)


def load_compiled(connection: Connection, version: int) -> CompiledBook:
    """A version ready to rate with; compiled once per process. Raises as `load_version`."""
    row = connection.execute(
        "select content_hash from rate_book.versions where version = %s", (version,)
    ).fetchone()
    if row is None:
        raise NoBookError(f"rate book: version {version} is not stored")
    hashed = str(row[0])
    held = _compiled(version, hashed)
    if held.book is None:
        held.book = compile_book(load_version(connection, version), version, hashed)
    return held.book


class _Held:
    """A place for one compiled book."""

    book: CompiledBook | None = None


@lru_cache(maxsize=16)
def _compiled(version: int, hashed: str) -> _Held:  # noqa: ARG001 - the arguments are the key
    return _Held()


def _required_us(now_us: int, known: Sequence[StoredVersion]) -> int:
    """From when on a change may take effect: after every horizon that some rater may still hold.

    A rater that confirmed version k just before version k + 1 was recorded relies on k, by the lead that k
    records, until then; shortening the lead takes nothing of that back. `known` is newest first.
    """
    held = [newer.recorded_us + older.lead_us for newer, older in pairwise(known)]
    return max([now_us + known[0].lead_us, *held])


def _check_lead(touched: Sequence[Change], required_us: int) -> None:
    early = [change for change in touched if change.from_us is None or change.from_us < required_us]
    if not early:
        return
    shown = "; ".join(
        f"{change.what} from {format_from(change.from_us)}" for change in early[:_TOUCHES_SHOWN]
    )
    more = f" and {len(early) - _TOUCHES_SHOWN} more" if len(early) > _TOUCHES_SHOWN else ""
    raise ChangeTooSoonError(
        f"rate book: {shown}{more}: a change must take effect at {instant_text(required_us)} or later"
        " (until then raters may rely on an older version); date it later, or apply it with --retroactive and"
        " re-rate",
        early[0].from_us,
        required_us,
    )


def _append(connection: Connection, stored: StoredVersion, text: str) -> None:
    touches = json.dumps([{"what": change.what, "from_us": change.from_us} for change in stored.touches])
    connection.execute(
        "insert into rate_book.versions (version, content, content_hash, author, recorded_at, lead_us,"
        " in_force_us, retroactive, touches) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            stored.version,
            text,
            stored.content_hash,
            stored.author,
            moment(stored.recorded_us),
            stored.lead_us,
            stored.in_force_us,
            stored.retroactive,
            touches,
        ),
    )
    connection.execute("select pg_notify(%s, %s)", (NOTIFY_CHANNEL, str(stored.version)))


def _stored(row: Sequence[object]) -> StoredVersion:
    version, hashed, author, recorded_us, lead_us, in_force_us, retroactive, touches = row
    return StoredVersion(
        version=int(str(version)),
        content_hash=str(hashed),
        author=str(author),
        recorded_us=int(str(recorded_us)),
        lead_us=int(str(lead_us)),
        in_force_us=None if in_force_us is None else int(str(in_force_us)),
        retroactive=bool(retroactive),
        touches=tuple(Change(item["what"], item["from_us"]) for item in json.loads(str(touches))),
    )


def _text(connection: Connection, version: int) -> tuple[str, str]:
    row = connection.execute(
        "select content, content_hash from rate_book.versions where version = %s", (version,)
    ).fetchone()
    if row is None:
        raise NoBookError(f"rate book: version {version} is not stored")
    return str(row[0]), str(row[1])


def _content(text: str, hashed: str, version: int) -> BookContent:
    if content_hash(text) != hashed:
        raise StoreBrokenError(f"rate book: version {version}: its content does not have the hash {hashed}")
    return content_from_json(text, f"rate book version {version}")


def _integer(connection: Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    if row is None:
        raise StoreBrokenError(f"PostgreSQL gave no row for: {query}")
    return int(str(row[0]))
