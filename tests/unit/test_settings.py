"""Settings: file, environment, flags, stack, in that order; a wrong one is named with its place and rule."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from runtime.settings import (
    KafkaSettings,
    MissingEndpointError,
    PostgresSettings,
    SettingsError,
    SettingsLoader,
    TopicsSettings,
    WindowSettings,
    find_project_dir,
)

FILE = '[kafka]\nbootstrap_servers = "file:9092"\npartitions = 12\n'
STACK = {
    "up": True,
    "settings": {
        "kafka": {"bootstrap_servers": "127.0.0.1:1", "partitions": 4, "replication_factor": 1},
        "postgres": {"dsn_file": ".ratestream/postgres.dsn"},
    },
}


def with_file(folder: Path, text: str) -> Path:
    (folder / "ratestream.toml").write_text(text)
    return folder


def with_stack(folder: Path, *, up: bool = True) -> Path:
    (folder / ".ratestream").mkdir()
    (folder / ".ratestream" / "stack.json").write_text(json.dumps(STACK | {"up": up}))
    (folder / ".ratestream" / "postgres.dsn").write_text("postgresql://r:s3cret@127.0.0.1:2/postgres\n")
    return folder


def test_the_file_is_read(tmp_path: Path) -> None:
    kafka = SettingsLoader(with_file(tmp_path, FILE), {}).section("kafka", KafkaSettings)
    assert (kafka.bootstrap_servers, kafka.partitions, kafka.topic_prefix) == ("file:9092", 12, "")


def test_the_environment_goes_before_the_file_and_flags_before_the_environment(tmp_path: Path) -> None:
    environ = {"RATESTREAM_KAFKA__PARTITIONS": "8", "RATESTREAM_KAFKA__TOPIC_PREFIX": "eu."}
    flags = {"kafka": {"partitions": 6, "topic_prefix": None}}
    kafka = SettingsLoader(with_file(tmp_path, FILE), environ, flags).section("kafka", KafkaSettings)
    assert (kafka.bootstrap_servers, kafka.partitions, kafka.topic_prefix) == ("file:9092", 6, "eu.")


def test_the_local_stack_serves_where_nobody_names_an_endpoint(tmp_path: Path) -> None:
    loader = SettingsLoader(with_stack(tmp_path), {"RATESTREAM_KAFKA__TOPIC_PREFIX": "mine."})
    kafka = loader.section("kafka", KafkaSettings)
    assert (kafka.bootstrap_servers, kafka.partitions, kafka.topic_prefix) == ("127.0.0.1:1", 4, "mine.")
    dsn = loader.section("postgres", PostgresSettings).dsn
    assert dsn.get_secret_value() == "postgresql://r:s3cret@127.0.0.1:2/postgres"


def test_nothing_of_the_local_stack_is_mixed_with_another_cluster(tmp_path: Path) -> None:
    """24 partitions and 3 replicas are the defaults; the local stack's 4 and 1 must not leak."""
    loader = SettingsLoader(with_stack(tmp_path), {"RATESTREAM_KAFKA__BOOTSTRAP_SERVERS": "far:9092"})
    kafka = loader.section("kafka", KafkaSettings)
    assert (kafka.bootstrap_servers, kafka.partitions, kafka.replication_factor) == ("far:9092", 24, 3)


@pytest.mark.parametrize("up", [None, False], ids=["never started", "down"])
def test_no_endpoint_at_all_says_what_to_do(tmp_path: Path, *, up: bool | None) -> None:
    if up is not None:
        with_stack(tmp_path, up=up)
    with pytest.raises(MissingEndpointError) as failure:
        SettingsLoader(tmp_path, {}).section("kafka", KafkaSettings)
    assert str(failure.value) == (
        "kafka.bootstrap_servers is not set and the local stack is not up: run `ratestream stack up`, "
        "or set RATESTREAM_KAFKA__BOOTSTRAP_SERVERS"
    )
    assert failure.value.exit_code == 3


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("partitions", "many", "Input should be a valid integer"),
        ("partitions", "0", "Input should be greater than or equal to 1"),
        ("partitions", "1.5", "Input should be a valid integer"),
        ("security_protocol", "TLS", "Input should be 'PLAINTEXT'"),
        ("topic_prefix", "a b", "String should match pattern"),
    ],
)
def test_a_wrong_value_is_named_with_place_and_rule(tmp_path: Path, key: str, value: str, rule: str) -> None:
    variable = f"RATESTREAM_KAFKA__{key.upper()}"
    with pytest.raises(SettingsError) as failure:
        SettingsLoader(with_file(tmp_path, FILE), {variable: value}).section("kafka", KafkaSettings)
    assert str(failure.value).startswith(f"kafka.{key} = '{value}' (from {variable}): {rule}")
    assert failure.value.exit_code == 2


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("security_protocol", "SASL_SSL", "SASL_SSL needs sasl_mechanism, sasl_username and sasl_password"),
        ("min_insync_replicas", "4", "min_insync_replicas 4 is above replication_factor 3"),
    ],
)
def test_values_that_contradict_each_other_are_named(
    tmp_path: Path, key: str, value: str, message: str
) -> None:
    loader = SettingsLoader(with_file(tmp_path, FILE), {f"RATESTREAM_KAFKA__{key.upper()}": value})
    with pytest.raises(SettingsError) as failure:
        loader.section("kafka", KafkaSettings)
    assert str(failure.value) == f"[kafka]: {message}"


