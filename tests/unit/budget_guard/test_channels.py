"""Channels: their settings, and what each is told."""

import ipaddress
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from budget_guard.adapters.channels import REGISTRY, channels_from
from budget_guard.adapters.channels.channel import Channel
from budget_guard.adapters.channels.slack import Slack
from budget_guard.adapters.channels.webhook import key_of
from budget_guard.core.messages import Message, one_line, payload
from runtime.clock import SystemClock
from runtime.settings import SettingsError, SettingsLoader
from tests.fix_receiver import Receiver

SIGNS = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
NOW_US = 1_700_000_000_000_000


def alert(number: int = 1, **fields: Any) -> dict[str, Any]:
    """An alert as the outbox holds it."""
    return {
        "alert_id": f"alr_{number}",
        "kind": "threshold",
        "severity": "warning",
        "customer_id": "acme",
        "budget_id": "acme-monthly",
        "scope": {"feature": "chat"},
        "currency": "USD",
        "window": "period",
        "amount": "81.25",
        "limit": "100",
        "share": "81.25",
        "contributors": [{"dimension": "model", "value": "m1", "amount": "80", "share": "98.46"}],
        "crossing_event": None,
        "text": f"acme has used 81.25 % of its budget ({number}).",
        "look_closer": "ratestream usage acme --by feature",
        "raised_at_us": NOW_US + number,
        **fields,
    }


def single(**fields: Any) -> Message:
    return Message("alr_1", NOW_US, (alert(**fields),), grouped=False)


def group(count: int) -> Message:
    alerts = tuple(
        alert(n, severity="critical" if n == 7 else "warning", customer_id=f"c{n % 3}") for n in range(count)
    )
    return Message("grp_1", NOW_US, alerts, grouped=True)


def loaded(folder: Path, text: str, environ: dict[str, str] | None = None) -> dict[str, Channel]:
    (folder / "ratestream.toml").write_text(text)
    return channels_from(SettingsLoader(folder, environ or {}), SystemClock())


