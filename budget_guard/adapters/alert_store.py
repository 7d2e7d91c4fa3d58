"""The outbox: alerts, what fired, deliveries and states, written in one transaction.

Ids are made of what an alert says, so what is written again changes nothing: a redelivery, a second guard
and the reconciler all write through here. A guard names the epochs of its partitions: what one tries to write
that was put out of its group meanwhile is refused whole.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg.rows import dict_row

from budget_guard.adapters.session import GuardSession
from budget_guard.adapters.wire import alert_body, instant, state_body, state_of
from budget_guard.core.firings import Alert, Firing, FiringKey, ScopeState, Totals
from pricing.money import format_atto
from pricing.totals import parse_sum, scope_key
from runtime.failpoints import Failpoints, NoFailpoints
from runtime.postgres import Connection

_FIRINGS = """
select distinct on (f.customer_id, f.budget_id, f.scope_key, f.window_kind, f.period_start_us, f.threshold)
       f.*, f.threshold_amount::text as amount
from guard.firings f
join unnest(%s::text[], %s::text[], %s::bigint[]) as w(customer_id, window_kind, since_us)
  on f.customer_id = w.customer_id and f.window_kind = w.window_kind and f.period_start_us >= w.since_us
order by f.customer_id, f.budget_id, f.scope_key, f.window_kind, f.period_start_us, f.threshold,
         f.episode desc
"""
_INSERT_ALERTS = """
insert into guard.alerts (alert_id, kind, severity, customer_id, body, raised_at, late, channels)
select a.alert_id, a.kind, a.severity, a.customer_id, a.body, a.raised_at, a.late, a.channels
from jsonb_to_recordset(%s::jsonb) as a(alert_id text, kind text, severity text, customer_id text, body jsonb,
                                        raised_at timestamptz, late boolean, channels text[])
order by a.alert_id
on conflict (alert_id) do nothing returning alert_id
"""
_INSERT_DELIVERIES = """
insert into guard.deliveries (alert_id, channel)
select distinct a.alert_id, unnest(a.channels) from guard.alerts a where a.alert_id = any(%s)
on conflict do nothing
"""
_INSERT_FIRINGS = """
insert into guard.firings (customer_id, budget_id, scope_key, window_kind, period_start_us, threshold,
                           episode, threshold_amount, measure, currency, alert_id, fired_seq, budget_version)
select f.* from jsonb_to_recordset(%s::jsonb)
    as f(customer_id text, budget_id text, scope_key text, window_kind text, period_start_us bigint,
         threshold text, episode integer, threshold_amount numeric(38,18), measure text, currency text,
         alert_id text, fired_seq bigint, budget_version bigint)
on conflict do nothing
"""
_TOLD_OTHERWISE = """
select distinct f.customer_id
from jsonb_to_recordset(%s::jsonb)
    as n(customer_id text, budget_id text, scope_key text, window_kind text, period_start_us bigint,
         threshold text, episode integer, alert_id text)
join guard.firings f
  using (customer_id, budget_id, scope_key, window_kind, period_start_us, threshold, episode)
where f.alert_id <> n.alert_id
"""
_RETRACT = """
update guard.firings f set retracted_alert_id = r.retracted_alert_id, retracted_seq = r.retracted_seq
from jsonb_to_recordset(%s::jsonb)
    as r(customer_id text, budget_id text, scope_key text, window_kind text, period_start_us bigint,
         threshold text, episode integer, retracted_alert_id text, retracted_seq bigint)
where f.customer_id = r.customer_id and f.budget_id = r.budget_id and f.scope_key = r.scope_key
  and f.window_kind = r.window_kind and f.period_start_us = r.period_start_us and f.threshold = r.threshold
  and f.episode = r.episode and f.retracted_alert_id is null
"""
_UPSERT_STATES = """
insert into guard.states as s (customer_id, scope_key, state, valid_until_us, as_of_seq, body)
select n.* from jsonb_to_recordset(%s::jsonb)
    as n(customer_id text, scope_key text, state text, valid_until_us bigint, as_of_seq bigint, body jsonb)
order by n.customer_id, n.scope_key
on conflict (customer_id, scope_key) do update
set state = excluded.state, valid_until_us = excluded.valid_until_us, as_of_seq = excluded.as_of_seq,
    body = excluded.body, revision = s.revision + 1, changed_at = clock_timestamp(), published_at = null
