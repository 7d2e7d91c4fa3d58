"""A usage event's bytes: Avro's single-object encoding (C3 01, CRC-64-AVRO fingerprint, body)."""

import io
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

from fastavro import parse_schema, schemaless_writer
from fastavro.schema import fingerprint, to_parsing_canonical_form

from ratestream_client.errors import INVALID_FIELD, InvalidEvent

SCHEMA_FILE: Final = "ratestream.UsageEvent.avsc"

_DEFINITION: Final = json.loads((files("ratestream_client") / SCHEMA_FILE).read_text("utf-8"))
_SCHEMA: Final = parse_schema(_DEFINITION)
# fastavro gives the fingerprint in hexadecimal, its bytes already in little-endian order.
_HEADER: Final = b"\xc3\x01" + bytes.fromhex(
    fingerprint(to_parsing_canonical_form(_DEFINITION), "CRC-64-AVRO")
)


def encode(record: Mapping[str, Any]) -> bytes:
    """The record's bytes. Raises InvalidEvent where a field is missing, unknown or of another type."""
    out = io.BytesIO()
    out.write(_HEADER)
    try:
        schemaless_writer(out, _SCHEMA, record, strict_allow_default=True)
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        rule = f"fields and types of {SCHEMA_FILE} ({error})"
        raise InvalidEvent(INVALID_FIELD, "event", record, rule) from error
    return out.getvalue()
