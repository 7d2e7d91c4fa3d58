"""Commands: their ids, and the record of an event that stands."""

from typing import Any

from ledger.core.correction import (
    History,
    LedgerRecord,
    command_record,
    correction_id,
    run_correction_id,
)
from schemas.codec import decode, encode

EVENT = {"customer_id": "acme", "source": "chat", "event_id": "e1"}


def record(
    seq: int, revision: int, leg: str, id_: str | None = None, *, current: bool = False
) -> LedgerRecord:
    rating: dict[str, Any] = {"customer_seq": seq, "revision": revision, "leg": leg, "correction_id": id_}
    return LedgerRecord(3, 100 + seq, b"rated", EVENT, rating, current)


def test_an_id_says_command_event_revision_and_content() -> None:
    ids = [
        correction_id("void", EVENT, 0),
        correction_id("void", EVENT, 1),
        correction_id("void", EVENT | {"source": "other"}, 0),
        correction_id("void", EVENT | {"customer_id": "acmee", "source": "hat"}, 0),
        correction_id("amend", EVENT, 0, b"one"),
        correction_id("amend", EVENT, 0, b"two"),
        run_correction_id("rerate-1", EVENT),
        run_correction_id("rerate-2", EVENT),
    ]
    assert len(set(ids)) == len(ids)
    assert correction_id("amend", dict(EVENT), 0, b"one") == ids[4]
    assert ids[0].startswith("void-")
    assert ids[6].startswith("rerate-1/")


def test_a_history_knows_what_stands_and_which_command_made_it() -> None:
    amend, void = correction_id("amend", EVENT, 0, b"x"), correction_id("void", EVENT, 1)
    amended = [
        record(9, 1, "replacement", amend, current=True),
        record(8, 1, "reversal", amend),
        record(4, 0, "original"),
    ]
    history = History.of(amended)
    assert history.current == amended[0]
    assert [leg.seq for leg in history.legs_of(amend)] == [8, 9]
    assert history.repeats("amend", b"x") == amend
    assert history.repeats("amend", b"y") is None
    assert history.repeats("void", b"") is None
    voided = History.of([*(one._replace(current=False) for one in amended), record(11, 2, "reversal", void)])
    assert voided.current is None
    assert voided.repeats("void", b"") == void
    assert History.of(amended[2:]).repeats("void", b"") is None


def test_a_command_is_a_record_of_the_wire() -> None:
    command = command_record(
        "rerate",
        record(4, 2, "replacement"),
        id_="rerate-1/aa",
        reason="prices",
        author="ops",
        book_version=7,
        run_id="rerate-1",
        closes=[("list/input", 5)],
    )
    again = decode("Correction", encode("Correction", command))
    assert again == command
    assert again["target"] == {"source": "chat", "event_id": "e1", "expected_revision": 2}
    assert again["position"] == {"partition": 3, "offset": 104}
    assert again["closes"] == [{"pool": "list/input", "start_us": 5}]
