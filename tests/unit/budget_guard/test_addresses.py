"""Where nothing may be sent, whatever a name resolves to."""

import ipaddress

import pytest

from budget_guard.adapters.addresses import (
    RefusedError,
    UnresolvedError,
    checked_addresses,
    target_of,
    why_refused,
)

REFUSED = """
127.0.0.1 127.9.9.9 0.0.0.0 0.1.2.3 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254
169.254.170.2 100.64.0.1 100.100.100.200 192.0.0.192 192.0.0.8 192.0.2.1 198.18.0.1 198.51.100.7
203.0.113.9 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 192.88.99.1 168.63.129.16
:: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:10.0.0.1 ::ffff:a9fe:a9fe
fe80::1 fe80::1%eth0 fec0::1 fc00::1 fd00:ec2::254 ff02::1 ff0e::1 2001:db8::1 100::1 2001:10::1 3fff::1
64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 2002:7f00:1:: 2002:a9fe:a9fe:: 2002:a00:1::1
2001:0:4136:e378:8000:63bf:80ff:fffe 4000::1 5f00::1
2130706433 0x7f.1 localhost
"""

ALLOWED = """
8.8.8.8 1.1.1.1 93.184.215.14 ::ffff:8.8.8.8 64:ff9b::808:808 2606:4700:4700::1111 2002:808:808::1
"""


@pytest.mark.parametrize("address", REFUSED.split())
def test_what_is_not_public_is_refused(address: str) -> None:
    assert why_refused(address) is not None


@pytest.mark.parametrize("address", ALLOWED.split())
def test_what_is_public_is_allowed(address: str) -> None:
    assert why_refused(address) is None


def test_ranges_that_are_meant_are_allowed_and_no_others() -> None:
    ranges = [ipaddress.ip_network("10.2.0.0/16"), ipaddress.ip_network("fd12::/16")]
    allowed = [why_refused(text, ranges) is None for text in ("10.2.3.4", "::ffff:10.2.3.4", "fd12::1")]
    assert allowed == [True, True, True]
    refused = [why_refused(text, ranges) for text in ("10.3.0.1", "127.0.0.1", "fd13::1", "2002:a02:1::")]
    assert None not in refused


def test_one_address_that_is_not_public_refuses_the_name() -> None:
    target = target_of("https://hooks.example.com/x", allow_http=False)
    with pytest.raises(
        RefusedError, match=r"hooks\.example\.com has the address 127\.0\.0\.1, which is not a"
    ):
        checked_addresses(target, lambda _host, _port: ["8.8.8.8", "127.0.0.1"], ())
    with pytest.raises(UnresolvedError):
        checked_addresses(target, lambda _host, _port: [], ())


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://h.example/s3cret", "must begin with https://"),
        ("ftp://h.example/s3cret", "must begin with https://"),
        ("file:///s3cret", "must begin with https://"),
        ("https://user:s3cret@h.example/", "no user, password or fragment"),
        ("https://u@h.example/s3cret", "no user, password or fragment"),
        ("https://h.example/s3cret#part", "no user, password or fragment"),
        ("https://h.example:22/s3cret", "port 22 must be 80, 443 or at least 1024"),
        ("https://h.example:0/s3cret", "port 0 must be"),
        ("https://h.example:99999/s3cret", "cannot be read"),
        ("https://[::1/s3cret", "cannot be read"),
        ("https:///s3cret", "names no host"),
        ("https://h.example\\@evil.example/s3cret", "printable ASCII"),
        ("https://h.example/s3cret\r\nX: y", "printable ASCII"),
        ("https://h.example/s3cret x", "printable ASCII"),
        ("https://hööks.example/s3cret", "printable ASCII"),
    ],
)
def test_a_url_that_breaks_a_rule_is_refused_without_being_shown(url: str, rule: str) -> None:
    with pytest.raises(RefusedError, match=rule) as refused:
        target_of(url, allow_http=False)
    assert "s3cret" not in str(refused.value)


def test_a_target_shows_its_host_and_never_its_path() -> None:
    target = target_of("https://hooks.slack.com/services/T000/B000/s3cret?k=v", allow_http=False)
    assert (str(target), repr(target)) == ("https://hooks.slack.com", "Target(https://hooks.slack.com)")
    assert (target.path, target.authority) == ("/services/T000/B000/s3cret?k=v", "hooks.slack.com")
    assert target_of("http://[2606::1]:8080", allow_http=True).authority == "[2606::1]:8080"
