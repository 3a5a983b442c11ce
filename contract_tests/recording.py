"""Writes recordings as JSON Lines, secrets replaced by pseudonyms. `schemas/recording.schema.json` is the format."""

from __future__ import annotations

import base64
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlencode, urlsplit, urlunsplit

import orjson

from contract_tests.exchanges import Endpoint, Exchange, Part
from mock_server import bodies
from mock_server.errors import ApiError

SHORTEST = 8
"""Characters that a secret needs to be looked for in other places than its own: a shorter one could be any word."""

VERSION = 1

_SECRET = re.compile(r"key|token|secret|auth(?!ority|enticate)|cookie|passw", re.IGNORECASE)
_PSEUDONYM = re.compile("key-[0-9a-f]{16}")
_HOOK = re.compile(r"hook_?url|call_?back|notify_?(?:url|hook)", re.IGNORECASE)
_NAMED = re.compile(
    rb'("[^"\\]{0,80}?(?:key|token|secret|auth|cookie|passw)[^"\\]{0,80}"\s*:\s*")((?:[^"\\]|\\.)*)', re.IGNORECASE
)
# A field in what is no JSON, but looks like a piece of it.
_HOOK_NAMED = re.compile(rb'("(?:hook_?url|call_?back)[^"]{0,80}"\s*:\s*")((?:[^"\\]|\\.)*)', re.IGNORECASE)
_LOGIN = re.compile(rb"://([^/\s\"'@:?#]{1,200}):([^/\s\"'@?#]{1,200})@")
_PARAMETER = re.compile(
    rb"[?&][\w.%-]{0,80}?(?:key|token|secret|auth|cookie|passw)[\w.%-]{0,80}=([^&#\s\"'\\]{1,4096})", re.IGNORECASE
)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SET_COOKIE = re.compile(r"(?:^|, )[^=;,\s]+=([^;,]*)")


class Pseudonyms:
    """
    Names for secrets: the same for the same secret within one recording, and of no use to find it out.

    Args:
        salt: for a recording that goes on; a new one by default. Whoever has it can check a guess.
    """

    def __init__(self, salt: bytes | None = None) -> None:
        self._salt = secrets.token_bytes(32) if salt is None else salt
        self._made: set[str] = set()

    def __call__(self, secret: str) -> str:
        """Return the pseudonym of `secret`; a pseudonym stays what it is."""
        if not secret or secret in self._made:
            return secret
        digest = blake2b(secret.encode("utf-8", "surrogateescape"), key=self._salt, digest_size=8)
        name = f"key-{digest.hexdigest()}"
        if len(self._made) < 100_000:
            self._made.add(name)
        return name


class Writer:
    """
    Appends exchanges to a recording, a line each, which is in the file when `write` returns.

    Several processes may append to the same file. A line that a crash left unfinished stays by itself.

    Args:
        path: of the file; it is made when it is not there.
        pseudonyms: by which secrets are replaced; new ones by default.
        redact: whether they are replaced at all.
    """

    def __init__(self, path: str | Path, *, pseudonyms: Pseudonyms | None = None, redact: bool = True) -> None:
        self._lock = Lock()
        self._pseudonyms = (pseudonyms or Pseudonyms()) if redact else None
        self._file = Path(path).open("a+b", buffering=0)  # noqa: SIM115 - close() closes it
        size = self._file.seek(0, os.SEEK_END)
        if size:
            self._file.seek(size - 1)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")

    def write(self, exchange: Exchange) -> None:
        """Write one exchange down."""
        line = as_line(exchange if self._pseudonyms is None else redacted(exchange, self._pseudonyms))
        with self._lock:
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]

    def close(self) -> None:
        """End the recording; `with` does it by itself."""
        self._file.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def as_line(exchange: Exchange) -> bytes:
    """Return an exchange as a line of a recording, as it is; `redacted` makes it fit to be kept."""
    request: dict[str, Any] = {"method": exchange.method, "url": exchange.url}
    line: dict[str, Any] = {"version": VERSION, "kind": "exchange"}
    if exchange.endpoint is Endpoint.CALLBACK:
        line["kind"] = "hook"
    elif exchange.endpoint is not None:
        line["endpoint"] = exchange.endpoint.value
    line |= {name: value for name, value in (("at", exchange.at), ("elapsed", exchange.elapsed)) if value is not None}
    line["request"] = request
    _put(request, exchange.request_headers, exchange.request_body)
    if exchange.parts is not None:
        request["parts"] = [_part(part) for part in exchange.parts]
    if exchange.status is not None:
        response: dict[str, Any] = {"status": exchange.status}
        _put(response, exchange.response_headers, exchange.response_body)
        line["response"] = response
    if exchange.error:
        line["error"] = exchange.error
    try:
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # half of a surrogate pair, which is how Python shows bytes that are no text
        return orjson.dumps(_clean(line), option=orjson.OPT_APPEND_NEWLINE)


