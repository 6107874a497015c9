"""The guard of every call that leaves the service: which URLs, and which addresses behind them, may be called.

Public addresses only, plus what `PACKSHOT_EGRESS_ALLOW` opens. `check_url` reads the URL alone; `resolve` judges the
addresses behind its host, and the caller connects to those addresses and to no others, so that a name that answers
differently a moment later (DNS rebinding) gains nothing. Host rules follow the WHATWG URL standard, whose odd
spellings of IPv4 (`2130706433`, `0x7f.1`) the operating system's resolver takes as well.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import quote

import idna

from config.settings import Settings, split_allow

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
# host name -> its addresses as text; empty when there is no such host
Resolver = Callable[[str], Sequence[str]]

MAX_URL_LENGTH = 2048

_URL = re.compile(
    r"(?P<scheme>[^:/?#]+)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?:#.*)?", re.DOTALL
)
_AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{0,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_HOST_LENGTH = 253

# IANA's special-purpose registries; said here because `ipaddress` knows fewer of them in older Python versions.
_CLOSED_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# Global unicast is 2000::/3; of it Teredo and other protocol assignments, documentation and 6to4 are not for us.
_OPEN_V6 = IPv6Network("2000::/3")
_CLOSED_V6 = tuple(IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
_NAT64 = IPv6Network("64:ff9b::/96")


class EgressRefusedError(Exception):
    """A URL that may not be called. The text is for the caller: it tells nothing about what is behind the URL."""


@dataclass(frozen=True)
class Policy:
    """What may be called: public addresses on `ports`, and the networks of `allow`, each on its own port or `ports`."""

    allow: tuple[tuple[Network, int | None], ...] = ()
    ports: frozenset[int] = frozenset(_DEFAULT_PORTS.values())

    @classmethod
    def from_settings(cls, settings: Settings) -> "Policy":
        """The policy that the settings ask for."""
        entries = (split_allow(entry) for entry in settings.egress_allow)
        return cls(tuple((ip_network(network), port) for network, port in entries), frozenset(settings.egress_ports))

    def is_port_open(self, port: int) -> bool:
        """Whether any address at all may be called on this port."""
        return port in self.ports or any(port == opened for _, opened in self.allow)

    def permits(self, address: Address, port: int) -> bool:
        """Whether this address may be called on this port. An address inside an IPv6 one is judged by what it is."""
        inner = _unwrap(address)
        if port in self.ports and _is_public(inner):
            return True
        return any(
            inner.version == network.version
            and inner in network
            and (port in self.ports if opened is None else port == opened)
            for network, opened in self.allow
        )


@dataclass(frozen=True)
class CheckedUrl:
    """A URL that passed `check_url`, in one spelling: lower-case ASCII host, literal addresses in canonical form."""

    scheme: str
    host: str
    port: int
    target: str  # path and query as sent, never empty
    literal: Address | None  # the host where it is an address

    @property
    def authority(self) -> str:
        """Host and port as in the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL in its one spelling, without a fragment."""
        return f"{self.scheme}://{self.authority}{self.target}"


def check_url(url: str, policy: Policy) -> CheckedUrl:
    """Judge what the URL alone tells; no look-up. `EgressRefusedError`.

    http and https only, at most 2048 characters, no user name or password, no space, control character or backslash;
    a literal address must be permitted, a name may still turn out to have no permitted address (`resolve`).
    """
    if len(url) > MAX_URL_LENGTH:
        raise EgressRefusedError(f"The URL is longer than {MAX_URL_LENGTH} characters.")
    if _FORBIDDEN.search(url):
        raise EgressRefusedError("The URL holds a space, a control character or a backslash.")
    parts = _URL.fullmatch(url)
    if parts is None or parts["scheme"].lower() not in _DEFAULT_PORTS:
        raise EgressRefusedError("The URL must start with http:// or https://.")
    scheme = parts["scheme"].lower()
    if "@" in parts["authority"]:
        raise EgressRefusedError("The URL must not hold a user name or password.")
    authority = _AUTHORITY.fullmatch(parts["authority"])
    if authority is None:
        raise EgressRefusedError("The URL's host or port is malformed.")
    port = int(authority["port"] or _DEFAULT_PORTS[scheme])
    if not policy.is_port_open(port):
        raise EgressRefusedError(f"Port {port} may not be called.")
    host, literal = _parse_host(authority["host"])
    if literal is not None and not policy.permits(literal, port):
        raise _no_public_address()
    return CheckedUrl(scheme, host, port, _target(parts["path"], parts["query"]), literal)


def resolve(checked: CheckedUrl, resolver: Resolver, policy: Policy) -> tuple[Address, ...]:
    """The addresses to connect to, in the resolver's order. `EgressRefusedError` unless every one is permitted.

    One closed answer among open ones refuses them all: such a name is made to slip past a guard. No answer reads the
    same as a closed one, so that nobody learns the names of an internal network.
    """
    if checked.literal is not None:
        answers: tuple[Address, ...] = (checked.literal,)
    else:
        answers = tuple(ip_address(answer) for answer in resolver(checked.host))
    if not answers or not all(policy.permits(answer, checked.port) for answer in answers):
        raise _no_public_address()
    return tuple(dict.fromkeys(_unmap(answer) for answer in answers))


def _no_public_address() -> EgressRefusedError:
    return EgressRefusedError("The URL's host has no public address.")


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _CLOSED_V4)
    return address in _OPEN_V6 and address.is_global and not any(address in network for network in _CLOSED_V6)


def _unmap(address: Address) -> Address:
    """The IPv4 address that the operating system would call for `::ffff:a.b.c.d`."""
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _unwrap(address: Address) -> Address:
    """The address that a packet ends at: IPv4 inside a mapped or a NAT64 (RFC 6052) one."""
    if isinstance(address, IPv6Address) and address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return _unmap(address)


def _parse_host(text: str) -> tuple[str, Address | None]:
    """The host in its one spelling, and the address where it is one."""
    if text.startswith("["):
        literal: Address | None = _parse_ipv6(text[1:-1])
        return str(literal), literal
    host = _ascii_host(text)
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        literal = _parse_ipv4(labels)
        return str(literal), literal
    if len(host) > _MAX_HOST_LENGTH or not all(_LABEL.fullmatch(label) for label in labels):
        raise EgressRefusedError("The URL's host is malformed.")
    # RFC 6761: localhost and its subdomains are the loopback address, whatever a resolver says.
    return host, IPv4Address("127.0.0.1") if labels[-1] == "localhost" else None


def _ascii_host(text: str) -> str:
    """Lower case, full-width forms mapped, IDN in punycode (UTS 46), without the root's dot."""
    try:
        host = text if text.isascii() else idna.encode(text, uts46=True, std3_rules=False).decode()
    except UnicodeError as error:
        raise EgressRefusedError("The URL's host is malformed.") from error
    return host.lower().removesuffix(".")


