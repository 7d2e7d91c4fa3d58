"""Generations of topics in the ledger: which one a worker writes rows of, and which is the newest."""

from collections.abc import Mapping

from runtime.errors import FindingError
from runtime.postgres import Connection

_OF_TOPIC = "select generation from ledger.generations where rejected_topic_id = %s"
_EXISTS = "select to_regclass('ledger.generations') is not null"


def set_generation(connection: Connection, rejected_topic_id: str) -> None:
    """Mark every row that this session writes as one of this usage.rejected's generation."""
    connection.execute(
        f"select set_config('ratestream.generation', coalesce(({_OF_TOPIC}), 0)::text, false)".encode(),
        (rejected_topic_id,),
    )


def generation_of(connection: Connection, rejected_topic_id: str) -> int:
    """The generation of this usage.rejected; 0 is the first."""
    row = connection.execute(_OF_TOPIC, (rejected_topic_id,)).fetchone()
    return 0 if row is None else int(str(row[0]))


def begin_generation(connection: Connection, prefix: str, partitions: int, rejected_topic_id: str) -> int:
    """Have the next generation; one that is there stays. Returns its number."""
    with connection.transaction():
        connection.execute("lock table ledger.generations in share row exclusive mode")
        connection.execute(
            "insert into ledger.generations (generation, topic_prefix, partitions, rejected_topic_id)"
            " select coalesce(max(generation), 0) + 1, %s, %s, %s from ledger.generations"
            " on conflict (rejected_topic_id) do nothing",
            (prefix, partitions, rejected_topic_id),
        )
        return generation_of(connection, rejected_topic_id)


def check_migrated(connection: Connection) -> None:
    """Raises FindingError where the ledger's tables know no generations yet."""
    with connection.transaction():
        row = connection.execute(_EXISTS).fetchone()
    if row != (True,):
        raise FindingError("ledger.generations is not there: `ratestream ledger migrate` makes it")


def check_contiguous(held: Mapping[str, int], last_seqs: Mapping[str, int]) -> None:
    """The ledger has every record of these customers.

    Args:
        held: up to which sequence it has each customer without a gap.
        last_seqs: the last sequence that the rater gave each.

    Raises:
        FindingError: it is behind, or has what no rater wrote.
    """
    for customer_id, last_seq in sorted(last_seqs.items()):
        if held.get(customer_id, 0) != last_seq:
            raise FindingError(
                f"customer {customer_id!r}: the ledger has {held.get(customer_id, 0)} without a gap, "
                f"the rater gave {last_seq}: run the ledger until `ratestream verify` finds nothing"
            )