def _put(message: dict[str, Any], headers: Mapping[str, str], body: bytes | None) -> None:
    if headers:
        message["headers"] = dict(headers)
    if body is None:
        return
    try:
        message["body"] = body.decode()
    except UnicodeDecodeError:
        message["body_base64"] = base64.b64encode(body).decode()


def _part(part: Part) -> dict[str, Any]:
    defaults = {"text": None, **Part._field_defaults}
    return {name: value for name, value in part._asdict().items() if name == "name" or value != defaults[name]}


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {_clean(name): _clean(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_clean(inner) for inner in value]
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if isinstance(value, str) else value


# Secrets


def redacted(exchange: Exchange, pseudonyms: Pseudonyms) -> Exchange:
    """
    Return an exchange without its secrets, each replaced by its pseudonym.

    Secrets are the values of headers, query parameters and fields, in JSON and in forms, whose names speak of a key,
    token, secret, password, cookie or authorization; user, password and query values of hook URLs; and whatever a
    header or a URL had of keys and passwords, of 8 characters or more, wherever else in the exchange it stands, be it
    as it is, URL-encoded, escaped or in base64. The files of a multipart body are left out: only their sizes stay.
    """
    return _Redaction(exchange, pseudonyms).exchange()


class _Redaction:
    def __init__(self, exchange: Exchange, pseudonyms: Pseudonyms) -> None:
        self._given = exchange
        self._name = pseudonyms
        seen: set[str] = set()
        for name, value in (*exchange.request_headers.items(), *exchange.response_headers.items()):
            if _is_secret(name):
                seen.update(_secrets_in(name, value))
        for data in (_bytes_of(exchange.url), exchange.request_body, exchange.response_body):
            seen.update(_credentials_in(data or b""))
        known = frozenset(secret for secret in seen if len(secret) >= SHORTEST)
        self._known = _wanted(known) if known else None

    def exchange(self) -> Exchange:
        given = self._given
        request_headers = self._headers(given.request_headers)
        body, parts = self._sent()
        return given._replace(
            url=self._url(given.url, hook=given.endpoint is Endpoint.CALLBACK),
            request_headers=request_headers,
            request_body=body,
            parts=parts,
            response_headers=self._headers(given.response_headers),
            response_body=self._body(given.response_body, given.response_headers),
            error=self._elsewhere(given.error),
        )

    def _elsewhere(self, text: str) -> str:
        """Replace the secrets that were in headers and URLs."""
        if self._known is None or not text:
            return text
        names, pattern, _ = self._known
        return pattern.sub(lambda found: self._name(names[found.group()]), text)

    def _elsewhere_in(self, data: bytes) -> bytes:
        if self._known is None or not data:
            return data
        names, _, pattern = self._known
        return pattern.sub(lambda found: self._name(names[_text_of(found.group())]).encode(), data)

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {self._elsewhere(name): self._header(name, value) for name, value in headers.items()}

    def _header(self, name: str, value: str) -> str:
        if _is_secret(name):
            scheme, space, rest = value.partition(" ")
            if space and scheme.lower() in {"bearer", "basic", "token"}:
                return f"{scheme} {self._name(rest)}"
            return self._name(value)
        return self._url(value) if _URL.match(value) else self._elsewhere(value)

    def _url(self, url: str, *, hook: bool = False) -> str:
        """Redact a URL; of a hook's, all values of the query."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return self._name(url) if hook else self._elsewhere(url)
        user, at, host = parts.netloc.rpartition("@")
        netloc = f"{':'.join(self._name(unquote(word)) for word in user.split(':', 1))}{at}{host}"
        query = "&".join(self._parameter(field, hook=hook) for field in parts.query.split("&"))
        if (netloc, query) != (parts.netloc, parts.query):
            url = urlunsplit(parts._replace(netloc=netloc, query=query))
        return self._elsewhere(url)

    def _parameter(self, field: str, *, hook: bool) -> str:
        name, equals, value = field.partition("=")
        plain = unquote(name)
        if hook and not equals:
            return self._name(plain)
        if value and (hook or _is_secret(plain)):
            return f"{name}={self._name(unquote(value.replace('+', ' ')))}"
        if value and _HOOK.search(plain):
            return f"{name}={quote(self._url(unquote(value.replace('+', ' ')), hook=True), safe='')}"
        return field

    def _sent(self) -> tuple[bytes | None, tuple[Part, ...] | None]:
        given = self._given
        content_type = given.request_headers.get("content-type", "")
        body, parts = given.request_body, given.parts
        if body and bodies.media_type(content_type).startswith("multipart/"):
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
        if _is_secret(name):
            return self._name(value)
        return self._url(value, hook=True) if _HOOK.search(name) else self._elsewhere(value)

    def _body(self, body: bytes | None, headers: Mapping[str, str]) -> bytes | None:
        if not body:
            return body
        if bodies.media_type(headers.get("content-type", "")) == bodies.FORM:
            return self._elsewhere_in(self._form(body))
        return self._elsewhere_in(self._json(body))

    def _form(self, body: bytes) -> bytes:
        try:
            pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict")
        except ValueError:
            return self._pieces(body)
        clean = [(self._elsewhere(name), self._field(name, value)) for name, value in pairs]
        return body if clean == pairs else urlencode(clean).encode()

    def _json(self, body: bytes) -> bytes:
        try:
            value = orjson.loads(body)
            clean = self._value(value)
            return body if clean == value else orjson.dumps(clean)
        except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):  # no JSON, or nested too deep
            return self._pieces(body)

    def _pieces(self, body: bytes) -> bytes:
        """Redact what is no JSON, but may be a piece of it."""
        body = _NAMED.sub(partial(self._named, hook=False), body)
        return _HOOK_NAMED.sub(partial(self._named, hook=True), body)

    def _named(self, found: re.Match[bytes], *, hook: bool) -> bytes:
        try:
            text = str(orjson.loads(b'"' + found[2] + b'"'))
        except orjson.JSONDecodeError:
            text = found[2].decode("latin-1")
        return found[1] + orjson.dumps(self._url(text, hook=True) if hook else self._name(text))[1:-1]

    def _value(self, value: Any, *, secret: bool = False, hook: bool = False) -> Any:
        """Redact a JSON value; whatever lies under a name that speaks of secrets is one."""
        if isinstance(value, dict):
            return {
                self._elsewhere(name): self._value(
                    inner, secret=secret or _is_secret(name), hook=hook or bool(_HOOK.search(name))
                )
                for name, inner in value.items()
            }
        if isinstance(value, list):
            return [self._value(inner, secret=secret, hook=hook) for inner in value]
        if secret and isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return self._name(str(value))
        if not isinstance(value, str):
            return value
        if hook:
            return self._url(value, hook=True)
        if value[:1] in {"{", "["}:
            return self._json(value.encode()).decode()
        return self._elsewhere(value)


def _is_secret(name: str) -> bool:
    """Whether a name speaks of a secret; a pseudonym in it, which stands for a secret, does not."""
    return _SECRET.search(_PSEUDONYM.sub("", name)) is not None


def _secrets_in(name: str, value: str) -> Iterable[str]:
    """Yield what of a header's value is secret by itself."""
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


def _credentials_in(data: bytes) -> Iterable[str]:
    """Yield the passwords and keys of the URLs in a text."""
    if b"://" not in data:
        return
    for login in _LOGIN.findall(data):
        yield from (unquote(_text_of(word)) for word in login)
    for value in _PARAMETER.findall(data):
        yield unquote(_text_of(value).replace("+", " "))


_Wanted = tuple[dict[str, str], re.Pattern[str], re.Pattern[bytes]]


@lru_cache(maxsize=256)
def _wanted(known: frozenset[str]) -> _Wanted:
    """Return the spellings of secrets, each with its secret, and patterns that find them in texts and in bytes."""
    names = {spelling: secret for secret in sorted(known, key=len) for spelling in _spellings(secret)}
    longest_first = sorted(names, key=lambda text: (-len(text), text))
    return (
        names,
        re.compile("|".join(map(re.escape, longest_first))),
        re.compile(b"|".join(re.escape(_bytes_of(text)) for text in longest_first)),
    )


def _spellings(secret: str) -> Iterable[str]:
    yield secret
    for encoded in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield encoded
        yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), encoded)
    yield orjson.dumps(_clean(secret)).decode()[1:-1]
    data = _bytes_of(secret)
    for shift, unsure in ((0, 0), (1, 2), (2, 3)):
        # In base64 it reads in one of three ways, by what stands before it; its ends depend on what is around it.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(bytes(shift) + data).decode().rstrip("=")
            yield whole[unsure : len(whole) if (shift + len(data)) % 3 == 0 else -1]


def _bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text_of(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _parts_of(content_type: str, body: bytes) -> tuple[Part, ...] | None:
    try:
        form = bodies.read_multipart(content_type, body)
    except ApiError:
        return None  # nobody can tell what is secret in it
    fields = [Part(name, str(value)) for name, value in form.fields.items()]
    files = [Part(file.name, None, file.filename, file.content_type, len(file.data)) for file in form.files]
    return (*fields, *files)
