"""Errors of budgets, beside `rate_book.errors.BookInvalidError` for what a file says."""

from rate_book.errors import RateBookError


class BudgetsUnknownError(RateBookError):
    """The budgets could not be read (yet), or no version is stored where one is asked for."""

    exit_code = 3
