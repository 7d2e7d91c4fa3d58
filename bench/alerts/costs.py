"""CPU seconds of everything that runs: services, broker, PostgreSQL by what is connected to it."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.processes import family_cpu_s, used
from cli.stack.local import LocalStack
from runtime.postgres import connect


@dataclass
class Costs:
    """What was used at an instant; `since` tells the difference. Of another's stack: services only."""

    own: dict[str, float] = field(default_factory=dict)
    backends: dict[int, tuple[str, float]] = field(default_factory=dict)

    @classmethod
    def now(cls, pids: Mapping[str, int], stack: LocalStack | None, dsn: str) -> "Costs":
        found = cls({name: _cpu_s(pid) for name, pid in pids.items()})
        if stack is not None:
            status = stack.status()
            found.own["broker"] = _cpu_s(status["kafka"]["pid"] or 0)
            found.own["postgresql, all of it"] = family_cpu_s(status["postgres"]["pid"] or 0)
            with connect(dsn) as connection:
                rows = connection.execute(
                    "select pid, coalesce(nullif(application_name, ''), backend_type) from pg_stat_activity"
                ).fetchall()
            found.backends = {int(str(pid)): (str(name), _cpu_s(int(str(pid)))) for pid, name in rows}
        return found

    def since(self, before: "Costs") -> dict[str, float]:
        """CPU seconds between the two, the largest first."""
        spent: defaultdict[str, float] = defaultdict(float)
        for name, cpu_s in self.own.items():
            spent[name] += cpu_s - before.own.get(name, 0.0)
        for pid, (name, cpu_s) in self.backends.items():
            spent[f"postgresql: {name}"] += cpu_s - before.backends.get(pid, (name, 0.0))[1]
        ordered = sorted(spent.items(), key=lambda item: -item[1])
        return {name: round(cpu_s, 2) for name, cpu_s in ordered if cpu_s >= 0.05}


def _cpu_s(pid: int) -> float:
    found = used(pid)
    return 0.0 if found is None else found.cpu_s
