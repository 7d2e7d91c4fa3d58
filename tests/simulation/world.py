"""One world: a seed's stream, faults and processes, until everything is caught up; then it is checked."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from rater.core.frames import FrameError
from runtime.errors import InfrastructureError
from schemas.codec import CODEC
from tests.simulation import checks
from tests.simulation.aggregators import NAMES as AGGREGATOR
from tests.simulation.aggregators import aggregate
from tests.simulation.books import SimBook, Version, planned
from tests.simulation.broker import Broker, visible
from tests.simulation.clients import Site
from tests.simulation.disk import Disk
from tests.simulation.group import Group
from tests.simulation.guard_checks import check_alerts
from tests.simulation.guards import Outbox, guard
from tests.simulation.ledger_checks import check_ledger
from tests.simulation.ledgers import TOPICS as LEDGER_TOPICS
from tests.simulation.ledgers import Database, ledger
from tests.simulation.patches import patched
from tests.simulation.raters import NAMES, rater
from tests.simulation.schedule import SECOND_US, Process, Schedule, SimulatedCrash, StuckError, Task
from tests.simulation.stream import PARTITIONS, Stream
from tests.simulation.totals_checks import SCOPED, check_totals, newest

_STARTS_US = (1_780_271_880_000_000, 1_774_999_080_000_000, 1_775_000_000_000_000)
"""2026-05-31T23:58 (a month, a week and a day end soon), 2026-03-31T23:18, and any other time."""
_REST_US = 400 * SECOND_US
_TOPICS = (*NAMES.inputs, *NAMES.outputs, AGGREGATOR.state, AGGREGATOR.totals)


@dataclass(eq=False)
class Slot:
    """A process that is started again whenever it has ended."""

    name: str
    live: Callable[[Site], None]
    process: Process | None = None
    task: Task | None = None
    again_us: int = 0
    stopping: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a seed."""

    seed: int
    digest: str
    problem: str | None
    seen: dict[str, int]
    trace: tuple[str, ...]
    steps: int


@dataclass(eq=False)
class World:
    """The fakes of one seed, and who runs in them."""

    seed: int
    schedule: Schedule
    broker: Broker
    disk: Disk
    groups: dict[str, Group]
    versions: list[Version]
    away: list[tuple[int, int]]
    stream: Stream
    database: Database
    outbox: Outbox
    change_us: int | None
    """When budgets come to name a scope of everybody."""
    slots: list[Slot] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def book(self) -> SimBook:
        return SimBook(self.schedule, self.versions, self.away)

    @property
    def budget_version(self) -> int:
        """Of the budgets when everything has come to rest."""
        return 1 if self.change_us is None else 2

    def stopping(self, site: Site) -> bool:
        """Whether that process was told to stop."""
        return any(slot.stopping for slot in self.slots if slot.process is site.process)


def make(seed: int) -> World:
    """The world of a seed."""
    random = Random(f"world {seed}")
    schedule = Schedule(seed, random.choice(_STARTS_US) + random.randrange(100) * SECOND_US)
    broker = Broker(schedule, dict.fromkeys(_TOPICS, PARTITIONS))
    groups = {name: Group(broker, name, PARTITIONS) for name in ("rater", "ledger", "aggregator", "guard")}
    broker.fence_offsets = lambda name, metadata: groups[name].check(metadata)
    versions = planned(random, schedule.start_us, 90 * SECOND_US)
    away = []
    if random.random() < 0.5:
        # Best of all around a change of the book, which then nobody hears of.
        around_us = random.choice(versions[1:] or versions).applied_us
        begin = max(schedule.start_us, around_us - random.randrange(1, 8) * SECOND_US)
        away.append((begin, begin + random.randrange(5, 70) * SECOND_US))
    stream = Stream(schedule, broker, versions)
    disk = Disk.now = Disk()
    database = Database(schedule, away=away)
    change_us = schedule.start_us + random.randrange(90) * SECOND_US if random.random() < 0.3 else None
    outbox = Outbox(database)
    world = World(seed, schedule, broker, disk, groups, versions, away, stream, database, outbox, change_us)
    schedule.crash_rate = random.choice((0.0, 0.002, 0.005, 0.012))
    schedule.pause_rate = random.choice((0.0, 0.001, 0.003))
    for number in range(random.choice((1, 2, 2, 3))):
        world.slots.append(
            Slot(f"rater-{number}", lambda site, number=number: _rate(world, site, number))  # type: ignore[misc]  # mypy and defaults
        )
    for number in range(random.choice((1, 1, 2))):
        world.slots.append(Slot(f"ledger-{number}", lambda site: _keep(world, site)))
    for number in range(random.choice((1, 1, 2))):
        world.slots.append(
            Slot(f"aggregator-{number}", lambda site, number=number: _aggregate(world, site, number))  # type: ignore[misc]  # mypy and defaults
        )
    for number in range(random.choice((1, 1, 2))):
        world.slots.append(Slot(f"guard-{number}", lambda site: _guard(world, site)))
    return world


