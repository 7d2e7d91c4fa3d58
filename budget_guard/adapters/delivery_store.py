"""The outbox in PostgreSQL: which alerts wait for which channel, and what became of each attempt.

A delivery is, by its row: new (`pending`, no message), collected for a group (`grouped`, no message yet), on
its way (either, with the message that carries it: of its own id, or a group's), `delivered`, `dead`, or
`skipped` by a channel that takes only worse. Rows of one message change together; that with the smallest
alert id is its lock.

Every function works in the caller's transaction. What a message costs does not depend on how many wait: each
query on its way reads from where an index begins, and has a limit.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from psycopg import Cursor
from psycopg.rows import dict_row

from budget_guard.adapters.channels.channel import Channel
from budget_guard.adapters.http_out import Answer
from budget_guard.core.delivery import SECOND_US, SEVERITIES, Waiting, group_id, plan, rank
from budget_guard.core.messages import Alert, Message
from runtime.postgres import Connection

PLANNED_MAX: Final = 1_000  # alerts that are decided about at once: also the largest group

_PLAN_LOCK: Final = 0x7261_7467  # "ratg": the first half of an advisory lock, the channel being the second
_CANDIDATES: Final = 4
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
    """What a channel has before it: the rank of the worst undecided alert, and when a group is full."""

    undecided: int | None
    group_due_us: int | None


def at_of(us: int) -> datetime:
    """The instant as PostgreSQL takes it."""
    return _EPOCH + timedelta(microseconds=us)


def us_of(at: Any) -> int | None:
    """Microseconds since 1970; None stays None."""
    return None if at is None else (at - _EPOCH) // timedelta(microseconds=1)


_LOAD: Final = """
select (select severity_rank from guard.deliveries
        where channel = %(channel)s and status = 'pending' and message_id is null
        order by severity_rank desc limit 1),
       (select next_attempt_at from guard.deliveries
        where channel = %(channel)s and status = 'grouped' and message_id is null
        order by next_attempt_at limit 1)
"""
# Where a message stands in the line: one never tried before one that failed, then the worst.
_PLACES: Final = """
(values (1, false, 2), (2, false, 1), (3, false, 0), (4, true, 2), (5, true, 1), (6, true, 0))
    as place(number, failed, severity_rank)
"""
_ON_THEIR_WAY: Final = """
guard.deliveries where channel = %(channel)s and status in ('pending', 'grouped') and message_id is not null
    and (attempts > 0) = place.failed and severity_rank = place.severity_rank
"""
_DUE: Final = f"""
select d.message_id from {_PLACES} cross join lateral
    (select next_attempt_at, message_id from {_ON_THEIR_WAY} and next_attempt_at <= %(now)s
     and message_id <> all(%(held)s) order by next_attempt_at, message_id limit {_CANDIDATES}) as d
where %(than)s::int is null or not place.failed and place.severity_rank >= %(than)s
order by place.number, d.next_attempt_at, d.message_id limit {_CANDIDATES}
"""  # noqa: S608 - constants
_NEXT_DUE: Final = f"""
select min(d.next_attempt_at) from {_PLACES} cross join lateral
    (select next_attempt_at from {_ON_THEIR_WAY} and next_attempt_at > %(now)s
     order by next_attempt_at limit 1) as d
"""  # noqa: S608 - constants
# Rows of a message change together: that with the smallest alert id is locked for all of them.
_HOLD: Final = """
select m.body, d.attempts, d.first_attempt_at from guard.deliveries d
    join guard.messages m using (message_id, channel)
where d.channel = %(channel)s and d.message_id = %(message)s and d.status in ('pending', 'grouped')
    and d.next_attempt_at <= %(now)s and d.alert_id = (
        select min(alert_id) from guard.deliveries
        where channel = %(channel)s and message_id = %(message)s and status in ('pending', 'grouped'))
for update of d skip locked
"""
_UNDECIDED: Final = f"""
select a.alert_id, a.severity, a.raised_at from guard.alerts a join (
    select alert_id from guard.deliveries
    where channel = %(channel)s and status = 'pending' and message_id is null
    order by severity_rank desc, next_attempt_at, alert_id limit {PLANNED_MAX}) as d using (alert_id)
