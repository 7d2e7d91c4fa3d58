"""A stack started with --secure, and each principal's settings as a service is given them."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cli.stack.local import LocalStack
from cli.stack.secure import Secrets
from runtime.settings import KafkaSettings, PostgresSettings, SettingsLoader
from tests.fix_rater import RaterProcess, wait_for
from tests.fix_stack import stack_of_its_own

COMMAND_S = 120


@dataclass
class SecureStack:
    """The stack, and what runs there under which principal."""

    stack: LocalStack
    running: list[RaterProcess] = field(default_factory=list)

    @property
    def secrets(self) -> Secrets:
        return Secrets(self.stack.place)

    @property
    def project_dir(self) -> Path:
        return self.stack.project_dir

    def given(self, principal: str) -> dict[str, str]:
        """The variables of the file that `up --secure` wrote for a principal."""
        text = self.secrets.environment_file(principal).read_text(encoding="utf-8")
        return dict(word.split("=", 1) for word in shlex.split(text))

    def loader(self, principal: str) -> SettingsLoader:
        return SettingsLoader(self.project_dir, self.given(principal))

    def kafka(self, principal: str) -> KafkaSettings:
        return self.loader(principal).section("kafka", KafkaSettings)

    def dsn(self, principal: str) -> str:
        return self.loader(principal).section("postgres", PostgresSettings).dsn.get_secret_value()

    def environ(self, principal: str, **settings: object) -> dict[str, str]:
        """The environment of a service or command; keys as section__key."""
        given = {f"RATESTREAM_{key.upper()}": str(value) for key, value in settings.items()}
        return os.environ | {"RATESTREAM_PROJECT_DIR": str(self.project_dir)} | self.given(principal) | given

    def command(self, principal: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `ratestream` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            env=self.environ(principal),
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )

    def asked(self, principal: str, *arguments: str) -> Any:
        """The JSON that a command printed; it must have ended with 0."""
        done = self.command(principal, *arguments, "--json")
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def start(self, principal: str, module: str, settings: Mapping[str, object]) -> RaterProcess:
        """Start a service."""
        log_path = self.project_dir / f"{principal}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module],
                env=self.environ(principal, **settings),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        self.running.append(RaterProcess(process, log_path))
        return self.running[-1]

    def end(self) -> None:
        """Stop every service politely; none may have failed."""
        for service in self.running:
            if service.exit_code is None:
                service.process.terminate()
        try:
            wait_for(
                lambda: all(service.exit_code is not None for service in self.running), "all have ended", 30
            )
        finally:
            for service in self.running:
                service.kill9()
        ended = [(service.log_path.name, service.exit_code) for service in self.running]
        self.running.clear()
        assert {code for _, code in ended} <= {0}, ended

    @cache  # noqa: B019 - one stack a session
    def applied(self, prefix: str = "") -> "SecureStack":
        """Create every topic under a prefix, with the rights that are declared for it."""
        environ = self.environ("admin", kafka__topic_prefix=prefix)
        for words in (("apply",), ("acls", "--apply")):
            subprocess.run(
                [sys.executable, "-m", "cli", "topics", *words], env=environ, check=True, timeout=COMMAND_S
            )
        return self

    def __hash__(self) -> int:
        return id(self)


@pytest.fixture(scope="session")
def secure_stack() -> Iterator[SecureStack]:
    """Kafka and PostgreSQL over TLS, every principal with the rights that are declared for it."""
    with stack_of_its_own() as stack:
        stack.up(secure=True)
        yield SecureStack(stack)
