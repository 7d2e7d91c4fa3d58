"""A book as a tree of immutable parts, each named by the SHA-256 of its text.

    root          JSON: the runs of each list of the book
    ├── run       some lines of one list (contracts, assignments ...), one JSON value a line
    └── run of cards   [group, card id, hash of the card] a line, in order of group and id
        └── card       the card without its versions; what they read; then one line a chunk: from, to, hash
            └── chunk  a few versions of the card in order of time, one a line: from, to, JSON

A part's text depends on the content alone, never on the clock, so the same content has the same root, and the
root's hash commits to every rate. A changed price makes a new chunk, card, run and root; all else is shared
with the version before. A run ends after a line whose own hash says so, so that a line more or less moves no
other run.
"""

import dataclasses
import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from pricing.cards import (
    BookContent,
    CardVersion,
    Cell,
    ContextKey,
    Multiplier,
    NotBilled,
    PriceCard,
    Rate,
    RateCard,
    Schedule,
)
from rate_book.content import from_plain, in_order, plain
from rate_book.errors import BookInvalidError, StoreBrokenError

PROVIDERS = ""
"""The group of the provider cards; that of a price card's cards is the price card's id."""

CHUNK_VERSIONS = 8
_RUN_ENDS_BELOW = 4  # of 256: a run has 64 lines on average
_SINCE_EVER, _NO_END = -(2**62), 2**62

CardKey = tuple[str, str]
"""Group and card id."""
Put = Callable[[str], bytes]
"""Takes a part's text, gives its hash."""


class CardRef(NamedTuple):
    """Where a card of a version is."""

    group: str
    card_id: str
    part: bytes

    @property
    def key(self) -> CardKey:
        return self.group, self.card_id


class ChunkRef(NamedTuple):
    """Versions of a card from the start of the first to the end of the last, in microseconds UTC."""

    from_us: int
    to_us: int
    part: bytes


Runs = Mapping[str, tuple[bytes, ...]]
"""The first level of a version: the runs of each list of the book by its name, and those of its `cards`."""


class StoredCard(NamedTuple):
    """A card without its versions, a version that stands for what they read, and where they are in order of
    time.
    """

    card: RateCard
    reads: CardVersion
    chunks: tuple[ChunkRef, ...]


class Packed(NamedTuple):
    """A whole book in parts, and in order; `cards` are those of the content, by key, with their parts."""

    content: BookContent
    root: bytes
    bodies: dict[bytes, str]
    cards: dict[CardKey, tuple[bytes, RateCard]]


def part_hash(body: str) -> bytes:
    return hashlib.sha256(body.encode()).digest()


def pack(content: BookContent) -> Packed:
    """The parts of a sound book. Raises BookInvalidError where a price card has no id."""
    bodies: dict[bytes, str] = {}

    def put(body: str) -> bytes:
        hashed = part_hash(body)
        bodies[hashed] = body
        return hashed

    packer = Packer(put)
    cards = {}
    content = in_order(content)
    for group, card in cards_of(content):
        cards[group, card.card_id] = (packer.add_card(group, card), card)
    return Packed(content, packer.finish(content), bodies, cards)


def book_hash(content: BookContent) -> str:
    """The hash, in hex, that a version with this content has in the store."""
    return pack(content).root.hex()


def cards_of(content: BookContent) -> Iterator[tuple[str, RateCard]]:
    """Every card with its group."""
    for card in content.provider_cards:
        yield PROVIDERS, card
    for price_card in content.price_cards:
        if price_card.price_card_id == PROVIDERS:
            raise BookInvalidError("book", "price_card", PROVIDERS, "must not be empty")
        for card in price_card.cards:
            yield price_card.price_card_id, card


class Packer:
    """Makes parts card by card, so that a book need not be in memory whole. The content is one `in_order`."""

    def __init__(self, put: Put) -> None:
        self._put = put
        self._cards: list[CardRef] = []

    def add_card(self, group: str, card: RateCard) -> bytes:
        """Put a card's parts; its hash."""
        lines = [_line(dataclasses.replace(card, versions=())), _line(_all_that_is_read(card.versions))]
        for start in range(0, len(card.versions), CHUNK_VERSIONS):
            chunk = card.versions[start : start + CHUNK_VERSIONS]
            body = "\n".join(f"{_from(item)} {_to(item)} {_line(item)}" for item in chunk)
            lines.append(f"{_from(chunk[0])} {_to(chunk[-1])} {self._put(body).hex()}")
        part = self._put("\n".join(lines))
        self._cards.append(CardRef(group, card.card_id, part))
        return part

    def finish(self, content: BookContent) -> bytes:
        """Put all of the book but the cards' own parts; the root's hash."""
        plain_cards = tuple(dataclasses.replace(card, cards=()) for card in content.price_cards)
        content = dataclasses.replace(content, provider_cards=(), price_cards=plain_cards)
        runs: dict[str, list[str]] = {}
        for field in dataclasses.fields(BookContent):
            items = getattr(content, field.name)
            if items != field.default:
                lines = [_line(item) for item in items]
                runs[field.name] = [self._put(body).hex() for body in _runs(zip(lines, lines, strict=True))]
        refs = (
            (f"{ref.group}\n{ref.card_id}", _dumps([ref.group, ref.card_id, ref.part.hex()]))
            for ref in sorted(self._cards)
        )
        runs["cards"] = [self._put(body).hex() for body in _runs(refs)]
        return self._put(_dumps(runs))


