"""Faults of what stands behind the rater: ledger, guard, PostgreSQL, and the endpoint of webhooks."""

from tests.prove.faults.processes import killed, killed_at, paused, wrong_clock, zombie
from tests.prove.nemesis import Lane, Step, Striker
from tests.prove.watching import wait_for

_OUTAGE_S = 20.0
_MET_S = 90.0
_LEDGERS = ("ledger-0", "ledger-1")


def lanes() -> list[Lane]:
    """Ledgers, the guard, PostgreSQL, the receiver."""
    return [
        Lane(
            "ledger-0",
            [
                killed_at("ledger-0", "after_copy", "lost_commit_reply", nth=1),
                zombie("ledger-0", "before_pg_commit"),
                wrong_clock("ledger-0", -1),
            ],
            extra=[killed("ledger-0"), paused("ledger-0", 9, "paused beyond its session")],
        ),
        Lane(
            "ledger-1",
            [
                killed_at("ledger-1", "before_pg_commit", "after_pg_commit", nth=1),
                killed("ledger-1"),
                paused("ledger-1", 5),
            ],
            extra=[killed("ledger-1"), killed_at("ledger-1", "after_copy", nth=1)],
        ),
        Lane(
            "guard",
            [
                killed_at(
                    "guard-0",
                    "after_consume",
                    "before_pg_commit",
                    "after_pg_commit",
                    "before_publish",
                    "before_post",
                    "after_post_before_mark",
                    nth=1,
                ),
                paused("guard-0", 12, "paused beyond its session"),
                killed("guard-0"),
                wrong_clock("guard-0", 1),
            ],
            extra=[killed("guard-0"), killed_at("guard-0", "after_post_before_mark", nth=1)],
        ),
        Lane(
            "PostgreSQL",
            [Step("PostgreSQL killed", postgres_killed), Step("PostgreSQL away", postgres_away)],
            extra=[Step("PostgreSQL killed", postgres_killed)],
        ),
        Lane(
            "webhook",
            [misbehaves("500", 6), misbehaves("hang", 8), misbehaves("redirect", 6)],
            extra=[misbehaves("500", 3)],
        ),
    ]


def postgres_killed(striker: Striker) -> None:
    """SIGKILL, and started again at once."""
    striker.pause(10)
    with striker.fault("PostgreSQL killed"):
        striker.run.cluster.stack.kill9_postgres()
    striker.pause(15)


def postgres_away(striker: Striker) -> None:
    """Away for longer than anything that waits for it waits without saying so."""
    striker.pause(10)
    with striker.fault("PostgreSQL away", detail=f"{_OUTAGE_S:.0f} s"):
        stack = striker.run.cluster.stack
        stack.postgres.kill9()
        striker.pause(_OUTAGE_S)
        stack.kill9_postgres()
    striker.pause(10)


def misbehaves(mode: str, seconds: float) -> Step:
    """The endpoint answers 500, never, or sends elsewhere."""

    def act(striker: Striker) -> None:
        striker.pause(6)
        with striker.fault(f"webhook: {mode}", "receiver", f"{seconds:.0f} s"):
            run = striker.run
            before = len(run.journal.entries("delivery"))
            run.receiver.mode = mode
            # Until some alert has met it: the guard may be dead just now.
            wait_for(lambda: len(run.journal.entries("delivery")) > before, _MET_S, run.ending.is_set)
            striker.pause(seconds)
            run.receiver.mode = "ok"
        striker.pause(6)

    return Step(f"webhook: {mode}", act)
