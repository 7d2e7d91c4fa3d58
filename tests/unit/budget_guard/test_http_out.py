"""The guarded sender against real endpoints on the loopback interface: what they do to it, and may do."""

import ipaddress
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from budget_guard.adapters.addresses import target_of
from budget_guard.adapters.http_out import Answer, Rules, Sender
from runtime.clock import SystemClock
from tests.fix_receiver import Behave, Received, Receiver, answer

LOOPBACK = (ipaddress.ip_network("127.0.0.1/32"),)
RULES = Rules(limit_s=5, allow_addresses=LOOPBACK)
TLS = Path(__file__).parent / "tls"


def post(receiver: Receiver, rules: Rules = RULES, body: bytes = b"{}") -> Answer:
    return Sender(target_of(receiver.url, allow_http=True), rules, SystemClock()).post(body, {"X-One": "1"})


def test_a_message_arrives_whole_with_host_and_length(receiver: Receiver) -> None:
    assert post(receiver, body=b'{"a": "\xc3\xa9"}') == Answer(status=200)
    (request,) = receiver.received
    assert request.line == "POST /hooks/t0ken-of-the-receiver HTTP/1.1"
    assert request.body == b'{"a": "\xc3\xa9"}'
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert (request.headers["content-length"], request.headers["x-one"]) == ("11", "1")


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_a_delivery(receiver: Receiver, status: int) -> None:
    receiver.behave = answer(status)
    assert post(receiver) == Answer(status=status)


def test_nothing_is_sent_to_an_address_that_is_not_public(receiver: Receiver) -> None:
    refused = post(receiver, replace(RULES, allow_addresses=()))
    assert refused.error == "refused: 127.0.0.1 has the address 127.0.0.1, which is not a public address"
    assert receiver.connections == 0


def test_a_name_that_resolves_to_loopback_is_refused(receiver: Receiver) -> None:
    target = target_of(f"http://hooks.example.test:{receiver.port}/", allow_http=True)
    sender = Sender(target, Rules(5), SystemClock(), resolver=lambda _host, _port: ["127.0.0.1"])
    assert "refused: hooks.example.test has the address 127.0.0.1" in str(sender.post(b"", {}).error)
    assert receiver.connections == 0


