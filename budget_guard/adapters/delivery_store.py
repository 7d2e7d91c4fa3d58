"""The outbox in PostgreSQL: which alerts wait for which channel, and what became of each attempt.

A delivery is, by its row: new (`pending`, no message), collected for a group (`grouped`, no message yet), on
its way (either, with the message that carries it: of its own id, or a group's), `delivered`, `dead`, or
`skipped` by a channel that takes only worse. Rows of one message change together; that with the smallest
alert id is its lock.

Every function works in the caller's transaction.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from psycopg.rows import dict_row

from budget_guard.adapters.channels.channel import Channel
from budget_guard.adapters.http_out import Answer
from budget_guard.core.delivery import SECOND_US, SEVERITIES, Waiting, group_id, plan, rank
from budget_guard.core.messages import Alert, Message
from runtime.postgres import Connection

PLANNED_MAX: Final = 1_000  # alerts that are decided about at once: also the largest group

_PLAN_LOCK: Final = 0x7261_7467  # "ratg": the first half of an advisory lock, the channel being the second
_CANDIDATES: Final = 16
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LOG = logging.getLogger(__name__)

# What is known of an alert now: what it said when it was raised, and what the ledger added since.
ALERT_NOW: Final = "a.body || coalesce(a.details, '{}') || jsonb_build_object('alert_id', a.alert_id)"


@dataclass(frozen=True, slots=True)
class Due:
    """A message that this transaction holds for one attempt."""

    message_id: str
    body: str
    failed: int
    first_attempt_us: int


@dataclass(frozen=True, slots=True)
class Load:
    """What a channel has before it."""

    undecided: int
    open: int
    group_due_us: int | None
    next_due_us: int | None


def at_of(us: int) -> datetime:
    """The instant as PostgreSQL takes it."""
    return _EPOCH + timedelta(microseconds=us)


def us_of(at: Any) -> int | None:
    """Microseconds since 1970; None stays None."""
    return None if at is None else (at - _EPOCH) // timedelta(microseconds=1)


def load_of(connection: Connection, channel: str) -> Load:
    """What waits, and when the next of it is due."""
    row = connection.execute(
        "select count(*) filter (where status = 'pending' and message_id is null), count(*),"
        " min(next_attempt_at) filter (where status = 'grouped' and message_id is null),"
        " min(next_attempt_at) filter (where message_id is not null)"
        " from guard.deliveries where channel = %s and status in ('pending', 'grouped')",
        (channel,),
    ).fetchone()
    undecided, waiting, group_at, next_at = row or (0, 0, None, None)
    return Load(int(str(undecided)), int(str(waiting)), us_of(group_at), us_of(next_at))


def decide(connection: Connection, channel: Channel, now_us: int) -> None:
    """Decide what is undecided: which alerts go alone, and which are collected; close a group that is due.

    Of several processes one decides at a time for a channel.
    """
    connection.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", (_PLAN_LOCK, channel.name))
    connection.execute(
        "update guard.deliveries d set status = 'skipped' from guard.alerts a where a.alert_id = d.alert_id"
        " and d.channel = %s and d.status = 'pending' and d.message_id is null and a.severity = any(%s)",
        (channel.name, list(SEVERITIES[: rank(channel.severity)])),
    )
    rows = connection.execute(
        "select d.alert_id, a.severity, a.raised_at"
        " from guard.deliveries d join guard.alerts a using (alert_id)"
        " where d.channel = %s and d.status = 'pending' and d.message_id is null"
        " order by a.raised_at, d.alert_id limit %s",
        (channel.name, PLANNED_MAX),
    ).fetchall()
    waiting = [Waiting(str(alert), str(severity), us_of(at) or 0) for alert, severity, at in rows]
    if waiting:
        alone, together = plan(waiting, _sent(connection, channel, now_us), channel.grouping)
        messages = [
            Message(str(alert["alert_id"]), now_us, (alert,), grouped=False)
            for alert in _alerts(connection, alone)
        ]
        _put_on_their_way(connection, channel, messages, now_us)
        _collect(connection, channel, together, now_us)
    _close_group(connection, channel, now_us)


def _sent(connection: Connection, channel: Channel, now_us: int) -> dict[str, int]:
    """How many alerts of each severity went alone within the window."""
    since = at_of(now_us - channel.grouping.window_s * SECOND_US)
    rows = connection.execute(
        "select a.severity, count(*) from guard.deliveries d join guard.alerts a using (alert_id)"
        " where d.channel = %s and d.message_id = d.alert_id and d.first_attempt_at > %s"
        # Implied by the line above, and what the indexes know.
        " and (d.delivered_at > %s or d.status in ('pending', 'grouped')) group by a.severity",
        (channel.name, since, since),
    ).fetchall()
    return {str(severity): int(str(count)) for severity, count in rows}


def _collect(connection: Connection, channel: Channel, alert_ids: Sequence[str], now_us: int) -> None:
    """Add alerts to the group that is being collected, or begin one."""
    if not alert_ids:
        return
    connection.execute(
        "update guard.deliveries set status = 'grouped', next_attempt_at = coalesce("
        " (select min(next_attempt_at) from guard.deliveries where channel = %s and status = 'grouped'"
        "  and message_id is null), %s) where channel = %s and alert_id = any(%s)",
        (
            channel.name,
            at_of(now_us + channel.grouping.collect_s * SECOND_US),
            channel.name,
            list(alert_ids),
        ),
    )


def _close_group(connection: Connection, channel: Channel, now_us: int) -> None:
    """What was collected for long enough becomes one message."""
    rows = connection.execute(
        "select alert_id from guard.deliveries where channel = %s and status = 'grouped'"
        " and message_id is null and next_attempt_at <= %s order by next_attempt_at, alert_id limit %s",
        (channel.name, at_of(now_us), PLANNED_MAX),
    ).fetchall()
    if rows:
        alert_ids = [str(alert_id) for (alert_id,) in rows]
        alerts = _alerts(connection, alert_ids)
        message = Message(group_id(channel.name, alert_ids), now_us, alerts, grouped=True)
        _put_on_their_way(connection, channel, [message], now_us)


def _put_on_their_way(
    connection: Connection, channel: Channel, messages: Sequence[Message], now_us: int
) -> None:
    """Write each message's body, once, and have its alerts carried by it."""
    at = at_of(now_us)
    bodies: list[tuple[object, ...]] = []
    carried: list[tuple[str, str]] = []
    bad: list[str] = []
    for message in messages:
        alert_ids = [str(alert["alert_id"]) for alert in message.alerts]
        body, untold = _rendered(channel, message)
        if body is None:
            bad.extend(untold)
        else:
            bodies.append((message.message_id, channel.name, body, alert_ids, at))
            carried.extend((message.message_id, alert_id) for alert_id in alert_ids)
    if bad:
        connection.execute(
            "update guard.deliveries set status = 'dead', last_error = 'cannot be rendered: see the log'"
            " where channel = %s and alert_id = any(%s)",
            (channel.name, bad),
        )
    if bodies:
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into guard.messages (message_id, channel, body, alert_ids, created_at)"
                " values (%s, %s, %s, %s, %s) on conflict (message_id, channel) do nothing",
                bodies,
            )
        connection.execute(
            "update guard.deliveries d"
            " set message_id = m.message_id, first_attempt_at = %s, next_attempt_at = %s"
            " from unnest(%s::text[], %s::text[]) as m(message_id, alert_id)"
            " where d.channel = %s and d.alert_id = m.alert_id",
            (at, at, *(list(column) for column in zip(*carried, strict=True)), channel.name),
        )


