"""Publishes what PostgreSQL says is not published yet, and rolls states by the clock.

Level-triggered and at least once: what was produced and not marked is produced again under the same id or
key. A state's revision tells whether what was produced is still what stands; where it is not, it goes out
again, so whatever a publisher that stood still puts there late, the newest state comes last.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from psycopg.rows import dict_row

from budget_guard.adapters.session import GuardSession
from budget_guard.adapters.wire import alert_value, state_body, state_key, state_of, state_value
from budget_guard.core.firings import ScopeState
from budget_guard.core.rolls import rolled
from runtime.clock import Clock
from runtime.failpoints import Failpoints
from runtime.kafka.publishing import CheckedPublisher
from runtime.postgres import Connection

_AT_ONCE = 500
_IDLE_S = 0.5

_UNPUBLISHED_ALERTS = """
select alert_id, customer_id, body || coalesce(details, '{}') as body from guard.alerts
where published_at is null order by raised_at limit %s for update skip locked
"""
_UNPUBLISHED_STATES = """
select customer_id, scope_key, revision, body from guard.states
where published_at is null order by changed_at limit %s
"""
_MARK_STATES = """
update guard.states s set published_at = case when s.revision = n.revision then clock_timestamp() end
from unnest(%s::text[], %s::text[], %s::bigint[]) as n(customer_id, scope_key, revision)
where s.customer_id = n.customer_id and s.scope_key = n.scope_key
"""
_ENDED = """
select body, revision, scope_key from guard.states
where state <> 'ok' and valid_until_us <= %s order by valid_until_us limit %s
"""
_ROLL = """
update guard.states set state = %s, valid_until_us = %s, body = %s::jsonb, revision = revision + 1,
       changed_at = clock_timestamp(), published_at = null
where customer_id = %s and scope_key = %s and revision = %s
"""


class Publisher:
    """The work of one thread, a step at a time.

    Args:
        session: of this thread alone.
        producer: makes a producer; called again after a failure.
        topics: budget.alerts and budget.state as the broker names them.
        clock: says when windows end.
        failpoints: for tests.
    """

    def __init__(
        self,
        session: GuardSession,
        producer: Callable[[], CheckedPublisher],
        topics: tuple[str, str],
        clock: Clock,
        failpoints: Failpoints,
    ) -> None:
        self._session = session
        self._make = producer
        self._alerts, self._states = topics
        self._clock = clock
        self._failpoints = failpoints
        self._producer: CheckedPublisher | None = None

    def step(self) -> float:
        """Roll, then publish. Returns seconds after which to come again; 0 where more waits.

        Raises:
            DatabaseUnavailableError, KafkaUnavailableError: nothing was marked that is not published.
        """
        now_us = self._clock.now_us()
        with self._session.transaction() as connection:
            more = _roll(connection, now_us)
        more |= self._publish_alerts()
        more |= self._publish_states()
        return 0.0 if more else _IDLE_S

    def close(self) -> None:
        """Let the connections go."""
        self._producer = None
        self._session.close()

    def _publish_alerts(self) -> bool:
        with self._session.transaction() as connection, connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(_UNPUBLISHED_ALERTS, (_AT_ONCE,)).fetchall()
            if not rows:
                return False
            self._failpoints.hit("before_publish")
            self._send(self._alerts, [(_key(row["customer_id"]), alert_value(row["body"])) for row in rows])
            cursor.execute(
                "update guard.alerts set published_at = clock_timestamp() where alert_id = any(%s)",
                ([row["alert_id"] for row in rows],),
            )
        return len(rows) == _AT_ONCE

    def _publish_states(self) -> bool:
        with self._session.transaction() as connection, connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(_UNPUBLISHED_STATES, (_AT_ONCE,)).fetchall()
        if not rows:
            return False
        # No row is locked meanwhile: who evaluates never waits for a broker.
        self._send(self._states, [_state_record(row["body"]) for row in rows])
        with self._session.transaction() as connection:
            columns = [[row[name] for row in rows] for name in ("customer_id", "scope_key", "revision")]
            connection.execute(_MARK_STATES, columns)
        return len(rows) == _AT_ONCE

    def _send(self, topic: str, records: Sequence[tuple[bytes | None, bytes]]) -> None:
        producer, self._producer = self._producer or self._make(), None
        for key, value in records:
            producer.send(topic, key, value, {})
        producer.finish()
        self._producer = producer  # after a failure the next step makes another


def publish_states_again(connection: Connection) -> None:
    """Have every state that holds somebody back published once more: budget.state is another topic now."""
    connection.execute("update guard.states set published_at = null where state <> 'ok'")


def _roll(connection: Connection, now_us: int) -> bool:
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_ENDED, (now_us, _AT_ONCE)).fetchall()
    for row in rows:
        state = rolled(state_of(row["body"]), now_us)
        connection.execute(_ROLL, _rolled_row(state, row["scope_key"], row["revision"]))
    return len(rows) == _AT_ONCE


def _rolled_row(state: ScopeState, scope: str, revision: int) -> Sequence[Any]:
    body = json.dumps(state_body(state))
    return state.state, state.valid_until_us, body, state.customer_id, scope, revision


def _state_record(body: dict[str, Any]) -> tuple[bytes, bytes]:
    return state_key(body["customer_id"], body["scope"]), state_value(body)


def _key(customer_id: str | None) -> bytes | None:
    return None if customer_id is None else customer_id.encode()
