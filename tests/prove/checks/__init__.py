"""What must hold of a run, judged by the journal and by what anybody can read of the pipeline from outside.

Nothing here imports the pipeline. `reading` and `watching` ask Kafka and PostgreSQL; all else is pure.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from tests.prove.checks import alerts, audit, conservation, identities, running, sums
from tests.prove.checks.facts import Facts, Json
from tests.prove.checks.reading import Broker, read
from tests.prove.checks.rows import Row
from tests.prove.checks.story import Story, story
from tests.prove.checks.watching import Watch

__all__ = ["Row", "check", "continuous", "judge"]

_WATCHES: dict[str, Watch] = {}


class World(Protocol):
    """What of tests.prove.world.World is needed here."""

    @property
    def kafka(self) -> Broker: ...

    @property
    def directory(self) -> Path: ...

    @property
    def dsn(self) -> str: ...

    @property
    def zone(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, str]: ...


def check(world: World, journal: Iterable[Json]) -> list[Row]:
    """Every invariant after the run has come to rest; all that is wrong stands in the run's problems.log.

    Raises where Kafka or PostgreSQL cannot be read.
    """
    rows = judge(read(world.kafka, world.dsn), story(journal), world.zone, world.settings)
    problems = [f"{row.invariant} {problem}" for row in rows for problem in row.problems]
    if problems:
        (world.directory / "problems.log").write_text("\n".join([*problems, ""]), encoding="utf-8")
    return rows


def continuous(world: World, journal: Iterable[Json]) -> list[str]:
    """What is wrong now, in the middle of the run: I3 and I12. Cheap; remembers what it read."""
    watch = _WATCHES.setdefault(world.kafka.topic_prefix, Watch(world.kafka, world.dsn))
    return watch.look(journal)


def judge(facts: Facts, told: Story, zone: str, settings: Mapping[str, str]) -> list[Row]:
    """The rows of a report from what was read and what was told."""
    first, again = sums.line_by_line(facts, told)
    rows = running.delta_rows(facts, again)
    rest: list[Callable[[], Row]] = [
        lambda: sums.ledger_sums(facts, again),
        lambda: sums.meter_sums(facts, told),
        lambda: sums.legal(facts, told),
        lambda: identities.once(facts, told),
        lambda: identities.corrected(facts, told),
        lambda: conservation.conserved(facts, told),
        lambda: running.four_ways(facts, told, again, zone),
        lambda: conservation.sequences(facts, told),
        lambda: alerts.alerts(facts, told, rows, zone),
        lambda: alerts.states(facts, told, rows, zone),
        lambda: audit.delivered(facts, told, settings),
        lambda: conservation.closed(facts, told),
        lambda: conservation.drained(facts, told),
        lambda: sums.pure(facts, told),
        lambda: sums.double_entry(facts, again),
        lambda: audit.resolves(facts, told),
    ]
    return [first, *(one() for one in rest)]
