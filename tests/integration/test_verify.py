"""`verify` over what a real rater wrote, and over records written by hand beside it."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.fix_rater import Pipeline, usage_event

pytestmark = [pytest.mark.broker, pytest.mark.postgres]

PRICED = [usage_event(number % 7, number) for number in range(60)]


def verify(pipeline: Pipeline, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "verify", "--json", *arguments],
        env=pipeline.environ(verify__open_transaction_wait_s=2),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_sound_run_is_verified_with_exact_counts_and_sums(pipeline: Pipeline) -> None:
    """60 events at 0.003 USD cost and 0.0045 USD price: 0.18 and 0.27; 10 duplicates, 1 reject."""
    pipeline.emit([*PRICED, *PRICED[:10]])
    pipeline.emit_raw([(b"customer-1", b"\xc3\x01not a record")])
    pipeline.start()
    pipeline.wait_drained()
    code, report = verify(pipeline)
    assert report["findings"] == []
    assert (code, report["verified"], report["pending"]) == (0, True, 0)
    counts = [report[name] for name in ("received", "rated", "rejected", "duplicates")]
    assert counts == [71, 60, 1, 10]
    assert (report["cost"], report["price"]) == ({"USD": "0.18"}, {"USD": "0.27"})
    assert report["by_model"]["one"]["events"] == 60
    assert sum(partition["inputs_compared"] for partition in report["partitions"]) == 60
