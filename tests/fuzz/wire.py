"""Targets: bytes of the topics, CloudEvents, rules of events, frames in parts, what an event is rated to."""

import json
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from aggregator.core.parts import Parts, PartsError
from budget_guard.adapters.wire import TotalsDecoder, decode_totals
from pricing.compile import CompiledBook, compile_book
from pricing.errors import UsageError
from pricing.rate import rate
from rate_book.form import load_book, shipped_books
from rate_book.translate import call_of_event, rating_record
from rater.core.frames import Assembler, FrameError, Part, split
from schemas import event_rules
from schemas.cloudevents import of_record
from schemas.codec import CODEC, HEADER_BYTES
from schemas.columns import ColumnReader
from schemas.correction_rules import check_correction
from schemas.errors import InvalidEvent, WireError
from schemas.instants import format_instant
from schemas.models.usage_event import UsageEvent
from tests.fuzz.target import Target, hold
from tests.unit.schemas.wire_samples import EVENT, RECORDS

NAMES = CODEC.names


def _named(data: bytes) -> tuple[str, bytes]:
    """The first byte chooses the schema; most inputs then get its header, or none would come far."""
    first = data[0] if data else 0
    name = NAMES[first % len(NAMES)]
    return name, (data[1:] if first >= 192 else CODEC.fingerprint(name) + data[1:])


def _samples() -> list[bytes]:
    return [
        bytes([NAMES.index(name)]) + CODEC.encode(name, record)[HEADER_BYTES:]
        for name, record in RECORDS.items()
    ]


def run_codec(data: bytes) -> None:
    name, value = _named(data)
    record = CODEC.decode(name, value)
    again = CODEC.encode(name, record)
    hold(true=CODEC.decode(name, again) == record, what=f"{name}: decode(encode(record)) is another record")
    # A count of 0 bytes and a number in more bytes than it needs are the only ways to be longer.
    hold(true=len(again) <= len(value), what=f"{name}: encoded again it is longer than it came")


def wanted_of(schema: Any, named: dict[str, Any]) -> Any:
    """Every field that the column reader can give: maps can only be skipped."""
    if isinstance(schema, list):
        return next((found for branch in schema if (found := wanted_of(branch, named))), None)
    if isinstance(schema, str):
        node = named.get(schema.split(".")[-1])
        return wanted_of(node, named) if node else None
    if schema["type"] == "record":
        named[schema["name"].split(".")[-1]] = schema
        return {
            field["name"]: wanted_of(field["type"], named)
            for field in schema["fields"]
            if not _holds_map(field["type"])
        }
    if schema["type"] == "array":
        return wanted_of(schema["items"], named)
    return None if isinstance(schema["type"], str) else wanted_of(schema["type"], named)


def _holds_map(schema: Any) -> bool:
    return '"map"' in json.dumps(schema) or '"bytes"' in json.dumps(schema)


def cut(value: Any, wanted: Any) -> Any:
    """A decoded record, less what was not asked for."""
    if wanted is None or value is None:
        return value
    if isinstance(value, list):
        return [cut(item, wanted) for item in value]
    return {name: cut(value[name], inner) for name, inner in wanted.items()}


@cache
def _reader(name: str) -> tuple[ColumnReader, Any]:
    wanted = wanted_of(CODEC.schema(name), {})
    return ColumnReader(name, wanted), wanted


COLUMNS = ("RatedUsage", "UsageEvent", "RunningTotals")


def run_columns(data: bytes) -> None:
    """What the column reader gives is what the codec gives, also beside other records."""
    name = COLUMNS[data[0] % len(COLUMNS)] if data else COLUMNS[0]
    reader, wanted = _reader(name)
    value = CODEC.fingerprint(name) + data[1:]
    whole = CODEC.encode(name, RECORDS[name])
    before, found, after = reader.read([whole, value, whole])
    sound = cut(CODEC.decode(name, whole), wanted)
    hold(true=before == after == sound, what=f"{name}: a neighbour is {before}, {after}")
    try:
        decoded: Any = cut(CODEC.decode(name, value), wanted)
    except WireError as error:
        # The text of fields that were not asked for is not looked at, which its description says.
        only_text = "UnicodeDecodeError" in str(error)
        hold(true=found is None or only_text, what=f"{name}: columns take what decode refuses: {error}")
        raise
    hold(true=found is None or found == decoded, what=f"{name}: columns give {found}, decode {decoded}")