def _rendered(channel: Channel, message: Message) -> tuple[str | None, list[str]]:
    """The body, or else the alerts that keep it from being made: one of them must not silence the others."""
    try:
        return channel.render(message), []
    except Exception:  # noqa: BLE001 - whatever is wrong with an alert, it is told and marked
        _LOG.critical("%s for %s cannot be rendered", message.message_id, channel.name, exc_info=True)
    ids = [str(alert["alert_id"]) for alert in message.alerts]
    if not message.grouped:
        return None, ids
    alone = (
        Message(each, message.created_us, (alert,), grouped=False)
        for each, alert in zip(ids, message.alerts, strict=True)
    )
    return None, [each.message_id for each in alone if _rendered(channel, each)[0] is None] or ids


def _alerts(connection: Connection, alert_ids: Sequence[str]) -> tuple[Alert, ...]:
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            f"select {ALERT_NOW} as alert from guard.alerts a where alert_id = any(%s)",  # noqa: S608 - a constant
            (list(alert_ids),),
        )
        return tuple(row["alert"] for row in cursor)


def take(connection: Connection, channel: str, now_us: int) -> Due | None:
    """The message to try now: one never tried before one that failed, then the worst, then the oldest.

    Its row stays locked until the transaction ends, so that nobody else tries it meanwhile; those that others
    hold are passed over.
    """
    candidates = connection.execute(
        "select d.message_id, min(d.alert_id) from guard.deliveries d join guard.alerts a using (alert_id)"
        " where d.channel = %s and d.status in ('pending', 'grouped') and d.message_id is not null"
        " and d.next_attempt_at <= %s group by d.message_id order by min(d.attempts) > 0,"
        " min(array_position(array['critical', 'warning', 'info'], a.severity)), min(d.next_attempt_at), 1"
        " limit %s",
        (channel, at_of(now_us), _CANDIDATES),
    ).fetchall()
    for message_id, alert_id in candidates:
        row = connection.execute(
            "select m.body, d.attempts, d.first_attempt_at from guard.deliveries d"
            " join guard.messages m using (message_id, channel) where d.channel = %s and d.alert_id = %s"
            " and d.message_id = %s and d.status in ('pending', 'grouped') and d.next_attempt_at <= %s"
            " for update of d skip locked",
            (channel, alert_id, message_id, at_of(now_us)),
        ).fetchone()
        if row is not None:
            body, attempts, first_at = row
            return Due(str(message_id), str(body), int(str(attempts)), us_of(first_at) or now_us)
    return None