def _parse_ipv6(text: str) -> IPv6Address:
    try:
        address = IPv6Address(text)
    except ValueError as error:
        raise EgressRefusedError("The URL's host is malformed.") from error
    if address.scope_id is not None:
        raise _no_public_address()
    return address


def _parse_ipv4(labels: list[str]) -> IPv4Address:
    """One to four numbers, decimal, octal (`0..`) or hexadecimal (`0x..`); the last fills the remaining bytes."""
    try:
        numbers = [_parse_number(label) for label in labels]
        *head, last = numbers
        if len(numbers) > 4 or any(number > 0xFF for number in head):  # noqa: PLR2004 - IPv4 has four bytes
            raise ValueError  # noqa: TRY301 - the one refusal below
        tail_bytes = 4 - len(head)
        return IPv4Address(bytes(head) + last.to_bytes(tail_bytes, "big"))
    except (ValueError, OverflowError) as error:
        raise EgressRefusedError("The URL's host is malformed.") from error


def _parse_number(label: str) -> int:
    if not _NUMBER.fullmatch(label):
        raise ValueError(label)
    if label.startswith("0x"):
        return int(label[2:] or "0", 16)
    return int(label, 8 if label.startswith("0") and len(label) > 1 else 10)


def _target(path: str, query: str | None) -> str:
    """Path and query as sent: what is not ASCII goes as percent-encoded UTF-8, the rest stays as it was signed."""
    try:
        return quote((path or "/") + (query or ""), safe="".join(map(chr, range(0x21, 0x7F))))
    except UnicodeEncodeError as error:
        raise EgressRefusedError("The URL holds a lone surrogate.") from error