def _column_samples() -> list[bytes]:
    return [
        bytes([number]) + CODEC.encode(name, RECORDS[name])[HEADER_BYTES:]
        for number, name in enumerate(COLUMNS)
    ]


_TOTALS = TotalsDecoder()  # one for all inputs: what it has learnt of one must not tell in another


def run_totals(data: bytes) -> None:
    """A customer's totals read by hand are those that the codec reads, and so is what is wrong with them."""
    value = CODEC.fingerprint("RunningTotals") + data
    try:
        wanted = decode_totals(value)
    except ValueError as error:
        try:
            found = _TOTALS.decode(value)
        except ValueError as same:
            hold(true=str(same) == str(error), what=f"by hand: {same}; by the codec: {error}")
            raise
        hold(true=False, what=f"by hand {found}; the codec refuses it: {error}")
    found = _TOTALS.decode(value)
    hold(true=found == wanted, what=f"by hand {found}; by the codec {wanted}")
    hold(true=_TOTALS.head(value) == (wanted.customer_id, wanted.as_of_seq), what="another head")


def _totals_samples() -> list[bytes]:
    record = RECORDS["RunningTotals"]
    many = record | {"entries": list(record["entries"]) * 40}
    return [CODEC.encode("RunningTotals", one)[HEADER_BYTES:] for one in (record, many)]


def run_frames(data: bytes) -> None:
    """Parts as they come: both assemblers agree, and whole frames come back from their parts."""
    one, other = Assembler(), Parts()
    size = 1 + (data[0] if data else 0) % 32
    parts = split(7, data or b"-", size)
    joined = [one.add(part) for part in parts]
    hold(true=joined[:-1] == [None] * (len(parts) - 1), what="a frame is whole before its last part")
    hold(true=joined[-1] == (data or b"-"), what="a frame in parts is another frame")
    for place in range(0, len(data) - 3, 4):
        frame_no, part_no, part_count, length = data[place : place + 4]
        part = Part(frame_no, part_no, part_count, data[place + 4 : place + 4 + length])
        rater = _added(partial(one.add, part))
        aggregator = _added(partial(other.add, part.frame_no, part.part_no, part.part_count, part.chunk))
        # The aggregator begins to read anywhere: behind a whole frame it passes over the end of another.
        hold(
            true=rater == aggregator or (rater, aggregator) == (_REFUSED, None),
            what=f"{part}: {rater}, {aggregator}",
        )
        if rater == _REFUSED:
            return


_REFUSED = "refused"


def _added(add: Callable[[], object]) -> object:
    try:
        return add()
    except (FrameError, PartsError):
        return _REFUSED


def _frame_samples() -> list[bytes]:
    return [bytes([1, 0, 1, 2, 65, 66, 0, 0]), bytes([1, 0, 2, 0, 1, 1, 2, 0]), bytes(range(64))]


def run_cloudevents(data: bytes) -> None:
    event = UsageEvent.from_json(data)
    record = event.to_avro()
    value = CODEC.encode("UsageEvent", record)
    decoded = CODEC.decode("UsageEvent", value)
    # A tuple on the way out is a list on the way in.
    hold(true=decoded == json.loads(json.dumps(record)), what="the event on the wire is another event")
    event_rules.check_event(decoded)
    again = UsageEvent.from_json(json.dumps(of_record(decoded)))
    hold(true=again == event, what="the event written as JSON again is another event")


def _json_samples() -> list[bytes]:
    found = [json.dumps(of_record(RECORDS["UsageEvent"])).encode()]
    small = of_record(
        UsageEvent.from_json(found[0]).to_avro() | {"routing": None, "tags": {}, "provider_cost": None}
    )
    found.append(json.dumps(small).encode())
    data = small["data"] | {"usage": {"input_tokens": 1200, "audio_seconds": 0.25, "output_tokens": "3e2"}}
    found.append(json.dumps(small | {"data": data}).encode())
    return found


