"""Fast encoding of a TotalsEntry, and records put together from entries: the bytes of dictionaries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import codec
from schemas.entries import entry_body, entry_head
from schemas.errors import Undecodable, Unencodable, UnknownSchema
from tests.unit.schemas.wire_samples import ENTRY, LIFETIME, RECORDS

COUNTS = ("events", "unpriced_cost_events", "unpriced_price_events")
longs = st.integers(-(2**63), 2**63 - 1)
entries = st.fixed_dictionaries(
    {
        "window": st.text(),
        "start_us": longs,
        "end_us": st.none() | longs,
        "scope": st.dictionaries(st.text(), st.text(), max_size=2),
        "cost_currency": st.none() | st.text(),
        "price_currency": st.none() | st.text(),
        "cost": st.none() | st.text("-.0123456789", max_size=150),
        "price": st.none() | st.text("-.0123456789"),
        **dict.fromkeys(COUNTS, longs),
        "quantities": st.dictionaries(st.text(), st.text("-.0123456789"), max_size=70),
    }
)


@given(entries)
def test_an_entry_has_the_same_bytes(entry: dict[str, object]) -> None:
    counts = [entry[name] for name in COUNTS]
    made = entry_body(entry_head(entry), entry["cost"], entry["price"], counts, entry["quantities"])  # type: ignore[arg-type]  # a made record
    assert made == codec.encode_body("TotalsEntry", entry)


def test_a_head_of_something_else_is_refused() -> None:
    with pytest.raises(Unencodable):
        entry_head(ENTRY | {"start_us": "1"})


@pytest.mark.parametrize("name", ["RunningTotals", "LiveCustomer"])
@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_a_record_put_together_from_entries_has_the_same_bytes(name: str, count: int) -> None:
    whole = RECORDS[name] | {"entries": ([ENTRY, LIFETIME] * count)[:count]}
    head = {field: value for field, value in whole.items() if field != "entries"}
    encoded = [codec.encode_body("TotalsEntry", entry) for entry in whole["entries"]]
    assert codec.encode_with_entries(name, head, encoded) == codec.encode(name, whole)


@given(longs)
def test_the_first_long_is_read_without_the_rest(number: int) -> None:
    value = codec.encode("LiveCustomer", RECORDS["LiveCustomer"] | {"seq": number})
    assert codec.leading_long("LiveCustomer", value) == number


def test_a_first_long_that_is_none_is_refused() -> None:
    header = codec.fingerprint("LivePartition")
    for body in (b"", b"\x80", b"\xff" * 12):
        with pytest.raises(Undecodable):
            codec.leading_long("LivePartition", header + body)
    with pytest.raises(UnknownSchema):
        codec.leading_long("LivePartition", codec.encode("LiveCustomer", RECORDS["LiveCustomer"]))