def test_a_key_that_does_not_exist_is_named_with_those_that_do(tmp_path: Path) -> None:
    loader = SettingsLoader(with_file(tmp_path, FILE), {"RATESTREAM_KAFKA__PARTITION": "4"})
    with pytest.raises(SettingsError, match=r"no such setting; known are bootstrap_servers, .*partitions"):
        loader.section("kafka", KafkaSettings)


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    environ = {"RATESTREAM_KAFKA__SASL_PASSWORD": "hunter2", "RATESTREAM_KAFKA__SECURITY_PROTOCOL": "no"}
    with pytest.raises(SettingsError) as failure:
        SettingsLoader(with_file(tmp_path, FILE), environ).section("kafka", KafkaSettings)
    assert "hunter2" not in str(failure.value)
    del environ["RATESTREAM_KAFKA__SECURITY_PROTOCOL"]
    kafka = SettingsLoader(tmp_path, environ).section("kafka", KafkaSettings)
    assert "hunter2" not in f"{kafka!r} {kafka} {kafka.model_dump()}"
    assert kafka.client_config()["sasl.password"] == "hunter2"


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "dsn").write_text("postgresql://u:p@h/d\n")
    loader = SettingsLoader(with_file(tmp_path, '[postgres]\ndsn_file = "dsn"\n'), {})
    assert loader.section("postgres", PostgresSettings).dsn.get_secret_value() == "postgresql://u:p@h/d"


def test_a_secret_file_that_is_missing_is_named(tmp_path: Path) -> None:
    loader = SettingsLoader(tmp_path, {"RATESTREAM_POSTGRES__DSN_FILE": "gone"})
    message = (
        r"postgres\.dsn_file = 'gone' \(from RATESTREAM_POSTGRES__DSN_FILE\): cannot be read: No such file"
    )
    with pytest.raises(SettingsError, match=message):
        loader.section("postgres", PostgresSettings)


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    loader = SettingsLoader(
        tmp_path, {"RATESTREAM_POSTGRES__DSN_FILE": "x", "RATESTREAM_POSTGRES__DSN": "postgresql://"}
    )
    with pytest.raises(SettingsError, match=r"postgres\.dsn and postgres\.dsn_file are both set: give one"):
        loader.section("postgres", PostgresSettings)


@pytest.mark.parametrize(
    ("text", "message"),
    [("[kafka", "not a TOML file"), ("kafka = 3\n", r"kafka = 3 \(from ratestream.toml\): must be a table")],
)
def test_a_damaged_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        SettingsLoader(with_file(tmp_path, text), {}).section("kafka", KafkaSettings)


def test_tables_come_from_the_environment_as_json(tmp_path: Path) -> None:
    loader = SettingsLoader(tmp_path, {"RATESTREAM_TOPICS__RETENTION_S": '{"usage.events": 5}'})
    assert loader.section("topics", TopicsSettings).retention_s == {"usage.events": 5}
    broken = SettingsLoader(tmp_path, {"RATESTREAM_TOPICS__RETENTION_S": '{"usage.events": '})
    with pytest.raises(SettingsError, match=r"RATESTREAM_TOPICS__RETENTION_S .* not valid JSON"):
        broken.section("topics", TopicsSettings)


def test_windows_default_to_35_and_42_days_and_5_minutes(tmp_path: Path) -> None:
    """35 * 86,400 = 3,024,000; 42 * 86,400 = 3,628,800; 7 * 86,400 = 604,800 seconds."""
    windows = SettingsLoader(tmp_path, {}).section("window", WindowSettings)
    assert (windows.late_s, windows.replay_s, windows.future_s) == (3_024_000, 3_628_800, 300)
    assert (windows.digest_bucket_s, windows.state_refresh_s) == (86_400, 604_800)
    with pytest.raises(ValidationError, match="replay_s 1 is shorter than late_s 2"):
        WindowSettings(late_s=2, replay_s=1)


def test_replicas_in_sync_default_to_one_less_than_all() -> None:
    def in_sync(replicas: int) -> int:
        return KafkaSettings(bootstrap_servers="x", replication_factor=replicas).in_sync

    assert [in_sync(replicas) for replicas in (1, 2, 3, 5)] == [1, 1, 2, 4]


def test_the_project_is_the_nearest_folder_with_a_settings_file(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    with_file(tmp_path / "a", "")
    assert find_project_dir(deep, {}) == (tmp_path / "a").resolve()
    assert find_project_dir(deep, {"RATESTREAM_PROJECT_DIR": str(tmp_path)}) == tmp_path.resolve()
    with pytest.raises(SettingsError, match="must be an existing directory"):
        find_project_dir(deep, {"RATESTREAM_PROJECT_DIR": str(tmp_path / "no")})
