"""A closed statement beside what the ledger holds now; pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from ledger.core.statement import Facts, Sum, draft, usage_lines
from ledger.core.statement_text import line_data
from pricing.money import format_atto


def compared(kept: Mapping[str, Any], facts: Facts, later: Sequence[Sum]) -> dict[str, Any]:
    """What the statement says beside what it would say, and what came to its period since it was closed.

    Args:
        kept: the statement's content.
        facts: what it is made of now, by the posting period: nothing may have been added there.
        later: what was posted to later periods.
    """
    made = draft(facts)
    lines = [line_data(line) for line in made.lines]
    since = [
        item
        for item in later
        if facts.start_us <= item.service_start_us < facts.end_us and item.currency in (facts.currency, None)
    ]
    told = usage_lines(since)
    return {
        "customer": kept["customer"],
        "number": kept["number"],
        "currency": kept["currency"],
        "period": kept["period"],
        "total": kept["total"],
        "unaltered": lines == kept["lines"] and format_atto(made.total) == kept["total"],
        "missing": [line for line in kept["lines"] if line not in lines],
        "added": [line for line in lines if line not in kept["lines"]],
        "since": [line_data(line._replace(kind="difference")) for line in told],
        "since_sum": format_atto(sum(line.amount or 0 for line in told)),
    }