where excluded.as_of_seq >= s.as_of_seq
"""
_TAKE_OVER = """
insert into guard.owners as o (topic, kafka_partition, epoch, owner)
select %s, unnest(%s::int[]), 1, %s
on conflict (topic, kafka_partition) do update
set epoch = o.epoch + 1, owner = excluded.owner, since = clock_timestamp()
returning kafka_partition, epoch, budget_version
"""


class NotOwnerError(Exception):
    """Another guard has taken a partition over: nothing was written."""


class ToldOtherwiseError(Exception):
    """Somebody told the same crossing under another version of the budgets, and so another id, since what
    fired was read: nothing was written. Read what fired for these customers again.
    """

    def __init__(self, customers: Collection[str]) -> None:
        super().__init__(f"what fired was told meanwhile for {', '.join(sorted(customers)[:5])}")
        self.customers = tuple(customers)


@dataclass(frozen=True, slots=True)
class Known:
    """What a customer's past says: the newest episode of each key, and states that are not ok."""

    firings: Mapping[FiringKey, Firing]
    states: Mapping[str, ScopeState]


@dataclass(slots=True)
class Effects:
    """What one transaction writes. `channels` of an alert are decided before it comes here."""

    alerts: list[tuple[Alert, tuple[str, ...]]] = field(default_factory=list)
    firings: list[Firing] = field(default_factory=list)
    retracted: list[Firing] = field(default_factory=list)
    states: list[ScopeState] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.alerts or self.firings or self.retracted or self.states)


class AlertStore:
    """Reads what fired and writes what follows.

    Every method raises DatabaseUnavailableError where PostgreSQL is away; all may be called again.
    """

    def __init__(
        self, session: GuardSession, topic: str, owner: str, failpoints: Failpoints | None = None
    ) -> None:
        self._session = session
        self._topic = topic
        self._owner = owner
        self._failpoints = failpoints or NoFailpoints()

    def close(self) -> None:
        """Let the connection go."""
        self._session.close()

    def take_over(self, partitions: Collection[int]) -> dict[int, tuple[int, int]]:
        """Make the partitions this owner's: to each its epoch, and the version of the budgets that all its
        customers have been held against.
        """
        with self._session.transaction() as connection:
            rows = connection.execute(_TAKE_OVER, (self._topic, sorted(partitions), self._owner)).fetchall()
        return {int(str(row[0])): (int(str(row[1])), int(str(row[2]))) for row in rows}

    def held_against(self, epochs: Mapping[int, int], version: int) -> None:
        """All customers of these partitions were held against the version. Raises NotOwnerError."""
        with self._session.transaction() as connection:
            self._fence(connection, epochs)
            connection.execute(
                "update guard.owners set budget_version = %s where topic = %s and kafka_partition = any(%s)",
                (version, self._topic, list(epochs)),
            )

    def load(self, wanted: Iterable[Totals]) -> dict[str, Known]:
        """What is known of each of these customers, in windows as old as the totals have, and no older."""
        since = [item for totals in wanted for item in _windows(totals)]
        customers = sorted({customer_id for customer_id, _, _ in since})
        with self._session.transaction() as connection, connection.cursor(row_factory=dict_row) as cursor:
            columns = [list(column) for column in zip(*since, strict=True)] or [[], [], []]
            firings: dict[str, dict[FiringKey, Firing]] = {}
            for row in cursor.execute(_FIRINGS, columns):
                firing = _firing(row)
                firings.setdefault(firing.key.customer_id, {})[firing.key] = firing
            states: dict[str, dict[str, ScopeState]] = {}
            for row in cursor.execute(
                "select customer_id, scope_key, body from guard.states"
                " where customer_id = any(%s) and state <> 'ok'",
                (customers,),
            ):
                states.setdefault(row["customer_id"], {})[row["scope_key"]] = state_of(row["body"])
        return {
            customer: Known(firings.get(customer, {}), states.get(customer, {}))
            for customer in firings.keys() | states.keys()
        }

    def write(
        self, effects: Effects, epochs: Mapping[int, int] | None = None, *, late: bool = False
    ) -> list[str]:
        """Write all or nothing. Returns the ids of the alerts that were not there before.

        Raises:
            NotOwnerError: one of the partitions has another owner.
            ToldOtherwiseError: a crossing has an alert of another id by now.
        """
        with self._session.transaction() as connection:
            if epochs is not None:
                self._fence(connection, epochs)
            made = insert_alerts(
                connection, [(alert_body(alert, late=late), names) for alert, names in effects.alerts]
            )
            if effects.firings:
                _insert_firings(connection, _json(map(_firing_row, effects.firings)), len(effects.firings))
            if effects.retracted:
                connection.execute(_RETRACT, (_json(map(_firing_row, effects.retracted)),))
            if effects.states:
                connection.execute(_UPSERT_STATES, (_json(map(_state_row, effects.states)),))
            self._failpoints.hit("before_pg_commit")
        return made

    def _fence(self, connection: Connection, epochs: Mapping[int, int]) -> None:
        rows = connection.execute(
            "select kafka_partition, epoch from guard.owners where topic = %s and kafka_partition = any(%s)"
            " order by kafka_partition for share",
            (self._topic, list(epochs)),
        ).fetchall()
        found = {int(str(partition)): int(str(epoch)) for partition, epoch in rows}
        if found != dict(epochs):
            raise NotOwnerError(f"epochs {found} in PostgreSQL, {dict(epochs)} here")


