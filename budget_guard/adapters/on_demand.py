"""The reconciler for a command: two looks, and no guard's epochs."""

from collections.abc import Callable

from budget_guard.adapters.alert_store import AlertStore
from budget_guard.adapters.reconciler import Patience, Reconciler, Report, Sources
from budget_guard.adapters.session import GuardSession
from budget_guard.adapters.totals_reader import TotalsReader
from budget_guard.settings import GuardSettings
from rate_book.budgets.store import newest_book
from rate_book.errors import NoBookError
from rate_book.ledger_totals import LedgerTotals
from rate_book.store import check_newest, load_compiled
from runtime.clock import SystemClock
from runtime.postgres import connect
from runtime.settings import PostgresSettings, SettingsLoader

_NAME = "ratestream-reconcile"


def reconciled(loader: SettingsLoader, patience_s: float, wait: Callable[[float], None]) -> Report:
    """Look, wait, and look again at what was not right. Guards take what is written over within
    `guard.firings_kept_s`.

    Raises:
        InfrastructureError: PostgreSQL is away, has no ledger or no guard's tables.
        NoBookError: there is no rate book.
    """
    dsn = loader.section("postgres", PostgresSettings).dsn.get_secret_value()
    settings = loader.section("guard", GuardSettings)
    with connect(dsn, application_name=_NAME) as connection:
        budgets = newest_book(connection)
        newest = check_newest(connection)
        if newest is None:
            raise NoBookError("there is no rate book, and so no usage to compare")
        book = load_compiled(connection, newest.version, dsn)

    def session() -> GuardSession:
        return GuardSession(dsn, settings.role, _NAME)

    sources = Sources(
        session(),
        AlertStore(session(), "", _NAME),
        TotalsReader(session()),
        LedgerTotals(dsn),
        lambda: budgets,
        book.zone_of,
    )
    reconciler = Reconciler(sources, SystemClock(), Patience(patience_s, patience_s))
    try:
        first = reconciler.round()
        if not (first.late or first.drift or first.stale or first.waiting or first.behind):
            return first
        wait(patience_s)
        report = reconciler.round()
    finally:
        sources.close()
    report.late[:0] = first.late
    report.stale[:0] = first.stale
    known = {drift["customer_id"] for drift in report.drift}
    report.drift[:0] = [drift for drift in first.drift if drift["customer_id"] not in known]
    report.deliveries += first.deliveries
    return report