def record(
    connection: Connection, channel: str, due: Due, answer: Answer, *, at_us: int, duration_ms: int
) -> None:
    """Write one attempt into the log of attempts."""
    connection.execute(
        "insert into guard.attempts (message_id, channel, at, attempt, status_code, error, duration_ms)"
        " values (%s, %s, %s, %s, %s, %s, %s)",
        (due.message_id, channel, at_of(at_us), due.failed + 1, answer.status, answer.error, duration_ms),
    )


def delivered(connection: Connection, channel: str, due: Due, now_us: int) -> list[int]:
    """The message was accepted. Returns the append times (microseconds) that its alerts come from; what comes
    from no record, or from one that nobody knows (0), has none.
    """
    rows = connection.execute(
        "update guard.deliveries d set status = 'delivered', delivered_at = %s, attempts = attempts + 1,"
        " last_error = null from guard.alerts a where a.alert_id = d.alert_id and d.channel = %s"
        " and d.message_id = %s and d.status in ('pending', 'grouped')"
        " returning (a.body ->> 'source_append_us')::bigint",
        (at_of(now_us), channel, due.message_id),
    ).fetchall()
    return [int(str(append_us)) for (append_us,) in rows if append_us]


def failed(connection: Connection, channel: str, due: Due, error: str, next_us: int | None) -> None:
    """The attempt failed: again at `next_us`, or never more."""
    connection.execute(
        "update guard.deliveries set attempts = attempts + 1, last_error = %s,"
        " status = case when %s::timestamptz is null then 'dead' else status end,"
        " next_attempt_at = coalesce(%s, next_attempt_at)"
        " where channel = %s and message_id = %s and status in ('pending', 'grouped')",
        (error, *[None if next_us is None else at_of(next_us)] * 2, channel, due.message_id),
    )


def mark_unknown_channels(
    connection: Connection, known: Sequence[str], now_us: int, keep_trying_s: int
) -> list[tuple[str, int]]:
    """Say of alerts for channels that are not set up what keeps them; they die when retries would.

    Returns the channels' names, each with how many alerts this was said of.
    """
    before = at_of(now_us - keep_trying_s * SECOND_US)
    rows = connection.execute(
        "update guard.deliveries d set last_error = 'no channel of this name is set up', status ="
        " case when a.raised_at <= %s then 'dead' else d.status end from guard.alerts a"
        " where a.alert_id = d.alert_id and d.status in ('pending', 'grouped') and d.channel <> all(%s)"
        " and (d.last_error is null or a.raised_at <= %s) returning d.channel",
        (before, list(known), before),
    ).fetchall()
    names = [str(channel) for (channel,) in rows]
    return [(name, names.count(name)) for name in sorted(set(names))]


def dead_counts(connection: Connection) -> dict[str, int]:
    """Dead alerts by channel."""
    rows = connection.execute(
        "select channel, count(*) from guard.deliveries where status = 'dead' group by channel"
    ).fetchall()
    return {str(channel): int(str(count)) for channel, count in rows}
