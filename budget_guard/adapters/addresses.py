"""Where a message may be sent: which URLs, and which addresses after resolution.

A name is resolved once; it is refused if any address is one that the public internet does not have, and the
connection is made to an address that was judged, never to the name again.
"""

import ipaddress
import re
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Sequence[str]]

_GLOBAL_6: Final = ipaddress.IPv6Network("2000::/3")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
# Not public, whatever the library's version knows of it: protocol assignments, 6to4 relays, a cloud's own
# service; documentation, and the part of IPv6 that protocols take for themselves.
_REFUSED_4: Final = tuple(map(ipaddress.IPv4Network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")))
_REFUSED_6: Final = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))
_PORTS: Final = {"http": 80, "https": 443}


class RefusedError(Exception):
    """The message may not be sent there. The text names the host and the rule, never the rest of the URL."""


class UnresolvedError(Exception):
    """The name has no address, or nobody told one in time."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart. The path may be a secret: `str()` shows scheme, host and port only."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def hidden_in(self, text: str) -> str:
        """The text without the URL's path and what in it may be a token: servers like to repeat them."""
        tokens = [piece for piece in re.split(r"[/?&=]", self.path) if len(piece) >= 8]
        for hidden in ([self.path] if len(self.path) > 1 else []) + tokens:
            text = text.replace(hidden, "***")
        return text

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"

    def __repr__(self) -> str:
        return f"Target({self})"


def target_of(url: str, *, allow_http: bool) -> Target:
    """Take a URL apart.

    Raises:
        RefusedError: it breaks a rule, which the text names without showing more of the URL than its host.
    """
    if not url.isascii() or any(ord(char) <= 32 or ord(char) == 127 or char == "\\" for char in url):
        raise RefusedError(
            "the URL may hold only printable ASCII without spaces and backslashes (a host in its xn-- form)"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise RefusedError("the URL cannot be read: its host or port is not one") from error
    if parts.scheme not in ({"http", "https"} if allow_http else {"https"}):
        raise RefusedError("the URL must begin with https://" + (" or http://" if allow_http else ""))
    if not parts.hostname:
        raise RefusedError("the URL names no host")
    if "@" in parts.netloc or parts.fragment:
        raise RefusedError(f"{parts.hostname}: the URL may hold no user, password or fragment")
    port = _PORTS[parts.scheme] if port is None else port
    if port < 1024 and port not in _PORTS.values():
        raise RefusedError(f"{parts.hostname}: port {port} must be 80, 443 or at least 1024")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, parts.hostname, port, path)


def checked_addresses(target: Target, resolver: Resolver, allowed: Sequence[Network]) -> list[str]:
    """The addresses of a host, each of which may be connected to.

    Raises:
        RefusedError: one of them, whichever, may not.
        UnresolvedError: there is none.
    """
    found = list(resolver(target.host, target.port))
    if not found:
        raise UnresolvedError(f"{target.host} has no address")
    for text in found:
        reason = why_refused(text, allowed)
        if reason is not None:
            raise RefusedError(f"{target.host} has the address {text}, which is {reason}")
    return found


def why_refused(text: str, allowed: Sequence[Network] = ()) -> str | None:
    """Why nothing may be sent to an address; None where it may."""
    if "%" in text:
        return "bound to an interface"
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "not an address"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if any(address in network for network in allowed if network.version == address.version):
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return _why_refused_4(address)
    inner = _inner(address)
    if inner is not None:
        reason = _why_refused_4(inner)
        return None if reason is None else f"a way to {inner}, which is {reason}"
    # The library's table of special networks, inside the one part of IPv6 that is given out at all.
    public = address in _GLOBAL_6 and address.is_global and not any(address in each for each in _REFUSED_6)
    return None if public else "not a public address"


def _why_refused_4(address: ipaddress.IPv4Address) -> str | None:
    if address.is_global and not address.is_multicast and not any(address in each for each in _REFUSED_4):
        return None
    return "not a public address"


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that this one leads to: 6to4, NAT64."""
    if address.sixtofour is not None:
        return address.sixtofour
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None


def system_resolver(limit_s: float) -> Resolver:
    """Ask the operating system, for so long at most: it has no limit of its own that could be set."""

    def resolve(host: str, port: int) -> list[str]:
        answers: list[str] = []
        failures: list[OSError | UnicodeError] = []

        def ask() -> None:
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                failures.append(error)
            else:
                answers.extend(dict.fromkeys(str(entry[4][0]) for entry in found))

        asking = threading.Thread(target=ask, name="resolve", daemon=True)
        asking.start()
        asking.join(limit_s)
        if asking.is_alive():
            raise UnresolvedError(f"{host} was not resolved within {limit_s:g} s")
        if failures:
            raise UnresolvedError(f"{host} cannot be resolved: {failures[0]}")
        return answers

    return resolve
