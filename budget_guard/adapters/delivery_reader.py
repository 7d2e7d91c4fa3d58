"""What people ask of the outbox: which alerts there are, how their delivery went, and to send them again."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from budget_guard.adapters.delivery_store import ALERT_NOW
from runtime.errors import FindingError, InfrastructureError
from runtime.postgres import Connection, connect

Row = dict[str, Any]


class NoSuchAlertError(FindingError):
    """No alert, message or delivery is what was named."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which alerts: each None or False asks for nothing."""

    customer_id: str | None = None
    severity: str | None = None
    channel: str | None = None
    dead: bool = False
    undelivered: bool = False


@contextmanager
def outbox(dsn: str) -> Iterator[Connection]:
    """One connection, committed at the end.

    Raises:
        InfrastructureError: the database has no outbox, or the login may not use it.
    """
    with connect(dsn, application_name="ratestream-alerts") as connection:
        try:
            yield connection
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
            raise InfrastructureError(
                f"no alerts here: {error.diag.message_primary}; `ratestream ledger migrate` makes the tables"
            ) from error
        except psycopg.errors.InsufficientPrivilege as error:
            raise InfrastructureError(f"alerts: {error.diag.message_primary}") from error


def newest(connection: Connection, wanted: Wanted, limit: int) -> list[Row]:
    """The newest alerts, each with its deliveries, the newest first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            f"select a.alert_id, a.kind, a.severity, a.customer_id, a.raised_at, a.late,"  # noqa: S608 - a constant
            f" ({ALERT_NOW}) as alert, coalesce(jsonb_agg(jsonb_build_object('channel', d.channel, 'status',"
            " d.status, 'attempts', d.attempts, 'next_attempt_at', d.next_attempt_at, 'delivered_at',"
            " d.delivered_at, 'message_id', d.message_id, 'last_error', d.last_error) order by d.channel)"
            " filter (where d.channel is not null), '[]') as deliveries"
            " from guard.alerts a left join guard.deliveries d using (alert_id)"
            " where (%(customer)s::text is null or a.customer_id = %(customer)s)"
            " and (%(severity)s::text is null or a.severity = %(severity)s)"
            " and (cardinality(%(statuses)s::text[]) = 0 and %(channel)s::text is null or exists (select from"
            "  guard.deliveries w where w.alert_id = a.alert_id"
            "  and (cardinality(%(statuses)s::text[]) = 0 or w.status = any(%(statuses)s))"
            "  and (%(channel)s::text is null or w.channel = %(channel)s)))"
            " group by a.alert_id order by a.raised_at desc, a.alert_id limit %(limit)s",
            {
                "customer": wanted.customer_id,
                "severity": wanted.severity,
                "channel": wanted.channel,
                "statuses": _statuses(wanted),
                "limit": limit,
            },
        )
        return list(cursor)


def _statuses(wanted: Wanted) -> list[str]:
    if wanted.dead:
        return ["dead"]
    return ["pending", "grouped", "dead"] if wanted.undelivered else []


def alert_and_attempts(connection: Connection, named: str) -> tuple[list[Row], list[Row]]:
    """The alert of an id, or those of a group's message, and every attempt to send them, the oldest first.

    Raises:
        NoSuchAlertError: neither has the id.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            "select alert_id from guard.alerts where alert_id = %(id)s"
            " union select unnest(alert_ids) from guard.messages where message_id = %(id)s",
            {"id": named},
        )
        ids = [str(row["alert_id"]) for row in cursor]
        if not ids:
            raise NoSuchAlertError(f"{named!r}: no alert and no group's message has this id")
        cursor.execute(
            f"select a.alert_id, a.late, ({ALERT_NOW}) as alert,"  # noqa: S608 - a constant
            " coalesce((select jsonb_agg(to_jsonb(d) - 'alert_id' order by d.channel)"
            " from guard.deliveries d where d.alert_id = a.alert_id), '[]') as deliveries"
            " from guard.alerts a where a.alert_id = any(%s) order by a.raised_at, a.alert_id",
            (ids,),
        )
        found = list(cursor)
        cursor.execute(
            "select t.message_id, t.channel, t.at, t.attempt, t.status_code, t.error, t.duration_ms"
            " from guard.attempts t where t.message_id in (select message_id from guard.messages"
            " where message_id = %(id)s or alert_ids && %(ids)s) order by t.at, t.id",
            {"id": named, "ids": ids},
        )
        return found, list(cursor)


def resend(
    connection: Connection, alert_ids: Sequence[str], channel: str | None, *, all_dead: bool
) -> list[tuple[str, str]]:
    """Have alerts sent again under their own ids, with 72 hours before them.

    Args:
        connection: commits for the caller.
        alert_ids: which, where `all_dead` is not set.
        channel: only there, and there even if the alert never had it; None: wherever it was to go.
        all_dead: every dead delivery.

    Returns:
        Alert and channel of each.

    Raises:
        NoSuchAlertError: an alert does not exist or goes nowhere.
    """
    if channel is not None and alert_ids:
        connection.execute(
            "insert into guard.deliveries (alert_id, channel) select alert_id, %s from guard.alerts"
            " where alert_id = any(%s) on conflict do nothing",
            (channel, list(alert_ids)),
        )
    rows = connection.execute(
        "update guard.deliveries set status = 'pending', attempts = 0, next_attempt_at = clock_timestamp(),"
        " first_attempt_at = null, delivered_at = null, message_id = null, last_error = null"
        " where (alert_id = any(%(ids)s) or %(all)s and status = 'dead')"
        " and (%(channel)s::text is null or channel = %(channel)s) returning alert_id, channel",
        {"ids": list(alert_ids), "all": all_dead, "channel": channel},
    ).fetchall()
    missing = sorted(set(alert_ids) - {str(alert_id) for alert_id, _ in rows})
    if missing:
        raise NoSuchAlertError(
            f"{', '.join(missing)}: no such alert, or it goes to no channel: nothing is sent"
        )
    return sorted((str(alert_id), str(name)) for alert_id, name in rows)
