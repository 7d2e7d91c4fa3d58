"""Commands decoded by the wire's rules, and what they need of any version of the rate book."""

from collections.abc import Callable, Mapping
from typing import Any

from pricing.compile import CompiledBook
from pricing.errors import UsageError
from pricing.pools import PoolPrice
from pricing.rate import Pools, PoolState, Rating, rate
from rate_book.encode import encode_rating
from rate_book.errors import NoBookError
from rate_book.translate import call_of_event, pool_prices, rate_again, rating_record
from rater.adapters.decoding import decode_event
from rater.core.command import Command, EventAt, NotYetError, Target, Written
from rater.core.rejection import Reject
from runtime.postgres import DatabaseUnavailableError
from schemas.codec import CODEC, HEADER_BYTES
from schemas.correction_rules import check_correction, check_identity
from schemas.errors import WireError
from schemas.event_rules import check_event
from schemas.reasons import INVALID_FIELD, NOT_SUPPORTED, TOO_LARGE
from schemas.topics import USAGE_CORRECTIONS, topic

BookAt = Callable[[int], CompiledBook]
"""A version of the book. Raises NotYetError while it cannot be had, NoBookError where there is none."""

_CORRECTION_BYTES_MAX = topic(USAGE_CORRECTIONS).value_bytes_max


class WireCorrector:
    """rater.core.command.Corrector by the wire's schemas and the stored versions of the book."""

    def __init__(self, book_at: BookAt) -> None:
        self._book_at = book_at

    def decode(self, value: bytes | None) -> Mapping[str, Any]:
        """The decoded Correction of a record's value; its names are as long as names may be."""
        if value is not None and len(value) > _CORRECTION_BYTES_MAX:
            raise Reject(
                TOO_LARGE,
                None,
                f"the correction has {len(value)} bytes; the limit is {_CORRECTION_BYTES_MAX}",
            )
        decoded = _decoded("Correction", value, None)
        _check(check_identity, decoded)
        return decoded

    def command(self, decoded: Mapping[str, Any]) -> Command:
        """The same, checked: its fields, the record that it names, the amended event."""
        _check(check_correction, decoded)
        target = decoded["target"]
        record = _decoded("RatedUsage", decoded["target_record"], "target_record")
        _check(check_event, record["event"], "target_record.")  # what is written holds it again
        amended = None
        if decoded["amended_event"] is not None:
            amended = EventAt(_amended(decoded["amended_event"]), decoded["amended_event"])
        command = Command(
            correction_id=decoded["correction_id"],
            customer_id=decoded["customer_id"],
            source=target["source"],
            event_id=target["event_id"],
            expected_revision=target["expected_revision"],
            command=decoded["command"],
            record=record,
            record_value=decoded["target_record"],
            book_version=decoded["book_version"],
            amended=amended,
            run_id=decoded["run_id"],
            closes=tuple((period["pool"], period["start_us"]) for period in decoded["closes"]),
        )
        _check_identity(command, record["event"], "target_record")
        if amended is not None:
            _check_identity(command, amended.event, "amended_event")
        return command

    def target(self, command: Command) -> Target:
        """The command's record computed again under the version that it names.

        Raises:
            Reject: not_supported: the version is not stored, or gives another rating.
            NotYetError: the version cannot be had now.
        """
        event, told = command.record["event"], command.record["rating"]
        version = told["book_version"]
        book = self._book(version, NOT_SUPPORTED, "target_record")
        try:
            rating = rate_again(event, told, book)
        except (
            DatabaseUnavailableError
        ) as error:  # the version's older prices are fetched when they are needed
            raise NotYetError(str(error)) from error
        except UsageError as error:
            raise Reject(NOT_SUPPORTED, "target_record", f"it cannot be rated again: {error}") from error
        except ValueError as error:
            raise Reject(INVALID_FIELD, "target_record", str(error)) from error
        leg = {name: told[name] for name in ("customer_seq", "leg", "revision", "correction_id")}
        again = rating_record(rating, book, **leg)
        if again != told:
            fields = ", ".join(sorted(name for name in told if told[name] != again[name]))
            raise Reject(
                NOT_SUPPORTED,
                "target_record",
                f"version {version} of the rate book gives another rating than was recorded: {fields} differ",
            )
        body = encode_rating(rating, book, **leg)
        return Target(EventAt(event, _event_value(command.record_value, event, body)), rating, version)

    def rate(self, event: EventAt, version: int, pools: Pools) -> Rating:
        """The event rated with a version of the book."""
        book = self._book(version, INVALID_FIELD, "book_version")
        try:
            return rate(book, call_of_event(event.event, book.attributes), pools)
        except DatabaseUnavailableError as error:
            raise NotYetError(str(error)) from error
        except UsageError as error:
            raise Reject(error.code, error.field, str(error)) from error
        except ValueError as error:
            raise Reject(INVALID_FIELD, "event_time_us", str(error)) from error

    def price(self, version: int, pool: str, start_us: int) -> PoolPrice | None:
        """The price of a pool's period; None where the version has none."""
        book = self._book(version, INVALID_FIELD, "book_version")
        try:
            return pool_prices(book)(PoolState(pool, start_us, start_us, 0, 0, ""))
        except ValueError:
            return None

    def encode(self, written: Written, customer_seq: int) -> bytes:
        """RatedUsage in single-object encoding, with the event's bytes as they came."""
        book = self._book(written.book_version, INVALID_FIELD, "book_version")
        body = encode_rating(
            written.rating,
            book,
            customer_seq,
            leg=written.leg,
            revision=written.revision,
            correction_id=written.correction_id,
        )
        return CODEC.splice_rated(written.event.value, body)

    def _book(self, version: int, reason: str, field: str) -> CompiledBook:
        try:
            return self._book_at(version)
        except NoBookError as error:
            raise Reject(reason, field, str(error)) from error


def _decoded(schema: str, value: bytes | None, field: str | None) -> Mapping[str, Any]:
    try:
        return CODEC.decode(schema, value)
    except WireError as error:
        raise Reject(error.reason, field or error.field, str(error)) from error


def _check(check: Callable[[Mapping[str, Any]], None], decoded: Mapping[str, Any], where: str = "") -> None:
    try:
        check(decoded)
    except WireError as error:
        raise Reject(error.reason, where + error.field, where + str(error)) from error


def _amended(value: bytes) -> Mapping[str, Any]:
    try:
        return decode_event(value)
    except Reject as verdict:
        where = "amended_event" if verdict.field is None else f"amended_event.{verdict.field}"
        raise Reject(verdict.reason, where, verdict.detail) from verdict


def _check_identity(command: Command, event: Mapping[str, Any], field: str) -> None:
    found = event["customer_id"], event["source"], event["event_id"]
    if found != command.identity:
        raise Reject(INVALID_FIELD, field, f"it is of {found}, the command of {command.identity}")


def _event_value(record_value: bytes, event: Mapping[str, Any], rating_body: bytes) -> bytes:
    """The event of a rated record as it came, in single-object encoding of its own."""
    header = CODEC.fingerprint("UsageEvent")
    if record_value[:HEADER_BYTES] == CODEC.fingerprint("RatedUsage") and record_value.endswith(rating_body):
        return header + record_value[HEADER_BYTES : -len(rating_body)]
    return CODEC.encode("UsageEvent", event)
