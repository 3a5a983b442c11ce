"""Which hook URLs may be called: by what was submitted, and by what the name resolved to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mock_server.hooks.rules import HookRules, parse_hook_url

RULES = HookRules()
ALLOWING = HookRules(allow=("hooks.example.com", "*.example.org", "8.8.8.8", "2001:4860::1"))
ANY_PUBLIC = HookRules(allow=("*",))

LOCAL_BLOCKS = [
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
]

FORBIDDEN_LITERALS = [
    "169.254.169.254",
    "169.254.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "0.0.0.0",
    "0.1.2.3",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "192.0.0.192",
    "198.51.100.7",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "[::]",
    "[ff02::1]",
    "[fec0::1]",
    "[2001:db8::1]",
    "[2001::1]",
    "[4000::1]",
    "[::127.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "[64:ff9b::10.0.0.1]",
    # the same in disguise
    "[::ffff:169.254.169.254]",
    "[64:ff9b::169.254.169.254]",
    "[2002:a9fe:a9fe::1]",
    "[::ffff:0.0.0.0]",
    "2852039166",
    "0xa9fea9fe",
    "0xA9.0xFE.43518",
    "0251.0376.0251.0376",
    "169.254.43518",
    "169.254.169.254.",
    "１６９.254.169.254",
    "169。254。169。254",
    "0",
    "256",
]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/hook",
        "HTTP://LOCALHOST/",
        "https://localhost:8443/hook?token=a%20b#part",
        "http://127.8.9.10",
        "http://127.0.0.1.:80",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://10.1.2.3/",
        "http://172.31.255.255/",
        "http://192.168.0.1/",
        "http://100.64.0.1/",
        "http://[::1]:9000/",
        "http://[fd12:3456::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://api.localhost./",
        "http://worker/hook",
        "http://my_service:8080/hook",
        "http://printer.local",
        "http://nas.home.arpa",
        "http://host.docker.internal:3000/hook",
        "http://hooks.example/",
        "http://receiver.test/пример",
        "http://bücher.test/",
        f"http://localhost/{'x' * 2031}",
    ],
)
def test_loopback_and_private_hosts_pass(url: str) -> None:
    assert RULES.problem_with_url(url) is None


@pytest.mark.parametrize("host", FORBIDDEN_LITERALS)
def test_addresses_without_receivers_never_pass_however_they_are_written(host: str) -> None:
    for rules in (RULES, ANY_PUBLIC):
        assert "to which hooks are never sent" in (rules.problem_with_url(f"http://{host}/") or "")


@pytest.mark.parametrize("host", ["169.254.169.254", "[fd00:ec2::254]", "metadata.google.internal", "0.0.0.0"])
def test_allowing_by_name_does_not_open_metadata_addresses(host: str) -> None:
    rules = HookRules(allow=(host, "*.google.internal"))
    assert "to which hooks are never sent" in (rules.problem_with_url(f"http://{host}/") or "")


def test_the_metadata_name_is_refused_in_any_spelling() -> None:
    assert RULES.problem_with_url("http://Metadata.Google.Internal.:80/computeMetadata") == (
        "hookUrl host metadata.google.internal is a cloud metadata service, to which hooks are never sent: "
        "use a loopback or private host."
    )


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://hooks.example.com/x", "hooks.example.com"),
        ("https://Example.COM./", "example.com"),
        ("https://bücher.de/", "xn--bcher-kva.de"),
        ("https://localhost.example.com/", "localhost.example.com"),
        ("https://notlocalhost.nottest/", "notlocalhost.nottest"),
        ("http://8.8.8.8/", "8.8.8.8"),
        ("http://134744072/", "8.8.8.8"),
        ("http://[2001:4860::1]/", "2001:4860::1"),
    ],
)
def test_a_public_host_is_refused_and_the_message_tells_how_to_allow_it(url: str, host: str) -> None:
    assert RULES.problem_with_url(url) == (
        f"hookUrl host {host} is public, and hooks go only to loopback and private hosts unless allowed: "
        f"use such a host, or start the server with --hook-allow {host}."
    )
    assert HookRules(allow=(host,)).problem_with_url(url) is None
    assert ANY_PUBLIC.problem_with_url(url) is None


@pytest.mark.parametrize(
    ("url", "passes"),
    [
        ("https://HOOKS.example.com./", True),
        ("https://a.hooks.example.com/", False),
        ("https://example.com/", False),
        ("https://a.example.org/", True),
        ("https://a.b.example.org/", True),
        ("https://example.org/", False),
        ("https://notexample.org/", False),
        ("https://hooks.example.com.evil.net/", False),
        ("http://[::ffff:8.8.8.8]/", True),
        ("http://8.8.4.4/", False),
        ("http://[2001:4860:0:0::1]/", True),
    ],
)
def test_allowed_names_match_whole_and_wildcards_what_is_below_them(url: str, passes: bool) -> None:
    assert (ALLOWING.problem_with_url(url) is None) is passes


def test_allowed_names_may_be_written_in_any_spelling() -> None:
    rules = HookRules(allow=("BÜCHER.de.", "*.Example.ORG", "[2001:4860:0::1]", "0x08080808"))
    assert rules.allow == ("xn--bcher-kva.de", "*.example.org", "2001:4860::1", "8.8.8.8")


@pytest.mark.parametrize(
    "pattern", ["https://example.com", "example.com:443", "example.com/x", "", "*.", "a.*.com", "*.1.2.3.4"]
)
def test_a_pattern_that_is_no_host_is_refused_at_once(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"^allowed hook hosts are .*: give the host alone"):
        HookRules(allow=(pattern,))


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "must be absolute, with the scheme http or https, but has none"),
        ("/hook", "must be absolute"),
        ("localhost:8000/hook", "with the scheme http or https, but has 'localhost'"),
        ("//localhost/hook", "but has none"),
        ("ftp://localhost/", "but has 'ftp'"),
        ("file:///etc/passwd", "but has 'file'"),
        ("http:/localhost", "host (empty) is neither a host name nor an address"),
        ("http://", "neither a host name nor an address"),
        ("http:///path", "neither a host name nor an address"),
        ("http://:80/", "neither a host name nor an address"),
        ("http://user:secret@localhost/", "may not hold credentials"),
        ("http://@localhost/", "may not hold credentials"),
        ("http://localhost:0/", "must have a port from 1 to 65535, not '0'"),
        ("http://localhost:65536/", "must have a port from 1 to 65535, not '65536'"),
        ("http://localhost:http/", "must have a host and perhaps a port"),
        ("http://localhost:８０/", "must have a host and perhaps a port"),
        ("http://localhost:80:80/", "must have a host and perhaps a port"),
        ("http://::1/", "must have a host and perhaps a port"),
        ("http://[::1/", "has a malformed host"),
        ("http://[127.0.0.1]/", "host"),
        ("http://[localhost]/", "host"),
        ("http://[::1]x/", "host"),
        ("http://[fe80::1%25eth0]/", "host"),
        ("http://[::g]/", "host"),
        ("http://a..test/", "neither a host name nor an address"),
        ("http://-a.test/", "neither a host name nor an address"),
        ("http://local%68ost/", "neither a host name nor an address"),
        (f"http://{'a' * 64}.test/", "neither a host name nor an address"),
        (f"http://{'a.' * 125}test/", "neither a host name nor an address"),
        ("http://1.2.3.4.5/", "ends in a number but is not an IPv4 address"),
        ("http://0x/", "ends in a number but is not an IPv4 address"),
        ("http://09.0.0.1/", "ends in a number but is not an IPv4 address"),
        ("http://4294967296/", "ends in a number but is not an IPv4 address"),
        (" http://localhost/", "has ' ' at position 0"),
        ("http://localhost/a b", "has ' ' at position 18"),
        ("http://localhost/\r\nX-Evil: 1", "has '\\r' at position 17"),
        ("http://local\thost/", "has '\\t'"),
        ("http://localhost/\x00", "has '\\x00'"),
        ("http://localhost/\x85", "has '\\x85'"),
        ("http://localhost/\u3000", "has '\\u3000'"),
        ("http://localhost/\ud800", "has '\\ud800'"),
        ("http://localhost\\@evil.com/", "has '\\\\' at position 16"),
        (f"http://localhost/{'x' * 2032}", "may have 2048 characters, but has 2049"),
        ("http://localhost℀.evil/", "has a malformed host"),
    ],
)
def test_a_malformed_url_is_refused_with_the_reason(url: str, problem: str) -> None:
    told = ANY_PUBLIC.problem_with_url(url)
    assert told is not None
    assert problem in told


def test_no_message_repeats_credentials() -> None:
    told = RULES.problem_with_url("http://user:hunter2@localhost/")
    assert told is not None
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("rules", "host", "address"),
    [
        (RULES, "localhost", "127.0.0.1"),
        (RULES, "localhost", "::1"),
        (RULES, "worker", "172.18.0.2"),
        (RULES, "LOCALHOST.", "::ffff:127.0.0.1"),
        (RULES, "127.0.0.1", "127.0.0.1"),
        (RULES, "::1", "::1"),
        (ALLOWING, "hooks.example.com", "8.8.4.4"),
        (ALLOWING, "hooks.example.com", "10.0.0.1"),
        (ALLOWING, "hooks.example.com", "127.0.0.1"),
        (ALLOWING, "8.8.8.8", "8.8.8.8"),
        (ANY_PUBLIC, "worker", "8.8.4.4"),
    ],
)
def test_an_address_that_fits_its_name_may_be_called(rules: HookRules, host: str, address: str) -> None:
    assert rules.problem_with_address(host, address) is None


@pytest.mark.parametrize(
    ("rules", "host", "address", "problem"),
    [
        (RULES, "worker", "8.8.8.8", "worker has a private name but resolves to the public address 8.8.8.8"),
        (RULES, "localhost", "64:ff9b::8.8.8.8", "resolves to the public address"),
        (RULES, "rebound.example.com", "127.0.0.1", "rebound.example.com is public"),
        (RULES, "worker", "169.254.169.254", "worker at 169.254.169.254 is a cloud metadata address"),
        (RULES, "worker", "fe80::1%eth0", "is a link-local address"),
        (ALLOWING, "hooks.example.com", "169.254.1.1", "is a link-local address"),
        (ALLOWING, "hooks.example.com", "::ffff:169.254.169.254", "is a cloud metadata address"),
        (ALLOWING, "hooks.example.com", "fd00:ec2::254", "is a cloud metadata address"),
        (ANY_PUBLIC, "hooks.example.com", "0.0.0.0", "is an unspecified address"),
        (ANY_PUBLIC, "hooks.example.com", "224.0.0.251", "is a multicast address"),
        (ANY_PUBLIC, "metadata.google.internal", "10.0.0.1", "is a cloud metadata service"),
        (ANY_PUBLIC, "worker", "nonsense", "nonsense"),
        (ANY_PUBLIC, "not a host", "127.0.0.1", "neither a host name nor an address"),
    ],
)
def test_an_address_that_does_not_fit_its_name_is_refused(
    rules: HookRules, host: str, address: str, problem: str
) -> None:
    assert problem in (rules.problem_with_address(host, address) or "")


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("http://localhost", "localhost", "/"),
        ("http://localhost:80/a", "localhost", "/a"),
        ("http://localhost:443/", "localhost:443", "/"),
        ("https://[::0:1]:443/", "[::1]", "/"),
        ("https://[::1]:8443?x=1#y", "[::1]:8443", "/?x=1"),
        ("http://0x7f.1:/a%20b/é?q=ü&r={1}", "127.0.0.1", "/a%20b/%C3%A9?q=%C3%BC&r=%7B1%7D"),
        ("http://Bücher.test./", "xn--bcher-kva.test", "/"),
    ],
)
def test_a_url_is_taken_apart_as_it_goes_onto_the_wire(url: str, authority: str, path: str) -> None:
    target = parse_hook_url(url)
    assert (target.authority, target.path) == (authority, path)


anything = st.text() | st.text("ht:/@[]\\.0x1729%#?af localhosttest", max_size=40)
addresses = st.ip_addresses() | st.sampled_from(LOCAL_BLOCKS).flatmap(lambda block: st.ip_addresses(network=block))


def spellings(address: IPv4Address | IPv6Address) -> st.SearchStrategy[str]:
    """Return ways to write an address into a URL, all of which systems connect to."""
    number = int(address)
    if isinstance(address, IPv6Address):
        return st.sampled_from([f"[{address}]", f"[{address.exploded}]", f"[{address}]".upper()])
    high, low = divmod(number, 1 << 16)
    first, second = divmod(high, 1 << 8)
    return st.sampled_from(
        [
            str(address),
            f"{address}.",
            str(number),
            hex(number),
            f"0{number:o}",
            f"{first}.{second:#x}.{low}",
            f"[::ffff:{address}]",
            f"[64:ff9b::{address}]",
            f"[2002:{high:x}:{low:x}::]",
        ]
    )


@given(st.builds("{}{}{}".format, st.sampled_from(["", "http://", "https://"]), anything, anything))
@example("http://[")
@example("http://xn--\u0130/")
@example("http://\u2024/")
def test_no_text_makes_the_judgement_raise(url: str) -> None:
    for rules in (RULES, ANY_PUBLIC):
        problem = rules.problem_with_url(url)
        assert problem is None or (problem.isascii() and problem.startswith("hookUrl") and "\n" not in problem)


@given(anything, anything)
def test_no_name_and_address_make_the_judgement_raise(host: str, address: str) -> None:
    problem = RULES.problem_with_address(host, address)
    assert problem is None or "\n" not in problem


@given(addresses.flatmap(lambda address: st.tuples(st.just(address), spellings(address))))
@example((ip_address("127.0.0.1"), "0x7f000001"))
@example((ip_address("1.2.3.4"), "[2002:102:304::]"))
def test_a_literal_address_passes_only_if_loopback_or_private(
    case: tuple[IPv4Address | IPv6Address, str],
) -> None:
    address, written = case
    assume(not (isinstance(address, IPv6Address) and (address.ipv4_mapped or address.sixtofour)))
    if RULES.problem_with_url(f"http://{written}:8000/") is None:
        assert any(address in block for block in LOCAL_BLOCKS)
        assert RULES.problem_with_address(parse_hook_url(f"http://{written}").host, str(address)) is None


@given(anything)
def test_what_passes_goes_onto_the_wire_as_one_ascii_token(tail: str) -> None:
    url = f"http://localhost/{tail}"
    if RULES.problem_with_url(url) is None:
        target = parse_hook_url(url)
        for token in (target.path, target.authority):
            assert token.isascii()
            assert not any(char.isspace() or not char.isprintable() for char in token)
