"""The rater's settings: what may be set and what contradicts itself."""

import pytest
from pydantic import ValidationError

from rater.settings import RaterSettings


def test_the_defaults_fence_an_old_owner_before_its_transaction_is_forgotten() -> None:
    settings = RaterSettings()
    assert settings.session_timeout_ms < settings.transaction_timeout_ms
    assert settings.slot is None
    assert settings.state_dir is None


@pytest.mark.parametrize("session_ms", [6_000, 6_001])
def test_the_session_must_be_shorter_than_the_transaction(session_ms: int) -> None:
    with pytest.raises(ValidationError, match=f"session_timeout_ms {session_ms} must be shorter than"):
        RaterSettings(session_timeout_ms=session_ms, transaction_timeout_ms=6_000)
    RaterSettings(session_timeout_ms=5_999, transaction_timeout_ms=6_000)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("slot", -1),
        ("slot", 64),
        ("batch_records_max", 0),
        ("batch_wait_ms", 0),
        ("cache_mib", 0),
        ("group_id", ""),
        ("no_such_setting", 1),
    ],
)
def test_values_out_of_range_and_unknown_names_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        RaterSettings.model_validate({name: value})
