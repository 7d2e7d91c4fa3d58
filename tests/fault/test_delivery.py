"""Delivery killed, stopped and badly treated by its endpoint: each crossing is one alert row that arrives at
least once, on every attempt under the same id and with the same bytes, and nothing else arrives.
"""

import base64
import hashlib
import hmac
import json
import socket
import time
from collections import Counter
from dataclasses import dataclass, replace

import pytest

from budget_guard.adapters.delivery import FAILPOINTS
from tests.delivery_world import SIGNS
from tests.fix_guard import GuardRun, budget, entry, running_totals
from tests.fix_rater import KILLED, RaterProcess, wait_for
from tests.fix_receiver import Behave, Received, Receiver, answer

CUSTOMERS = [f"customer-{number}" for number in range(6)]
LAST = 12
CROSSED = {
    (f"customer-{number}", name): seq for number in (1, 2, 4, 5) for name, seq in (("80", 8), ("100", 10))
}
"""Customers 0 and 3 spend 40 in all; the others 10 at each of 12 sequences: when, and no other, crossed."""

_CHANNEL = """\
[channels.oncall]
type = "webhook"
url = "{url}"
allow_http = true
allow_addresses = ["127.0.0.1"]
timeout_s = 1
group_after = {group_after}
group_s = 1
"""


