"""A machine whose operator does what docs/operating says: a stack, services, the commands of the pages."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from cli.stack.local import LocalStack
from cli.stack.place import Place, PostgresPlace
from tests.fix_rater import RaterProcess, wait_for
from tests.runbooks import ROOT, commands, filled

COMMAND_S = 180
_SERVICE = re.compile(r"^(?:\(.*exec )?(ratestream run [^)]+)\)?$")
_SOURCED = re.compile(r"\. (\S+\.env);")
SETTINGS = """
[rater]
session_timeout_ms = 3000
[aggregator]
session_timeout_ms = 6000
publish_ms = 100
repair_ms = 100
[ledger]
session_timeout_ms = 2000
[guard]
session_timeout_ms = 2000
commit_ms = 100
firings_kept_s = 1
reconcile_s = 600
late_s = 1
stale_s = 1
[channels.log]
type = "log"
"""
# 2 USD a million input tokens, 10 a million output tokens; the customer pays 3 and 15.
BOOK = {
    "provider.yaml": """
provider: acme
currency: USD
cards:
  - card: acme/one
    models: [one]
    versions: [{rates: {input_tokens: 2 per 1000000, output_tokens: 10 per 1000000}}]
""",
    "prices.yaml": """
price_card: list
currency: USD
cards:
  - card: list/one
    models: [one]
    versions: [{rates: {input_tokens: 3 per 1000000, output_tokens: 15 per 1000000}}]
""",
    "contracts.yaml": "contracts: [{contract: standard, currency: USD, price_cards: [list]}]",
    "assignments.yaml": "assignments: [{customer: '*', contract: standard}]",
}
BUDGET = """
budgets:
  - {budget: small, customers: ["*"], measure: price, currency: USD, window: lifetime, limit: 0.0225,
     thresholds: [{at: 100%, action: hard, channels: [log]}]}
