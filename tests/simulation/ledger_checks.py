"""The ledger against what was rated and rejected: the same records, each once."""

from typing import TYPE_CHECKING

from tests.simulation.checks import Found, need
from tests.simulation.decoding import exact

if TYPE_CHECKING:
    from tests.simulation.ledgers import Database


def check_ledger(database: "Database", found: Found) -> None:
    """Rows = usage.rated; rejected rows = usage.rejected; no bad record; every customer contiguous."""
    need(not database.bad, "no record is bad", bad=database.bad[:1])
    told = {}
    for row in database.rated:
        where = (row.kafka_partition, row.kafka_offset)
        need(where not in told, "a rated record is in the ledger once", where=where)
        told[where] = (
            row.customer_id, row.customer_seq, row.event_id, row.leg, row.revision, row.book_version,
            exact(row.cost), exact(row.price), row.event_time_us,
        )  # fmt: skip
    wanted = {
        (number, offset): (
            it["event"]["customer_id"], it["rating"]["customer_seq"], it["event"]["event_id"],
            it["rating"]["leg"], it["rating"]["revision"], it["rating"]["book_version"],
            exact(it["rating"]["cost"]["amount"]), exact(it["rating"]["price"]["amount"]),
            it["event"]["event_time_us"],
        )
        for number, records in found.rated.items()
        for offset, it in records
    }  # fmt: skip
    differ = {where for where in {*told, *wanted} if told.get(where) != wanted.get(where)}
    need(not differ, "the ledger has what was rated", differ=sorted(differ)[:3])
    rejected = sum(map(len, found.rejected.values()))
    need(len(database.rejected) == rejected, "the ledger has what was rejected", wanted=rejected)
    for customer, records in found.by_customer().items():
        progress = database.customers[customer]
        state = (progress.contiguous_seq, progress.last_seq, progress.gap_seq)
        need(state == (len(records), len(records), None), "the ledger is contiguous", customer=customer)
