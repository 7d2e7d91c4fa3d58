"""Faults of brokers, and of the network between services and brokers."""

from collections.abc import Callable

from schemas import topics
from tests.prove.nemesis import Lane, Step, Striker
from tests.prove.proxies import Weather
from tests.prove.watching import wait_for

_DEAD_S = 7.0
"""Longer than a broker's session, so that its partitions get other leaders meanwhile."""
_CALM_S = 3.0
_LONG_DELAY_S = 12.0
_ISR_S = 30.0


def lane() -> Lane:
    """One at a time: two of three brokers away at once would be another fault."""
    return Lane(
        "brokers",
        [
            Step("broker killed", lambda striker: _killed(striker, "broker killed", _anyone)),
            Step("leader killed", lambda striker: _killed(striker, "leader killed", _leader)),
            Step(
                "group coordinator",
                lambda striker: _killed(striker, "group coordinator killed", _coordinator),
            ),
            Step(
                "transactions",
                lambda striker: _killed(striker, "transaction coordinator killed", _of_transactions),
            ),
            Step("all brokers", all_killed),
            weather("delay", Weather(delay_s=0.3), 8, everywhere=True),
            weather("long delay", Weather(delay_s=_LONG_DELAY_S), _LONG_DELAY_S + 2, everywhere=False),
            weather("drops", Weather(drop=0.02), 8, everywhere=True),
            weather("deaf brokers", Weather(deaf_from_client=True), 6, everywhere=False),
            weather("deaf clients", Weather(deaf_to_client=True), 6, everywhere=False),
            weather("cut", Weather(refuse=True), 8, everywhere=True),
        ],
        extra=[
            Step("broker killed", lambda striker: _killed(striker, "broker killed", _anyone)),
            Step("leader killed", lambda striker: _killed(striker, "leader killed", _leader)),
            weather("drops", Weather(drop=0.05), 6, everywhere=True),
            weather("deaf clients", Weather(deaf_to_client=True), 9, everywhere=False),
        ],
    )


def _killed(striker: Striker, name: str, choose: Callable[[Striker], int]) -> None:
    """SIGKILL; another leads within seconds; then it comes back."""
    cluster, watch = striker.run.cluster, striker.run.watch
    with cluster.lock:
        wait_for(lambda: not _behind(striker), _ISR_S, striker.run.ending.is_set)
        broker = choose(striker)
        led = [where for where, leader in watch.leaders().items() if leader == broker]
        with striker.fault(name, f"broker {broker}"):
            cluster.stack.kill9(broker)
            striker.pause(_DEAD_S)
            moved = wait_for(
                lambda: all(leader != broker for leader in watch.leaders().values()),
                30,
                striker.run.ending.is_set,
            )
            striker.run.journal.add("failover", broker=broker, led=len(led), moved=moved)
            cluster.start([broker])
    striker.pause(_CALM_S)


def all_killed(striker: Striker) -> None:
    """SIGKILL of all at once; what was acknowledged must be there when they are back."""
    cluster = striker.run.cluster
    with cluster.lock:
        wait_for(lambda: not _behind(striker), _ISR_S, striker.run.ending.is_set)
        with striker.fault("all brokers killed"):
            for broker in cluster.brokers:
                cluster.stack.kill9(broker)
            striker.pause(2)
            cluster.start(cluster.brokers)
    striker.pause(_CALM_S)


def weather(name: str, made: Weather, seconds: float, *, everywhere: bool) -> Step:
    """The way to all brokers, or to one of them, gets bad for a while."""

    def act(striker: Striker) -> None:
        cluster = striker.run.cluster
        chosen = cluster.brokers if everywhere else [striker.chance.choice(cluster.brokers)]
        told = "all" if everywhere else f"broker {chosen[0]}"
        with cluster.lock, striker.fault(f"network: {name}", told, f"{seconds:.0f} s"):
            for broker in chosen:
                cluster.proxies[broker].change(made)
            striker.pause(seconds)
            for broker in chosen:
                cluster.proxies[broker].clear()
        striker.pause(_CALM_S)

    return Step(f"network: {name}", act)


def _behind(striker: Striker) -> bool:
    """Whether some replica is not in sync: killing another broker then would make partitions unwritable."""
    return bool(striker.run.watch.replicas_behind())


def _anyone(striker: Striker) -> int:
    return striker.chance.choice(striker.run.cluster.brokers)


def _leader(striker: Striker) -> int:
    number = striker.chance.randrange(striker.run.world.kafka.partitions)
    return striker.run.watch.leaders()[striker.run.world.prefix + topics.USAGE_RATED, number]


def _coordinator(striker: Striker) -> int:
    return striker.run.watch.group_coordinator("rater")


def _of_transactions(striker: Striker) -> int:
    return striker.run.watch.transaction_coordinator(f"{striker.run.world.prefix}rater-0")
