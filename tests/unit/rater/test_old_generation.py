"""A generation that is to end, read from lists: what its log must have."""

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from rater.__main__ import topic_names
from rater.adapters import old_generation
from rater.adapters.log_reader import CoverageError
from rater.adapters.old_generation import OldGeneration
from rater.core.work import Head
from tests.unit.rater.fakes import DAY_US, NOW_US, WINDOWS


class Nothing:
    """A reader of topics whose records were deleted."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        del config

    def read(self, topic: str, partition: int, start: int, end: int) -> Iterator[Any]:
        del topic, partition, start, end
        return iter(())


@pytest.fixture
def emptied(monkeypatch: pytest.MonkeyPatch) -> OldGeneration:
    """One partition, of which no frame is left."""

    def describe(_config: Mapping[str, Any], names: list[str]) -> SimpleNamespace:
        return SimpleNamespace(partitions=dict.fromkeys(names, 1), topic_ids={name: name for name in names})

    def list_offsets(
        _config: Mapping[str, Any], wanted: list[tuple[str, int]], *_: object
    ) -> dict[tuple[str, int], int]:
        return dict.fromkeys(wanted, 9)

    monkeypatch.setattr(old_generation, "describe", describe)
    monkeypatch.setattr(old_generation, "list_offsets", list_offsets)
    monkeypatch.setattr(old_generation, "PartitionReader", Nothing)
    return OldGeneration({}, topic_names(""), WINDOWS)


def test_frames_that_were_deleted_too_early_are_missed(emptied: OldGeneration) -> None:
    """A rater would stop at its next event; a growth that went on would forget every id for good."""
    head = Head(frame_no=7, highest_append_us=NOW_US)
    with pytest.raises(CoverageError, match="no frame is left"):
        list(emptied.digests(0, head, NOW_US))
    with pytest.raises(CoverageError):
        list(emptied.digests(0, head, NOW_US + WINDOWS.coverage_us))


def test_a_partition_without_events_for_the_whole_window_needs_no_frames(emptied: OldGeneration) -> None:
    head = Head(frame_no=7, highest_append_us=NOW_US)
    assert list(emptied.digests(0, head, NOW_US + WINDOWS.coverage_us + DAY_US)) == []
    assert list(emptied.digests(0, Head(frame_no=7), NOW_US)) == []
