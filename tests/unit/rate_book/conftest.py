"""The shipped book, read once for all tests here."""

import pytest

from pricing.cards import BookContent
from pricing.compile import CompiledBook, compile_book
from rate_book.form import load_book, shipped_books


@pytest.fixture(scope="session")
def shipped() -> BookContent:
    """The provider lists and the example customer book."""
    return load_book(shipped_books())


@pytest.fixture(scope="session")
def shipped_book(shipped: BookContent) -> CompiledBook:
    """The same, compiled."""
    return compile_book(shipped, 3, "cd" * 32)
