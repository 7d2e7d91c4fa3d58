"""What a customer's totals are to be made for: the zone of its contract, the scopes that budgets name."""

from typing import TYPE_CHECKING, Protocol

from aggregator.core.fold import Watched
from pricing.totals import Scope
from rate_book.source import BookSource

if TYPE_CHECKING:
    from pricing.calendar import ZoneTable

_MEMO_MAX = 100_000


class ScopeSource(Protocol):
    """Which scopes are watched."""

    @property
    def version(self) -> int:
        """Grows with each change."""

    def scopes(self, customer_id: str) -> tuple[Scope, ...]:
        """Those of one customer."""


class NoScopes:
    """Nothing below the customer is watched."""

    version = 0

    def scopes(self, customer_id: str) -> tuple[Scope, ...]:
        """None but the customer itself."""
        del customer_id
        return ()


class World:
    """Rate book and budgets as they are now."""

    def __init__(self, book: BookSource, scopes: ScopeSource) -> None:
        self._book = book
        self._scopes = scopes
        self._made: dict[tuple[ZoneTable, tuple[Scope, ...]], Watched] = {}

    @property
    def version(self) -> tuple[int, int]:
        """Of both; another one may mean other zones or scopes for anybody."""
        return self._book.newest().book.version, self._scopes.version

    def watched(self, customer_id: str, at_us: int) -> Watched:
        """For a customer at an instant."""
        by = self._book.newest().book.zone_of(customer_id, at_us), self._scopes.scopes(customer_id)
        found = self._made.get(by)
        if found is None:
            if len(self._made) >= _MEMO_MAX:
                self._made.clear()
            found = self._made[by] = Watched(*by)
        return found
