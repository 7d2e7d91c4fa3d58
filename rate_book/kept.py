"""Contents of stored versions: from their parts, or from the text of those stored before there were parts."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from psycopg.errors import UndefinedColumn, UndefinedTable

from pricing.cards import BookContent, RateCard
from rate_book.content import content_from_json, content_hash, in_order
from rate_book.errors import NoBookError, StoreBrokenError
from rate_book.parts import CardKey, cards_of, pack, with_cards
from rate_book.shelf import read_cards, read_refs, read_rest, read_whole
from runtime.postgres import Connection


@dataclass(frozen=True, slots=True)
class Kept:
    """How a version is stored: as the root of its parts, or as its text."""

    version: int
    content_hash: str
    text: str | None
    root: bytes | None


def kept_version(connection: Connection, version: int) -> Kept:
    """Raises NoBookError: there is no such version."""
    query = "select content_hash, content, {} from rate_book.versions where version = %s"
    try:
        with connection.transaction():
            row = connection.execute(query.format("root").encode(), (version,)).fetchone()
    except UndefinedTable:
        row = None
    except UndefinedColumn:  # before the migration that brought parts
        with connection.transaction():
            row = connection.execute(query.format("null").encode(), (version,)).fetchone()
    if row is None:
        raise NoBookError(f"rate book: version {version} is not stored")
    hashed, text, root = row
    return Kept(version, str(hashed), cast("str | None", text), cast("bytes | None", root))


def content_of(
    connection: Connection, kept: Kept, same: Mapping[CardKey, tuple[bytes, RateCard]] | None = None
) -> BookContent:
    """The whole content; cards whose part is the one in `same` are taken from there.

    Raises:
        StoreBrokenError: what is stored does not have its hash.
    """
    if kept.root is not None:
        return read_whole(connection, _root(kept), same)
    return _from_text(kept)


def load_beside(
    connection: Connection, version: int, content: BookContent
) -> tuple[BookContent, BookContent]:
    """A version, and this content in order, to be compared: cards that are the same are the same objects."""
    packed = pack(content)
    return content_of(connection, kept_version(connection, version), packed.cards), packed.content


def load_named(connection: Connection, version: int, card_ids: Collection[str]) -> BookContent:
    """A version with only those of its cards that have one of these ids."""
    kept = kept_version(connection, version)
    if kept.root is None:
        return content_of(connection, kept)
    refs = [ref for ref in read_refs(connection, _root(kept), {}) if ref.card_id in card_ids]
    cards = read_cards(connection, refs)
    return with_cards(
        read_rest(connection, _root(kept)), ((group, card) for (group, _), card in cards.items())
    )


def load_two(connection: Connection, one: int, other: int) -> tuple[BookContent, BookContent]:
    """Two versions without the cards in which they do not differ. Raises NoBookError."""
    kept = [kept_version(connection, number) for number in (one, other)]
    if any(item.root is None for item in kept):
        first, second = (content_of(connection, item) for item in kept)
        return first, second
    known: dict[bytes, str] = {}
    refs = [set(read_refs(connection, _root(item), known)) for item in kept]
    result = []
    for item, mine, others in zip(kept, refs, refs[::-1], strict=True):
        cards = read_cards(connection, mine - others)
        found = sorted(cards.items())
        result.append(with_cards(read_rest(connection, _root(item)), ((key[0], card) for key, card in found)))
    return result[0], result[1]


def card_history(
    connection: Connection, numbers: Sequence[int], card_id: str
) -> Iterator[tuple[int, dict[CardKey, RateCard], dict[CardKey, RateCard]]]:
    """The cards of that id in each of these versions where they differ from the version before: version,
    before, after.
    """
    known: dict[bytes, str] = {}
    parts: frozenset[object] = frozenset()
    before: dict[CardKey, RateCard] = {}
    for number in numbers:
        kept = kept_version(connection, number)
        if kept.root is None:
            content = in_order(_from_text(kept))
            after = {
                (group, card.card_id): card for group, card in cards_of(content) if card.card_id == card_id
            }
            parts = frozenset()
        else:
            refs = [ref for ref in read_refs(connection, _root(kept), known) if ref.card_id == card_id]
            if parts and parts == frozenset(refs):
                continue
            parts = frozenset(refs)
            after = read_cards(connection, refs)
        if after != before:
            yield number, before, after
        before = after


def _root(kept: Kept) -> bytes:
    if kept.root is None or kept.root.hex() != kept.content_hash:
        raise StoreBrokenError(f"rate book: version {kept.version}: its root is not {kept.content_hash}")
    return kept.root


def _from_text(kept: Kept) -> BookContent:
    if kept.text is None or content_hash(kept.text) != kept.content_hash:
        raise StoreBrokenError(
            f"rate book: version {kept.version}: its content does not have the hash {kept.content_hash}"
        )
    return content_from_json(kept.text, f"rate book version {kept.version}")
