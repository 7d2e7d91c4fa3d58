"""The frozen schema files: a digest each, so that no edit of the wire goes unseen.

Bytes written today are read for years, and no other check sees, for example, a reordered field. To change a
schema on purpose:

1. Change it only as docs/reference/wire.md ("How schemas change") allows.
2. If the old version was ever tagged: `python -m tests.contract.test_schema_digests Name` prints it with
   every type inline; put the tagged version's into `schemas/avro/history/ratestream.<Name>.<number>.avsc`,
   and do the same for RatedUsage where UsageEvent or Rating changed. Copy UsageEvent to the client package.
3. Put the new digest here, in the same change, and say in the message what changed and why.
"""

import json
import sys
from hashlib import sha256
from pathlib import Path

import pytest

import ratestream_client
from schemas import codec

AVRO = Path(codec.__file__).parent / "avro"
DIGESTS = {
    "Correction": "4774c57eddb55f4cc2cbfa3da1854a7d5bcd4c4e93c8aa48026298daabe3e792",
    "CustomerState": "eda0580a3b00e71545633c1c635589daaf39e08ff10be3f97349ae7dacb0e460",
    "DeltaFrame": "b0403c23949754f173ec3cdcd3962f74cfdcc14e25a688735402476e59ef35a6",
    "FramePart": "abbe8ea9bb30fcfbfac6fdf62fa4a683c1ea0fca6a0bf0092177b7a168ce35ee",
    "PartitionHead": "03331a16bc564121afe2f5e28fa117e9e07afbe89d47cec94194fab9b4b70864",
    "PeriodState": "2b260337191939e6245f1476275af6323fc32457d0cc55868952559f390e587e",
    "RatedUsage": "99653b5d27b4c8d37e3738a90d59f4df0f41fc0794f02c033a7499ae2eca2050",
    "Rating": "115d8d5104e27cfb45525c887c0959f7d8fb2ac50159621985304a4a0525d24c",
    "RejectedUsage": "59e1c78caf17d1a423d06203b311a56a0ce26fbed270f54960deefca18ccf21a",
    "UsageEvent": "a0a8e2f08de66f4a1a3461f818ca722a642deb96f5d8ebc51b49037b13a08bae",
}


def test_every_schema_file_is_frozen() -> None:
    assert {path.name for path in AVRO.glob("*.avsc")} == {f"ratestream.{name}.avsc" for name in DIGESTS}


@pytest.mark.parametrize("name", DIGESTS)
def test_a_schema_file_has_its_frozen_digest(name: str) -> None:
    digest = sha256((AVRO / f"ratestream.{name}.avsc").read_bytes()).hexdigest()
    assert digest == DIGESTS[name], f"ratestream.{name}.avsc has changed: read the head of this file first"


def test_the_client_package_carries_the_same_usage_event() -> None:
    name = "ratestream.UsageEvent.avsc"
    copy = Path(ratestream_client.__file__).parent / name
    assert copy.read_bytes() == (AVRO / name).read_bytes()


if __name__ == "__main__":
    json.dump(codec.CODEC.schema(sys.argv[1]), sys.stdout, indent=2)
