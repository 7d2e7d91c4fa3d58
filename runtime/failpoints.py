"""Named points where a test makes a process die, stop, wait or fail. Off, a point is one empty call a batch.

RATESTREAM_FAILPOINTS=name:nth:action[,name:nth:action ...]: at the nth time (1 is the first) that the
process passes `name` it does `action`:

    kill         SIGKILL to itself: no clean-up of any kind
    stop         SIGSTOP to itself: goes on at SIGCONT
    raise        raises FailpointError
    abort        raises AbortRequested: the transaction is aborted, the process goes on
    sleep=S      sleeps S seconds

RATESTREAM_FAILPOINTS_LOG=FILE has each action taken appended to FILE as one line "name action" beforehand,
so that a test can prove that it hit what it says.
"""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

SPEC_VARIABLE = "RATESTREAM_FAILPOINTS"
LOG_VARIABLE = "RATESTREAM_FAILPOINTS_LOG"


class FailpointError(Exception):
    """The failure that a failpoint was asked for."""


class AbortRequested(Exception):
    """The open transaction is to be aborted."""


class Failpoints(Protocol):
    """What a service calls at each point."""

    def hit(self, name: str) -> None:
        """Pass a point."""
        ...


class NoFailpoints:
    """Every point is off."""

    def hit(self, name: str) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class _Order:
    name: str
    nth: int
    action: str


class ArmedFailpoints:
    """Carries out orders at the points they name."""

    def __init__(self, spec: str, known: frozenset[str], log_path: Path | None = None) -> None:
        self._orders = [_parse(text, known) for text in spec.split(",") if text.strip()]
        self._known = known
        self._seen: Counter[str] = Counter()
        self._log_path = log_path

    def hit(self, name: str) -> None:
        """Pass a point and do what was ordered for this time.

        Raises:
            KeyError: the service passes a point that it did not declare.
            FailpointError: ordered by `raise`.
            AbortRequested: ordered by `abort`.
        """
        if name not in self._known:
            raise KeyError(name)
        self._seen[name] += 1
        for order in self._orders:
            if order.name == name and order.nth == self._seen[name]:
                self._log(order)
                _act(order)

    def _log(self, order: _Order) -> None:
        if self._log_path is not None:
            with self._log_path.open("a", encoding="utf-8") as log:
                log.write(f"{order.name} {order.action}\n")
                log.flush()


def failpoints_from(environ: Mapping[str, str], known: frozenset[str]) -> Failpoints:
    """The failpoints that the environment orders, or none.

    Raises:
        ValueError: the order is malformed or names an unknown point.
    """
    spec = environ.get(SPEC_VARIABLE, "")
    if not spec.strip():
        return NoFailpoints()
    log_path = environ.get(LOG_VARIABLE)
    return ArmedFailpoints(spec, known, Path(log_path) if log_path else None)


def _parse(text: str, known: frozenset[str]) -> _Order:
    parts = text.strip().split(":")
    if len(parts) != 3 or not parts[1].isdigit() or int(parts[1]) < 1:
        raise ValueError(f"{SPEC_VARIABLE}: {text!r} must be name:nth:action with nth from 1")
    name, nth, action = parts
    if name not in known:
        raise ValueError(f"{SPEC_VARIABLE}: no point {name!r}; there are {', '.join(sorted(known))}")
    if action not in {"kill", "stop", "raise", "abort"} and not (
        action.startswith("sleep=") and action.removeprefix("sleep=").isdigit()
    ):
        raise ValueError(f"{SPEC_VARIABLE}: {action!r} must be kill, stop, raise, abort or sleep=SECONDS")
    return _Order(name, int(nth), action)


def _act(order: _Order) -> None:
    if order.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif order.action == "stop":
        # To this very thread: sent to the process, another may take it, and this one runs on for a while.
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
    elif order.action == "raise":
        raise FailpointError(order.name)
    elif order.action == "abort":
        raise AbortRequested(order.name)
    else:
        time.sleep(int(order.action.removeprefix("sleep=")))
