"""The rate book in PostgreSQL: immutable versions in one order, and the lead that lets raters trust what
they hold.

A version is stored as the root of a tree of parts (`rate_book.parts`); those stored before there were parts
have their text. apply does first what is slow and takes no lock:
1. check the book and make its parts; compare it with the newest version; store the parts that are missing: no
   version names them yet, so nobody sees them;
then in one transaction:
2. take the advisory lock exclusively (checks take it shared), so that no check is under way;
3. read PostgreSQL's time: later than that of every check that found the older version newest;
4. if another version became the newest meanwhile, let go and compare again (the last try compares here);
5. the same content and lead is no new version;
6. refuse a change that takes effect before some rater's horizon may have passed (that time + the newest
   version's lead, and for each older version the time it was replaced + its lead), unless it is declared
   retroactive; the first version of an empty book may be in force at any instant;
7. append, and notify at commit.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from psycopg.errors import UndefinedTable

from pricing.cards import BookContent
from pricing.compile import CompiledBook, compile_book
from pricing.instants import instant_text
from rate_book.changes import Change, changes
from rate_book.content import canonical_json
from rate_book.errors import BookInvalidError, ChangeTooSoonError, StoreBrokenError
from rate_book.instants import format_from, moment
from rate_book.kept import Kept, content_of, kept_version
from rate_book.part_store import put_parts
from rate_book.parts import Packed, pack
from rate_book.shelf import Shelf, read_recent
from runtime.postgres import RATE_BOOK_LOCK, Connection, where

NOTIFY_CHANNEL = "ratestream_book"
BOOK_LEAD_US = 15 * 60 * 1_000_000
"""The default lead: how long before it takes effect a change must be applied."""

_NOW_US = "(extract(epoch from clock_timestamp()) * 1000000)::bigint"
_HELD_US = """
    select coalesce(max((extract(epoch from replaced_at) * 1000000)::bigint + lead_us), 0)
    from (select lead_us, lead(recorded_at) over (order by version) as replaced_at from rate_book.versions) v
