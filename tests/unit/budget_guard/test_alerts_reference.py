"""What docs/reference/alerts.md says of signatures and defaults is so."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from budget_guard.adapters.channels import REGISTRY
from budget_guard.adapters.channels.webhook import key_of
from budget_guard.adapters.delivery_settings import DeliverySettings
from budget_guard.core.delivery import signatures
from budget_guard.core.messages import GROUP_TYPE, TYPES

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "alerts.md").read_text(encoding="utf-8")
SIGNS = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
BODY = b'{"type": "budget.threshold.crossed"}'
NOW_S = 1_700_000_000


@pytest.fixture
def verified() -> Callable[..., str]:
    """The receiver's function as the page has it."""
    (source,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert source.count("\n") <= 20
    names: dict[str, Any] = {}
    exec(compile(source, "alerts.md", "exec"), names)  # noqa: S102 - the page's own code is what is tested
    function: Callable[..., str] = names["verified"]
    return function


def headers(*secrets: str, message_id: str = "alr_1", timestamp_s: int = NOW_S) -> dict[str, str]:
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": signatures([key_of(each) for each in secrets], message_id, timestamp_s, BODY),
    }


@pytest.mark.parametrize("secrets", [(SIGNS,), (OTHER, SIGNS), (SIGNS, OTHER)])
def test_the_pages_receiver_accepts_what_is_signed(
    verified: Callable[..., str], secrets: tuple[str, ...]
) -> None:
    assert verified(SIGNS, headers(*secrets), BODY, NOW_S + 300) == "alr_1"


@pytest.mark.parametrize(
    ("sent", "body", "now_s"),
    [
        (headers(OTHER), BODY, NOW_S),
        (headers(SIGNS), BODY + b" ", NOW_S),
        (headers(SIGNS) | {"webhook-id": "alr_2"}, BODY, NOW_S),
        (headers(SIGNS) | {"webhook-timestamp": str(NOW_S + 1)}, BODY, NOW_S),
        (headers(SIGNS), BODY, NOW_S + 301),
        (headers(SIGNS), BODY, NOW_S - 301),
        (headers(SIGNS) | {"webhook-signature": ""}, BODY, NOW_S),
    ],
)
def test_the_pages_receiver_refuses_the_rest(
    verified: Callable[..., str], sent: dict[str, str], body: bytes, now_s: int
) -> None:
    with pytest.raises(ValueError, match=r"too old|no signature fits"):
        verified(SIGNS, sent, body, now_s)


def test_the_page_names_every_type_of_message_and_of_channel() -> None:
    assert set(re.findall(r"^\| `([a-z]+\.[a-z_.]+)` \|", PAGE, re.MULTILINE)) == {
        *TYPES.values(),
        GROUP_TYPE,
    }
    assert " | ".join(REGISTRY) in PAGE


def test_the_page_tells_the_defaults_and_every_key() -> None:
    delivery = DeliverySettings()
    told = (delivery.retry_first_s, delivery.retry_longest_s, delivery.keep_trying_s, delivery.poll_ms)
    assert told == (2, 3600, 259_200, 1000)
    assert "| 2, 3600, 259200 |" in PAGE
    keys = {key for kind in REGISTRY.values() for key in kind.Settings.model_fields} - {"type"}
    assert [key for key in sorted(keys) if f"`{key}`" not in PAGE] == []
    fields = REGISTRY["webhook"].Settings.model_fields
    grouping = [fields[key].default for key in ("group_after", "group_window_s", "group_s")]
    assert (grouping, fields["timeout_s"].default) == ([5, 60, 30], 10)
