"""A book of 10,000 cards with 100 versions each: how soon a process can rate with it, and at what memory.

The book is generated card by card, no two cards alike, and put into the store of a database of its own. Then
a child process loads it as a rater does and rates a call on each of some cards, now and two years ago; every
amount is checked against the formula that made the rates. `lookup_us` rates the same calls with books of 1,
10 and 100 versions a card.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from pricing.cards import BookContent, CardVersion, Cell, ContextKey, Rate, RateCard, Variant
from pricing.compile import CompiledBook, compile_book
from pricing.money import format_atto
from pricing.rate import Call, rate
from rate_book.content import in_order
from rate_book.instants import moment
from rate_book.part_store import put_parts
from rate_book.parts import PROVIDERS, Packer, part_hash
from rate_book.store import load_compiled
from runtime.postgres import Connection, connect, migrate

CARDS, VERSIONS = 10_000, 100
_WEEK_US = 7 * 24 * 3600 * 1_000_000
_PARTS_AT_ONCE = 10_000
_ASKED = 50  # cards that the child rates with
_LOOKUP_CARDS, _LOOKUPS, _ROUNDS = 20, 5_000, 5


def run(dsn: str, cards: int = CARDS, versions: int = VERSIONS) -> dict[str, Any]:
    """The figures. The DSN is that of an empty database."""
    now_us = time.time_ns() // 1000
    started = time.perf_counter()
    with connect(dsn, statement_timeout_ms=600_000) as connection:
        migrate(connection)
        parts = _seed(connection, cards, versions, now_us)
    stored_s = round(time.perf_counter() - started, 1)
    arguments = [str(cards), str(versions), str(now_us)]
    child = subprocess.run(
        [sys.executable, "-m", "bench.book", *arguments],
        input=dsn,
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode != 0:
        raise SystemExit(f"the book could not be loaded: {child.stderr}")
    figures: dict[str, Any] = {"cards": cards, "versions": versions, "parts": parts, "stored_s": stored_s}
    figures |= json.loads(child.stdout)
    return figures | {"lookup_us": _lookups(now_us)}


def card(number: int, versions: int, now_us: int) -> RateCard:
    """A card whose versions follow each other by the week, the last in force now and until further notice."""
    first_us = now_us - versions * _WEEK_US + _WEEK_US // 2
    dated = (
        _version(
            number,
            version,
            first_us + version * _WEEK_US if version else None,
            first_us + (version + 1) * _WEEK_US if version < versions - 1 else None,
        )
        for version in range(versions)
    )
    return RateCard(f"p/m-{number}", "p", "USD", tuple(dated), models=(f"m-{number}",))


def _version(number: int, version: int, from_us: int | None, to_us: int | None) -> CardVersion:
    """Input costs NUMBER.VERSION for a million tokens, output twice that, a tenth in batch."""
    whole, part = str(number), f"{version:03d}"
    return CardVersion(
        Cell(
            (
                Rate("input_tokens", f"{whole}.{part}", "1000000"),
                Rate("output_tokens", f"{whole}.{part}", "500000"),
                Rate("cache_read_tokens", "0.1", "1000000"),
            )
        ),
        from_us,
        to_us,
        context=(ContextKey("processing", ("standard", "batch"), "standard"),),
        variants=(
            Variant(
                (("processing", "batch"),),
                Cell((Rate("input_tokens", f"{whole}.{part}", "10000000"),)),
                inherit=("output_tokens",),
            ),
        ),
    )


def _seed(connection: Connection, cards: int, versions: int, now_us: int) -> int:
    """Store the book as version 1, card by card; how many parts it has."""
    bodies: dict[bytes, str] = {}
    stored = 0

    def put(body: str) -> bytes:
        hashed = part_hash(body)
        bodies[hashed] = body
        return hashed

    packer = Packer(put)
    for number in range(1, cards + 1):
        packer.add_card(PROVIDERS, in_order(BookContent((card(number, versions, now_us),))).provider_cards[0])
        if len(bodies) >= _PARTS_AT_ONCE:
            stored += put_parts(connection, bodies)
            bodies.clear()
    root = packer.finish(BookContent())
    stored += put_parts(connection, bodies)
    with connection.transaction():
        connection.execute(
            "insert into rate_book.versions (version, root, content_hash, author, recorded_at, lead_us,"
            " retroactive, touches) values (1, %s, %s, 'bench', %s, 0, false, '[]')",
            (root, root.hex(), moment(now_us)),
        )
    return stored


def _calls(numbers: Sequence[int], at_us: int) -> Iterator[tuple[int, Call]]:
    for number in numbers:
        usage = {"input_tokens": "1000000", "output_tokens": "1000000"}
        context = {"processing": "batch" if number % 2 else "standard"}
        yield number, Call(None, "p", f"m-{number}", at_us, usage, context=context)


def _check(book: CompiledBook, numbers: Sequence[int], version: int, at_us: int) -> float:
    """Rate a call on each card, seconds; leave with an error where one is wrong.

    A million input and a million output tokens cost 3 x NUMBER.VERSION, in batch 2.1 x.
    """
    started = time.perf_counter()
    for number, call in _calls(numbers, at_us):
        amount = rate(book, call).cost.amount_atto
        expected = (number * 1000 + version) * (21 if number % 2 else 30) * 10**14
        if amount != expected:
            told = None if amount is None else format_atto(amount)
            raise SystemExit(f"m-{number} at {at_us}: {told}, expected {format_atto(expected)}")
    return time.perf_counter() - started


def _child(dsn: str, cards: int, versions: int, now_us: int) -> dict[str, Any]:
    """Load the stored book and rate with it."""
    started = time.perf_counter()
    with connect(dsn) as connection:
        book = load_compiled(connection, 1, dsn)
    numbers = range(1, cards + 1, max(1, cards // _ASKED))
    _check(book, numbers[:1], versions - 1, now_us)
    ready_s = time.perf_counter() - started
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    first_s = _check(book, numbers, versions - 1, now_us)
    older_s = _check(book, numbers, versions // 4, now_us - (versions - 1 - versions // 4) * _WEEK_US)
    return {
        "ready_s": round(ready_s, 2),
        "ready_peak_rss_mib": peak_mib,
        "first_price_of_a_card_ms": round(first_s / len(numbers) * 1000, 2),
        "first_old_price_of_a_card_ms": round(older_s / len(numbers) * 1000, 2),
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _lookups(now_us: int) -> dict[str, float]:
    """Median microseconds of a rating, by the versions that each card has; each card was asked before."""
    numbers = range(1, _LOOKUP_CARDS + 1)
    result = {}
    for versions in (1, 10, 100):
        book = compile_book(
            BookContent(tuple(card(number, versions, now_us) for number in numbers)), 1, "bench"
        )
        _check(book, numbers, versions - 1, now_us)
        calls = [call for _, call in _calls(numbers, now_us)]
        calls += [call._replace(at_us=now_us - _WEEK_US) for call in calls]
        rounds = []
        for _ in range(_ROUNDS):
            started = time.perf_counter()
            for position in range(_LOOKUPS):
                rate(book, calls[position % len(calls)])
            rounds.append((time.perf_counter() - started) / _LOOKUPS * 1e6)
        result[str(versions)] = round(statistics.median(rounds), 2)
    return result


def _main() -> None:
    parser = argparse.ArgumentParser(description="The child: loads the stored book; the DSN comes on stdin.")
    parser.add_argument("numbers", nargs=3, type=int)
    arguments = parser.parse_args()
    print(json.dumps(_child(sys.stdin.read().strip(), *arguments.numbers)))


if __name__ == "__main__":
    _main()
