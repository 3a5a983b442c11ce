"""Which names speak of secrets, what of a message is one by itself, and where a known secret stands in a text.

Recordings, reports and patches all ask here, so that none of them gives away what another one hides.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus, unquote

import orjson

from contract_tests.exchanges import Exchange

SHORTEST = 8
"""Characters that a secret needs to be looked for in other places than its own: a shorter one could be any word."""

_NAMES = re.compile(
    r"(?<!mon)(?<!tur)key(?!word|board)|token|secret|auth(?!or(?!i[sz])|enticate)|cookie|passw|passphrase"
    r"|signature|credential|session|jwt",
    re.IGNORECASE,
)
_SHORT_NAMES = re.compile(r"(?:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z]))(?i:pass|pwd|sig)(?![a-z])(?!(?<=[A-Z])[A-Z])")
# These are parts of everyday words, and count only as a word: sig, userPass, DB_PWD; not design or compass.
_HOOK_NAMES = re.compile(r"hook|call_?back|notify_?url", re.IGNORECASE)
_PSEUDONYM = re.compile("key-[0-9a-f]{16}")
_SET_COOKIE = re.compile(r"(?:^|, )[^=;,\s]+=([^;,]*)")
_LOGIN = re.compile(rb"://([^/\s\"'@:?#]{1,200}):([^/\s\"'@?#]{1,200})@")
_PARAMETER = re.compile(rb"[?&;#]([\w.%-]{1,160})=([^&;#\s\"'\\]{1,4096})")
_DOMAIN = 2
# Labels that every host of the same owner ends with.
_LEAST_OF_A_CUT = 4
_Value = TypeVar("_Value")


@lru_cache(maxsize=4096)
def is_secret(name: str) -> bool:
    """Whether a name speaks of a secret; a pseudonym in it, which stands for a secret, does not."""
    plain = _PSEUDONYM.sub("", name)
    return _NAMES.search(plain) is not None or _SHORT_NAMES.search(plain) is not None


@lru_cache(maxsize=4096)
def is_hook(name: str) -> bool:
    """Whether a name speaks of a URL that is called back, in whose path chat services have their secret."""
    return _HOOK_NAMES.search(name) is not None


def of_header(name: str, value: str) -> Iterator[str]:
    """Yield what of the value of a header is secret by itself; its name must speak of a secret."""
    yield value
    lower = name.lower()
    if "set-cookie" in lower:
        yield from _SET_COOKIE.findall(value)
    elif "cookie" in lower:
        yield from (pair.partition("=")[2].strip() for pair in value.split(";"))
    elif " " in value:
        scheme, _, rest = value.partition(" ")
        yield rest
        if scheme.lower() == "basic":
            try:
                plain = base64.b64decode(rest).decode()
            except ValueError:
                return
            yield plain
            yield from plain.split(":", 1)


def of_urls(data: bytes) -> Iterator[str]:
    """Yield the passwords and keys of the URLs in a text."""
    if b"://" not in data:
        return
    for login in _LOGIN.findall(data):
        yield from (unquote(text_of(word)) for word in login)
    for name, value in _PARAMETER.findall(data):
        if is_secret(unquote(text_of(name))):
            yield unquote(text_of(value).replace("+", " "))


def bare_host(host: str, stand_in: Callable[[str], str]) -> str:
    """
    Return the host of a hook, with stand-ins for the labels of 8 characters or more before its domain.

    Receivers that anyone can rent have the secret there.
    """
    if "[" in host:
        return host
    labels = host.split(".")
    own = [stand_in(label) if len(label) >= SHORTEST else label for label in labels[:-_DOMAIN]]
    return ".".join([*own, *labels[-_DOMAIN:]])


def spellings(secret: str) -> Iterator[str]:
    """Yield how a secret may be written: as it is, URL-encoded, escaped in JSON, in base64 wherever it begins."""
    yield secret
    for encoded in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield encoded
        yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), encoded)
    yield orjson.dumps(bytes_of(secret).decode("utf-8", "replace")).decode()[1:-1]
    yield json.dumps(secret)[1:-1]
    data = bytes_of(secret)
    for shift, unsure in ((0, 0), (1, 2), (2, 3)):
        # In base64 it reads in one of three ways, by what stands before it; its ends depend on what is around it.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(bytes(shift) + data).decode().rstrip("=")
            yield whole[unsure : len(whole) if (shift + len(data)) % 3 == 0 else -1]


class Finder:
    """
    Finds known secrets in texts.

    Args:
        known: the secrets; those shorter than `SHORTEST` are not looked for.
    """

    def __init__(self, known: Iterable[str]) -> None:
        long = sorted((secret for secret in known if len(secret) >= SHORTEST), key=len)
        self._names = {spelling: secret for secret in long for spelling in spellings(secret)}
        longest_first = sorted(self._names, key=lambda text: (-len(text), text))
        self._text = re.compile("|".join(map(re.escape, longest_first)))
        self._bytes = re.compile(b"|".join(re.escape(bytes_of(text)) for text in longest_first))

    def replaced(self, text: str, name: Callable[[str], str]) -> str:
        """Return `text` with `name(secret)` for each secret."""
        return self._text.sub(lambda found: name(self._names[found[0]]), text) if self._names and text else text

    def replaced_in(self, data: bytes, name: Callable[[str], str]) -> bytes:
        """Return `data` with `name(secret)` for each secret."""
        if not self._names or not data:
            return data
        return self._bytes.sub(lambda found: name(self._names[text_of(found[0])]).encode(), data)


@lru_cache(maxsize=256)
def finder_of(known: frozenset[str]) -> Finder:
    """Return what finds these secrets; it takes its time to make."""
    return Finder(known)


def without(value: _Value, known: Collection[str]) -> _Value:
    """
    Return a report, or what else is made of texts, without secrets that are known: "…" stands for each.

    Args:
        value: texts in tuples, lists, dicts and dataclasses.
        known: the secrets, such as the keys that were sent; also looked for in all their spellings.
    """
    texts = "\n".join(_texts(value))
    sought = [text for secret in known if len(secret) >= SHORTEST for text in spellings(secret)]
    there = sorted({text for text in sought if text in texts}, key=len, reverse=True)
    cuts = frozenset(sought) if "…" in texts else frozenset()
    if not there and not cuts:
        return value

    def change(text: str) -> str:
        for secret in there:
            text = text.replace(secret, "…")
        return _without_starts(text, cuts) if "…" in text else text

    made: _Value = _everywhere(value, change)
    return made


def _without_starts(text: str, known: Collection[str]) -> str:
    """Leave out what a secret began with before its text was cut short, at "…"."""
    pieces = text.split("…")
    for index, piece in enumerate(pieces[:-1]):
        longest = max((_overlap(piece, secret) for secret in known), default=0)
        if longest >= _LEAST_OF_A_CUT:
            pieces[index] = piece[:-longest]
    return "…".join(pieces)


def _overlap(text: str, secret: str) -> int:
    """Return how many characters of the end of `text` a secret begins with."""
    start = secret[:_LEAST_OF_A_CUT]
    at = text.find(start, max(len(text) - len(secret), 0))
    while at >= 0:
        if secret.startswith(text[at:]):
            return len(text) - at
        at = text.find(start, at + 1)
    return 0


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for pair in value.items() for inner in pair for text in _texts(inner))
    elif isinstance(value, (list, tuple)):
        yield from (text for inner in value for text in _texts(inner))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from (text for field in fields(value) for text in _texts(getattr(value, field.name)))


def _everywhere(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value) if type(value) is str else value  # what is a member of an enumeration is no text of theirs
    if isinstance(value, dict):
        return {_everywhere(name, change): _everywhere(inner, change) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        made = [_everywhere(inner, change) for inner in value]
        return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
    if is_dataclass(value) and not isinstance(value, type):
        # A rule's id is ours, and looked up.
        names = [field.name for field in fields(value) if field.init and field.name != "rule"]
        return replace(value, **{name: _everywhere(getattr(value, name), change) for name in names})
    return value


class SentSecrets:
    """The secrets that the clients of a recording sent in headers and URLs, up to a number."""

    MOST = 10_000

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._secret: dict[tuple[str, ...], tuple[str, ...]] = {}  # by the names of all headers, those to look at

    def note(self, exchange: Exchange) -> None:
        """Take in the secrets of an exchange. This is on the way of every message."""
        seen = self._seen
        if len(seen) < self.MOST:
            headers, url = exchange.request_headers, exchange.url
            names = tuple(headers)
            secret = self._secret.get(names)
            if secret is None:
                secret = tuple(filter(is_secret, names))
                if len(self._secret) < self.MOST:
                    self._secret[names] = secret
            for name in secret:
                if headers[name] not in seen:
                    seen.update(of_header(name, headers[name]))
            if "?" in url or "@" in url:
                seen.update(of_urls(bytes_of(url)))

    def masked(self, value: _Value) -> _Value:
        """Return a report, or what else is made of texts, without them."""
        return without(value, self._seen)


def bytes_of(text: str) -> bytes:
    """Return a text as bytes, those that are no UTF-8 as they were."""
    return text.encode("utf-8", "surrogateescape")


def text_of(data: bytes) -> str:
    """Return bytes as a text, from which `bytes_of` makes them again."""
    return data.decode("utf-8", "surrogateescape")