@cache
def book() -> CompiledBook:
    """The book that is shipped."""
    return compile_book(load_book(shipped_books(), providers=("openai", "anthropic", "google")), 1, "f" * 64)


def run_rating(data: bytes) -> None:
    """An event that the rules take is rated or refused for its usage; its rating fits the wire."""
    event = CODEC.decode("UsageEvent", CODEC.fingerprint("UsageEvent") + data)
    event_rules.check_event(event)
    format_instant(event["event_time_us"])  # others are too late or in the future, which is looked at before
    rating = rate(book(), call_of_event(event, book().attributes))
    CODEC.encode("RatedUsage", {"event": event, "rating": rating_record(rating, book(), customer_seq=1)})


def _event_samples() -> list[bytes]:
    found = [CODEC.encode("UsageEvent", EVENT)[HEADER_BYTES:]]
    for provider, model, usage in (
        ("openai", "gpt-4o", {"input_tokens": "1200", "output_tokens": "350", "cached_input_tokens": "200"}),
        ("anthropic", "claude-sonnet-4-5", {"input_tokens": "1200", "output_tokens": "35"}),
        ("google", "gemini-2.5-flash", {"input_tokens": "300000", "output_tokens": "1.5"}),
    ):
        record = EVENT | {
            "provider": provider, "billed_model": model, "served_model": None, "requested_model": model,
            "usage": usage, "context": {}, "customer_id": "acme",
        }  # fmt: skip
        found.append(CODEC.encode("UsageEvent", record)[HEADER_BYTES:])
    return found


def run_corrections(data: bytes) -> None:
    correction = CODEC.decode("Correction", CODEC.fingerprint("Correction") + data)
    check_correction(correction)
    if correction["amended_event"] is not None:
        event_rules.check_event(CODEC.decode("UsageEvent", correction["amended_event"]))


def _correction_samples() -> Sequence[bytes]:
    plain = RECORDS["Correction"] | {
        "book_version": None,
        "amended_event": None,
        "run_id": None,
        "closes": [],
    }
    closes = RECORDS["Correction"]["closes"]
    records = (
        plain | {"command": "void"},
        plain | {"command": "amend", "amended_event": CODEC.encode("UsageEvent", EVENT)},
        plain | {"command": "rerate", "book_version": 4, "run_id": "r", "closes": closes},
    )
    return [CODEC.encode("Correction", record)[HEADER_BYTES:] for record in records]


_JSON_WORDS = (
    b'"specversion":"1.0"', b'"data"', b'"usage"', b'"input_tokens"', b"null", b"1e38", b"-0", b"1e999999999",
    b"NaN", b"9" * 39, b"[[[[[[[[", b'{"a":' * 8, b"\\u0000", b"\\ud800", b"2026-11-18T12:00:00Z",
    b"9999-12-31T23:59:59-23:59", b"0001-01-01T00:00:00+23:59",
)  # fmt: skip
_AVRO_WORDS = (b"\xff" * 9 + b"\x01", b"\x80" * 9 + b"\x01", b"\x01", b"\xc3\x01", b"\x00", b"\xfe\xff\x03")

TARGETS = (
    Target("codec", run_codec, (WireError,), _samples, _AVRO_WORDS),
    Target("columns", run_columns, (WireError,), _column_samples, _AVRO_WORDS),
    Target("totals", run_totals, (ValueError,), _totals_samples, _AVRO_WORDS),
    Target("frames", run_frames, (), _frame_samples, bytes_max=512),
    Target("cloudevents", run_cloudevents, (InvalidEvent,), _json_samples, _JSON_WORDS),
    Target("rating", run_rating, (WireError, UsageError), _event_samples, _AVRO_WORDS),
    Target("corrections", run_corrections, (WireError,), _correction_samples, _AVRO_WORDS),
)
