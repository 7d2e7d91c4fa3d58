"""Parts of rate book versions in PostgreSQL: put where missing, fetched with their hashes verified."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TypeVar

from rate_book.errors import StoreBrokenError
from rate_book.parts import part_hash
from runtime.postgres import Connection

T = TypeVar("T")

_FETCHED_AT_ONCE = 5_000
_PUT_AT_ONCE = 2_000  # some MiB a statement: far from any statement time-out


def fetch_parts(connection: Connection, parts: Collection[bytes]) -> dict[bytes, str]:
    """The texts of these parts. Raises StoreBrokenError: one is missing, or is not what its hash says."""
    bodies: dict[bytes, str] = {}
    with connection.transaction():
        for batch in _batches(list(parts), _FETCHED_AT_ONCE):
            rows = connection.execute(
                "select hash, body from rate_book.parts where hash = any(%s)", (batch,), binary=True
            )
            for hashed, body in rows:
                if not isinstance(hashed, bytes) or not isinstance(body, str) or part_hash(body) != hashed:
                    raise StoreBrokenError(f"rate book: part {hashed!r} does not have the hash of its name")
                bodies[hashed] = body
    for part in parts:
        if part not in bodies:
            raise StoreBrokenError(f"rate book: part {part.hex()} is missing")
    return bodies


def put_parts(connection: Connection, bodies: Mapping[bytes, str]) -> int:
    """Store the parts that are not stored yet, in transactions of their own; how many that were.

    A part without a version that names it is seen by nobody, so these need no lock; ordered by hash, two that
    put the same parts at once cannot wait for each other in a circle.
    """
    put = 0
    for batch in _batches(sorted(bodies), _PUT_AT_ONCE):
        with connection.transaction():
            rows = connection.execute(
                "select hash from rate_book.parts where hash = any(%s)", (batch,), binary=True
            )
            known = {row[0] for row in rows}
            missing = [part for part in batch if part not in known]
            if missing:
                connection.execute(
                    "insert into rate_book.parts (hash, body) select * from unnest(%s::bytea[], %s::text[])"
                    " on conflict (hash) do nothing",
                    (missing, [bodies[part] for part in missing]),
                )
                put += len(missing)
    return put


def _batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