"""
BEGAN = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
"""When every event happened, so that one that is published again is the same."""


def cloud_event(number: int, customer: str = "customer-1", **data: Any) -> dict[str, Any]:
    """As services publish it: 1000 input and 100 output tokens, 0.0045 USD for the customer, by BOOK."""
    return {
        "specversion": "1.0",
        "type": "ai.usage.v1",
        "id": f"event-{number}",
        "source": "test",
        "subject": customer,
        "time": BEGAN,
        "data": {
            "provider": "acme",
            "requested_model": "one",
            "usage_semantics": "inclusive",
            "usage": {"input_tokens": "1000", "output_tokens": "100"},
        }
        | data,
    }


@dataclass
class Operator:
    """Someone at a shell in the project's directory, and the services that a supervisor would run."""

    stack: LocalStack
    environment: Mapping[str, str] = field(default_factory=dict)
    running: dict[str, RaterProcess] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    address: str = "none"
    """Of the service that was started last."""

    @property
    def directory(self) -> Path:
        return self.stack.project_dir

    def environ(self, given: Mapping[str, str] | None = None) -> dict[str, str]:
        programs = PostgresPlace.of(Place(self.directory)).programs
        return {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), str(programs), os.environ["PATH"]]),
            "PYTHONPATH": str(ROOT),  # this checkout, whichever is installed
            "RATESTREAM_PROJECT_DIR": str(self.directory),
            **self.environment,
            **(given or {}),
        }

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def write_book(self, folder: str = "books", **changed: str) -> None:
        for name, text in BOOK.items():
            self.write(f"{folder}/{name}", changed.get(name.removesuffix(".yaml"), text))

    # --- commands ---

    def follow(
        self,
        page: str,
        section: str,
        *,
        ends: Sequence[int] = (0,),
        given: Mapping[str, str] | None = None,
        stdin: str = "",
        **fills: object,
    ) -> list[str]:
        """Do what a section says, command by command; each must end as expected. Returns what each printed.

        A command that runs a service starts it, as a supervisor would, and prints nothing.
        """
        return [
            self.shell(
                filled(command, {"ADDRESS": self.address} | fills), ends=ends, given=given, stdin=stdin
            )
            for command in commands(page, section)
        ]

    def shell(
        self,
        command: str,
        *,
        ends: Sequence[int] = (0,),
        given: Mapping[str, str] | None = None,
        stdin: str = "",
    ) -> str:
        if match := _SERVICE.search(command):
            self.start(match[1], {**(given or {}), **self._sourced(command)})
            return ""
        if command.startswith("kubectl "):
            return ""  # held to the manifests by tests/unit/test_runbook_commands.py: there is no cluster
        if command.startswith("curl "):
            self._until_answered(command)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.directory,
            env=self.environ(given),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
            start_new_session=True,  # no terminal: what asks for a password reads it from here
        )
        assert done.returncode in ends, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        if command.startswith("kill -TERM "):
            self._ended({int(word) for word in command.split()[2:]})
        return done.stdout

    def _sourced(self, command: str) -> dict[str, str]:
        """Variables of a file of settings that the command reads first."""
        if (found := _SOURCED.search(command)) is None:
            return {}
        text = (self.directory / found[1]).read_text(encoding="utf-8")
        return dict(word.split("=", 1) for word in shlex.split(text))

    def _until_answered(self, command: str) -> None:
        """An operator asks a process again until it answers as it should."""

        def answered() -> bool:
            asked = ["bash", "-euo", "pipefail", "-c", command]
            return subprocess.run(asked, capture_output=True, timeout=30, check=False).returncode == 0

        wait_for(answered, f"{command} is answered", 60)

    def _ended(self, pids: set[int]) -> None:
        """Each ended by itself, without a failure."""
        for name, service in tuple(self.running.items()):
            if service.pid in pids:
                assert service.wait_dead() == 0, service.log()[-4000:]
                del self.running[name]

    def asked(self, command: str, **how: Any) -> Any:
        """The JSON that a command printed."""
        return json.loads(self.shell(f"{command} --json", **how))

    def emit(self, *events: Mapping[str, Any], given: Mapping[str, str] | None = None) -> None:
        """As a service publishes, and every event is acknowledged."""
        self.write("events.jsonl", "".join(json.dumps(event) + "\n" for event in events))
        assert self.asked("ratestream emit events.jsonl", given=given)["acknowledged"] == len(events)

    # --- services ---

    def start(self, command: str, given: Mapping[str, str] | None = None) -> RaterProcess:
        """`ratestream run SERVICE [--slot N]`, by the name SERVICE or SERVICE-N."""
        words = command.split()
        name = "-".join([words[2], *words[4:5]])
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        log_path = self.directory / f"{name}.log"
        with log_path.open("ab" if name in self.addresses else "wb") as log:
            self.addresses[name] = self.address = address
            process = subprocess.Popen(
                words,
                cwd=self.directory,
                env=self.environ({**(given or {}), "RATESTREAM_TELEMETRY__LISTEN": address}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.running[name] = RaterProcess(process, log_path)
        return self.running[name]

    def run(self, *services: str) -> None:
        """Start services by their words: `rater --slot 0`."""
        for service in services:
            self.start(f"ratestream run {service}")

    def stop(self, *names: str) -> None:
        """End services in order, all unless named."""
        for name in names or tuple(self.running):
            service = self.running.pop(name)
            assert service.exit_code is None, service.log()[-4000:]
            assert service.terminate() == 0, service.log()[-4000:]

    def kill(self) -> None:
        for service in self.running.values():
            service.kill9()
        self.running.clear()

    # --- what came of it ---

    def dsn(self) -> str:
        return self.stack.place.dsn_file.read_text(encoding="utf-8").strip()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        for service in self.running.values():
            assert service.exit_code in {None, -9}, service.log()[-4000:]
        with psycopg.connect(self.dsn()) as connection:
            return connection.execute(query.encode()).fetchall()

    def until(self, query: str, wanted: list[tuple[Any, ...]], limit_s: float = 90) -> None:
        """Until a query of the database answers so."""
        seen: list[Any] = []

        def answered() -> bool:
            seen[:] = self.rows(query)
            return seen == wanted

        try:
            wait_for(answered, f"{query} is {wanted}", limit_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {seen}") from error

    def until_billed(self, records: int, price: str) -> None:
        """Until the ledger has so many records, worth so much together."""
        self.until("select count(*), trim_scale(sum(price))::text from ledger.rated", [(records, price)])

    def until_metric(self, service: str, name: str, value: str) -> None:
        """Until a service tells a metric so."""
        ask = f"curl -s http://{self.addresses[service]}/metrics"
        wait_for(lambda: f"{name} {value}" in self.shell(ask), f"{service}: {name} is {value}")

    def try_it(self, command: str, **how: Any) -> bool:
        """Whether it ends with 0; an operator who is told to try again does."""
        try:
            self.shell(command, **how)
        except AssertionError:
            return False
        return True

    def verified(self, **how: Any) -> dict[str, Any]:
        told: dict[str, Any] = self.asked("ratestream verify --complete", **how)
        assert told["findings"] == [], told
        return told
