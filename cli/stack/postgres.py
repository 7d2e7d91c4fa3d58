"""The local PostgreSQL: a real server on 127.0.0.1, passwords by SCRAM, data in the project."""

import secrets
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from cli.stack import tls
from cli.stack.place import ENVIRONMENT, Place, PostgresPlace, socket_directory
from cli.stack.private import write_private
from cli.stack.process import Service, StackError, wait_until
from runtime import probe

READY_S = 180
STOP_S = 30
OWNER = "ratestream"
DATABASE = "postgres"

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %d ",
}


@dataclass(frozen=True)
class Postgres:
    """The PostgreSQL of one project's stack."""

    place: Place

    @property
    def service(self) -> Service:
        return self.place.service("postgres")

    @property
    def home(self) -> PostgresPlace:
        """Where it lives; made where it is missing, as after `reset`."""
        return PostgresPlace.of(self.place)

    @property
    def tls(self) -> Service:
        """The process that speaks TLS before it, where the stack is secure."""
        return self.place.service("postgres-tls")

    def alive(self) -> bool:
        return self.service.pid() is not None

    def ready(self) -> bool:
        """Ask it a question."""
        return self.alive() and probe.postgres_version(self.dsn()) is not None

    def dsn(self) -> str:
        """Return the connection string, with the password."""
        return self.place.dsn_file.read_text(encoding="utf-8").strip()

    def start(self, port: int, tls_pem: Path | None = None) -> None:
        """Start it on this port and wait until it answers; one that runs is left alone.

        With `tls_pem`, a file of key and certificate, the port takes TLS only: the server itself has a socket
        that nobody else can reach, because its build has no TLS.

        Raises:
            StackError: it did not answer in time.
        """
        if not self.alive():
            home = self.home
            if not home.data.exists():
                self._initialise(home)
            if not self.place.dsn_file.exists():
                raise StackError(f"{self.place.dsn_file} is gone, and with it the password to {home.data}")
            socket = None if tls_pem is None else socket_directory(self.place, home.user)
            self._write_dsn(port, socket)
            # The server's own pid file: none runs, and its number may be somebody else's by now.
            (home.data / "postmaster.pid").unlink(missing_ok=True)
            settings = _SETTINGS | {"port": str(port)} | ({} if socket is None else _socket_only(socket))
            command = [str(home.programs / "postgres"), "-D", str(home.data)]
            command += [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
            self.service.start(command, ENVIRONMENT, home.data, home.user)
        answered = wait_until(lambda: self.ready() or not self.alive(), READY_S)
        if not answered or not self.alive():
            raise StackError(
                f"PostgreSQL does not answer; see {self.service.log_file}\n{self.service.log_tail()}"
            )
        if tls_pem is not None and self.tls.pid() is None:
            way = socket_directory(self.place, self.home.user) / f".s.PGSQL.{port}"
            command = [sys.executable, "-I", tls.__file__, str(port), str(way), str(tls_pem)]
            self.tls.start(command, ENVIRONMENT, self.place.root, None)

    def stop(self) -> None:
        """End it: sessions are cut off, everything committed is on disk."""
        self.tls.stop(signal.SIGTERM, STOP_S)
        self.service.stop(signal.SIGINT, STOP_S)

    def kill9(self) -> None:
        """SIGKILL it; `start` afterwards recovers."""
        self.service.kill9()

    def delete(self) -> None:
        """Delete the data, wherever it is."""
        shutil.rmtree(self.place.root / "postgres", ignore_errors=True)
        if self.place.outside.is_dir() and not self.place.outside.is_symlink():
            shutil.rmtree(self.place.outside)
        self.place.dsn_file.unlink(missing_ok=True)

    def _initialise(self, home: PostgresPlace) -> None:
        """Make an empty database cluster; one that was cut short in the making is made again."""
        for older in home.data.parent.glob("data*"):
            shutil.rmtree(older)
        fresh = home.data.with_name(
            f"data-{secrets.token_hex(4)}"
        )  # no other initdb, left by a kill, works there
        password = secrets.token_urlsafe(24)
        given = write_private(home.data.parent / "password", password, home.user)
        try:
            home.run(
                "initdb",
                f"--pgdata={fresh}",
                f"--username={OWNER}",
                f"--pwfile={given}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
            )
        finally:
            given.unlink()
        write_private(self.place.dsn_file, f"postgresql://{OWNER}:{password}@127.0.0.1:0/{DATABASE}")
        fresh.rename(home.data)

    def _write_dsn(self, port: int, socket: Path | None) -> None:
        password = self.dsn().split("@")[0].rpartition(":")[2]
        where = f"127.0.0.1:{port}/{DATABASE}" if socket is None else f"/{DATABASE}?host={socket}&port={port}"
        write_private(self.place.dsn_file, f"postgresql://{OWNER}:{password}@{where}")


def _socket_only(socket: Path) -> dict[str, str]:
    return {
        "listen_addresses": "",
        "unix_socket_directories": str(socket),
        "unix_socket_permissions": "0700",
    }