def insert_alerts(
    connection: Connection, alerts: Sequence[tuple[Mapping[str, Any], tuple[str, ...]]]
) -> list[str]:
    """Alerts and their deliveries, those that are not there. Returns the ids of these."""
    if not alerts:
        return []
    rows = [
        {
            "alert_id": body["alert_id"],
            "kind": body["kind"],
            "severity": body["severity"],
            "customer_id": body["customer_id"],
            "body": body,
            "raised_at": instant(body["raised_at_us"]).isoformat(),
            "late": body["late"],
            "channels": list(channels),
        }
        for body, channels in alerts
    ]
    made = [str(row[0]) for row in connection.execute(_INSERT_ALERTS, (_json(rows),)).fetchall()]
    if made:
        connection.execute(_INSERT_DELIVERIES, (made,))
    return made


def _insert_firings(connection: Connection, rows: str, count: int) -> None:
    if connection.execute(_INSERT_FIRINGS, (rows,)).rowcount < count:
        # The insert has waited for whoever wrote the same: what that was can be read now.
        told = connection.execute(_TOLD_OTHERWISE, (rows,)).fetchall()
        if told:
            raise ToldOtherwiseError([str(row[0]) for row in told])


def _windows(totals: Totals) -> list[tuple[str, str, int]]:
    """Each kind of window with the oldest start that the totals have."""
    oldest: dict[str, int] = {}
    for window, start_us, *_ in totals.entries:
        oldest[window] = min(start_us, oldest.get(window, start_us))
    return [(totals.customer_id, window, start_us) for window, start_us in oldest.items()]


def _json(rows: Iterable[Mapping[str, Any]]) -> str:
    return json.dumps(list(rows))


def _firing_row(firing: Firing) -> dict[str, Any]:
    return {
        **firing.key._asdict(),
        "window_kind": firing.key.window,
        "episode": firing.episode,
        "threshold_amount": format_atto(firing.threshold_atto),
        "measure": firing.measure,
        "currency": firing.currency,
        "alert_id": firing.alert_id,
        "fired_seq": firing.fired_seq,
        "budget_version": firing.budget_version,
        "retracted_alert_id": firing.retracted_alert_id,
        "retracted_seq": firing.retracted_seq,
    }


def _firing(row: Mapping[str, Any]) -> Firing:
    return Firing(
        key=FiringKey(
            row["customer_id"],
            row["budget_id"],
            row["scope_key"],
            row["window_kind"],
            row["period_start_us"],
            row["threshold"],
        ),
        episode=row["episode"],
        alert_id=row["alert_id"],
        fired_seq=row["fired_seq"],
        budget_version=row["budget_version"],
        threshold_atto=parse_sum(row["amount"]),
        measure=row["measure"],
        currency=row["currency"],
        retracted_alert_id=row["retracted_alert_id"],
        retracted_seq=row["retracted_seq"],
    )


def _state_row(state: ScopeState) -> dict[str, Any]:
    return {
        "customer_id": state.customer_id,
        "scope_key": scope_key(state.scope),
        "state": state.state,
        "valid_until_us": state.valid_until_us,
        "as_of_seq": state.as_of_seq,
        "body": state_body(state),
    }