"""  # noqa: S608 - a constant
_SENT: Final = """
select r.severity_rank, (select count(*) from (
    select from guard.deliveries d
    where d.channel = %(channel)s and d.message_id = d.alert_id and d.severity_rank = r.severity_rank
        and d.first_attempt_at > %(since)s and d.status <> 'dead' limit %(first)s) as alone)
from generate_series(0, 2) as r(severity_rank)
"""


def _planned(connection: Connection, query: str, values: dict[str, object]) -> Cursor[tuple[object, ...]]:
    """Planned anew each time: a plan from when the table was all but empty would read all of a storm."""
    return connection.execute(query.encode(), values, prepare=False)


def clock_us(connection: Connection) -> int:
    """Now, by PostgreSQL's clock: when a message is due is written by one guard and read by another."""
    row = connection.execute("select (extract(epoch from clock_timestamp()) * 1000000)::bigint").fetchone()
    return int(str(row[0])) if row else 0


def load_of(connection: Connection, channel: str) -> Load:
    """What there is to decide."""
    row = _planned(connection, _LOAD, {"channel": channel}).fetchone()
    undecided, group_at = row or (None, None)
    return Load(None if undecided is None else int(str(undecided)), us_of(group_at))


def open_count(connection: Connection, channel: str) -> int:
    """How many alerts wait. Reads them all: not for every message."""
    row = connection.execute(
        "select count(*) from guard.deliveries where channel = %s and status in ('pending', 'grouped')",
        (channel,),
    ).fetchone()
    return int(str(row[0])) if row else 0


def next_due_us(connection: Connection, channel: str, now_us: int) -> int | None:
    """When the next message is due that is not due yet."""
    row = _planned(connection, _NEXT_DUE, {"channel": channel, "now": at_of(now_us)}).fetchone()
    return us_of(row[0]) if row else None


def decide(connection: Connection, channel: Channel, now_us: int) -> None:
    """Decide what is undecided, the worst first and at most `PLANNED_MAX`: which alerts go alone, and which
    are collected; close a group that is due.

    Of several processes one decides at a time for a channel.
    """
    connection.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", (_PLAN_LOCK, channel.name))
    if rank(channel.severity) > 0:
        connection.execute(
            "update guard.deliveries set status = 'skipped' where channel = %s and status = 'pending'"
            " and message_id is null and severity_rank < %s",
            (channel.name, rank(channel.severity)),
        )
    rows = _planned(connection, _UNDECIDED, {"channel": channel.name}).fetchall()
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
    """How many alerts of each severity went alone within the window, counted as far as it matters."""
    since = at_of(now_us - channel.grouping.window_s * SECOND_US)
    wanted = {"channel": channel.name, "since": since, "first": channel.grouping.first}
    rows = _planned(connection, _SENT, wanted).fetchall()
    return {SEVERITIES[int(str(place))]: int(str(count)) for place, count in rows}


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
    """Write each message's body, once, and have its alerts carried by it: due at once."""
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


def take(connection: Connection, channel: str, now_us: int, than: int | None = None) -> Due | None:
    """The message to try now: one never tried before one that failed, then the worst, then the oldest.

    Its row stays locked until the transaction ends, so that nobody else tries it meanwhile; those that others
    hold are passed over.

    Args:
        connection: as above.
        channel: its name.
        now_us: the instant.
        than: only what was never tried and is of at least this rank.
    """
    at = at_of(now_us)
    held: list[str] = []
    wanted = {"channel": channel, "now": at, "than": than}
    while candidates := _planned(connection, _DUE, {**wanted, "held": held}).fetchall():
        for message_id in dict.fromkeys(str(message_id) for (message_id,) in candidates):
            row = _planned(
                connection, _HOLD, {"channel": channel, "message": message_id, "now": at}
            ).fetchone()
            if row is not None:
                body, attempts, first_at = row
                return Due(message_id, str(body), int(str(attempts)), us_of(first_at) or now_us)
            held.append(message_id)
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
        prepare=False,  # as in _planned
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
        prepare=False,
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
