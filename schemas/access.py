"""The one declaration of who may do what: principals, by topic, consumer group and transactional id.

`ratestream topics acls` makes a cluster's ACLs from it, and the local stack its users and logins. What is
not declared is refused. Names have no prefix here, as in `schemas.topics`. What a principal may do in
PostgreSQL is what its group roles may; the migrations grant those.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from schemas import topics

READING_GROUP: Final = "ratestream-reading"
"""Of clients that read partitions by offset and join no group; it has no prefix on any cluster. The
clients are in `runtime.kafka.offsets`, which may not import this; a test holds the two names together."""


@dataclass(frozen=True)
class Acl:
    """One right: a principal may do an operation on what has this name, or one that begins with it.

    `resource` is topic, group or transactional_id, `pattern` literal or prefixed, `operation` read, write or
    describe; Kafka lets whoever may read or write describe as well.
    """

    principal: str
    resource: str
    name: str
    pattern: str
    operation: str


@dataclass(frozen=True)
class Principal:
    """A user of Kafka and login of PostgreSQL: topics that it reads and writes, groups that it is in.

    `describes` are topics, `watches` groups, whose ends and positions it asks for and no more; `transactions`
    are beginnings of transactional ids; `roles` are group roles of PostgreSQL, empty: it has no login there.
    """

    name: str
    does: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    describes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    watches: tuple[str, ...] = ()
    transactions: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()

    def acls(self, prefix: str = "") -> Iterator[Acl]:
        """Its rights on a cluster whose names carry `prefix`."""
        for names, resource, pattern, operation in (
            (self.reads, "topic", "literal", "read"),
            (self.writes, "topic", "literal", "write"),
            (self.describes, "topic", "literal", "describe"),
            (self.groups, "group", "literal", "read"),
            (self.watches, "group", "literal", "describe"),
            (self.transactions, "transactional_id", "prefixed", "write"),
        ):
            for name in names:
                yield Acl(self.name, resource, prefix + name, pattern, operation)
        if self.reads:
            yield Acl(self.name, "group", READING_GROUP, "literal", "describe")


ADMIN: Final = "admin"
"""Makes topics, ACLs and migrations. Whoever sets ACLs can give himself any: so it is a super user."""

_EVERY_TOPIC: Final = tuple(topic.name for topic in topics.TOPICS)
_EVERY_GROUP: Final = ("rater", "ledger", "aggregator", "totals", "guard")

PRINCIPALS: Final = (
    Principal("producer", "publishes usage events", writes=(topics.USAGE_EVENTS,)),
    Principal(
        "rater",
        "rates usage",
        reads=(topics.USAGE_EVENTS, topics.USAGE_CORRECTIONS, topics.USAGE_DELTAS, topics.RATER_STATE),
        writes=(topics.USAGE_RATED, topics.USAGE_REJECTED, topics.USAGE_DELTAS, topics.RATER_STATE),
        groups=("rater",),
        transactions=("rater-",),
        roles=("ratestream_rater",),
    ),
    Principal(
        "ledger",
        "takes rated usage over into PostgreSQL",
        reads=(topics.USAGE_RATED, topics.USAGE_REJECTED),
        groups=("ledger",),
        roles=("ratestream_ledger_writer",),
    ),
    Principal(
        "aggregator",
        "folds frames into running totals",
        reads=(topics.USAGE_DELTAS, topics.AGGREGATOR_STATE, topics.AGGREGATOR_PROBE),
        writes=(topics.USAGE_TOTALS, topics.AGGREGATOR_STATE, topics.AGGREGATOR_PROBE),
        groups=("aggregator",),
        transactions=("aggregator-",),
        roles=("ratestream_aggregator",),
    ),
    Principal(
        "totals",
        "takes running totals over into PostgreSQL",
        reads=(topics.USAGE_TOTALS,),
        groups=("totals",),
        roles=("ratestream_totals_writer",),
    ),
    Principal(
        "guard",
        "holds totals against budgets and alerts",
        reads=(topics.USAGE_TOTALS,),
        writes=(topics.BUDGET_ALERTS, topics.BUDGET_STATE),
        describes=(topics.USAGE_EVENTS, topics.USAGE_CORRECTIONS, topics.USAGE_RATED),
        groups=("guard",),
        watches=("rater",),
        roles=("ratestream_guard",),
    ),
    Principal(
        "operator",
        "corrects, replays, applies rate books and budgets, closes statements",
        reads=(topics.USAGE_EVENTS, topics.USAGE_REJECTED, topics.USAGE_RATED, topics.RATER_STATE),
        writes=(topics.USAGE_CORRECTIONS, topics.USAGE_EVENTS),
        watches=_EVERY_GROUP,
        roles=("ratestream_operator",),
    ),
    Principal(
        "finance",
        "reads everything, writes nothing: statements, explanations, verification",
        reads=_EVERY_TOPIC,
        watches=_EVERY_GROUP,
        roles=("ratestream_ledger_reader",),
    ),
)


def principal(name: str) -> Principal:
    """The declared principal of that name. Raises KeyError for one that is not declared."""
    return {each.name: each for each in PRINCIPALS}[name]


def acls(prefix: str = "") -> list[Acl]:
    """Every right on a cluster whose names carry `prefix`."""
    return [acl for each in PRINCIPALS for acl in each.acls(prefix)]