def _runs(lines: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The lines in runs that end where a line's key says so."""
    run: list[str] = []
    for key, line in lines:
        run.append(line)
        if hashlib.sha256(key.encode()).digest()[0] < _RUN_ENDS_BELOW:
            yield "\n".join(run)
            run = []
    if run:
        yield "\n".join(run)


def _line(item: object) -> str:
    return _dumps(plain(item))


def _dumps(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _all_that_is_read(versions: Iterable[CardVersion]) -> CardVersion:
    """A version that reads of a call and its event what any of these reads; it prices nothing."""
    keys, dated, included = set(), set(), set()
    acts: set[tuple[str, str]] = set()
    billed: set[tuple[str, str]] = set()
    tiles: Rate | None = None
    for version in versions:
        keys |= {key.key for key in version.context}
        dated |= {schedule.key for schedule in version.schedules}
        included |= set(version.included)
        acts |= {pair for multiplier in version.multipliers for pair in multiplier.when}
        billed |= {pair for rule in version.not_billed for pair in rule.when}
        tiles = tiles or next((rate for rate in _rates(version) if rate.tiles is not None), None)
    return CardVersion(
        Cell((tiles,) if tiles is not None else ()),
        context=tuple(ContextKey(key, (), None) for key in sorted(keys)),
        schedules=tuple(Schedule(key, "", ()) for key in sorted(dated)),
        included=tuple(sorted(included)),
        multipliers=(Multiplier("", "1", tuple(sorted(acts))),) if acts else (),
        not_billed=(NotBilled(tuple(sorted(billed))),) if billed else (),
    )


def _rates(version: CardVersion) -> Iterator[Rate]:
    for cell in (version.base, *(variant.cell for variant in version.variants)):
        yield from cell.rates
        for step in cell.thresholds.steps if cell.thresholds is not None else ():
            yield from step.rates


def _from(version: CardVersion) -> int:
    return _SINCE_EVER if version.valid_from_us is None else version.valid_from_us


def _to(version: CardVersion) -> int:
    return _NO_END if version.valid_to_us is None else version.valid_to_us


def read_root(body: str) -> Runs:
    return {name: tuple(map(bytes.fromhex, hashes)) for name, hashes in json.loads(body).items()}


def read_card_refs(body: str) -> Iterator[CardRef]:
    for line in body.split("\n"):
        group, card_id, part = json.loads(line)
        yield CardRef(group, card_id, bytes.fromhex(part))


def read_card(body: str) -> StoredCard:
    header, reads, *lines = body.split("\n")
    chunks = []
    for line in lines:
        start, end, part = line.split(" ")
        chunks.append(ChunkRef(int(start), int(end), bytes.fromhex(part)))
    card = from_plain(RateCard, json.loads(header), "card")
    return StoredCard(card, _read_version(reads), tuple(chunks))


@lru_cache(maxsize=1024)
def _read_version(text: str) -> CardVersion:
    """Remembered, since most cards of a book read the same."""
    return from_plain(CardVersion, json.loads(text), "card version")


def read_chunk(body: str, from_us: int = _SINCE_EVER) -> list[CardVersion]:
    """The versions of a chunk that end after `from_us`, and the last that does not."""
    lines = body.split("\n")
    first = 0
    for position, line in enumerate(lines):
        if int(line.split(" ", 2)[1]) <= from_us:
            first = position
    return [
        from_plain(CardVersion, json.loads(line.split(" ", 2)[2]), "card version") for line in lines[first:]
    ]


def needed_chunks(chunks: tuple[ChunkRef, ...], from_us: int) -> tuple[ChunkRef, ...]:
    """The chunks with a version that ends after `from_us`; and, where none is in force then, with the version
    before, since which there is a gap.
    """
    first = bisect_right(chunks, from_us, key=lambda chunk: chunk.to_us)
    if first > 0 and (first == len(chunks) or chunks[first].from_us > from_us):
        first -= 1
    return chunks[first:]


def rest_of(runs: Runs, bodies: Mapping[bytes, str]) -> BookContent:
    """All of a version but its cards; the price cards are empty."""
    values: dict[str, Any] = {
        name: [json.loads(line) for part in parts for line in bodies[part].split("\n")]
        for name, parts in runs.items()
        if name != "cards"
    }
    return from_plain(BookContent, values, "rate book")


def with_cards(rest: BookContent, cards: Iterable[tuple[str, RateCard]]) -> BookContent:
    """The book of `rest` and its cards. Raises StoreBrokenError: a card's price card is missing."""
    by_group: dict[str, list[RateCard]] = {PROVIDERS: []}
    by_group.update({price_card.price_card_id: [] for price_card in rest.price_cards})
    for group, card in cards:
        if group not in by_group:
            raise StoreBrokenError(
                f"rate book: card {card.card_id} is of price card {group}, which is missing"
            )
        by_group[group].append(card)

    def filled(price_card: PriceCard) -> PriceCard:
        return dataclasses.replace(price_card, cards=tuple(by_group[price_card.price_card_id]))

    return dataclasses.replace(
        rest,
        provider_cards=tuple(by_group[PROVIDERS]),
        price_cards=tuple(filled(price_card) for price_card in rest.price_cards),
    )