"""
"""Until when a rater may rely on an older version: it confirmed it just before the next was recorded, and
relies on it by the lead that it records; shortening the lead takes nothing of that back.
"""
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
    """The outcome of an apply: the newest version, whether this apply made it, and the instant up to which a
    rater may still rate by an older version (None: there was none, or nothing changed).
    """

    stored: StoredVersion
    is_new: bool
    relied_until_us: int | None = None


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
    dry_run: bool = False,
) -> Applied:
    """Make `content` the newest version and commit. The connection must not be inside a transaction.

    With `dry_run` nothing is stored: the outcome, or the refusal, is what an apply at this moment would have.

    Raises:
        pricing.errors.BookError: the content does not compile; every fault is named.
        ChangeTooSoonError: something would take effect before the lead allows, and `retroactive` was not
        given.
        BookInvalidError: a pool that is known would be in another currency.
    """
    compile_book(content, 0, "")
    packed = pack(content)
    draft = _Draft(packed, author, lead_us, retroactive=retroactive)
    compared = _compare(connection, draft)
    early = _version_after(connection, compared, draft)
    if dry_run:
        return early
    if early.is_new:
        put_parts(connection, packed.bodies)
    for last in (False, False, True):
        with connection.transaction():
            connection.execute("select pg_advisory_xact_lock(%s)", (RATE_BOOK_LOCK,))
            is_newest = _newest(connection) == compared.newest
            if is_newest or last:
                if not is_newest:
                    compared = _compare(connection, draft)
                outcome = _version_after(connection, compared, draft)
                if outcome.is_new:
                    if not early.is_new:
                        put_parts(connection, packed.bodies)
                    _append(connection, outcome.stored, packed.root)
                return outcome
        compared = _compare(connection, draft)
    raise AssertionError("the last try returns")


@dataclass(frozen=True, slots=True)
class _Draft:
    """What shall become a version."""

    packed: Packed
    author: str
    lead_us: int
    retroactive: bool


@dataclass(frozen=True, slots=True)
class _Compared:
    """A draft beside the version that was the newest: the same, or what it changes."""

    newest: StoredVersion | None
    is_same: bool
    touched: tuple[Change, ...]


def _compare(connection: Connection, draft: _Draft) -> _Compared:
    newest = _newest(connection)
    if newest is None:
        return _Compared(None, is_same=False, touched=changes(BookContent(), draft.packed.content))
    kept = kept_version(connection, newest.version)
    same = kept.root == draft.packed.root or kept.text == _text_if(kept, draft.packed.content)
    if same:
        return _Compared(newest, is_same=True, touched=())
    before = content_of(connection, kept, draft.packed.cards)
    _check_pools(before, draft.packed.content)
    return _Compared(newest, is_same=False, touched=changes(before, draft.packed.content))


def _check_pools(before: BookContent, after: BookContent) -> None:
    """A pool keeps its currency for ever: a period that has begun would go on in another one."""
    known = _pool_currencies(before)
    for (price_card, pool), currency in _pool_currencies(after).items():
        held = known.get((price_card, pool), currency)
        if held != currency:
            raise BookInvalidError(
                f"price card {price_card}, pool {pool}",
                "currency",
                currency,
                f"its periods are billed in {held}: a pool in another currency needs another name",
            )


def _pool_currencies(content: BookContent) -> dict[tuple[str, str], str]:
    return {
        (price_card.price_card_id, pool.pool): pool.currency
        for price_card in content.price_cards
        for pool in price_card.pools
    }


def _version_after(connection: Connection, compared: _Compared, draft: _Draft) -> Applied:
    """The version that the draft becomes now; or the newest, which has the same content and lead."""
    newest, touched = compared.newest, compared.touched
    now_us = _integer(connection, f"select {_NOW_US}")
    relied_until_us = None
    if newest is not None:
        if compared.is_same and newest.lead_us == draft.lead_us:
            return Applied(newest, is_new=False)
        relied_until_us = max(now_us + newest.lead_us, _integer(connection, _HELD_US))
        if not draft.retroactive:
            _check_lead(touched, relied_until_us)
    stored = StoredVersion(
        version=newest.version + 1 if newest else 1,
        content_hash=draft.packed.root.hex(),
        author=draft.author,
        recorded_us=now_us,
        lead_us=draft.lead_us,
        in_force_us=touched[0].from_us if touched else now_us,
        retroactive=draft.retroactive,
        touches=touched,
    )
    return Applied(stored, is_new=True, relied_until_us=relied_until_us)


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
    return content_of(connection, kept_version(connection, version))


def load_compiled(
    connection: Connection, version: int, dsn: str | None = None, like: CompiledBook | None = None
) -> CompiledBook:
    """A version ready to rate with; loaded once per process. Raises as `load_version`.

    With a `dsn` only what was in force in the last 43 days is loaded at once; prices of older instants are
    fetched by that DSN when a call needs them, and then a call may raise DatabaseUnavailableError. What the
    book `like` has loaded in this way is not fetched again.
    """
    kept = kept_version(connection, version)
    held = _compiled(version, kept.content_hash, None if dsn is None else where(dsn))
    if held.book is None:
        if dsn is None or kept.root is None:
            held.book = compile_book(content_of(connection, kept), version, kept.content_hash)
        else:
            now_us = _integer(connection, f"select {_NOW_US}")
            shelf = like.shelf if like is not None and isinstance(like.shelf, Shelf) else None
            content, shelf = read_recent(connection, dsn, kept.root, now_us, shelf)
            held.book = compile_book(content, version, kept.content_hash, shelf)
    return held.book


class _Held:
    """A place for one compiled book."""

    book: CompiledBook | None = None


@lru_cache(maxsize=8)
def _compiled(version: int, hashed: str, place: str | None) -> _Held:  # noqa: ARG001 - the arguments are the key
    return _Held()


def _text_if(kept: Kept, content: BookContent) -> str:
    """The content as text where the version is kept so; else nothing that a version could be."""
    return canonical_json(content) if kept.text is not None else ""


def _newest(connection: Connection) -> StoredVersion | None:
    return next(iter(versions(connection, 1)), None)


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


def _append(connection: Connection, stored: StoredVersion, root: bytes) -> None:
    touches = json.dumps([{"what": change.what, "from_us": change.from_us} for change in stored.touches])
    connection.execute(
        "insert into rate_book.versions (version, root, content_hash, author, recorded_at, lead_us,"
        " in_force_us, retroactive, touches) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            stored.version,
            root,
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


def _integer(connection: Connection, query: str) -> int:
    with connection.transaction():
        row = connection.execute(query.encode()).fetchone()
    if row is None:
        raise StoreBrokenError(f"PostgreSQL gave no row for: {query}")
    return int(str(row[0]))