def _rate(world: World, site: Site, number: int) -> None:
    rater(site, number, world.book()).run(lambda: world.stopping(site))


def _keep(world: World, site: Site) -> None:
    ledger(site, world.database).run(lambda: world.stopping(site))


def _guard(world: World, site: Site) -> None:
    guard(site, world.outbox, world.change_us).run(lambda: world.stopping(site))


def _aggregate(world: World, site: Site, number: int) -> None:
    aggregate(site, number, world.book(), world.database, world.change_us)


def run(seed: int) -> Result:
    """Live through a seed and check what it left."""
    world = make(seed)
    schedule = world.schedule
    problem = None
    try:
        records = Random(f"records {seed}").randint(20, 90)
        stream = schedule.spawn("stream", None, lambda: world.stream.run(records))
        _live(world, lambda: stream.ended)
        if stream.error is not None:
            raise stream.error
        _rest(world)
        schedule.finish()
        found = checks.check(world)
        check_ledger(world.database, found)
        check_totals(world, found)
        check_alerts(world.outbox, found, world.budget_version)
    except AssertionError as error:
        problem = f"{type(error).__name__}: {error}"
    if problem is None and world.problems:
        problem = world.problems[0]
    if len(schedule.tasks) > 1:
        schedule.finish()
    return Result(seed, schedule.digest, problem, dict(schedule.seen), tuple(schedule.kept), schedule.steps)


def _live(world: World, ended: Callable[[], bool]) -> None:
    """Faults and all."""
    schedule = world.schedule
    random = schedule.random
    while not ended():
        _tend(world)
        _nemesis(world, random)
        schedule.wait(schedule.now_us + int(random.random() * SECOND_US))


def _nemesis(world: World, random: Random) -> None:
    """Now and then something is done to a whole process, or to a log."""
    schedule = world.schedule
    dice = random.random()
    slot = random.choice(world.slots)
    if dice < 0.02 and slot.task is not None and "aggregator" not in slot.name:
        schedule.saw("a process is stopped cleanly")
        slot.stopping = True
    elif dice < 0.06:
        schedule.saw("compaction")
        world.broker.compact(random.choice((NAMES.state, AGGREGATOR.state, AGGREGATOR.totals)))
    elif dice < 0.07 and slot.process is not None:
        schedule.saw("killed between two steps")
        schedule.kill(slot.process)


def _tend(world: World) -> None:
    """Start what is to be started; judge what has ended."""
    schedule = world.schedule
    for slot in world.slots:
        task = slot.task
        if task is not None and task.ended:
            slot.task, slot.stopping = None, False
            if slot.process is not None:
                schedule.kill(slot.process)
            slot.again_us = schedule.now_us + int((0.2 + 6 * schedule.random.random() ** 2) * SECOND_US)
            _judge(world, slot, task.error)
            _disk_suffers(world, slot)
        if slot.task is None and schedule.now_us >= slot.again_us:
            _start(world, slot)


def _start(world: World, slot: Slot) -> None:
    process = slot.process = Process(slot.name)
    site = Site(world.schedule, world.broker, process, world.groups)

    def live() -> None:
        slot.live(site)

    slot.task = world.schedule.spawn(slot.name, process, live)


def _judge(world: World, slot: Slot, error: BaseException | None) -> None:
    """A process may die, and may stop for what is wrong around it; nothing else is expected."""
    if error is None or isinstance(error, SimulatedCrash):
        return
    world.schedule.note(f"{slot.name} ended: {type(error).__name__}: {error}")
    if isinstance(error, InfrastructureError):
        world.schedule.saw(f"stopped itself: {type(error).__name__}")
        return
    group = world.groups[slot.name.split("-")[0]]
    if isinstance(error, FrameError) and not any(it.process is slot.process for it in group.members.values()):
        # It stood still in the middle of a restore; others went on, and the log was compacted meanwhile.
        world.schedule.saw("stopped itself: a restore that was overtaken")
        return
    world.problems.append(f"{slot.name} ended by {type(error).__name__}: {error}")


