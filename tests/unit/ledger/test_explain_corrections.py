"""The record that ends a re-rate is explained: its call in the run, then the period that it closes."""

from ledger.core.explain import Again, BookFacts, Came, Rated, explain
from rate_book.translate import rate_again
from tests.unit.rater.corrected import BOOKS, Partition, content, usage

FACTS = BookFacts(2, "hash 2", "2026-11-18T12:00:00Z", "tester")


def test_what_closes_a_period_is_equal_in_the_run_and_in_the_period() -> None:
    """Two of 600 under version 2: 12, and 400 x 0.02 + 200 x 0.01 = 10. With 800 that arrived before, the
    period is 20 + 10 = 30 for 2000 tokens.
    """
    partition = Partition()
    partition.run([usage(1, 600), usage(2, 600)])
    partition.version = 2
    partition.run([usage(9, 800)])
    closes = [{"pool": pool, "start_us": start_us} for _, pool, start_us in partition.memory.periods]
    partition.run(commands=[partition.command("rerate", 1, run_id="run")])
    partition.run(commands=[partition.command("rerate", 2, run_id="run", closes=closes)])
    told = partition.rated[-1]
    event, rating = told["event"], told["rating"]
    again = Again(content("0.02", "0.01", "6"), BOOKS[2], FACTS, rate_again(event, rating, BOOKS[2]), rating)
    explained = explain(Rated(0, 6, event["event_time_us"], event, rating), Came(0), again)
    pools = next(side.pools for side in explained.sides if side.side == "price")
    assert [(it.quantity_before, it.quantity_after, it.amount_after, it.check.equal) for it in pools] == [
        ("600", "1200", "22", True),
        ("2000", "2000", "30", True),
    ]
