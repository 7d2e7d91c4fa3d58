"""An outbox, an endpoint and a clock: what the tests of delivery share."""

import json
from dataclasses import dataclass, field
from typing import Any

from budget_guard.adapters.channels import REGISTRY
from budget_guard.adapters.channels.channel import Channel
from budget_guard.adapters.delivery import Lane
from budget_guard.adapters.delivery_settings import DeliverySettings
from budget_guard.adapters.delivery_store import at_of, us_of
from budget_guard.adapters.session import GuardSession
from runtime.clock import SystemClock
from runtime.failpoints import Failpoints, NoFailpoints
from runtime.postgres import connect
from tests.fix_postgres import PostgresFixture
from tests.fix_receiver import Receiver

START_US = 1_800_000_000_000_000
SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US
SIGNS = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Clock(SystemClock):
    """Stands where the test puts it."""

    def __init__(self) -> None:
        self.us = START_US

    def now_us(self) -> int:
        return self.us


@dataclass
class Counted:
    """What was counted."""

    added: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    observed: list[float] = field(default_factory=list)

    def add(self, name: str, amount: int = 1, **labels: str) -> None:
        self.added.append((name, labels))

    def set(self, name: str, value: float, **labels: str) -> None:
        pass

    def observe(self, name: str, seconds: float) -> None:
        self.observed.append(seconds)


@dataclass
class World:
    """An outbox, an endpoint, and ways to look at both."""

    postgres: PostgresFixture
    receiver: Receiver
    clock: Clock = field(default_factory=Clock)
    counted: Counted = field(default_factory=Counted)
    lanes: list[Lane] = field(default_factory=list)

    @property
    def dsn(self) -> str:
        return self.postgres.dsn

    def channel(self, name: str = "oncall", **values: Any) -> Channel:
        given = {
            "type": "webhook",
            "url": self.receiver.url,
            "secret": SIGNS,
            "allow_http": True,
            "allow_addresses": ["127.0.0.1"],
            **values,
        }
        return REGISTRY["webhook"](name, REGISTRY["webhook"].Settings.model_validate(given), SystemClock())

    def lane(
        self, channel: Channel | None = None, failpoints: Failpoints | None = None, *, idle_s: int = 30
    ) -> Lane:
        made = Lane(
            channel or self.channel(),
            GuardSession(self.dsn, "ratestream_guard", "test", idle_s=idle_s),
            DeliverySettings(),
            self.clock,
            failpoints=failpoints or NoFailpoints(),
            counts=self.counted,
            jitter=lambda _n: 0,
            now_us=lambda _: self.clock.us,
        )
        self.lanes.append(made)
        return made

    def raise_alerts(
        self, *severities: str, channel: str = "oncall", first: int = 0, append_us: int | None = None
    ) -> list[str]:
        ids = [f"alr_{first + place:04}" for place in range(len(severities))]
        with connect(self.dsn) as connection:
            for place, (alert_id, severity) in enumerate(zip(ids, severities, strict=True)):
                body = {
                    "alert_id": alert_id,
                    "kind": "threshold",
                    "severity": severity,
                    "customer_id": f"c{place % 3}",
                    "text": f"{alert_id} crossed",
                    "raised_at_us": self.clock.us,
                    "source_append_us": self.clock.us - 250_000 if append_us is None else append_us,
                }
                connection.execute(
                    "insert into guard.alerts (alert_id, kind, severity, customer_id, body, raised_at)"
                    " values (%s, 'threshold', %s, %s, %s, %s) on conflict do nothing",
                    (alert_id, severity, body["customer_id"], json.dumps(body), at_of(self.clock.us)),
                )
                connection.execute(
                    "insert into guard.deliveries (alert_id, channel) values (%s, %s)", (alert_id, channel)
                )
        return ids

    def rows(self, columns: str = "alert_id, status, attempts") -> list[tuple[object, ...]]:
        with self.postgres.connect() as connection:
            query = f"select {columns} from guard.deliveries order by alert_id, channel"  # noqa: S608 - the test's own
            return connection.execute(query.encode()).fetchall()

    def next_us(self) -> int:
        found = us_of(self.rows("next_attempt_at")[0][0])
        assert found is not None
        return found

    def ids(self) -> list[str]:
        return [request.headers["webhook-id"] for request in self.receiver.received]
