"""Slots: the lowest free one, held by a file lock, free again when its holder lets go or dies."""

import subprocess
import sys
from pathlib import Path

import pytest

from runtime.errors import InfrastructureError
from runtime.slots import Slot, take_slot


def test_the_lowest_free_slot_is_taken(tmp_path: Path) -> None:
    first, second, third = (take_slot(tmp_path / "new", None, "rater") for _ in range(3))
    assert [first.number, second.number, third.number] == [0, 1, 2]
    second.release()
    again = take_slot(tmp_path / "new", None, "rater")
    assert again.number == 1
    assert again.path == tmp_path / "new" / "slot-1"
    assert again.path.is_dir()
    for slot in (first, again, third):
        slot.release()


def test_a_wanted_slot_that_is_held_is_refused(tmp_path: Path) -> None:
    held = take_slot(tmp_path, 5, "rater")
    with pytest.raises(InfrastructureError, match=r"rater\.slot: slot 5 under .* is held by a running rater"):
        take_slot(tmp_path, 5, "rater")
    held.release()
    take_slot(tmp_path, 5, "rater").release()


def test_all_slots_held(tmp_path: Path) -> None:
    held: list[Slot] = [take_slot(tmp_path, None, "rater") for _ in range(64)]
    with pytest.raises(InfrastructureError, match="every slot under"):
        take_slot(tmp_path, None, "rater")
    for slot in held:
        slot.release()


def test_a_dead_holder_s_slot_is_free_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from runtime.slots import take_slot\n"
        "slot = take_slot(Path(sys.argv[1]), None, 'rater'); print(slot.number, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"0\n"
        beside = take_slot(tmp_path, None, "rater")
        assert beside.number == 1
        holder.kill()
        holder.wait()
    after = take_slot(tmp_path, None, "rater")
    assert after.number == 0
    after.release()
    beside.release()
