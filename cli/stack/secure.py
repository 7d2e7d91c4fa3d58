"""The secrets of a stack that was started with --secure: certificates, passwords, and a settings file a part.

All of it is below `.ratestream/secure`, readable by its owner only. Certificates are this machine's own: a
certificate authority that signs for 127.0.0.1 and localhost, nothing else.
"""

import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.stack.jars import MISSING_EXTRA
from cli.stack.layout import PARTITIONS, Layout
from cli.stack.place import Place
from cli.stack.private import write_private
from cli.stack.process import StackError
from cli.topics_acls import rights
from runtime.kafka import access
from runtime.kafka.admin import admin_client
from runtime.logins import Login, make_logins, make_owner
from runtime.postgres import connect, migrate
from runtime.settings import KafkaSettings, SettingsLoader
from schemas.access import ADMIN, PRINCIPALS

MECHANISM = "SCRAM-SHA-512"
BROKER = "broker"
DATABASE = "ratestream"
_JAAS = (
    "org.apache.kafka.common.security.scram.ScramLoginModule required"
    ' username="{user}" password="{password}";'
)
_PASSWORD_BYTES = 24

# A role that commands take for writing: the operator's own instead of a service's.
_FURTHER = {"operator": {"LEDGER__ROLE": "ratestream_operator"}}


@dataclass(frozen=True)
class Secrets:
    """The files of one secure stack."""

    place: Place

    @property
    def directory(self) -> Path:
        return self.place.root / "secure"

    @property
    def ca(self) -> Path:
        """The certificate that all clients trust, and nothing else."""
        return self.directory / "ca.pem"

    @property
    def broker_key(self) -> Path:
        """The brokers' key and certificate."""
        return self.directory / "broker.pem"

    @property
    def postgres_key(self) -> Path:
        """Those of the way to PostgreSQL."""
        return self.directory / "postgres.pem"

    def environment_file(self, name: str) -> Path:
        """The settings of one principal, as environment variables."""
        return self.directory / f"{name}.env"

    def password_file(self, name: str) -> Path:
        return self.directory / f"{name}.password"

    def dsn_file(self, name: str) -> Path:
        return self.directory / f"{name}.dsn"

    def password(self, name: str) -> str:
        return self.password_file(name).read_text(encoding="utf-8").strip()

    def users(self) -> list[str]:
        """Everyone who logs in to Kafka."""
        return [BROKER, ADMIN, *(each.name for each in PRINCIPALS)]

    def environment_files(self) -> dict[str, str]:
        """Each principal's settings file."""
        return {name: str(self.environment_file(name)) for name in self.users() if name != BROKER}

    def make(self) -> None:
        """Make what is missing: passwords that are there stay, certificates are renewed before they end."""
        try:
            from cli.stack import certificates  # noqa: PLC0415 - the optional extra `stack`
        except ModuleNotFoundError as error:
            raise StackError(MISSING_EXTRA) from error

        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        wanted = {BROKER: self.broker_key, "postgres": self.postgres_key}
        certificates.ensure(self.directory / "ca.key", self.ca, wanted)
        for user in self.users():
            if not self.password_file(user).exists():
                write_private(self.password_file(user), secrets.token_urlsafe(_PASSWORD_BYTES))

    def broker_values(self) -> Mapping[str, str]:
        """What a broker's configuration needs, its password among it."""
        return {
            "jaas": _JAAS.format(user=BROKER, password=self.password(BROKER)),
            "key": str(self.broker_key),
            "ca": str(self.ca),
            "super_users": f"User:CN={BROKER};User:{BROKER};User:{ADMIN}",
        }

    def scram_arguments(self) -> list[str]:
        """For the tool that formats storage: every user with its password."""
        return [
            part
            for user in self.users()
            for part in ("--add-scram", f"{MECHANISM}=[name={user},password={self.password(user)}]")
        ]

    def client(self) -> dict[str, str | int]:
        """The connection part of an administrator's client, as librdkafka names it."""
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": MECHANISM,
            "sasl.username": ADMIN,
            "sasl.password": self.password(ADMIN),
            "ssl.ca.location": str(self.ca),
        }

    def dsn(self, name: str, port: int) -> str:
        """The connection string of one login: over TLS, the server's certificate and name checked."""
        return (
            f"postgresql://{name}:{self.password(name)}@127.0.0.1:{port}/{DATABASE}"
            f"?sslmode=verify-full&sslrootcert={self.ca}&gssencmode=disable"
        )

    def kafka_values(self, name: str, layout: Layout) -> dict[str, str | int]:
        """The section `kafka` of one principal's settings."""
        return {
            "bootstrap_servers": layout.bootstrap_servers,
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": MECHANISM,
            "sasl_username": name,
            "sasl_password_file": str(self.password_file(name)),
            "ssl_ca_location": str(self.ca),
            "partitions": PARTITIONS,
            "replication_factor": layout.replicas,
        }

    def write_settings(self, layout: Layout) -> None:
        """Write each principal's connection string and settings file."""
        for name, has_login in [(ADMIN, True), *((each.name, bool(each.roles)) for each in PRINCIPALS)]:
            values = {
                f"KAFKA__{key.upper()}": value for key, value in self.kafka_values(name, layout).items()
            }
            if has_login:
                write_private(self.dsn_file(name), self.dsn(name, layout.ports["postgres"]))
                values["POSTGRES__DSN_FILE"] = str(self.dsn_file(name))
            values |= _FURTHER.get(name, {})
            lines = [f"RATESTREAM_{key}={shlex.quote(str(value))}\n" for key, value in values.items()]
            write_private(self.environment_file(name), "".join(lines))

    def grant(self, superuser_dsn: str, layout: Layout) -> None:
        """Make the database with its tables and logins, and Kafka's ACLs, as declared. May be repeated.

        `superuser_dsn` is of the login that PostgreSQL was made with.
        """
        with connect(superuser_dsn) as connection:
            connection.set_autocommit(True)
            make_owner(connection, ADMIN, self.password(ADMIN), DATABASE)
        with connect(self.dsn_file(ADMIN).read_text(encoding="utf-8").strip()) as connection:
            migrate(connection)
        logins = [Login(each.name, self.password(each.name), each.roles) for each in PRINCIPALS if each.roles]
        with connect(superuser_dsn) as connection:
            connection.set_autocommit(True)
            make_logins(connection, DATABASE, logins)
        flags = {"kafka": self.kafka_values(ADMIN, layout)}
        admin = admin_client(
            SettingsLoader(self.place.project_dir, {}, flags).section("kafka", KafkaSettings)
        )
        access.grant(admin, access.plan(admin, rights("")).missing)
