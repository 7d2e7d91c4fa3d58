"""`ratestream price` against the shipped book, amounts by hand from the published lists."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.price import price
from rate_book.errors import CallInvalidError
from rate_book.price_call import parse_call, read_json

AT = "2026-11-18T12:00:00Z"


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(price, arguments, input=stdin, standalone_mode=False)


def priced(provider: str, model: str, usage: str, *more: str, at: str = AT) -> tuple[int, dict[str, Any]]:
    result = run("--provider", provider, "--model", model, "--at", at, "--usage", usage, "--json", *more)
    assert result.exception is None, result.exception
    return result.return_value, json.loads(result.output)


@pytest.mark.parametrize(
    ("provider", "model", "usage", "more", "at", "amount"),
    [
        # 1200 x 2.5/M + 350 x 10/M = 0.003 + 0.0035
        ("openai", "gpt-4o", '{"input_tokens":1200,"output_tokens":350}', (), AT, "0.0065"),
        # of 1200 input 1000 cached: 200 x 2.5/M + 1000 x 1.25/M = 0.0005 + 0.00125
        ("openai", "gpt-4o", '{"input_tokens":1200,"cache_read_tokens":1000}', (), AT, "0.00175"),
        # batch at half: 1200 x 1.25/M + 350 x 5/M = 0.0015 + 0.00175
        (
            "openai", "gpt-4o", '{"input_tokens":1200,"output_tokens":350}',
            ("--context", '{"processing":"batch"}'), AT, "0.00325",
        ),
        # exactly 200,000 input tokens are not above: 200,000 x 3/M + 1000 x 15/M = 0.6 + 0.015
        ("anthropic", "claude-sonnet-4-5", '{"input_tokens":200000,"output_tokens":1000}', (), AT, "0.615"),
        # one more and the whole request costs 6 and 22.5: 200,001 x 6/M + 1000 x 22.5/M = 1.200006 + 0.0225
        ("anthropic", "claude-haiku-4-5", '{"input_tokens":200001}', (), AT, "0.200001"),
        (
            "anthropic", "claude-sonnet-4-5",
            '{"input_tokens":200001,"output_tokens":1000}', (), AT, "1.222506",
        ),
        # exclusive, dated name: 1000 x 3/M + 500 x 3.75/M + 100 x 6/M + 2000 x 0.3/M
        # = 0.003 + 0.001875 + 0.0006 + 0.0006
        (
            "anthropic", "claude-sonnet-4-5-20250929",
            json.dumps(
                {
                    "input_tokens": 1000,
                    "cache_write_5m_tokens": 500,
                    "cache_write_1h_tokens": 100,
                    "cache_read_tokens": 2000,
                }
            ),
            ("--semantics", "exclusive"), AT, "0.006075",
        ),
        # up to 200,000: 200,000 x 1.25/M + 10 x 10/M = 0.25 + 0.0001; above: x 2.5/M and 15/M
        ("google", "gemini-2.5-pro", '{"input_tokens":200000,"output_tokens":10}', (), AT, "0.2501"),
        ("google", "gemini-2.5-pro", '{"input_tokens":200001,"output_tokens":10}', (), AT, "0.5001525"),
        # o3 was cut from 10 and 40 to 2 and 8 on 2025-06-10
        (
            "openai", "o3",
            '{"input_tokens":1000,"output_tokens":100}', (), "2025-06-09T23:59:59.999999Z", "0.014",
        ),
        ("openai", "o3", '{"input_tokens":1000,"output_tokens":100}', (), "2025-06-10T00:00:00Z", "0.0028"),
        # a JSON number with an exponent: 100,000 x 2.5/M
        ("openai", "gpt-4o", '{"input_tokens":1e5}', (), AT, "0.25"),
        ("openai", "gpt-4o", '{"input_tokens":1.0E+5}', (), AT, "0.25"),
        # a quantity as text, with a fraction: 3 searches at 10 per 1000 = 0.03; 0.5 x 2.5/M
        ("openai", "gpt-4o", '{"web_searches":"3","input_tokens":"0.5"}', (), AT, "0.03000125"),
        # letter case is ignored
        ("OpenAI", "GPT-4o", '{"input_tokens":1200,"output_tokens":350}', (), AT, "0.0065"),
    ],
)  # fmt: skip
def test_the_cost_is_that_of_the_published_list(
    *, provider: str, model: str, usage: str, more: tuple[str, ...], at: str, amount: str
) -> None:
    code, answer = priced(provider, model, usage, *more, at=at)
    assert code == 0
    assert answer["status"] == "priced"
    assert answer["cost"] == {"status": "priced", "amount": amount, "currency": "USD"}
    assert answer["price"] is None


def test_the_shape_of_an_answer() -> None:
    _, answer = priced("openai", "gpt-4o", '{"input_tokens":1200}')
    assert list(answer) == ["status", "cost", "price", "lines"]
    (line,) = answer["lines"]
    explain = line.pop("explain")
    assert line == {
        "side": "cost",
        "meter": "input_tokens",
        "quantity": "1200",
        "rate": "2.5",
        "per": "1000000",
        "amount": "0.003",
        "currency": "USD",
        "card": "openai/gpt-4o",
        "version": "2026-10-12T00:00:00Z",
        "status": "priced",
    }
    assert "openai/gpt-4o" in explain


@pytest.mark.parametrize(
    ("customer", "amount"),
    [
        ("someone", "0.008125"),  # list and a quarter: 1200 x 3.125/M + 350 x 12.5/M = 0.00375 + 0.004375
        ("amber-analytics", "0.00715"),  # and a tenth: 1200 x 2.75/M + 350 x 11/M = 0.0033 + 0.00385
        ("jade-legal", "0.03"),  # flat per event
    ],
)
def test_a_customer_pays_by_its_contract(customer: str, amount: str) -> None:
    code, answer = priced(
        "openai", "gpt-4o", '{"input_tokens":1200,"output_tokens":350}', "--customer", customer
    )
    assert code == 0
    assert answer["price"] == {"status": "priced", "amount": amount, "currency": "USD"}


def test_what_the_book_does_not_know_is_unpriced_and_never_0() -> None:
    code, answer = priced("openai", "gpt-99", '{"input_tokens":1200}')
    assert (code, answer["status"]) == (4, "unpriced")
    assert answer["cost"] == {"status": "unpriced", "amount": None, "currency": None}
    code, answer = priced("openai", "gpt-4o", '{"input_tokens":1200}', "--context", '{"processing":"Batch"}')
    assert (code, answer["status"]) == (4, "unpriced")
    code, answer = priced("nobody", "gpt-4o", '{"input_tokens":1200}', "--customer", "someone")
    assert (code, answer["status"]) == (4, "unpriced")
    # 1200 x 2.5/M; the sessions have no rate
    code, answer = priced("openai", "gpt-4o", '{"input_tokens":1200,"code_sessions":1}')
    assert (code, answer["status"]) == (4, "partial")
    assert answer["cost"]["amount"] == "0.003"


@pytest.mark.parametrize(
    ("at", "amount"), [("2026-11-20T02:00:00Z", "1.32"), ("2026-11-21T02:00:00Z", "0.66")]
)
def test_an_hour_of_a_friday_costs_more_than_the_same_hour_of_a_saturday(at: str, amount: str) -> None:
    code, answer = priced("deepseek", "deepseek-v4-pro", '{"input_tokens":1000000}', at=at)
    assert (code, answer["cost"]["amount"]) == (0, amount)


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (("--usage", '{"input_tokens":-5}'), "usage.input_tokens", "-5"),
        (("--usage", '{"input_tokens":-0}'), "usage.input_tokens", "-0"),
        (("--usage", '{"input_tokens":-0e0}'), "usage.input_tokens", "-0"),
        (("--usage", '{"input_tokens":1e20}'), "usage.input_tokens", "1" + "0" * 20),
        (("--usage", '{"input_tokens":1e-19}'), "usage.input_tokens", "0." + "0" * 18 + "1"),
        (("--usage", '{"input_tokens":1e999999999}'), "usage.input_tokens", "1e999999999"),
        (
            ("--usage", '{"input_tokens":1e99999999999999999999}'),
            "usage.input_tokens",
            "1e99999999999999999999",
        ),
        (("--usage", '{"input_tokens":"1e3"}'), "usage.input_tokens", "1e3"),
        (("--usage", '{"\\ud800":1}'), "usage", '{"\\ud800": "1"}'),
        (("--usage", '{"\\ud800":1,"\\ud800":1}'), "usage.\\ud800", '{"\\ud800":1,"\\ud800":1}'),
        (("--usage", '{"input_tokens":1}', "--customer", "\udcff"), "customer", "\\udcff"),
        (("--usage", '{"input_tokens":NaN}'), "usage.input_tokens", "NaN"),
        (("--usage", '{"input_tokens":true}'), "usage.input_tokens", "true"),
        (("--usage", '{"input_tokens":null}'), "usage.input_tokens", "null"),
        (
            ("--usage", '{"input_tokens":1,"input_tokens":2}'),
            "usage.input_tokens",
            '{"input_tokens":1,"input_tokens":2}',
        ),
        (("--usage", "{}"), "usage", "{}"),
        (("--usage", "[1]"), "usage", '["1"]'),
        (("--usage", "nonsense"), "usage", "nonsense"),
        (("--usage", '{"input_tokens":1}', "--at", "yesterday"), "at", "yesterday"),
        (("--usage", '{"input_tokens":1}', "--semantics", "both"), "semantics", "both"),
        (("--usage", '{"input_tokens":1}', "--context", '{"processing":1}'), "context.processing", "1"),
        (("--usage", '{"input_tokens":1,"cache_read_tokens":2}'), "usage.input_tokens", "1"),
    ],
)
def test_a_malformed_call_is_answered_by_field_value_and_rule(
    arguments: tuple[str, ...], field: str, value: str
) -> None:
    result = run("--provider", "openai", "--model", "gpt-4o", "--json", *arguments)
    assert result.return_value == 2, result.output
    error = json.loads(result.output)["error"]
    assert (error["field"], error["value"]) == (field, value)
    assert error["rule"]


def test_half_a_character_is_told_to_people_too() -> None:
    result = run("--provider", "openai", "--model", "gpt-4o", "--usage", '{"\\ud800":1}')
    assert isinstance(result.exception, CallInvalidError)
    assert str(result.exception).encode()  # it can be printed


def test_a_missing_model_is_named() -> None:
    result = run("--provider", "openai", "--usage", '{"input_tokens":1}', "--json")
    assert json.loads(result.output)["error"]["field"] == "model"
    with pytest.raises(CallInvalidError, match="unknown key"):
        parse_call({"provider": "p", "model": "m", "usage": {"events": "1"}, "colour": "red"}, 0)
    with pytest.raises(CallInvalidError, match="must be JSON"):
        read_json("[" * 100_000, "usage")


def test_a_batch_answers_each_line_and_a_bad_one_by_an_error(tmp_path: Path) -> None:
    good = {"provider": "openai", "model": "gpt-4o", "at": AT, "usage": {"input_tokens": 1200}}
    lines = [
        json.dumps(good).encode(),
        b"{",
        b"",
        json.dumps(good | {"usage": {"input_tokens": "x"}}).encode(),
        b"\xff",
        json.dumps(good | {"model": "gpt-99"}).encode(),
        # numbers are read without float: 10**17 + 0.1 tokens x 2.5/M
        json.dumps(good).replace("1200", "100000000000000000.1").encode(),
        json.dumps(good | {"model": "\ud800"}).encode(),  # half a character, as JSON may write it
    ]
    answers = run("--batch", "-", stdin=b"\n".join(lines))
    assert answers.return_value == 2
    found = [json.loads(line) for line in answers.output.splitlines()]
    assert len(found) == len(lines)
    assert [item.get("status", "error") for item in found] == [
        "priced", "error", "error", "error", "error", "unpriced", "priced", "error",
    ]  # fmt: skip
    assert found[6]["cost"]["amount"] == "250000000000.00000025"
    path = tmp_path / "calls.jsonl"
    path.write_bytes(lines[0] + b"\n" + lines[5])
    assert run("--batch", str(path)).return_value == 4
    path.write_bytes(lines[0])
    assert run("--batch", str(path)).return_value == 0


def test_another_book_takes_the_place_of_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "openai.yaml").write_text(
        "provider: openai\ncurrency: EUR\ncards:\n"
        "  - {card: c, models: [gpt-4o], versions: [{rates: {events: 0.5}, parts_at_whole_rate: []}]}\n"
    )
    code, answer = priced("openai", "gpt-4o", '{"events":3}', "--book", str(tmp_path))
    assert (code, answer["cost"]["amount"], answer["cost"]["currency"]) == (0, "1.5", "EUR")


def test_people_read_the_same_amounts() -> None:
    usage = '{"input_tokens":1200}'
    call = ("--provider", "openai", "--model", "gpt-4o", "--at", AT, "--usage", usage)
    result = run(*call, "--customer", "x")
    assert "cost: 0.003 USD (priced)" in result.output
    assert "price: 0.00375 USD (priced)" in result.output
    assert "1200 x 2.5 per 1000000 = 0.003 USD" in result.output


def test_a_line_tells_the_billed_quantity_where_it_is_not_what_was_counted() -> None:
    """3 s of whisper are billed as 10 s: 10 x 0.111 / 3600 = 0.000308333...; 12 s as counted: 0.00037."""
    _, short = priced("groq", "whisper-large-v3", '{"audio_seconds":3}')
    assert (short["lines"][0]["quantity"], short["lines"][0]["billed_quantity"]) == ("3", "10")
    assert short["cost"]["amount"] == "0.000308333333333333"
    _, longer = priced("groq", "whisper-large-v3", '{"audio_seconds":12}')
    assert "billed_quantity" not in longer["lines"][0]
    assert longer["cost"]["amount"] == "0.00037"
