"""What docs/operating tells an administrator of a cluster with TLS and logins, done on one of its own."""

import base64
import hashlib
import hmac
import json
import shlex
from collections.abc import Iterator

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cli.stack.secure import Secrets
from tests.fix_rater import wait_for
from tests.fix_receiver import Receiver
from tests.fix_stack import stack_of_its_own
from tests.runbook_world import BUDGET, SETTINGS, Operator, cloud_event

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(900)]

SERVICES = {"rater": "rater --slot 0", "ledger": "ledger"}


class SecureOperator(Operator):
    """Commands are the principal's whose settings are given; without any, the administrator's."""

    def principal(self, name: str) -> dict[str, str]:
        text = Secrets(self.stack.place).environment_file(name).read_text(encoding="utf-8")
        return dict(word.split("=", 1) for word in shlex.split(text))

    def superuser(self) -> dict[str, str]:
        """What psql takes from its environment."""
        server = conninfo_to_dict(self.dsn())
        return {
            f"PG{key.upper()}": str(server[key])
            for key in ("host", "port", "user", "password")
            if key in server
        }

    def dsn(self) -> str:
        return make_conninfo(super().dsn(), dbname="ratestream")

    def publish(self, *numbers: int) -> None:
        self.emit(*(cloud_event(number) for number in numbers), given=self.principal("producer"))

    def starts(self, *names: str) -> None:
        for name in names:
            self.start(f"ratestream run {SERVICES[name]}", self.principal(name))


@pytest.fixture(scope="module")
def operator() -> Iterator[SecureOperator]:
    with stack_of_its_own() as stack:
        made = SecureOperator(stack)
        made.write("ratestream.toml", SETTINGS)
        made.write_book()
        stack.up(secure=True)
        made.follow("security.md", "On a cluster of yours")
        made.shell("ratestream book apply books --author test", given=made.principal("operator"))
        made.write("budgets.yaml", BUDGET)
        made.shell("ratestream budget apply budgets.yaml --by test", given=made.principal("operator"))
        yield made
        made.kill()


def test_the_local_stack_with_tls_as_its_page_says(operator: SecureOperator) -> None:
    operator.follow("local-stack.md", "With TLS and a login for each part")
    operator.running["rater"].wait_owner()
    operator.stop()


def test_a_password_at_kafka(operator: SecureOperator) -> None:
    """Nothing stops: what is open goes on, what starts with the old password is refused."""
    operator.starts("rater", "ledger")
    operator.publish(0, 1)
    operator.until("select count(*) from ledger.rated where event_id in ('event-0', 'event-1')", [(2,)])
    secret = operator.directory / ".ratestream/secure/rater.password"
    old = secret.read_text(encoding="utf-8").strip()
    operator.follow("rotate.md", "A password at Kafka", USER="rater", NEW_FILE="new.password")
    assert secret.read_text(encoding="utf-8").strip() != old
    assert secret.stat().st_mode & 0o777 == 0o600
    operator.publish(2)  # by connections of before
    operator.until("select count(*) from ledger.rated where event_id = 'event-2'", [(1,)])
    refused = operator.write("old.password", old)
    late = operator.start(
        "ratestream run rater --slot 1",
        operator.principal("rater") | {"RATESTREAM_KAFKA__SASL_PASSWORD_FILE": str(refused)},
    )
    wait_for(lambda: "uthentication failed" in late.log(), "the old password is refused")
    late.kill9()
    del operator.running["rater-1"]
    restart(operator, "rater")
    operator.publish(0, 3)  # one is a repeat
    operator.until("select count(*) from ledger.rated where event_id = 'event-3'", [(1,)])
    once = "select max(n) from (select count(*) n from ledger.rated group by customer_id, event_id) r"
    assert operator.rows(once) == [(1,)]
    operator.follow("rotate.md", "Somebody knew a secret")
    operator.stop()


def restart(operator: SecureOperator, name: str) -> None:
    operator.follow(
        "rotate.md",
        "Restart a part, and see that it has come back",
        PID=operator.running[name if name != "rater" else "rater-0"].pid,
        USER=name,
        SERVICE=SERVICES[name],
    )


def test_a_password_of_postgresql(operator: SecureOperator) -> None:
    operator.starts("rater", "ledger")
    operator.publish(10)
    operator.until("select count(*) from ledger.rated where event_id = 'event-10'", [(1,)])
    new = "the-new-one-of-the-ledger"
    operator.follow(
        "rotate.md",
        "A password of PostgreSQL",
        USER="ledger",
        given=operator.superuser(),
        stdin=f"{new}\n{new}\n",
    )
    operator.publish(11)
    operator.until("select count(*) from ledger.rated where event_id = 'event-11'", [(1,)])
    file = Secrets(operator.stack.place).dsn_file("ledger")
    old = file.read_text(encoding="utf-8")
    assert operator.try_it("ratestream usage", given={"RATESTREAM_POSTGRES__DSN": old.strip()}) is False
    file.write_text(
        old.replace(f":{conninfo_to_dict(old.strip())['password']}@", f":{new}@"), encoding="utf-8"
    )
    restart(operator, "ledger")
    operator.publish(12)
    operator.until("select count(*) from ledger.rated where event_id = 'event-12'", [(1,)])
    operator.stop()


def test_a_webhooks_secret(operator: SecureOperator, receiver: Receiver) -> None:
    first = "whsec_" + base64.b64encode(b"a" * 32).decode()
    secret = operator.write("webhook.secret", first + "\n")
    channel = (
        f'[channels.oncall]\ntype = "webhook"\nurl = "{receiver.url}"\nsecret_file = "webhook.secret"\n'
        'allow_http = true\nallow_addresses = ["127.0.0.0/8"]\n'
    )
    operator.write("ratestream.toml", SETTINGS + channel)
    operator.follow("rotate.md", "A webhook's secret", KEYS_FILE="webhook.secret", CHANNEL="oncall")
    request = receiver.wait(1)[0]
    known = secret.read_text(encoding="utf-8").split()
    assert known[0] == first
    assert len(known) == 2
    signatures = request.headers["webhook-signature"].split()
    signed = (
        f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    )
    for one in known:
        key = base64.b64decode(one.removeprefix("whsec_"))
        assert "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() in signatures
    assert json.loads(request.body)["type"] == "channel.test"


def test_certificates(operator: SecureOperator) -> None:
    files = [operator.directory / ".ratestream/secure" / name for name in ("broker.pem", "postgres.pem")]
    old = [file.read_bytes() for file in files]
    operator.follow("rotate.md", "A certificate of a broker, or of PostgreSQL's server")
    assert all(file.read_bytes() != was for file, was in zip(files, old, strict=True))
    operator.starts("rater", "ledger")
    operator.publish(20)
    operator.until("select count(*) from ledger.rated where event_id = 'event-20'", [(1,)])
    operator.stop()
