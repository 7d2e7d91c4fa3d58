"""Why an input record is rejected: the codes that `usage.rejected` carries, each with a sentence.

A code never changes its meaning: finance counts by it and operators filter replays by it.
"""

from types import MappingProxyType
from typing import Final

UNDECODABLE: Final = "undecodable"
UNKNOWN_SCHEMA: Final = "unknown_schema"
INVALID_FIELD: Final = "invalid_field"
BAD_QUANTITY: Final = "bad_quantity"
IMPOSSIBLE_COUNTS: Final = "impossible_counts"
AMOUNT_OVERFLOW: Final = "amount_overflow"
MISROUTED: Final = "misrouted"
TOO_LARGE: Final = "too_large"
TOO_LATE: Final = "too_late"
IN_FUTURE: Final = "in_future"
ID_CONFLICT: Final = "id_conflict"
NOT_SUPPORTED: Final = "not_supported"
STALE_CORRECTION: Final = "stale_correction"

REASONS: Final = MappingProxyType(
    {
        UNDECODABLE: "The bytes are not one whole record in single-object Avro encoding.",
        UNKNOWN_SCHEMA: "The record was written with a schema that this build does not know.",
        INVALID_FIELD: "A field breaks its declared length, character, size or value rule.",
        BAD_QUANTITY: "A usage quantity is not a plain non-negative decimal within 38 digits.",
        IMPOSSIBLE_COUNTS: "The usage counts contradict each other: parts exceed their whole.",
        AMOUNT_OVERFLOW: "An amount would need more digits than 20 before and 18 after the point.",
        TOO_LARGE: "The record is larger than its topic declares; beyond 4 MiB its bytes are not kept.",
        MISROUTED: "The record's key is not its customer, or its partition is not murmur2's.",
        TOO_LATE: "The event time is further back than the lateness window allows.",
        IN_FUTURE: "The event time is further ahead of the append time than allowed.",
        ID_CONFLICT: "The same identity came before with other content, or can no longer be compared.",
        NOT_SUPPORTED: "The record asks for something that this build does not do yet.",
        STALE_CORRECTION: "The correction expects another revision of its target than the current one.",
    }
)
