"""Running totals of a customer read from the ledger at one cut: exactly what a fold of its rated rows gives.

Sums come from the roll-ups, so a customer with millions of events costs milliseconds; the few rows above the
cut are read one by one and taken out again. One read is one repeatable-read snapshot.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pricing.calendar import ZoneTable
    from pricing.totals import Live, Scope


@dataclass(frozen=True, slots=True)
class Cut:
    """`live` is the fold of all rated rows with sequences up to `seq`; `contiguous_seq` is how far the ledger
    is in the same snapshot, so a caller that asked for more than there is sees seq < what it asked for.
    """

    seq: int
    contiguous_seq: int
    live: "Live"


@dataclass(frozen=True, slots=True)
class CrossingEvent:
    """The event whose row made a running value reach an amount."""

    source: str
    event_id: str
    customer_seq: int
    event_time_us: int


@dataclass(frozen=True, slots=True)
class Contributor:
    """A value of a dimension (None: the event has none) and its part of a window, times 10**18."""

    dimension: str
    value: str | None
    amount_atto: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What a budget compares: a side in a currency, events, or the quantity of a meter.

    `measure` is price, cost, events or quantity:<meter>; `currency` is None for the last two.
    """

    scope: "Scope"
    window: str
    start_us: int
    end_us: int | None
    measure: str
    currency: str | None


class LedgerTotals:
    """Reads the ledger. One connection, made when first needed and again after a failure; not for several
    threads.

    Every method raises DatabaseUnavailableError where PostgreSQL is away.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def contiguous(self, customer_ids: Sequence[str]) -> dict[str, int]:
        """The contiguous sequence of each of these customers that the ledger knows."""
        raise NotImplementedError

    def known_customers(self) -> Iterator[tuple[str, int]]:
        """Every customer of the ledger with its contiguous sequence, by name."""
        raise NotImplementedError

    def at(
        self, customer_id: str, until_seq: int | None, zone: "ZoneTable", scopes: Sequence["Scope"]
    ) -> Cut:
        """The live windows at min(until_seq, the ledger's contiguous sequence); None: at the latter."""
        raise NotImplementedError

    def reversal_since(self, customer_id: str, seq: int, until_seq: int | None = None) -> bool:
        """Whether the ledger has a correction's reversal with seq < customer_seq (<= until_seq)."""
        raise NotImplementedError

    def crossing(
        self, customer_id: str, measured: Measured, amount_atto: int, first_seq: int, last_seq: int
    ) -> CrossingEvent | None:
        """The first row with first_seq < customer_seq <= last_seq at which the running value, which begins with
        what it is at first_seq, reaches the amount. None: none does, or it had been reached before.
        """
        raise NotImplementedError

    def contributors(self, customer_id: str, measured: Measured, top: int = 5) -> list[Contributor]:
        """The largest parts of the window by feature, then by model, as the ledger is now."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the connection, if there is one."""
        raise NotImplementedError