def test_a_name_that_changes_its_address_after_the_check_gains_nothing(receiver: Receiver) -> None:
    """The first answer is public, the next is loopback: the connection goes where the first one said."""
    asked: list[str] = []
    connected: list[str] = []

    def resolver(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["8.8.8.8"] if len(asked) == 1 else ["127.0.0.1"]

    def connect(address: str, _port: int, _timeout_s: float) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError("not from a test")

    target = target_of(f"http://rebinding.example.test:{receiver.port}/", allow_http=True)
    sender = Sender(target, Rules(5), SystemClock(), resolver=resolver, connect=connect)
    assert "ConnectionRefusedError" in str(sender.post(b"", {}).error)
    assert (asked, connected) == (["rebinding.example.test"], ["8.8.8.8"])
    assert "refused: rebinding.example.test has the address 127.0.0.1" in str(sender.post(b"", {}).error)
    assert (len(asked), connected, receiver.connections) == (2, ["8.8.8.8"], 0)


def test_the_next_address_is_tried_where_one_takes_no_connection(receiver: Receiver) -> None:
    with socket.create_server(("127.0.0.2", 0)) as closed:
        port = closed.getsockname()[1]

    def connect(address: str, _port: int, timeout_s: float) -> socket.socket:
        return socket.create_connection(
            (address, port if address == "127.0.0.2" else receiver.port), timeout=timeout_s
        )

    sender = Sender(
        target_of(receiver.url, allow_http=True),
        Rules(5, (ipaddress.ip_network("127.0.0.0/8"),)),
        SystemClock(),
        resolver=lambda _host, _port: ["127.0.0.2", "127.0.0.1"],
        connect=connect,
    )
    assert sender.post(b"{}", {}) == Answer(status=200)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_is_not_followed(receiver: Receiver, status: int) -> None:
    receiver.behave = answer(status, Location="http://169.254.169.254/latest/meta-data/")
    assert post(receiver) == Answer(status=status, error=f"answered {status}: redirects are not followed")
    assert receiver.connections == 1


def test_no_proxy_of_the_environment_is_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert post(receiver) == Answer(status=200)


def wait_for_the_end(connection: socket.socket) -> None:
    """Do nothing until the sender gives up."""
    connection.settimeout(20)
    connection.recv(1)


def hang(connection: socket.socket, _: Received) -> None:
    wait_for_the_end(connection)


def drip_headers(connection: socket.socket, _: Received) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    _drip(connection)


def drip_body(connection: socket.socket, _: Received) -> None:
    connection.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 1000000\r\n\r\n")
    _drip(connection)


def _drip(connection: socket.socket) -> None:
    connection.settimeout(0.02)
    while True:
        connection.sendall(b"x")
        try:
            if connection.recv(1) == b"":
                return
        except TimeoutError:
            continue


@pytest.mark.parametrize("behave", [hang, drip_headers, drip_body])
def test_an_endpoint_that_hangs_or_drips_is_given_up_in_time(receiver: Receiver, behave: Behave) -> None:
    receiver.behave = behave
    began_s = time.monotonic()
    assert post(receiver, replace(RULES, limit_s=0.4)).error == "no complete answer within 0.4 s"
    assert time.monotonic() - began_s < 3


def test_a_resolver_that_hangs_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> list[object]:
        time.sleep(1)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", never)
    sender = Sender(target_of("https://slow.example.test/x", allow_http=False), Rules(0.1), SystemClock())
    assert sender.post(b"", {}).error == "slow.example.test was not resolved within 0.1 s"


def test_of_a_huge_answer_little_is_read_and_less_kept(receiver: Receiver) -> None:
    sent: list[int] = []

    def huge(connection: socket.socket, _: Received) -> None:
        connection.sendall(b"HTTP/1.1 500 No\r\n\r\n")
        for _block in range(64 << 4):
            connection.sendall(b"y" * 65_536)
            sent.append(65_536)

    receiver.behave = huge
    got = post(receiver)
    assert got.status == 500
    assert got.error is not None
    assert len(got.error) == 200
    assert got.error.startswith("answered 500: yyy")
    assert sum(sent) < 32 << 20  # of 64 MiB: the rest never left


def test_what_an_endpoint_repeats_of_the_url_is_hidden_and_its_controls_are_taken_out(
    receiver: Receiver,
) -> None:
    receiver.behave = answer(404, "Cannot POST /hooks/t0ken-of-the-receiver\r\n\x1b[31mred")
    got = post(receiver)
    assert got.error is not None
    assert "t0ken" not in got.error
    assert "Cannot POST ***   [31mred" in got.error
    assert "refused; tried again all the same" in got.error


@pytest.mark.parametrize(
    ("status", "value", "seconds"),
    [(429, "17", 17), (503, "0", 0), (503, "soon", None), (503, "-3", None), (500, "99999999999999", None)],
)
def test_retry_after_is_taken_where_it_makes_sense(
    receiver: Receiver, status: int, value: str, seconds: int | None
) -> None:
    receiver.behave = answer(status, Retry_After=value)
    got = post(receiver)
    assert (got.status, got.retry_after_s, got.error is None) == (status, seconds, False)


def test_retry_after_may_be_a_date(receiver: Receiver) -> None:
    """2001-09-09T01:46:40Z is second 1,000,000,000; the clock says 40 s before."""

    class Clock(SystemClock):
        def now_us(self) -> int:
            return 999_999_960_000_000

    receiver.behave = answer(503, Retry_After="Sun, 09 Sep 2001 01:46:40 GMT")
    got = Sender(target_of(receiver.url, allow_http=True), RULES, Clock()).post(b"", {})
    assert got.retry_after_s == 40


@pytest.mark.parametrize("raw", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 2x0 OK\r\n\r\n"])
def test_what_is_no_http_is_a_failure(receiver: Receiver, raw: bytes) -> None:
    receiver.behave = lambda connection, _: connection.sendall(raw)
    got = post(receiver)
    assert got.status is None
    assert got.error is not None
    assert got.error.startswith("127.0.0.1: ")


def secure(receiver: Receiver, host: str, ca_file: Path | None) -> Answer:
    target = target_of(f"https://{host}:{receiver.port}/hooks", allow_http=False)
    rules = replace(RULES, ca_file=ca_file)
    return Sender(target, rules, SystemClock(), resolver=lambda _host, _port: ["127.0.0.1"]).post(b"{}", {})


def test_tls_is_to_the_checked_address_under_the_name(tls_receiver: Receiver) -> None:
    assert secure(tls_receiver, "hooks.example.test", TLS / "ca.pem") == Answer(status=200)
    assert tls_receiver.received[0].headers["host"] == f"hooks.example.test:{tls_receiver.port}"


@pytest.mark.parametrize(
    ("host", "ca_file"), [("other.example.test", TLS / "ca.pem"), ("hooks.example.test", None)]
)
def test_a_certificate_of_another_name_or_authority_is_refused(
    tls_receiver: Receiver, host: str, ca_file: Path | None
) -> None:
    assert "SSLCertVerificationError" in str(secure(tls_receiver, host, ca_file).error)
    assert tls_receiver.received == []
