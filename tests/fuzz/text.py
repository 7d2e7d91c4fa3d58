"""Targets: YAML of books and budgets, settings, decimals, instants, traces, URLs, command lines."""

import re
import tempfile
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import click
from click.testing import CliRunner

from budget_guard.adapters.addresses import RefusedError, target_of, why_refused
from cli.__main__ import exit_code, ratestream
from cli.rejected import _place, _read_ids
from pricing.compile import compile_book
from pricing.errors import PricingError, UsageError
from pricing.money import format_atto, parse_decimal
from producers.core.trace import TraceError, parse_trace
from rate_book.budgets.content import as_form, canonical_json
from rate_book.budgets.form import content_from_plain, load_budgets_of, shipped_budgets
from rate_book.content import canonical_json as book_json
from rate_book.content import content_from_json
from rate_book.errors import CallInvalidError, RateBookError
from rate_book.form import load_book, shipped_books, yaml_files
from rate_book.instants import parse_instant as book_instant
from rate_book.lint import lint
from rate_book.price_call import answer, parse_call, read_json
from runtime.settings import KafkaSettings, LogSettings, SettingsError, SettingsLoader, WindowSettings
from schemas.instants import format_instant, parse_instant
from tests.fuzz.target import Target, hold
from tests.fuzz.wire import book


@cache
def _folder() -> Path:
    """Where inputs that are files stand while they are read."""
    return Path(tempfile.mkdtemp(prefix="ratestream-fuzz-"))


def _file(name: str, data: bytes) -> Path:
    path = _folder() / name
    path.write_bytes(data)
    return path


def run_book(data: bytes) -> None:
    content = load_book([_file("book.yaml", data)])
    again = content_from_json(book_json(content), "stored")
    hold(true=book_json(again) == book_json(content), what="the stored book is another book")
    compile_book(content, 1, "f" * 64)
    lint(content)


def _book_samples() -> list[bytes]:
    files = [file for path in shipped_books() for file in yaml_files(path)]
    return [file.read_bytes() for file in files if file.stat().st_size < 6000]


def run_budgets(data: bytes) -> None:
    content = load_budgets_of([_file("budgets.yaml", data)])
    again = content_from_plain(as_form(content), "stored")
    hold(true=canonical_json(again) == canonical_json(content), what="the stored budgets are others")


def _budget_samples() -> list[bytes]:
    return [file.read_bytes() for path in shipped_budgets() for file in yaml_files(path)]


def run_settings(data: bytes) -> None:
    _file("ratestream.toml", data)
    loader = SettingsLoader(_folder(), {})
    loader.section("log", LogSettings)
    loader.section("windows", WindowSettings)
    if loader.names_endpoint("kafka"):
        loader.section("kafka", KafkaSettings).client_config()


def _settings_samples() -> list[bytes]:
    kafka = b'[kafka]\nbootstrap_servers = "h:1"\n'
    return [
        kafka + b'partitions = 4\n[log]\nlevel = "INFO"\n[windows]\nlate_s = 9\n',
        kafka + b'security_protocol = "SASL_SSL"\nsasl_mechanism = "PLAIN"\nsasl_password_file = "p"\n',
    ]


_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,18})?", re.ASCII)


def run_decimal(data: bytes) -> None:
    text = data.decode()
    plain = _DECIMAL.fullmatch(text) is not None
    try:
        atto = parse_decimal(text, "amount")
    except UsageError:
        hold(true=not plain, what=f"{text!r} is a plain decimal and refused")
        raise
    hold(true=plain, what=f"{text!r} is no plain decimal and taken")
    hold(true=Fraction(atto, 10**18) == Fraction(text), what=f"{text!r} is {atto} atto")
    hold(true=parse_decimal(format_atto(atto), "amount") == atto, what=f"{atto} written is another number")


def run_instant(data: bytes) -> None:
    text = data.decode()
    taken = []
    for parse in (lambda one: parse_instant(one, "time"), book_instant):
        try:
            taken.append(parse(text))
        except ValueError:  # WireError is one
            continue
    if not taken:
        raise ValueError(text)
    hold(true=len(set(taken)) == 1, what=f"{text!r} is two instants: {taken}")
    for instant in taken:
        hold(true=parse_instant(format_instant(instant), "time") == instant, what=f"{text!r}: {instant}")


def run_trace(data: bytes) -> None:
    trace = parse_trace("trace", data.decode().splitlines(keepends=True))
    hold(true=list(trace.rows) == sorted(trace.rows, key=lambda row: (row.at_us, row.number)), what="order")


def run_url(data: bytes) -> None:
    target = target_of(data.decode(), allow_http=True)
    hold(true=target_of(f"{target}{target.path}", allow_http=True) == target, what=f"{target!r} read again")
    why_refused(target.host.strip("[]"))


def run_call(data: bytes) -> None:
    """`ratestream price --batch`: one line, from bytes to the answer."""
    answer(book(), parse_call(read_json(data.decode(), "line 1"), 1_794_999_600_000_000))


def run_ids(data: bytes) -> None:
    """`ratestream rejected replay --ids` and `--offset`."""
    text = data.decode()
    if text.startswith("{"):
        _read_ids(text.splitlines())
    else:
        _place(text)


