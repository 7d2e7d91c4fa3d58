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
    "BudgetAlert": "81ca4d6ce42cdfa92c7f0d4a7c566f672113ef536619c554ed1281b4e9e7211e",
    "BudgetState": "01b8ca07e35f97c450d345996242452f07d3f53fe09e5554b831913d6955b7f7",
    "Correction": "4a727e703fe9e8a42087b8f4106ddd29e63fa2c8032da7b92a688094d1ca2c5f",
    "CustomerState": "eda0580a3b00e71545633c1c635589daaf39e08ff10be3f97349ae7dacb0e460",
    "DeltaFrame": "8a37bf02872cbfdb9f0ea331d7bbc2077a967c9993f9ff08cc4ea085592ddeff",
    "FramePart": "abbe8ea9bb30fcfbfac6fdf62fa4a683c1ea0fca6a0bf0092177b7a168ce35ee",
    "GenerationEnd": "0a95d55c0f48caba98c2119b5352e4ddf5833b1e6344b005cc4d56b810eeb7d6",
    "LiveCustomer": "c828cfafafdb23dc92a6fb7c0fc1a2ec9979801c7d21958fd64914a9da48376e",
    "LivePartition": "fd82626ed3d3fdc8bbb7167449bc607811806a8f17539483281534bbbcee42ad",
    "PartitionHead": "03331a16bc564121afe2f5e28fa117e9e07afbe89d47cec94194fab9b4b70864",
    "PeriodState": "2b260337191939e6245f1476275af6323fc32457d0cc55868952559f390e587e",
    "RatedUsage": "99653b5d27b4c8d37e3738a90d59f4df0f41fc0794f02c033a7499ae2eca2050",
    "Rating": "c97b9ca611673a954d1a29418e6180181d778af6eab5ef3a4482808b3894ae95",
    "RejectedUsage": "59e1c78caf17d1a423d06203b311a56a0ce26fbed270f54960deefca18ccf21a",
    "RevisionState": "ab69ab424b0f4aa61775420952e20a2ce683f69aebf57de0c2067f22ad93af5e",
    "RunState": "ef2bbe12b8bed03afc1231e79db7be8d5136593a187b664a8d00879298873f7a",
    "RunningTotals": "c07767dbf5629206f1c8d1bf4c800ddfaf4dd645ad635615cc467e715b0816a7",
    "TotalsEntry": "81523094bdae9087a650395ddab9a49c2aa90fe9cd000be6b9379f5148056459",
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
