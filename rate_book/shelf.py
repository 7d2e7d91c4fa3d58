"""Versions of the book read from their parts: whole, or for rating with what was in force of late.

For rating, each card's versions in force from `KEPT_US` before PostgreSQL's time on are at hand as text, and
become cards when a call first needs them; older ones are fetched when a call's event time asks for them.
Answers are the same either way.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from functools import lru_cache

from pricing.cards import BookContent, CardVersion, RateCard
from rate_book.part_store import fetch_parts
from rate_book.parts import (
    CardKey,
    CardRef,
    Runs,
    needed_chunks,
    read_card,
    read_card_refs,
    read_chunk,
    read_root,
    rest_of,
    with_cards,
)
from runtime.postgres import Connection, run

KEPT_US = 43 * 24 * 3600 * 1_000_000
"""A rater meets event times of at most 42 days ago (a replay's); a day more for clocks."""

_WHOLE_CARDS_CACHED = 256
_FETCH_BUDGET_S = 10  # a rater that cannot fetch an old price within this stops: it must not guess


class Shelf:
    """The cards of one version: `recent` ones at hand, `whole` ones with what is fetched from PostgreSQL."""

    def __init__(
        self,
        dsn: str,
        loaded_from_us: int,
        cards: Mapping[CardKey, bytes],
        bodies: Mapping[bytes, str],
    ) -> None:
        self.loaded_from_us = loaded_from_us
        self.bodies = bodies
        self._dsn = dsn
        self._cards = cards
        self._whole = lru_cache(maxsize=_WHOLE_CARDS_CACHED)(self._fetch_whole)

    def recent(self, group: str, card_id: str) -> RateCard:
        """The card with its versions that end after `loaded_from_us`, and the one before a gap."""
        card, _, chunks = read_card(self.bodies[self._cards[group, card_id]])
        at_hand = needed_chunks(chunks, self.loaded_from_us)
        versions = [
            version
            for chunk in at_hand
            for version in read_chunk(self.bodies[chunk.part], self.loaded_from_us)
        ]
        return _with_versions(card, versions)

    def whole(self, group: str, card_id: str) -> RateCard:
        """The card with all its versions.

        Raises:
            DatabaseUnavailableError: PostgreSQL does not answer; nothing can be said about older instants.
        """
        return self._whole(group, card_id)

    def _fetch_whole(self, group: str, card_id: str) -> RateCard:
        card, _, chunks = read_card(self.bodies[self._cards[group, card_id]])
        missing = [chunk.part for chunk in chunks if chunk.part not in self.bodies]
        fetched = (
            run(
                self._dsn,
                lambda connection: fetch_parts(connection, missing),
                budget_s=_FETCH_BUDGET_S,
                application_name="ratestream-book-history",
            )
            if missing
            else {}
        )
        texts = (fetched.get(chunk.part) or self.bodies[chunk.part] for chunk in chunks)
        return _with_versions(card, (version for text in texts for version in read_chunk(text)))


def read_recent(
    connection: Connection, dsn: str, root: bytes, now_us: int, like: Shelf | None = None
) -> tuple[BookContent, Shelf]:
    """A version for rating: its content, with one version a card that stands for what its versions read, and
    where those are.

    Parts that `like` has are not fetched again.
    """
    known = like.bodies if like is not None else {}
    bodies: dict[bytes, str] = {}
    from_us = now_us - KEPT_US
    top, refs = _read_top(connection, root, known, bodies)
    _fetch(connection, (ref.part for ref in refs), known, bodies)
    cards = [(ref.group, read_card(bodies[ref.part])) for ref in refs]
    recent = (chunk.part for _, card in cards for chunk in needed_chunks(card.chunks, from_us))
    _fetch(connection, recent, known, bodies)
    read = ((group, _with_versions(card.card, (card.reads,))) for group, card in cards)
    shelf = Shelf(dsn, from_us, {ref.key: ref.part for ref in refs}, bodies)
    return with_cards(rest_of(top, bodies), read), shelf


def read_whole(
    connection: Connection, root: bytes, same: Mapping[CardKey, tuple[bytes, RateCard]] | None = None
) -> BookContent:
    """A version with everything. Cards whose part is the one in `same` are taken from there."""
    at_hand = same or {}
    bodies: dict[bytes, str] = {}
    top, refs = _read_top(connection, root, {}, bodies)
    other = [ref for ref in refs if at_hand.get(ref.key, (b"",))[0] != ref.part]
    cards = {ref.key: at_hand[ref.key][1] for ref in refs if ref.key in at_hand}
    cards |= read_cards(connection, other)
    return with_cards(rest_of(top, bodies), [(ref.group, cards[ref.key]) for ref in refs])


def read_rest(connection: Connection, root: bytes) -> BookContent:
    """All of a version but its cards."""
    bodies: dict[bytes, str] = {}
    top, _ = _read_top(connection, root, {}, bodies)
    return rest_of(top, bodies)


def read_refs(connection: Connection, root: bytes, known: dict[bytes, str]) -> list[CardRef]:
    """Where each card of a version is; `known` keeps the runs that versions share."""
    top = read_root(fetch_parts(connection, [root])[root])
    missing = [part for part in top.get("cards", ()) if part not in known]
    known |= fetch_parts(connection, missing)
    return [ref for part in top.get("cards", ()) for ref in read_card_refs(known[part])]


def read_cards(connection: Connection, refs: Iterable[CardRef]) -> dict[CardKey, RateCard]:
    """These cards with all their versions."""
    wanted = list(refs)
    texts = fetch_parts(connection, {ref.part for ref in wanted})
    found = {ref.key: read_card(texts[ref.part]) for ref in wanted}
    bodies = fetch_parts(connection, {chunk.part for stored in found.values() for chunk in stored.chunks})
    return {
        key: _with_versions(
            stored.card, (version for chunk in stored.chunks for version in read_chunk(bodies[chunk.part]))
        )
        for key, stored in found.items()
    }


def _read_top(
    connection: Connection, root: bytes, known: Mapping[bytes, str], bodies: dict[bytes, str]
) -> tuple[Runs, list[CardRef]]:
    _fetch(connection, [root], known, bodies)
    top = read_root(bodies[root])
    _fetch(connection, (part for parts in top.values() for part in parts), known, bodies)
    return top, [ref for part in top.get("cards", ()) for ref in read_card_refs(bodies[part])]


def _fetch(
    connection: Connection, parts: Iterable[bytes], known: Mapping[bytes, str], bodies: dict[bytes, str]
) -> None:
    missing = set()
    for part in parts:
        text = known.get(part)
        if text is None:
            missing.add(part)
        else:
            bodies[part] = text
    bodies |= fetch_parts(connection, missing)


def _with_versions(card: RateCard, versions: Iterable[CardVersion]) -> RateCard:
    return dataclasses.replace(card, versions=tuple(versions))
