"""`ratestream alerts` against a real outbox and a real endpoint."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.alerts import alerts
from runtime.errors import InfrastructureError
from runtime.postgres import connect, migrate
from tests.fix_postgres import PostgresFixture
from tests.fix_receiver import Receiver, answer

pytestmark = pytest.mark.postgres

BODY = {
    "kind": "threshold",
    "severity": "critical",
    "customer_id": "acme",
    "budget_id": "acme-monthly",
    "amount": "101.5",
    "limit": "100",
    "currency": "USD",
    "share": "101.50",
    "text": "acme has used 101.50 % of its budget\nof chat.",
    "look_closer": "ratestream usage acme",
}


@pytest.fixture(autouse=True)
def _project(
    postgres: PostgresFixture, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ratestream.toml").write_text(
        f'[channels.oncall]\ntype = "webhook"\nurl = "{receiver.url}"\nallow_http = true\n'
        'allow_addresses = ["127.0.0.1"]\n[channels.inside]\ntype = "webhook"\n'
        f'url = "{receiver.url}"\nallow_http = true\n'
    )
    monkeypatch.setenv("RATESTREAM_PROJECT_DIR", str(tmp_path))
    monkeypatch.setenv("RATESTREAM_POSTGRES__DSN", postgres.dsn)
    for name in ("ONCALL", "INSIDE"):
        monkeypatch.setenv(f"RATESTREAM_CHANNELS__{name}__SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


@pytest.fixture
def outbox(postgres: PostgresFixture) -> None:
    """One alert: delivered to oncall by its group, given up by `room`."""
    with connect(postgres.dsn) as connection:
        migrate(connection)
        connection.execute(
            "insert into guard.alerts (alert_id, kind, severity, customer_id, body, raised_at, details)"
            " values ('alr_1', 'threshold', 'critical', 'acme', %s, '2026-11-18T12:00:00Z', %s)",
            (json.dumps(BODY), json.dumps({"crossing_event": {"source": "api", "event_id": "e7"}})),
        )
        connection.execute(
            "insert into guard.deliveries"
            " (alert_id, channel, status, attempts, delivered_at, message_id, last_error)"
            " values ('alr_1', 'oncall', 'delivered', 2, '2026-11-18T12:00:31Z', 'grp_1', null),"
            " ('alr_1', 'room', 'dead', 90, null, 'alr_1', 'answered 404')"
        )
        connection.execute(
            "insert into guard.messages (message_id, channel, body, alert_ids)"
            " values ('grp_1', 'oncall', '{}', '{alr_1}'), ('alr_1', 'room', '{}', '{alr_1}')"
        )
        connection.execute(
            "insert into guard.attempts"
            " (message_id, channel, at, attempt, status_code, error, duration_ms) values"
            " ('grp_1', 'oncall', '2026-11-18T12:00:30Z', 1, 500, 'answered 500', 12),"
            " ('grp_1', 'oncall', '2026-11-18T12:00:31Z', 2, 200, null, 8)"
        )


def run(*arguments: str) -> Result:
    return CliRunner().invoke(alerts, arguments)


@pytest.mark.usefixtures("outbox")
def test_the_list_shows_alerts_and_their_deliveries() -> None:
    told = run("list").output
    assert "2026-11-18T12:00:00.000Z alr_1 critical: acme has used 101.50 % of its budget of chat." in told
    assert "oncall: delivered at 2026-11-18T12:00:31+00:00 in grp_1, 2 attempts" in told
    assert "room: dead, 90 attempts: answered 404" in told
    assert run("list", "--dead", "--channel", "oncall").output == "no such alerts\n"
    (line,) = run("list", "--dead", "--json").output.splitlines()
    assert json.loads(line)["alert_id"] == "alr_1"
    assert run("list", "--customer", "other", "--json").output == ""


@pytest.mark.usefixtures("outbox")
@pytest.mark.parametrize("named", ["alr_1", "grp_1"])
def test_show_tells_of_an_alert_or_a_group_and_every_attempt(named: str) -> None:
    told = run("show", named).output
    assert "Amount     101.5 USD (101.50 %)" in told
    assert "Event      api e7" in told
    assert "2026-11-18T12:00:30.000Z grp_1 to oncall, attempt 1: 500 answered 500 (12 ms)" in told
    assert "attempt 2: 200 accepted (8 ms)" in told
    shown = json.loads(run("show", named, "--json").output)
    assert [each["attempt"] for each in shown["attempts"]] == [1, 2]
    assert shown["alerts"][0]["alert"]["amount"] == "101.5"


@pytest.mark.usefixtures("outbox")
def test_what_is_not_there_is_a_finding() -> None:
    failed = run("show", "alr_none")
    assert getattr(failed.exception, "exit_code", None) == 1
    assert "'alr_none': no alert and no group's message has this id" in str(failed.exception)


@pytest.mark.usefixtures("outbox")
def test_dead_ones_are_sent_again() -> None:
    assert run("resend", "--dead").output == "alr_1 to room\n1 to be sent again\n"
    assert run("list", "--dead").output == "no such alerts\n"
    assert json.loads(run("resend", "alr_1", "--channel", "log", "--json").output) == {
        "alert_id": "alr_1",
        "channel": "log",
    }


@pytest.mark.usefixtures("outbox")
@pytest.mark.parametrize("arguments", [(), ("--dead", "alr_1"), ("alr_1", "--channel", "nowhere")])
def test_what_to_send_again_must_be_clear(arguments: tuple[str, ...]) -> None:
    assert run("resend", *arguments).exit_code == 2


def test_a_channel_is_tried_and_its_answer_told(receiver: Receiver) -> None:
    tried = run("test-channel", "oncall")
    assert tried.exit_code == 0
    assert f"to oncall (http://127.0.0.1:{receiver.port}): accepted" in tried.output
    told = json.loads(receiver.wait(1)[0].body)
    assert (told["type"], told["data"]["severity"]) == ("channel.test", "info")
    receiver.behave = answer(410, "gone")
    refused = run("test-channel", "oncall", "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.output)["status_code"] == 410


def test_a_channel_inside_the_network_is_refused_unless_its_settings_say_so(receiver: Receiver) -> None:
    refused = run("test-channel", "inside")
    assert refused.exit_code == 1
    assert "refused: 127.0.0.1 has the address 127.0.0.1, which is not a public address" in refused.output
    assert receiver.connections == 0


def test_an_unknown_channel_is_named_with_those_that_there_are() -> None:
    failed = run("test-channel", "nowhere")
    assert failed.exit_code == 2
    assert "there are inside, log, oncall" in failed.output


def test_a_database_without_an_outbox_says_what_makes_it() -> None:
    failed = run("list").exception
    assert isinstance(failed, InfrastructureError)
    assert "`ratestream ledger migrate` makes the tables" in str(failed)
