"""Which rejected records are meant, and how each goes back."""

from typing import Any

import pytest

from rater.core.replay import FIRST_APPEND_HEADER, RejectedItem, Selection, going_back


def item(**fields: Any) -> RejectedItem:
    record = {
        "reason": "too_late",
        "customer_id": "c",
        "source": "s",
        "event_id": "e",
        "topic": "usage.events",
        "partition": 2,
        "offset": 40,
        "first_append_time_us": 1_795_478_400_000_000,
        "original_key": b"k",
        "original": b"bytes",
    }
    return RejectedItem(2, 7, record | fields)


@pytest.mark.parametrize(
    ("selection", "meant"),
    [
        (Selection(), True),
        (Selection(reasons=frozenset({"too_late", "misrouted"})), True),
        (Selection(reasons=frozenset({"misrouted"})), False),
        (Selection(partitions=frozenset({2})), True),
        (Selection(partitions=frozenset({1})), False),
        (Selection(identities=frozenset({("c", "s", "e")})), True),
        (Selection(identities=frozenset({("c", "s", "other")})), False),
        (Selection(places=frozenset({(2, 7)})), True),
        (Selection(places=frozenset({(2, 40)})), False),
        (Selection(identities=frozenset({("x", "x", "x")}), places=frozenset({(2, 7)})), True),
        (Selection(reasons=frozenset({"misrouted"}), places=frozenset({(2, 7)})), False),
    ],
)
def test_every_condition_that_is_given_must_hold(selection: Selection, *, meant: bool) -> None:
    assert selection.means(item()) is meant


def test_what_never_had_an_identity_is_not_meant_by_one() -> None:
    unknown = item(customer_id=None, source=None, event_id=None)
    assert not Selection(identities=frozenset({("c", "s", "e")})).means(unknown)


def test_the_original_goes_back_under_its_key_with_its_first_append_time() -> None:
    back = going_back(item(), lambda original: "somebody")
    assert back == ("usage.events", b"k", b"bytes", {FIRST_APPEND_HEADER: b"1795478400000000"}, None)


def test_a_misrouted_record_goes_back_under_its_customer() -> None:
    back = going_back(item(reason="misrouted"), lambda original: "customer" if original == b"bytes" else None)
    assert back is not None
    assert (back.key, back.partition) == (b"customer", None)


def test_a_misrouted_record_that_names_no_customer_stays() -> None:
    assert going_back(item(reason="misrouted"), lambda original: None) is None


def test_a_record_without_a_key_goes_back_to_its_partition() -> None:
    back = going_back(item(original_key=None), lambda original: None)
    assert back is not None
    assert (back.key, back.partition) == (None, 2)
