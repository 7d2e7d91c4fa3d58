"""Parts become frames, and a torn frame is found."""

import pytest

from ledger.core.findings import Findings, Reporter
from ledger.core.frames import Part, assemble


def _assembled(
    parts: list[tuple[int, int, int]], *, from_start: bool = True
) -> tuple[list[tuple[int, bytes]], Findings]:
    findings = Findings()
    given = [
        Part(at, frame, part, count, b"%d.%d;" % (frame, part))
        for at, (frame, part, count) in enumerate(parts)
    ]
    return list(assemble(given, Reporter(findings, 0), from_start=from_start)), findings


def test_parts_in_order_become_frames() -> None:
    frames, findings = _assembled([(1, 0, 1), (2, 0, 2), (2, 1, 2)])
    assert frames == [(1, b"1.0;"), (2, b"2.0;2.1;")]
    assert not findings.total


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([(1, 1, 2)], id="begins inside a frame"),
        pytest.param([(1, 0, 2), (2, 0, 1)], id="next frame before the end"),
        pytest.param([(1, 0, 3), (1, 2, 3)], id="a part is missing"),
        pytest.param([(1, 0, 2), (2, 1, 2)], id="a part of another frame"),
        pytest.param([(1, 0, 2)], id="the log ends inside a frame"),
        pytest.param([(1, 0, 1), (1, 1, 2)], id="one part too many"),
    ],
)
def test_a_torn_frame_is_found(parts: list[tuple[int, int, int]]) -> None:
    _, findings = _assembled(parts)
    assert findings.counts == {"torn_frame": 1}


def test_a_log_cut_by_retention_may_begin_inside_a_frame() -> None:
    frames, findings = _assembled([(4, 1, 2), (5, 0, 1)], from_start=False)
    assert frames == [(5, b"5.0;")]
    assert not findings.total
