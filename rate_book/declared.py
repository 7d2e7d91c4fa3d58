"""Which dimensions a stored version of the book declares."""

import logging

from pricing.cards import DEFAULT_DIMENSIONS
from rate_book.errors import NoBookError
from rate_book.kept import content_of, kept_version
from rate_book.shelf import read_rest
from runtime.postgres import Connection

_LOG = logging.getLogger(__name__)


def declared_names(connection: Connection, version: int) -> tuple[str, ...]:
    """The names in their order. A version that is not stored has the default ones: the ledger writes what
    usage.rated says, also where the book is another database's.
    """
    try:
        kept = kept_version(connection, version)
    except NoBookError as error:
        _LOG.warning("%s: the default dimensions hold for its roll-ups", error)
        return DEFAULT_DIMENSIONS
    content = content_of(connection, kept) if kept.root is None else read_rest(connection, kept.root)
    return content.dimensions
