"""Instants in words, and zones whose tables are made by hand."""

from datetime import UTC, datetime

from pricing.calendar import zones
from pricing.cards import Zone


def at(text: str) -> int:
    """An instant in UTC, in microseconds."""
    since = datetime.fromisoformat(text).replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def text(at_us: int) -> str:
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M")


H = 3600
# +01:00, and +02:00 from the last Sunday of March to the last one of October, both at 01:00 UTC.
BERLIN = Zone(
    "Europe/Berlin",
    (
        (at("2025-10-26T01:00"), H),
        (at("2026-03-29T01:00"), 2 * H),
        (at("2026-10-25T01:00"), H),
        (at("2027-03-28T01:00"), 2 * H),
    ),
)
# -05:00, and -04:00 from the second Sunday of March to the first one of November, both at 02:00 local time.
NEW_YORK = Zone(
    "America/New_York",
    (
        (at("2025-11-02T06:00"), -5 * H),
        (at("2026-03-08T07:00"), -4 * H),
        (at("2026-11-01T06:00"), -5 * H),
    ),
)
# As New York, but at midnight: 00:00 becomes 01:00 on 8 March, 01:00 becomes 00:00 on 1 November.
HAVANA = Zone(
    "America/Havana",
    (
        (at("2025-11-02T05:00"), -5 * H),
        (at("2026-03-08T05:00"), -4 * H),
        (at("2026-11-01T05:00"), -5 * H),
    ),
)
# A minute after midnight the clock goes back to 23:01 of the day before, as in Newfoundland until 2011.
BACK_OVER_MIDNIGHT = Zone("Back", ((at("2026-03-08T05:00"), -4 * H), (at("2026-11-01T04:01"), -5 * H)))
# Midnight becomes 23:00 of the day before, as in Brazil until 2018.
SAO_PAULO = Zone("America/Sao_Paulo", ((at("2017-10-15T03:00"), -2 * H), (at("2018-02-18T02:00"), -3 * H)))
# From -10:00 to +14:00 at the end of 29 December 2011: there was no 30 December.
APIA = Zone("Pacific/Apia", ((at("2011-09-24T14:00"), -10 * H), (at("2011-12-30T10:00"), 14 * H)))
ZONES = zones((BERLIN, NEW_YORK, HAVANA, BACK_OVER_MIDNIGHT, SAO_PAULO, APIA))