def test_channels_are_tables_and_the_log_is_always_there(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{SIGNS}\n{OTHER}\n")
    text = (
        '[channels.on-call]\ntype = "webhook"\nurl = "https://hooks.example.com/t0ken"\n'
        'secret_file = "keys"\n'
        'severity = "critical"\ngroup_after = 2\n[channels.room]\ntype = "slack"\n'
    )
    environ = {
        "RATESTREAM_CHANNELS__ROOM__URL": "https://hooks.slack.com/services/T/B/s3cret",
        "RATESTREAM_CHANNELS__ON_CALL__GROUP_S": "5",
    }
    found = loaded(tmp_path, text, environ)
    assert {name: channel.place for name, channel in found.items()} == {
        "log": "the log",
        "on-call": "https://hooks.example.com",
        "room": "https://hooks.slack.com",
    }
    grouping = found["on-call"].grouping
    assert (grouping.first, grouping.window_s, grouping.collect_s) == (2, 60, 5)
    assert (found["on-call"].severity, found["room"].severity) == ("critical", "info")


WEBHOOK = '[channels.x]\ntype = "webhook"\nurl = "https://h.example/t0ken"\n'


@pytest.mark.parametrize(
    ("text", "environ", "message"),
    [
        (
            '[channels.x]\ntype = "pager"\n',
            {},
            "channels.x.type = 'pager': must be one of log, slack, webhook",
        ),
        ("[channels.x]\n", {}, "channels.x.type = None: must be one of"),
        ("[channels]\nx = 3\n", {}, "channels.x = 3 (from ratestream.toml): must be a table of settings"),
        ('[channels."X Y"]\ntype = "log"\n', {}, "channels.X Y: a channel's name is 1 to 63 of"),
        (WEBHOOK, {}, "channels.x.secret: Field required"),
        (
            WEBHOOK + f'secret = "{SIGNS}"\n',
            {},
            "channels.x.secret (from ratestream.toml): a secret does not",
        ),
        (
            WEBHOOK,
            {"RATESTREAM_CHANNELS__X__SECRET": "whsec_c2hvcnQ="},
            "[channels.x]: each secret must be whsec_",
        ),
        (WEBHOOK, {"RATESTREAM_CHANNELS__X__SECRET": SIGNS[6:]}, "[channels.x]: each secret must be whsec_"),
        (WEBHOOK, {"RATESTREAM_CHANNELS__X": "{}"}, "RATESTREAM_CHANNELS__X: must name a table and a key"),
        (WEBHOOK + 'tokn = "t0ken"\n', {"RATESTREAM_CHANNELS__X__SECRET": SIGNS}, "tokn = (not shown)"),
        (
            WEBHOOK + 'allow_addresses = ["10.0.0.1/8"]\n',
            {"RATESTREAM_CHANNELS__X__SECRET": SIGNS},
            "10.0.0.1/8 has host bits set",
        ),
        (
            '[channels.x]\ntype = "slack"\n',
            {"RATESTREAM_CHANNELS__X__URL": "http://h.example/t0ken"},
            "[channels.x]: the URL must begin with https://",
        ),
        (
            '[channels.x]\ntype = "slack"\nurl = "https://h.example/t0ken"\n',
            {},
            "channels.x.url (from ratestream.toml): a secret does not stand there: give url_file",
        ),
    ],
)
def test_a_wrong_table_is_named_with_its_rule_and_shows_no_secret(
    tmp_path: Path, text: str, environ: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError) as failure:
        loaded(tmp_path, text, environ)
    assert message in str(failure.value)
    for secret in ("t0ken", SIGNS[6:], "c2hvcnQ="):
        assert secret not in str(failure.value)


def test_ranges_of_addresses_are_read(tmp_path: Path) -> None:
    """Through the settings to the class that is asked."""
    text = WEBHOOK + 'allow_addresses = ["10.2.0.0/16", "fd00::/8"]\nallow_http = true\n'
    (tmp_path / "ratestream.toml").write_text(text)
    loader = SettingsLoader(tmp_path, {"RATESTREAM_CHANNELS__X__SECRET": f"{SIGNS} {OTHER}"})
    settings = loader.tables("channels", lambda _name, _values: REGISTRY["webhook"].Settings)["x"]
    assert settings.model_dump()["allow_addresses"] == (
        ipaddress.ip_network("10.2.0.0/16"),
        ipaddress.ip_network("fd00::/8"),
    )
    assert SIGNS not in f"{settings!r}"
    assert "t0ken" not in f"{settings!r}"


def made(kind: str, receiver: Receiver) -> Channel:
    values: dict[str, Any] = {
        "type": kind,
        "url": receiver.url,
        "allow_http": True,
        "allow_addresses": ["127.0.0.1"],
    }
    if kind == "webhook":
        values["secret"] = f"{SIGNS} {OTHER}"
    settings = REGISTRY[kind].Settings.model_validate(values)
    return REGISTRY[kind]("x", settings, SystemClock())


def test_a_webhook_is_signed_by_each_key_under_the_messages_id(receiver: Receiver) -> None:
    channel = made("webhook", receiver)
    body = channel.render(single())
    for second in (0, 61):
        assert channel.send("alr_1", body, NOW_US + second * 1_000_000).error is None
    first, again = receiver.wait(2)
    assert first.body == again.body == body.encode()
    assert [r.headers["webhook-id"] for r in (first, again)] == ["alr_1", "alr_1"]
    assert [r.headers["webhook-timestamp"] for r in (first, again)] == ["1700000000", "1700000061"]
    assert len(first.headers["webhook-signature"].split()) == 2
    assert first.headers["webhook-signature"] != again.headers["webhook-signature"]
    assert first.headers["content-type"] == "application/json"


def test_a_payload_has_type_timestamp_and_the_alert() -> None:
    """Second 1,700,000,000 is 2023-11-14T22:13:20Z."""
    told = payload(single())
    assert told == {
        "type": "budget.threshold.crossed",
        "timestamp": "2023-11-14T22:13:20.000001Z",
        "data": alert(),
    }
    assert payload(single(kind="retraction"))["type"] == "budget.threshold.retracted"
    assert payload(single(kind="of a newer build"))["type"] == "alert.of a newer build"


def test_a_group_says_how_many_and_names_the_worst_first() -> None:
    told = payload(group(60))
    data = told["data"]
    assert told["type"] == "alerts.grouped"
    assert (data["count"], data["customers"], data["severity"]) == (60, 3, "critical")
    assert data["by_severity"] == {"critical": 1, "warning": 59}
    assert data["alerts"][0]["alert_id"] == "alr_7"
    assert data["text"] == (
        "[critical] 60 alerts of 3 customers; the worst: acme has used 81.25 % of its budget (7)."
    )
    assert (len(data["alerts"]), len(data["more"])) == (50, 10)
    assert {a["alert_id"] for a in data["alerts"]} | set(data["more"]) == {f"alr_{n}" for n in range(60)}


def test_slack_gets_escaped_text_that_mentions_nobody(receiver: Receiver) -> None:
    channel = made("slack", receiver)
    evil = "<!channel> & <https://evil.example|click>\nsecond line"
    told = json.loads(channel.render(single(text=evil, customer_id=evil)))
    assert told["text"] == ("[warning] &lt;!channel&gt; &amp; &lt;https://evil.example|click&gt; second line")
    shown = json.dumps(told)
    assert "<" not in shown
    assert "*Amount* 81.25 USD (81.25 %)" in shown
    assert "`ratestream usage acme --by feature`" in shown
    assert "*Most of it* model m1: 80" in shown


def test_slacks_limits_hold_for_any_alert_and_any_group(receiver: Receiver) -> None:
    channel = made("slack", receiver)
    for message in (single(text="&" * 5_000, customer_id="<" * 5_000), group(500)):
        told = json.loads(channel.render(message))
        for block in told["blocks"]:
            assert 0 < len(block["text"]["text"]) <= 3_000
            assert not re.search("&(?!(amp|lt|gt);)", block["text"]["text"])


def test_slack_is_posted_and_unsigned(receiver: Receiver) -> None:
    channel = made("slack", receiver)
    assert channel.send("grp_1", channel.render(group(3)), NOW_US).error is None
    (request,) = receiver.wait(1)
    assert json.loads(request.body)["text"].startswith("[warning] 3 alerts of 3 customers; the worst: ")
    assert "webhook-id" not in request.headers


def test_the_log_is_one_line(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    channel = loaded(tmp_path, "")["log"]
    with caplog.at_level(logging.WARNING, "ratestream.alerts"):
        answer = channel.send("alr_1", channel.render(single(text="one\nforged line\x1b[0m")), NOW_US)
    assert answer.error is None
    (record,) = caplog.records
    assert record.getMessage() == "[warning] one forged line [0m"
    assert (record.__dict__["message_id"], record.__dict__["channel"]) == ("alr_1", "log")


def test_what_controls_a_terminal_or_turns_text_around_is_taken_out() -> None:
    assert one_line("a\r\n\x00b\u202ec\u2028d é") == "a   b c d é"


def test_every_type_of_channel_says_what_it_is() -> None:
    assert set(REGISTRY) == {"webhook", "slack", "log"}
    assert REGISTRY["slack"] is Slack
    with pytest.raises(ValueError, match="24 to 64"):
        key_of("whsec_")
