"""A rated record computed again with the version of the rate book that it names, from PostgreSQL."""

from ledger.core.explain import REVERSAL, Again, BookFacts, Rated
from pricing.errors import UsageError
from pricing.instants import instant_text
from rate_book.errors import NoBookError
from rate_book.kept import load_named
from rate_book.store import load_compiled, versions
from rate_book.translate import rate_again, rating_record
from runtime.postgres import connect


def compute_again(dsn: str, record: Rated) -> Again | str:
    """The record's rating under its own version and from its own period quantities; a str says why not.

    Raises:
        DatabaseUnavailableError: PostgreSQL is away.
    """
    told = record.rating
    number = told["book_version"]
    with connect(dsn, application_name="ratestream-explain") as connection:
        stored = next((version for version in versions(connection) if version.version == number), None)
        if stored is None:
            return f"version {number} of the rate book is not stored"
        try:
            content = load_named(connection, number, {line["card"] for line in told["lines"]})
            book = load_compiled(connection, number, dsn)
        except NoBookError as error:
            return str(error)
    facts = BookFacts(number, stored.content_hash, instant_text(stored.recorded_us), stored.author)
    if told["leg"] == REVERSAL:
        return Again(content, book, facts, None, None, "a reversal is not rated: it negates a record")
    try:
        rating = rate_again(record.event, told, book)
    except UsageError as error:
        return Again(content, book, facts, None, None, f"it was rated, but it cannot be: {error}")
    same = {name: told[name] for name in ("customer_seq", "leg", "revision", "correction_id")}
    return Again(content, book, facts, rating, rating_record(rating, book, **same))
