"""Replaces the secrets of an exchange by pseudonyms, wherever in it they stand and however they are written."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from threading import Lock
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus, urlsplit, urlunsplit

import orjson

from contract_tests import secrets as secrets_in
from contract_tests.exchanges import Endpoint, Exchange, Part, target_of
from mock_server import bodies
from mock_server.errors import ApiError

_NAMED = re.compile(rb'"([^"\\]{1,160})"\s*:\s*"((?:[^"\\]|\\.)*)', re.DOTALL)
# A field in what is no JSON, but looks like a piece of it.
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_URLS = re.compile(r"https?://([^/?#\s\"'<>\\]+)(?:[^\s\"'<>]*[^\s\"'<>.,:;!?)\]}])?", re.IGNORECASE)
_MULTIPART = re.compile(rb"\s*--([^\s\"]{1,70})[ \t]*\r?\n[Cc]ontent-")
_MOST_REMEMBERED = 16
# Secrets of headers, and hosts of hooks, that are looked for in the exchanges to come.


class Pseudonyms:
    """
    Names for secrets: the same for the same secret within one recording, and of no use to find it out.

    Args:
        salt: for a recording that goes on; a new one by default. Whoever has it can check a guess.
    """

    def __init__(self, salt: bytes | None = None) -> None:
        self._salt = secrets.token_bytes(32) if salt is None else salt
        self._made: set[str] = set()
        self._lock = Lock()
        self._seen: dict[str, None] = {}
        self._hook_hosts: dict[str, None] = {}

    def __call__(self, secret: str) -> str:
        """Return the pseudonym of `secret`; a pseudonym stays what it is."""
        if not secret or secret in self._made:
            return secret
        digest = blake2b(secret.encode("utf-8", "surrogateescape"), key=self._salt, digest_size=8)
        name = f"key-{digest.hexdigest()}"
        if len(self._made) < 100_000:
            self._made.add(name)
        return name

    def remember(self, sent: Iterable[str]) -> frozenset[str]:
        """Take in secrets that a client sent, and return these and the last ones before them."""
        with self._lock:
            return frozenset(_remembered(self._seen, (one for one in sent if len(one) >= secrets_in.SHORTEST)))

    def remember_hooks(self, hosts: Iterable[str]) -> frozenset[str]:
        """Take in hosts that hooks are on, with their ports, and return these and the last ones before them."""
        with self._lock:
            return frozenset(_remembered(self._hook_hosts, hosts))


def _remembered(kept: dict[str, None], new: Iterable[str]) -> Iterable[str]:
    for one in new:
        kept.pop(one, None)
        kept[one] = None
    while len(kept) > _MOST_REMEMBERED:
        del kept[next(iter(kept))]
    return kept


def redacted(exchange: Exchange, pseudonyms: Pseudonyms) -> Exchange:
    """
    Return an exchange without its secrets, each replaced by its pseudonym.

    Secrets are the values of headers, query parameters and fields, in JSON and in forms, whose names speak of one
    (`contract_tests.secrets`); of hook URLs all but scheme, domain and port, wherever a URL on their host stands; and
    whatever a header or a URL had of keys and passwords, of 8 characters or more, wherever else in the exchange it
    stands, be it as it is, URL-encoded, escaped or in base64; so with fields of the request, for answers repeat what
    they refuse. What was in the headers of a request is looked for in the exchanges after it, too. The files of a
    multipart body are left out: only their sizes stay.
    """
    return _Redaction(exchange, pseudonyms).exchange()


class _Redaction:
    def __init__(self, exchange: Exchange, pseudonyms: Pseudonyms) -> None:
        self._given = exchange
        self._name = pseudonyms
        seen = set(pseudonyms.remember(_sent_in(exchange.request_headers)))
        seen.update(_sent_in(exchange.response_headers))
        for data in (secrets_in.bytes_of(exchange.url), exchange.request_body, exchange.response_body):
            seen.update(secrets_in.of_urls(data or b""))
        self._seen = {one for one in seen if len(one) >= secrets_in.SHORTEST}
        self._finder = secrets_in.finder_of(frozenset(self._seen))
        self._is_request = False
        self._hook_urls: set[str] = set()
        self._is_hook = exchange.endpoint is Endpoint.CALLBACK
        self._hosts = pseudonyms.remember_hooks([_host_of(exchange.url)] if self._is_hook else [])

    def exchange(self) -> Exchange:
        known, seen = self._hosts, len(self._seen)
        clean = self._clean()
        # A hook's host, or a secret, may stand before the field that tells it.
        if (self._hosts, len(self._seen)) == (known, seen):
            return clean
        self._finder = secrets_in.finder_of(frozenset(self._seen))
        return self._clean()

    def _clean(self) -> Exchange:
        given = self._given
        self._is_request = True
        body, parts = self._sent()
        url = self._url(given.url, hook=self._is_hook or self._on_hook_host(given.url))
        self._is_request = False
        return given.changed(
            url=url,
            request_headers=self._headers(given.request_headers),
            request_body=body,
            parts=parts,
            response_headers=self._headers(given.response_headers),
            response_body=self._body(given.response_body, given.response_headers),
            error=self._elsewhere(given.error),
        )

    def _elsewhere(self, text: str) -> str:
        """Replace the secrets that were in headers and URLs, and the URLs of hooks."""
        text = self._finder.replaced(text, self._stand_in)
        if not self._hosts or "://" not in text:
            return text
        return _URLS.sub(
            lambda found: self._hook_url(found[0]) if found[1].rpartition("@")[2] in self._hosts else found[0], text
        )

    def _elsewhere_in(self, data: bytes) -> bytes:
        return self._finder.replaced_in(data, self._stand_in)

    def _stand_in(self, secret: str) -> str:
        return self._hook_url(secret) if secret in self._hook_urls else self._name(secret)

    def _noted(self, secret: str) -> str:
        """Return the pseudonym of a secret that is a field; what was sent in one is looked for elsewhere, too."""
        name = self._name(secret)
        if self._is_request and name != secret and len(secret) >= secrets_in.SHORTEST:
            self._seen.add(secret)
        return name

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {self._elsewhere(name): self._header(name, value) for name, value in headers.items()}

    def _header(self, name: str, value: str) -> str:
        if secrets_in.is_secret(name):
            scheme, space, rest = value.partition(" ")
            if space and scheme.lower() in {"bearer", "basic", "token"}:
                return f"{scheme} {self._name(rest)}"
            return self._name(value)
        return self._text(value)

    def _url(self, url: str, *, hook: bool = False) -> str:
        """Redact a URL; of a hook's, everything but scheme, domain and port."""
        if hook:
            return self._hook_url(url)
        try:
            parts = urlsplit(url)
        except ValueError:
            return self._elsewhere(url)
        netloc = self._netloc(parts.netloc)
        query = "&".join(self._parameter(field) for field in parts.query.split("&"))
        fragment = "&".join(self._parameter(field) for field in parts.fragment.split("&"))
        if (netloc, query, fragment) != (parts.netloc, parts.query, parts.fragment):
            url = urlunsplit(parts._replace(netloc=netloc, query=query, fragment=fragment))
        return self._elsewhere(url)

    def _netloc(self, netloc: str) -> str:
        user, at, host = netloc.rpartition("@")
        return f"{':'.join(self._name(unquote(word)) for word in user.split(':', 1))}{at}{host}"

    def _hook_url(self, url: str) -> str:
        try:
            parts = urlsplit(url)
        except ValueError:
            return self._name(url)
        if not parts.netloc:
            return self._name(url)
        user, at, host = self._netloc(parts.netloc).rpartition("@")
        name, colon, port = host.partition(":")
        path = f"/{self._name(unquote(parts.path[1:]))}" if parts.path else ""
        query = "&".join(self._hook_parameter(field) for field in parts.query.split("&") if field)
        netloc = f"{user}{at}{secrets_in.bare_host(name, self._name)}{colon}{port}"
        clean = parts._replace(netloc=netloc, path=path, query=query, fragment=self._name(unquote(parts.fragment)))
        # Its own host may well be another one now, by which it is known again.
        self._hosts = self._name.remember_hooks(
            host for host in (_host_of(url), _host_of(urlunsplit(clean))) if host != _host_of(self._given.url)
        )
        made = self._finder.replaced(urlunsplit(clean), self._name)
        if self._is_request and made != url and not self._is_hook:
            self._seen.add(url)
            self._hook_urls.add(url)
        return made

    def _hook_parameter(self, field: str) -> str:
        name, equals, value = field.partition("=")
        return f"{name}={self._name(unquote_plus(value))}" if equals else self._name(unquote(name))

    def _on_hook_host(self, url: str) -> bool:
        return _host_of(url) in self._hosts and target_of(url).endpoint is None

    def _parameter(self, field: str) -> str:
        name, _, value = field.partition("=")
        if not value:
            return field
        plain, said = unquote(name), unquote_plus(value)
        if secrets_in.is_secret(plain):
            return f"{name}={self._noted(said)}"
        if secrets_in.is_hook(plain):
            return f"{name}={quote(self._hook_url(said), safe='')}"
        return field

    def _sent(self) -> tuple[bytes | None, tuple[Part, ...] | None]:
        given = self._given
        content_type = given.request_headers.get("content-type", "")
        body, parts = given.request_body, given.parts
        looks_like = _MULTIPART.match(body or b"")
        if body and (looks_like or bodies.media_type(content_type).startswith("multipart/")):
            if looks_like:  # whatever its header says: a client that forgets to set it sends it as JSON
                content_type = f'{bodies.MULTIPART}; boundary="{secrets_in.text_of(looks_like[1])}"'
                body = body.lstrip()
            parts = parts if parts is not None else _parts_of(content_type, body)
            body = None
        if parts is not None:
            parts = tuple(self._part(part) for part in parts)
        return self._body(body, given.request_headers), parts

    def _part(self, part: Part) -> Part:
        return Part(
            self._elsewhere(part.name),
            None if part.text is None else self._field(part.name, part.text),
            None if part.filename is None else self._elsewhere(part.filename),
            self._elsewhere(part.content_type),
            part.size,
        )

    def _field(self, name: str, value: str) -> str:
        if secrets_in.is_secret(name):
            return self._noted(value)
        return self._hook_url(value) if value and secrets_in.is_hook(name) else self._text(value)

    def _text(self, value: str) -> str:
        if _URL.match(value):
            return self._url(value)
        if value[:1] in {"{", "["}:
            value = secrets_in.text_of(self._json(secrets_in.bytes_of(value)))
        return self._elsewhere(value)

    def _body(self, body: bytes | None, headers: Mapping[str, str]) -> bytes | None:
        if not body:
            return body
        encoding = json.detect_encoding(body)
        if not encoding.startswith("utf-8"):
            try:
                text = body.decode(encoding)
            except UnicodeDecodeError:
                return self._elsewhere_in(body)
            clean = self._body(text.encode(), headers) or b""
            return body if clean.decode() == text else clean.decode().encode(encoding)
        is_form = bodies.media_type(headers.get("content-type", "")) == bodies.FORM
        if is_form and body.lstrip()[:1] not in {b"{", b"["}:
            return self._elsewhere_in(self._form(body))
        return self._elsewhere_in(self._json(body))

    def _form(self, body: bytes) -> bytes:
        """Redact a form, or what is none: then there is no field in it."""
        pairs = secrets_in.text_of(body).split("&")
        return self._pieces(secrets_in.bytes_of("&".join(map(self._pair, pairs))))

    def _pair(self, pair: str) -> str:
        name, equals, value = pair.partition("=")
        if not equals:
            return pair
        plain, said = unquote_plus(name), unquote_plus(value)
        clean_name, clean = self._elsewhere(plain), self._field(plain, said)
        return (
            f"{name if clean_name == plain else quote_plus(clean_name)}={value if clean == said else quote_plus(clean)}"
        )

    def _json(self, body: bytes) -> bytes:
        try:
            value = orjson.loads(body)
            clean = self._value(value)
            return body if clean == value and not _has_repeated_names(body) else orjson.dumps(clean)
        except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):  # no JSON, or nested too deep
            return self._pieces(body) if body.lstrip()[:1] in {b"{", b"["} else self._form(body)

    def _pieces(self, body: bytes) -> bytes:
        """Redact what is no JSON, but may be a piece of it."""
        return _NAMED.sub(self._named, body)

    def _named(self, found: re.Match[bytes]) -> bytes:
        name = secrets_in.text_of(found[1])
        if not secrets_in.is_secret(name) and not secrets_in.is_hook(name):
            return found[0]
        try:
            text = str(orjson.loads(b'"' + found[2] + b'"'))
        except orjson.JSONDecodeError:
            text = found[2].decode("latin-1")
        start = found[0][: len(found[0]) - len(found[2])]
        return start + orjson.dumps(self._field(name, text))[1:-1]

    def _value(self, value: Any, *, secret: bool = False, hook: bool = False) -> Any:
        """Redact a JSON value; whatever lies under a name that speaks of secrets is one."""
        if isinstance(value, dict):
            return {
                self._elsewhere(name): self._value(
                    inner, secret=secret or secrets_in.is_secret(name), hook=hook or secrets_in.is_hook(name)
                )
                for name, inner in value.items()
            }
        if isinstance(value, list):
            return [self._value(inner, secret=secret, hook=hook) for inner in value]
        if secret and isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return self._noted(str(value))
        if not isinstance(value, str):
            return value
        return self._hook_url(value) if hook and value else self._text(value)


def _sent_in(headers: Mapping[str, str]) -> Iterable[str]:
    for name, value in headers.items():
        if secrets_in.is_secret(name):
            yield from secrets_in.of_header(name, value)


def _host_of(url: str) -> str:
    found = _URLS.match(url)
    return found[1].rpartition("@")[2] if found else ""


def _has_repeated_names(body: bytes) -> bool:
    """Whether an object has a name twice: only the last of these was looked at."""
    repeated = False

    def noted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        made = dict(pairs)
        repeated = repeated or len(made) < len(pairs)
        return made

    json.loads(body, object_pairs_hook=noted)
    return repeated


def _parts_of(content_type: str, body: bytes) -> tuple[Part, ...] | None:
    try:
        form = bodies.read_multipart(content_type, body)
    except ApiError:
        return None  # nobody can tell what is secret in it
    fields = [Part(name, str(value)) for name, value in form.fields.items()]
    files = [Part(file.name, None, file.filename, file.content_type, len(file.data)) for file in form.files]
    return (*fields, *files)
