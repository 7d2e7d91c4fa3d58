"""The demo's own topics, database, book and settings: made anew by each run, left to be looked at."""

import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from cli.demo.book import with_price_change
from cli.topics import specs
from pricing.cards import BookContent
from rate_book.form import load_book, shipped_books
from rate_book.store import apply
from runtime.databases import create_database, drop_databases
from runtime.kafka import admin
from runtime.postgres import connect, migrate
from runtime.settings import KafkaSettings, PostgresSettings, SettingsLoader, TopicsSettings

_TOPIC_PREFIX = "demo-"
_DATABASE_PREFIX = "ratestream_demo_"
_REPLACED = ("RATESTREAM_KAFKA__", "RATESTREAM_POSTGRES__")
AUTHOR = "demo"


@dataclass(frozen=True, slots=True)
class World:
    """Where the demo lives."""

    kafka: KafkaSettings
    dsn: str
    directory: Path
    book: BookContent

    def environment(self, base: dict[str, str]) -> dict[str, str]:
        """The environment in which services work on the demo's data, on whatever cluster is named."""
        given = {f"RATESTREAM_KAFKA__{name.upper()}": text for name, text in _texts(self.kafka).items()}
        kept = {name: value for name, value in base.items() if not name.startswith(_REPLACED)}
        return (
            kept
            | given
            | {
                "RATESTREAM_PROJECT_DIR": str(self.directory),
            }
        )


def _texts(kafka: KafkaSettings) -> dict[str, str]:
    """Every setting that has a value, secrets revealed: for a child's environment, never for a file."""
    values = {name: getattr(kafka, name) for name in KafkaSettings.model_fields}
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in values.items()
        if value is not None
    }


def make_world(loader: SettingsLoader, price_change_us: int) -> World:
    """Delete what an earlier run left, create topics and database, and apply the book as version 1."""
    run = secrets.token_hex(3)
    kafka = loader.section("kafka", KafkaSettings).model_copy(
        update={"topic_prefix": f"{_TOPIC_PREFIX}{run}."}
    )
    client = admin.admin_client(kafka)
    admin.delete(
        client, [name for name in client.list_topics(timeout=30).topics if name.startswith(_TOPIC_PREFIX)]
    )
    admin.create(client, specs(kafka, TopicsSettings()))
    server = loader.section("postgres", PostgresSettings).dsn.get_secret_value()
    drop_databases(server, _DATABASE_PREFIX)
    dsn = create_database(server, f"{_DATABASE_PREFIX}{run}")
    with connect(dsn) as connection:
        migrate(connection)
    book = _book(shipped_books(), price_change_us)
    with connect(dsn) as connection:
        apply(connection, book, author=AUTHOR)
    directory = loader.state_dir / "demo"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    world = World(kafka, dsn, directory, book)
    _write_settings(world)
    return world


def _book(directories: Sequence[Path], price_change_us: int) -> BookContent:
    return with_price_change(load_book(directories), price_change_us)


def add_webhook(world: World, name: str, url: str, secret: str) -> None:
    """A channel of the guard that leads to this machine."""
    _secret_file(world, f"{name}.secret", secret)
    with (world.directory / "ratestream.toml").open("a", encoding="utf-8") as settings:
        settings.write(
            f"\n[channels.{name}]\n"
            'type = "webhook"\n'
            f'url = "{url}"\n'
            f'secret_file = "{name}.secret"\n'
            "allow_http = true\n"
            'allow_addresses = ["127.0.0.1/32"]\n'
            "group_after = 1000  # the demo wants to see each one\n"
        )


def _secret_file(world: World, name: str, secret: str) -> None:
    path = world.directory / name
    path.touch(mode=0o600)
    path.write_text(secret, encoding="utf-8")


def _write_settings(world: World) -> None:
    """Settings of its own, so that `RATESTREAM_PROJECT_DIR=.ratestream/demo ratestream verify` finds it."""
    _secret_file(world, "dsn", world.dsn)
    kafka = world.kafka
    (world.directory / "ratestream.toml").write_text(
        "# Written by `ratestream demo`.\n"
        "[kafka]\n"
        f'bootstrap_servers = "{kafka.bootstrap_servers}"\n'
        f'topic_prefix = "{kafka.topic_prefix}"\n'
        f"partitions = {kafka.partitions}\n"
        f"replication_factor = {kafka.replication_factor}\n"
        "\n[postgres]\n"
        'dsn_file = "dsn"\n'
        "\n[rater]\n"
        'state_dir = "rater"\n'
        "session_timeout_ms = 3000\n"
        "transaction_timeout_ms = 8000\n",
        encoding="utf-8",
    )