# Commands that touch nothing but what they are given: others write files, or start or stop processes.
COMMANDS = (
    "price", "book lint", "book diff", "book show", "emit", "void", "amend", "rerate", "verify", "explain",
    "totals", "usage", "margin", "concentration", "query", "queries", "whatif", "unpriced", "statement show",
    "alerts list", "rejected list", "rejected replay", "budget apply", "budget list", "budget show",
    "reconcile", "replay",
)  # fmt: skip


def run_commands(data: bytes) -> None:
    """A command line that ends in a documented exit code, with no Kafka and no PostgreSQL to be found."""
    first = data[0] if data else 0
    words = data[1:].decode().split("\n")
    if any("/" in word or "\0" in word for word in words):
        raise ValueError("paths stay inside the folder")
    runner = CliRunner()
    environ = {"RATESTREAM_PROJECT_DIR": str(_folder()), "COLUMNS": "80"}
    _file("ratestream.toml", b"")
    result = runner.invoke(
        ratestream,
        [*COMMANDS[first % len(COMMANDS)].split(), *words],
        env=environ,
        input=b"",
        standalone_mode=False,
    )
    error = result.exception
    if (
        isinstance(error, click.ClickException | click.exceptions.Exit | click.Abort | SystemExit)
        or error is None
    ):
        return
    if exit_code(error) is None:
        raise error


def _command_samples() -> list[bytes]:
    lines = {
        "price": ["--provider", "openai", "--model", "gpt-4o", "--at", "2026-11-18T12:00:00Z", "--usage",
                  '{"input_tokens":1200}', "--json"],
        "void": ["call-1", "--customer", "acme", "--reason", "test", "--author", "ops", "--wait", "5"],
        "rerate": ["--customer", "acme", "--from", "2026-11-01", "--to", "2026-12-01", "--reason", "r"],
        "usage": ["--customer", "acme", "--from", "2026-11-01T00:00:00Z", "--by", "model"],
        "rejected replay": ["--offset", "2:1041"],
        "query": ["query-1", "--customer", "acme"],
        "statement show": ["--customer", "acme", "--period", "2026-11"],
        "explain": ["call-1", "--customer", "acme", "--json"],
    }  # fmt: skip
    found = [bytes([COMMANDS.index(name)]) + "\n".join(line).encode() for name, line in lines.items()]
    return found + [bytes([number]) + b"--help" for number in range(len(COMMANDS))]


def _texts(*texts: str) -> Callable[[], Sequence[bytes]]:
    return lambda: [text.encode() for text in texts]


_YAML_WORDS = (
    b"&a ", b"*a", b"<<: *a\n", b"!!python/object:os.system", b"%YAML 1.1\n", b"---\n", b"? ", b"|\n",
    b"[[[[", b"{{{{", b"since: ", b"amount: ", b'"1e9"', b"\xef\xbb\xbf", b"\x00", b"\\u0000",
)  # fmt: skip
_TRACE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50,1,2\n"
)
_NOT_TEXT = (UnicodeDecodeError,)
_DECIMALS = _texts("0", "1.5", "12345678901234567890.1")
_INSTANTS = _texts("2026-11-18T12:00:00Z", "2026-11-18T12:00:00.25+01:00")
_URLS = _texts("https://hooks.example.com:8443/a?b=c", "https://[::1]/")
_URL_WORDS = (b"@", b"#", b"[", b"]", b"%00", b"xn--", b"0x7f.1", b"://")
_OPENAI = '{"provider":"openai","model":"gpt-4o","usage":{"input_tokens":1200},"at":"2026-11-18T12:00:00Z"}'
_ANTHROPIC = (
    '{"provider":"anthropic","model":"claude-sonnet-4-5","usage":{"input_tokens":"1.5"},'
    '"semantics":"exclusive","customer":"acme","context":{"processing":"batch"}}'
)
_CALL_WORDS = (b"1e999999999", b"\\ud800", b"NaN", b"[[[[[[")
_PLACE = '{"rejected_partition":1,"rejected_offset":2}'
_IDS = _texts(_PLACE, '{"customer_id":"c","source":"s","event_id":"e"}', "2:1041")
_BOOK_REFUSALS = (RateBookError, PricingError)

TARGETS = (
    Target("book", run_book, _BOOK_REFUSALS, _book_samples, _YAML_WORDS, 16_384),
    Target("budgets", run_budgets, (RateBookError,), _budget_samples, _YAML_WORDS, 8_192),
    Target(
        "settings", run_settings, (SettingsError,), _settings_samples, (b"_file = ", b"[kafka]\n", b'"""')
    ),
    Target("decimal", run_decimal, (UsageError, *_NOT_TEXT), _DECIMALS, bytes_max=64),
    Target("instant", run_instant, (ValueError,), _INSTANTS, bytes_max=64),
    Target("trace", run_trace, (TraceError, *_NOT_TEXT), _texts(_TRACE), (b"-1", b"9" * 30, b",")),
    Target("url", run_url, (RefusedError, *_NOT_TEXT), _URLS, _URL_WORDS, 512),
    Target("call", run_call, (CallInvalidError, *_NOT_TEXT), _texts(_OPENAI, _ANTHROPIC), _CALL_WORDS),
    Target("ids", run_ids, (click.UsageError, *_NOT_TEXT), _IDS, (b"1e999", b"[" * 64, b"\n"), 2_048),
    Target("commands", run_commands, (ValueError,), _command_samples, (b"--json", b"\n--", b"=", b"-"), 256),
)