def spent(number: int, seq: int) -> str:
    return str(seq * 10) if number % 3 else str(seq * 10 // 3)


@dataclass
class Duty:
    """Guards with one webhook, and what arrives there."""

    guard: GuardRun
    receiver: Receiver

    def start(self, *, slot: int = 0, failpoints: str = "") -> RaterProcess:
        return self.guard.start(
            slot=slot,
            failpoints=failpoints,
            channels__oncall__secret=SIGNS,
            delivery__retry_first_s=1,
            delivery__retry_longest_s=1,
        )

    def feed(self, first: int, last: int) -> None:
        for seq in range(first, last + 1):
            self.guard.feed(
                *(
                    running_totals(customer, seq, entry(spent(number, seq)))
                    for number, customer in enumerate(CUSTOMERS)
                )
            )

    def wait_delivered(self) -> None:
        """Nothing is on its way any more, and nothing was given up."""

        def done() -> bool:
            self.guard.pipeline.check_alive()
            return Counter(self.statuses()) == {"delivered": len(CROSSED)}

        wait_for(done, "each alert is delivered", 90.0)

    def statuses(self) -> list[str]:
        return [str(row[0]) for row in self.guard.ask("select status from guard.deliveries")]

    def check(self) -> dict[str, list[Received]]:
        """Returns the requests by message."""
        self.guard.wait_passed()
        alerts = self.guard.wait_alerts(len(CROSSED))
        assert {(alert["customer_id"], alert["threshold"]) for alert in alerts} == CROSSED.keys()
        assert {alert["episode"] for alert in alerts} == {1}
        self.wait_delivered()
        found: dict[str, list[Received]] = {}
        for request in list(self.receiver.received):
            found.setdefault(request.headers["webhook-id"], []).append(request)
        told: Counter[str] = Counter()
        for message_id, requests in found.items():
            assert len({request.body for request in requests}) == 1, message_id
            for request in requests:
                assert request.line.split()[1] == "/hooks/t0ken-of-the-receiver"
                assert request.headers["webhook-signature"] == signature(request)
            data = json.loads(requests[0].body)["data"]
            told.update(alert["alert_id"] for alert in data.get("alerts", [data]))
            if "alerts" not in data:
                assert message_id == data["alert_id"]
        assert told == Counter(alert["alert_id"] for alert in alerts), "each in one message"
        assert self.guard.ask("select count(*) from guard.alerts") == [(len(CROSSED),)]
        return found


def signature(request: Received) -> str:
    """As Standard Webhooks has it, computed here."""
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode()
    key = base64.b64decode(SIGNS.removeprefix("whsec_"))
    digest = hmac.new(key, signed + request.body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def on_duty(guard: GuardRun, receiver: Receiver, group_after: int = 1_000) -> Duty:
    guard.pipeline.directory.joinpath("ratestream.toml").write_text(
        _CHANNEL.format(url=receiver.url, group_after=group_after), encoding="utf-8"
    )
    plain = budget()
    thresholds = tuple(replace(threshold, channels=("oncall",)) for threshold in plain.thresholds)
    guard.apply(replace(plain, thresholds=thresholds))
    return Duty(guard, receiver)


@pytest.mark.parametrize(
    "name", [pytest.param("before_post", marks=pytest.mark.slow), "after_post_before_mark"]
)
def test_killed_twice_at_a_failpoint(guard: GuardRun, receiver: Receiver, name: str) -> None:
    duty = on_duty(guard, receiver)
    for nth, first, last in ((1, 1, 9), (3, 10, LAST)):
        killed = duty.start(failpoints=f"{name}:{nth}:kill")
        duty.feed(first, last)
        assert killed.wait_dead() == KILLED
    duty.start()
    found = duty.check()
    again = [len(requests) for requests in found.values() if len(requests) > 1]
    # What was posted and not marked is posted again, once for each death; what was not posted is not.
    assert sum(count - 1 for count in again) == (2 if name == "after_post_before_mark" else 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FAILPOINTS))
def test_a_guard_that_stood_still_does_no_harm(guard: GuardRun, receiver: Receiver, name: str) -> None:
    """It holds one message: the others go out at once, and that one when PostgreSQL takes it back, 30 s after
    the last the stopped guard said; what it held in other transactions is free after 5 s.
    """
    duty = on_duty(guard, receiver)
    zombie = duty.start(failpoints=f"{name}:1:stop")
    zombie.wait_owner()
    duty.feed(1, 9)
    zombie.wait_stopped()
    began_s = time.monotonic()
    heir = duty.start(slot=1)
    heir.wait_owner()
    duty.feed(10, LAST)
    guard.wait_passed()
    wait_for(lambda: Counter(duty.statuses())["delivered"] == len(CROSSED) - 1, "the others are delivered")
    assert time.monotonic() - began_s < 25, "they did not wait for the message that is held"
    duty.wait_delivered()  # while it stands still
    before = duty.check()
    posted = sum(map(len, before.values()))
    assert posted == len(CROSSED) + (name == "after_post_before_mark")
    zombie.resume()
    # It goes on where it stood: posts what it held, and cannot mark it any more.
    wait_for(lambda: "delivery to oncall: " in zombie.log(), "it notices that its transaction is gone")
    after = duty.check()
    assert sum(map(len, after.values())) == len(CROSSED) + 1
    duty.feed(LAST + 1, LAST + 1)
    assert duty.check().keys() == before.keys()
    for process in (zombie, heir):
        assert process.terminate() == 0, process.log()


def hang(connection: socket.socket, _: Received) -> None:
    """Say nothing until the other side gives up."""
    connection.recv(1)


def cut(connection: socket.socket, _: Received) -> None:
    """Close without an answer."""
    connection.close()


@pytest.mark.parametrize(
    "group_after", [1_000, pytest.param(1, marks=pytest.mark.slow)], ids=["alone", "grouped"]
)
def test_an_endpoint_that_fails_hangs_and_redirects_first(
    guard: GuardRun, receiver: Receiver, group_after: int
) -> None:
    redirect = answer(307, Location=f"http://127.0.0.1:{receiver.port}/elsewhere")
    first: list[Behave] = [answer(500, "no"), hang, redirect, cut, answer(404)]
    tries: Counter[str] = Counter()

    def behave(connection: socket.socket, request: Received) -> None:
        place = tries[request.headers["webhook-id"]]
        tries[request.headers["webhook-id"]] += 1
        (first[place] if place < len(first) else answer(204))(connection, request)

    receiver.behave = behave
    duty = on_duty(guard, receiver, group_after)
    process = duty.start()
    duty.feed(1, LAST)
    found = duty.check()
    assert {len(requests) for requests in found.values()} == {len(first) + 1}
    attempts = guard.ask(
        "select message_id, array_agg(status_code order by attempt) from guard.attempts group by 1"
    )
    assert dict(attempts) == {message_id: [500, None, 307, None, 404, 204] for message_id in found}
    assert process.terminate() == 0