def _disk_suffers(world: World, slot: Slot) -> None:
    schedule, disk = world.schedule, world.disk
    for path in [path for path in disk.databases if path.startswith(f"disk/{slot.name}/")]:
        dice = 1.0 if schedule.quiet else schedule.random.random()
        if dice < 0.15:
            schedule.saw("local state is lost")
            del disk.databases[path]
        elif dice < 0.25 and path in disk.copies:
            schedule.saw("local state is put back to an older copy")
            disk.databases[path] = disk.copies.pop(path)
        elif dice < 0.32:
            damaged = disk.databases[path]
            families = [name for name, family in damaged.items() if name != "default" and family]
            if families:
                schedule.saw("local state is damaged")
                family = damaged[schedule.random.choice(families)]
                del family[min(family)]
        if path in disk.databases:
            disk.copy(path)


def _rest(world: World) -> None:
    """No more faults: everything must be caught up in time."""
    schedule = world.schedule
    schedule.quiet = True
    deadline_us = schedule.now_us + _REST_US
    while not caught_up(world):
        _tend(world)
        if world.problems:
            raise AssertionError(world.problems[0])
        if schedule.now_us > deadline_us:
            raise StuckError(f"not caught up {_REST_US // SECOND_US} s after the last fault: {behind(world)}")
        schedule.wait(schedule.now_us + SECOND_US)


def heads(world: World) -> dict[int, dict[str, Any]]:
    """Each partition's newest head, as rater.state tells it."""
    found = {}
    for number in range(PARTITIONS):
        for entry in reversed(world.broker.logs[NAMES.state, number].entries):
            if entry.key == b"h" and visible(entry):
                found[number] = CODEC.decode("PartitionHead", entry.value)
                break
    return found


def behind(world: World) -> list[str]:
    """What is left to do, in words."""
    found = [f"a transaction is open at {where}" for where in world.broker.open_transactions()]
    told = heads(world)
    for number in range(PARTITIONS):
        head = told.get(number, {"events_next": 0, "corrections_next": 0})
        for kind, topic in (("events_next", NAMES.events), ("corrections_next", NAMES.corrections)):
            end = world.broker.logs[topic, number].end
            if head[kind] != end:
                found.append(f"{topic} {number}: {head[kind]} of {end}")
    for topic in LEDGER_TOPICS:
        for number in range(PARTITIONS):
            at = world.database.positions.get((topic, number), 0)
            log = world.broker.logs[topic, number]
            if any(map(visible, log.entries[log.find(at) :])):
                found.append(f"the ledger is at {at} of {topic} {number}")
    return found or _totals_behind(world) or _guard_behind(world)


def _guard_behind(world: World) -> list[str]:
    """Totals that were not looked at, and budgets that customers were not held against."""
    told = world.broker.group_offsets.get("guard", {})
    found = []
    for number in range(PARTITIONS):
        at = told.get((AGGREGATOR.totals, number), 0)
        if any(it.offset >= at for it in world.broker.logs[AGGREGATOR.totals, number].entries[-1:]):
            found.append(f"the guard is at {at} of totals {number}")
        if world.outbox.owners.get(number, (0, 0))[1] < world.budget_version:
            found.append(f"budgets of version {world.budget_version} wait on {number}")
    return found


def _totals_behind(world: World) -> list[str]:
    """Which customers' totals lag behind the ledger."""
    told = newest(world)
    scoped = world.change_us is not None
    found = []
    for customer, progress in world.database.customers.items():
        record = told.get(customer)
        if record is None or record["as_of_seq"] < progress.last_seq:
            found.append(f"totals of {customer}: {record and record['as_of_seq']} of {progress.last_seq}")
        elif scoped and record["watched"] != SCOPED:
            found.append(f"totals of {customer} lack a scope")
    return found


def caught_up(world: World) -> bool:
    """Whether nothing is left to do."""
    return not behind(world)


def run_all(seeds: Sequence[int]) -> list[Result]:
    """Some seeds, one after another; the trace is kept of those that failed."""
    # A world is small and is garbage as a whole: it is looked for between worlds, not a dozen times in each,
    # and never among the modules, which stay.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with patched():
            if not gc.get_freeze_count():
                gc.freeze()
            results = [run(seed) for seed in seeds]
    finally:
        gc.collect()
        if was_enabled:
            gc.enable()
    return [it if it.problem else replace(it, trace=()) for it in results]
