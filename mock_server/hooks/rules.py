"""Which hook URLs may be called: whoever submits a job must not be able to aim this machine at just anything.

People who develop and test receive hooks on loopback and private addresses, so these are open. Public hosts
are opened one by one, by name. Addresses that no receiver can have (link-local, cloud metadata, multicast,
reserved) stay shut whatever is allowed.

Pure: nothing is resolved here. A URL is judged when it is submitted, and again, with the address that it
resolved to, when it is called.
"""

from __future__ import annotations

import re
import socket
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import quote, urlsplit

MAX_URL_LENGTH = 2048

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NETLOC = re.compile(r"(?:\[(?P<ipv6>[^\[\]]*)\]|(?P<name>[^:\[\]]*))(?::(?P<port>[0-9]*))?")
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")
_ENDS_IN_A_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")

_PRIVATE_SUFFIXES = (
    ".docker",
    ".example",
    ".home.arpa",
    ".internal",
    ".invalid",
    ".lan",
    ".local",
    ".localhost",
    ".test",
)
_METADATA_NAMES = frozenset({"metadata.google.internal", "metadata.goog"})

# Tables of our own: what `ipaddress` calls private, global or reserved differs between Python versions.
_NEVER: tuple[tuple[IPv4Network | IPv6Network, str], ...] = tuple(
    (ip_network(block), what)
    for what, blocks in {
        "a cloud metadata address": (
            "169.254.169.254/32",
            "100.100.100.200/32",  # Alibaba
            "168.63.129.16/32",  # Azure's host, a public address
            "fd00:ec2::/32",  # AWS
            "fd20:ce::254/128",  # Google
            "fd00:c1::a9fe:a9fe/128",  # Oracle
            "fd00:42::42/128",  # Scaleway
        ),
        "a link-local address": ("169.254.0.0/16", "fe80::/10"),
        "an unspecified address": ("0.0.0.0/8", "::/128"),
        "a multicast address": ("224.0.0.0/4", "ff00::/8"),
        "a reserved address": (
            "240.0.0.0/4",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "2001::/23",
            "2001:db8::/32",
            "3fff::/20",
        ),
    }.items()
    for block in blocks
)
_LOCAL = tuple(
    ip_network(block)
    for block in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "::1/128",
        "fc00::/7",
    )
)
_GLOBAL_IPV6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class HookTarget:
    """A hook URL taken apart, as it is put onto the wire: everything is ASCII.

    Args:
        scheme: `http` or `https`.
        host: as `canonical_host` spells it; an IPv6 address has no brackets.
        port: 1 to 65535, the scheme's own when the URL names none.
        path: what the request line asks for: path and query, percent-encoded, starting with a slash.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def is_address(self) -> bool:
        """Whether the host is a literal address, which needs no resolving."""
        return _literal(self.host) is not None

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        if self.port == _DEFAULT_PORTS[self.scheme]:
            return f"[{self.host}]" if ":" in self.host else self.host
        return host_and_port(self.host, self.port)


@dataclass(frozen=True, slots=True)
class HookRules:
    """What may be called besides loopback and private addresses.

    Args:
        allow: public hosts by name: `hooks.example.com`, `*.example.com` (every name below it, not itself), a
            literal address, or `*` for any public host. Kept in canonical spelling.

    Raises:
        ValueError: an entry of `allow` is none of these, such as a URL.
    """

    allow: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "allow", tuple(_canonical_pattern(pattern) for pattern in self.allow))

    def problem_with_url(self, url: str) -> str | None:
        """Say in one sentence why a submitted URL is refused, or None if it is fine. Never raises."""
        try:
            target = parse_hook_url(url)
        except ValueError as error:
            return str(error)
        return self._problem_with_host(target.host)

    def problem_with_address(self, host: str, address: str) -> str | None:
        """Say in one sentence why `host`, resolved to `address`, must not be called, or None if it may be."""
        try:
            host = canonical_host(host)
            resolved = _judged(ip_address(address))
        except ValueError as error:
            return str(error)
        if problem := self._problem_with_host(host):
            return problem
        if what := _never(resolved):
            return _never_sentence(f"{host} at {address}", what)
        if _is_local(resolved) or self._allows(host):
            return None
        return (
            f"hookUrl host {host} has a private name but resolves to the public address {address}: "
            f"use a private address, or start the server with --hook-allow {host}."
        )

    def _problem_with_host(self, host: str) -> str | None:
        literal = _literal(host)
        if host in _METADATA_NAMES:
            return _never_sentence(host, "a cloud metadata service")
        if literal and (what := _never(literal)):
            return _never_sentence(host, what)
        private = _is_local(literal) if literal else "." not in host or f".{host}".endswith(_PRIVATE_SUFFIXES)
        if private or self._allows(host):
            return None
        return (
            f"hookUrl host {host} is public, and hooks go only to loopback and private hosts unless allowed: "
            f"use such a host, or start the server with --hook-allow {host}."
        )

    def _allows(self, host: str) -> bool:
        name = str(_literal(host) or host)
        return any(
            pattern in ("*", name) or (pattern.startswith("*.") and name.endswith(pattern[1:]))
            for pattern in self.allow
        )


@lru_cache(maxsize=1024)
def parse_hook_url(url: str) -> HookTarget:
    """Take a hook URL apart, without judging where it leads.

    Raises:
        ValueError: it is no absolute http(s) URL that we would call. The text is one sentence for the caller,
            and does not repeat the URL, which may hold secrets.
    """
    if len(url) > MAX_URL_LENGTH:
        raise ValueError(f"hookUrl may have {MAX_URL_LENGTH} characters, but has {len(url)}: shorten it.")
    for position, char in enumerate(url):
        if char == "\\" or char.isspace() or unicodedata.category(char) in ("Cc", "Cs"):
            raise ValueError(
                "hookUrl may not hold whitespace, control characters or backslashes, but has "
                f"{char!a} at position {position}: remove or percent-encode it."
            )
    try:
        parts = urlsplit(url)
    except ValueError:  # unbalanced brackets, or letters that turn into URL syntax when normalised
        raise ValueError("hookUrl has a malformed host: write it as http://host:port/path.") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError(
            "hookUrl must be absolute, with the scheme http or https, "
            f"but has {_shown(parts.scheme) or 'none'}: write it as http://host:port/path."
        )
    if "@" in parts.netloc:
        raise ValueError(
            "hookUrl may not hold credentials (user:password@): put a token into the path or query instead."
        )
    netloc = _NETLOC.fullmatch(parts.netloc)
    if netloc is None or (netloc["ipv6"] is not None and ":" not in netloc["ipv6"]):
        raise ValueError(
            f"hookUrl must have a host and perhaps a port, but has {_shown(parts.netloc)}: "
            "write host, host:port or [IPv6 address]:port."
        )
    host = canonical_host(netloc["ipv6"] or netloc["name"])
    port = int(netloc["port"] or _DEFAULT_PORTS[parts.scheme])
    if not 1 <= port <= 65535:
        raise ValueError(f"hookUrl must have a port from 1 to 65535, not {_shown(netloc['port'])}: correct it.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return HookTarget(parts.scheme, host, port, quote(path, safe="!$%&'()*+,/:;=?@[]~"))


def canonical_host(text: str) -> str:
    """Spell a host as it is compared and called: IDNA, lower case, no trailing dot, standard addresses.

    Every spelling of an IPv4 address that systems accept is understood, such as 2130706433 and 0x7f.1.

    Raises:
        ValueError: it is neither a host name nor a literal address.
    """
    if ":" in text and "%" not in text:  # a zone (fe80::1%eth0) would be meant for this machine alone
        try:
            return str(IPv6Address(text))
        except ValueError:
            raise ValueError(
                f"hookUrl host {_shown(text)} is not an IPv6 address: correct it, such as [::1]."
            ) from None
    try:
        name = text.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        name = ""
    if _ENDS_IN_A_NUMBER.fullmatch(name):
        try:
            return str(IPv4Address(socket.inet_aton(name)))
        except OSError:
            raise ValueError(
                f"hookUrl host {_shown(text)} ends in a number but is not an IPv4 address: "
                "correct it, such as 127.0.0.1."
            ) from None
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise ValueError(
            f"hookUrl host {_shown(text) or '(empty)'} is neither a host name nor an address: "
            "write one such as localhost or 127.0.0.1."
        )
    return name


def host_and_port(host: str, port: int) -> str:
    """Join a host and a port as URLs do, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _canonical_pattern(pattern: str) -> str:
    if pattern == "*":
        return pattern
    wildcard = "*." if pattern.startswith("*.") else ""
    try:
        host = canonical_host(pattern.removeprefix(wildcard).removeprefix("[").removesuffix("]"))
    except ValueError:
        host = ""
    literal = _literal(host)
    if not host or (wildcard and literal):
        raise ValueError(
            f"allowed hook hosts are a host name, *.name, a literal address or *, not {_shown(pattern)}: "
            "give the host alone, without scheme, port and path."
        )
    return wildcard + str(literal or host)


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address to judge for a canonical host, or None if it is a name."""
    try:
        return _judged(ip_address(host))
    except ValueError:
        return None


def _judged(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address inside an IPv6 one, where packets end up, else the address itself."""
    if isinstance(address, IPv4Address) or address.ipv4_mapped:
        return getattr(address, "ipv4_mapped", None) or address
    relayed = IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address.sixtofour
    # A relay is elsewhere: what is local there is not local here, so such an address is judged as it stands.
    return address if relayed is None or _is_local(relayed) else relayed


def _never(address: IPv4Address | IPv6Address) -> str | None:
    """Say what kind of address it is, if one to which hooks are never sent."""
    for block, what in _NEVER:
        if address in block:
            return what
    if isinstance(address, IPv6Address) and address not in _GLOBAL_IPV6 and not _is_local(address):
        return "a reserved address"
    return None


def _is_local(address: IPv4Address | IPv6Address) -> bool:
    return any(address in block for block in _LOCAL)


def _never_sentence(host: str, what: str) -> str:
    return f"hookUrl host {host} is {what}, to which hooks are never sent: use a loopback or private host."


def _shown(text: str) -> str:
    """Quote a caller's text, short and within one line of ASCII; empty stays empty."""
    return ascii(text if len(text) <= 80 else text[:77] + "...") if text else ""
