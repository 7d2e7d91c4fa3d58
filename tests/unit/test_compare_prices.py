"""The comparison with other packages: what counts as agreement, what reasons explain and what not."""

import json
from typing import Any

import pytest

from bench.peers.calls import generate
from bench.peers.compare import kind_of, table
from bench.peers.reasons import REASONS, reason_for


@pytest.mark.parametrize(
    ("ours", "theirs", "kind"),
    [
        ("0.0065", "0.006500000000000001", None),  # float noise: 1.5e-16 of it
        ("0.000308333333333333", "0.0003083333333333333", None),
        ("1", "1.000000000001", None),  # 1e-12, at the border
        ("1", "1.0000000000011", "differs"),
        ("0.111", "0.110988", "differs"),
        ("0", "0.0", None),
        ("0", "1e-18", "differs"),
        ("0.5", None, "only ours"),
        (None, "0.5", "only theirs"),
        (None, "0.0", "only theirs"),  # nothing is not a price of 0
        (None, None, None),
    ],
)
def test_amounts_agree_within_a_trillionth(ours: str | None, theirs: str | None, kind: str | None) -> None:
    def quote(amount: str | None) -> dict[str, str]:
        return {"error": "no price"} if amount is None else {"amount": amount}

    assert kind_of(quote(ours), quote(theirs)) == kind


def test_the_calls_are_the_same_at_every_run_and_plain_json() -> None:
    calls = generate()
    assert calls == generate()
    assert calls == json.loads(json.dumps(calls))
    assert len(calls) > 300
    assert all(isinstance(count, str) for call in calls for count in call["usage"].values())


def call(
    model: str, at: str = "2026-11-18T12:00:00+00:00", usage: Any = None, **context: str
) -> dict[str, Any]:
    provider, _, name = model.partition("/")
    counts = usage or {"input_tokens": "1000"}
    return {"provider": provider, "model": name, "at": at, "usage": counts, "context": context}


def test_a_reason_explains_its_disagreements_and_no_others() -> None:
    batch = call("anthropic/claude-opus-5", "2026-10-13T23:59:59+00:00", processing="batch")
    found = reason_for("genai-prices", batch, "differs")
    assert found is not None
    assert (found.name, found.right) == ("dates of batch prices", "ours")
    assert reason_for("litellm", batch, "differs") is None
    assert reason_for("genai-prices", batch, "only ours") is None
    later = call("anthropic/claude-opus-5", "2026-10-14T00:00:00+00:00", processing="batch")
    assert reason_for("genai-prices", later, "differs") is None
    plain = call("openai/gpt-4o")
    assert all(reason_for(peer, plain, "differs") is None for peer in ("genai-prices", "litellm"))
    long = call("google/gemini-2.5-pro", usage={"input_tokens": "200001"}, processing="batch")
    short = call("google/gemini-2.5-pro", usage={"input_tokens": "200000"}, processing="batch")
    assert reason_for("litellm", long, "differs") is not None
    assert reason_for("litellm", short, "differs") is None


def test_every_reason_says_who_is_right_and_why() -> None:
    for reason in REASONS:
        assert reason.right in ("ours", "neither", "undecided")
        assert len(reason.why) > 20


def test_what_nothing_explains_is_shown_in_full() -> None:
    row = {
        **call("openai/gpt-4o"), "peer": "litellm", "kind": "differs", "ours": "1", "theirs": "2",
        "ours_says": None, "theirs_says": None, "reason": None, "right": None, "why": None,
    }  # fmt: skip
    versions = {"genai-prices": "1", "litellm": "2"}
    shown = table(
        {"versions": versions, "asked": {}, "agreed": {}, "disagreements": [row, row], "unexplained": 2}
    )
    assert shown.count("openai/gpt-4o 2026-11-18T12:00Z input_tokens=1000: ours 1, theirs 2") == 2
    assert "2 disagreements without a known reason" in shown
