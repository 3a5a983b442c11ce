"""What is written is read again, fits its schema, and holds no secret."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import jsonschema
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recording_makers import FETCH, NOWHERE, placeless, sample

from contract_tests.exchanges import Endpoint, Exchange, Part, Trouble, target_of
from contract_tests.readers import lines, read
from contract_tests.recording import Writer, as_line
from contract_tests.redaction import Pseudonyms, redacted
from contract_tests.secrets import is_secret
from mock_server import resources

SCHEMA = jsonschema.Draft202012Validator(resources.load("recording.schema.json"))
KEY = "tt-4f9a77c1/d2+e3=="

TEXTS = st.text(max_size=12)
HEADERS = st.dictionaries(st.text("abc-é", min_size=1, max_size=5), TEXTS, max_size=3)
BODIES = st.none() | st.binary(max_size=30) | TEXTS.map(str.encode)
NUMBERS = st.none() | st.floats(0, 1e10)
PARTS = st.builds(Part, TEXTS, st.none() | TEXTS, st.none() | TEXTS, TEXTS, st.integers(0, 2**40))


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    answered = draw(st.booleans())
    return Exchange(
        place=NOWHERE,
        method=draw(st.sampled_from(["GET", "POST"])),
        url=draw(TEXTS),
        request_headers=draw(HEADERS),
        request_body=draw(BODIES),
        parts=draw(st.none() | st.lists(PARTS, max_size=3).map(tuple)),
        status=draw(st.integers(100, 599)) if answered else None,
        response_headers=draw(HEADERS) if answered else {},
        response_body=draw(BODIES) if answered else None,
        at=draw(NUMBERS),
        elapsed=draw(NUMBERS),
        error="" if answered else draw(TEXTS),
        endpoint=draw(st.none() | st.sampled_from(Endpoint)),
    )


def again(*written: bytes) -> list[Exchange]:
    return placeless(lines.read("x", iter(written)))


@given(exchanges())
def test_what_is_written_is_read_again_and_fits_the_schema(exchange: Exchange) -> None:
    line = as_line(exchange)
    SCHEMA.validate(json.loads(line))
    assert line.count(b"\n") == 1
    assert again(line) == [exchange]


def test_the_schema_is_valid_and_describes_every_property() -> None:
    schema = resources.load("recording.schema.json")
    jsonschema.Draft202012Validator.check_schema(schema)
    for example in schema["examples"]:
        SCHEMA.validate(example)
        (item,) = again(orjson.dumps(example))
        assert as_line(item) == orjson.dumps(example) + b"\n" or json.loads(as_line(item)) == example
    objects = [schema, *schema["properties"].values(), *schema["$defs"].values()]
    properties = [field for one in objects for field in one.get("properties", {}).values()]
    assert len(properties) > 20
    for field in properties:
        name = field.get("$ref", "").rpartition("/")[2]
        assert field.get("description") or schema["$defs"][name]["description"]


def test_half_of_a_surrogate_pair_is_written_as_what_stands_for_it() -> None:
    (exchange,) = again(as_line(sample(url="http://x/\udce9", request_headers={"a": "\udce9"})))
    assert (exchange.url, exchange.request_headers) == ("http://x/\ufffd", {"a": "\ufffd"})


def test_a_writer_appends_and_leaves_half_a_line_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "recording.jsonl"
    with Writer(path, redact=False) as writer:
        writer.write(sample(1))
        assert placeless(read(str(path))) == [sample(1)]  # before it is closed
    path.write_bytes(path.read_bytes() + b'{"version": 1, "kind"')
    with Writer(path, redact=False) as one, Writer(path, redact=False) as other:
        one.write(sample(2))
        other.write(sample(3))
        one.write(sample(4))
    items = list(read(str(path)))
    assert [item.place.line for item in items if isinstance(item, Trouble)] == [2]
    assert placeless(item for item in items if isinstance(item, Exchange)) == [sample(n) for n in (1, 2, 3, 4)]


FULL_DISK = """
import resource, signal, sys
from contract_tests.exchanges import Exchange, Place
from contract_tests.recording import Writer

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Writer(sys.argv[1], redact=False) as writer:
    one = Exchange(Place("x", 1), "GET", "https://api.ttapi.io/", status=200)
    writer.write(one)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, limits[1]))
    try:
        writer.write(one)
    except OSError:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        print(writer.write(one).line)
"""


def test_what_a_full_disk_has_cut_off_stays_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "recording.jsonl"
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "3\n", done.stderr
    assert [(type(item), item.place.line) for item in read(str(path))] == [(Exchange, 1), (Trouble, 2), (Exchange, 3)]


def test_threads_may_share_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "recording.jsonl"
    with Writer(path) as writer:
        threads = [threading.Thread(target=lambda: [writer.write(sample()) for _ in range(50)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(placeless(read(str(path)))) == 200


# Secrets


def safe(exchange: Exchange, pseudonyms: Pseudonyms | None = None) -> Exchange:
    return redacted(exchange, pseudonyms or Pseudonyms())


def test_what_has_no_secret_stays_as_it_is() -> None:
    exchange = sample(request_headers={"content-type": "application/json", ":authority": "api.ttapi.io"})
    assert safe(exchange) == exchange


@pytest.mark.parametrize(
    "name", ["tt-api-key", "authorization", "cookie", "x-api-key", "x-session-token", "client-secret", "x-auth"]
)
def test_headers_that_speak_of_secrets_are_replaced(name: str) -> None:
    names = Pseudonyms()
    assert safe(sample(request_headers={name: KEY}), names).request_headers == {name: names(KEY)}
    assert safe(sample(response_headers={f"x-{name}": KEY}), names).response_headers == {f"x-{name}": names(KEY)}


def test_a_secret_keeps_its_pseudonym_within_a_recording_only() -> None:
    names = Pseudonyms()
    assert names("a") == names("a") != names("b")
    assert names(names("a")) == names("a")
    assert Pseudonyms()("a") != names("a")
    assert Pseudonyms(b"salt")("a") == Pseudonyms(b"salt")("a")


HOOK = "https://client.example/secret-of-the-hook"


@pytest.mark.parametrize(
    "sent",
    [
        {"url": f"{FETCH}?jobId=1&api_key={quote(KEY)}"},
        {"url": f"{FETCH}?jobId=1&hookUrl={quote(HOOK, safe='')}"},
        {
            "request_headers": {"content-type": "application/x-www-form-urlencoded"},
            "request_body": urlencode({"api_key": KEY}),
        },
        {"request_headers": {"content-type": "application/json"}, "request_body": json.dumps({"api_key": KEY})},
        {"request_headers": {"content-type": "application/json"}, "request_body": json.dumps({"hookUrl": HOOK})},
        {"request_body": None, "parts": (Part("api_key", KEY),)},
        {"request_body": None, "parts": (Part("hookUrl", HOOK),)},
    ],
    ids=["query", "hook in the query", "form", "JSON", "hook in JSON", "part", "hook in a part"],
)
def test_an_answer_that_repeats_a_secret_field_is_without_it(sent: dict[str, Any]) -> None:
    if isinstance(sent.get("request_body"), str):
        sent = {**sent, "request_body": sent["request_body"].encode()}
    repeated = f"{KEY}, {HOOK} and {quote(HOOK, safe='')} are refused: {quote(KEY)}"
    exchange = sample(
        **sent, status=400, response_body=json.dumps({"message": repeated, "data": {"sent": repeated}}).encode()
    )
    written = as_line(redacted(exchange, Pseudonyms()))
    hidden = ["secret-of-the-hook"] if "hook" in str(sent).lower() else [KEY, quote(KEY), quote(KEY, safe="")]
    assert not any(text.encode() in written for text in hidden)


def test_the_scheme_of_an_authorization_stays_and_its_token_is_found_elsewhere() -> None:
    names = Pseudonyms()
    exchange = sample(request_headers={"authorization": f"Bearer {KEY}"}, error=f"no such key: {KEY}")
    clean = safe(exchange, names)
    assert clean.request_headers == {"authorization": f"Bearer {names(KEY)}"}
    assert clean.error == f"no such key: {names(KEY)}"


def test_only_the_values_of_a_cookie_are_looked_for_elsewhere() -> None:
    """Its attributes are words of every day, such as the host."""
    cookie = f"sid={KEY[:12]}; Path=/flux/fetch; Domain=api.ttapi.io; Expires=Wed, 21 Oct 2026 07:28:00 GMT"
    clean = safe(sample(response_headers={"set-cookie": cookie}, response_body=f'"{KEY[:12]}"'.encode()))
    assert target_of(clean.url).endpoint is Endpoint.FETCH
    assert KEY[:12].encode() not in as_line(clean)


@pytest.mark.parametrize("name", ["hookUrl", "hook_url", "callbackUrl"])
def test_hook_urls_lose_all_but_scheme_domain_and_port(name: str) -> None:
    hook = "https://me:pass@f4c2a9e17b.eu.client.example:81/hook;token=1?job=5&sig=abc&flag#x"
    names = Pseudonyms()
    expected = (
        f"https://{names('me')}:{names('pass')}@{names('f4c2a9e17b')}.eu.client.example:81/{names('hook;token=1')}"
        f"?job={names('5')}&sig={names('abc')}&{names('flag')}#{names('x')}"
    )
    clean = safe(
        sample(
            request_body=json.dumps({"prompt": "a cat", name: hook}).encode(),
            response_body=json.dumps({"data": {name: hook, "list": [{name: hook}]}}).encode(),
        ),
        names,
    )
    assert json.loads(clean.request_body or b"") == {"prompt": "a cat", name: expected}
    assert json.loads(clean.response_body or b"") == {"data": {name: expected, "list": [{name: expected}]}}
    form = sample(
        request_headers={"content-type": "application/x-www-form-urlencoded"},
        request_body=urlencode({name: hook}).encode(),
    )
    assert safe(form, names).request_body == urlencode({name: expected}).encode()
    assert safe(sample(parts=(Part(name, hook),)), names).parts == (Part(name, expected),)
    assert safe(sample(url=hook, endpoint=Endpoint.CALLBACK), names).url == expected


def test_the_files_of_a_multipart_body_are_left_out() -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="api_key"\r\n\r\n' + KEY.encode() + b"\r\n"
        b'--x\r\nContent-Disposition: form-data; name="image"; filename="c.png"\r\nContent-Type: image/png\r\n\r\n'
        b"12345\r\n--x--\r\n"
    )
    names = Pseudonyms()
    headers = {"content-type": "multipart/form-data; boundary=x"}
    clean = safe(sample(request_headers=headers, request_body=body), names)
    assert clean.request_body is None
    assert clean.parts == (Part("api_key", names(KEY)), Part("image", None, "c.png", "image/png", 5))
    assert safe(sample(request_headers=headers, request_body=body[:40])).request_body is None


def test_deep_json_is_redacted_as_text() -> None:
    body = b'{"a":' * 600 + b'{"api_key": "' + KEY.encode() + b'"}' + b"}" * 600
    assert KEY.encode() not in (safe(sample(response_body=body)).response_body or b"")


ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" + "-_.~+/=%&?#@:;,!*'()[]{}|^`<>$\"\\é"
KEYS = st.text(ALPHABET, min_size=10, max_size=40).filter(lambda key: len(set(key)) > 5)
SECRET_NAMES = ["TT-API-KEY", "Authorization", "X-Api-Key", "x-token", "My-Secret"]
HOLDERS = {
    "url": lambda key: {"url": f"https://api.ttapi.io/flux/fetch?q={quote(key, safe='')}"},
    "query": lambda key: {"url": f"https://api.ttapi.io/flux/fetch?api_key={quote_plus(key)}&a=1"},
    "user": lambda key: {"url": f"https://me:{quote(key, safe='')}@api.ttapi.io/flux/fetch"},
    "header": lambda key: {"response_headers": {"x-fluxmock-explain": f"the key {key} is unknown"}},
    "json": lambda key: {"response_body": json.dumps({"message": f"bad {key}!"}).encode()},
    "json as it is": lambda key: {"response_body": orjson.dumps({"message": [f"bad {key}!"]})},
    "name": lambda key: {"response_body": json.dumps({key: 1}).encode()},
    "field": lambda key: {"request_body": json.dumps({"auth": {"user": [key]}}).encode()},
    "piece": lambda key: {"request_body": json.dumps({"apiKey": key, "x": 1}).encode()[:-4]},
    "form": lambda key: {
        "request_headers": {"content-type": "application/x-www-form-urlencoded"},
        "request_body": urlencode({"a": key, "key": key}).encode(),
    },
    "text in text": lambda key: {"request_body": json.dumps(json.dumps({"a": {"b": key}})).encode()},
    "base64": lambda key: {"response_body": base64.b64encode(b"ab" + key.encode() + b"c")},
    "base64 of it": lambda key: {"response_body": b"x:" + base64.b64encode(key.encode())},
    "basic": lambda key: {"request_headers": {"authorization": "Basic " + base64.b64encode(f"me:{key}".encode()).decode()}},
    "cookie": lambda key: {"request_headers": {"cookie": f"a=b; sid={quote(key, safe='')}"}},
    "bytes": lambda key: {"response_body": b"\xff" + key.encode() + b"\xfe"},
    "hook": lambda key: {
        "request_body": json.dumps({"hookUrl": f"https://a:{quote(key, safe='')}@b/?c={quote(key)}"}).encode()
    },
    "parts": lambda key: {"parts": (Part("prompt", key), Part(key, None, key, "image/png", 3))},
    "error": lambda key: {"error": f"cannot connect with {key}", "status": None},
}  # fmt: skip


def spellings(key: str) -> set[bytes]:
    return {
        key.encode(), quote(key, safe="").encode(), quote(key).encode(), quote_plus(key).encode(),
        json.dumps(key)[1:-1].encode(), orjson.dumps(key)[1:-1], base64.b64encode(key.encode()),
    }  # fmt: skip


@given(KEYS, st.sampled_from(SECRET_NAMES), st.lists(st.sampled_from(sorted(HOLDERS)), min_size=1, max_size=4))
def test_no_key_is_in_what_is_written(key: str, name: str, holders: list[str]) -> None:
    """Byte by byte: not as it is, not escaped, not in base64, wherever it stood."""
    exchange = sample(request_headers={})
    for holder in holders:
        changes: dict[str, Any] = HOLDERS[holder](key)
        headers = {**exchange.request_headers, **changes.pop("request_headers", {})}
        exchange = exchange.changed(request_headers=headers, **changes)
    exchange = exchange.changed(request_headers={**exchange.request_headers, name.lower(): key})
    written = as_line(safe(exchange))
    for spelling in spellings(key):
        assert spelling not in written
    (item,) = again(written)
    for body in (item.request_body, item.response_body):
        assert key.encode() not in (body or b"")


@given(KEYS, exchanges())
def test_redacting_twice_is_redacting_once(key: str, exchange: Exchange) -> None:
    names = Pseudonyms()
    exchange = exchange.changed(
        request_headers={**exchange.request_headers, "tt-api-key": key}, error=f"{exchange.error} {key}"
    )
    once = redacted(exchange, names)
    assert redacted(once, names) == once


HOOK = "https://hooks.example/services/T0/B0/hunter2hunter2"


def test_a_hook_url_is_found_wherever_it_stands_once_its_host_is_known() -> None:
    names = Pseudonyms()
    first = safe(sample(request_body=json.dumps({"prompt": f"call {HOOK}", "hookUrl": HOOK}).encode()), names)
    other = safe(sample(response_body=json.dumps({"message": f"could not call {HOOK}: 500"}).encode()), names)
    called = safe(sample(url=HOOK), names)
    assert "hunter2" not in str((first, other, called))
    assert json.loads(other.response_body or b"") == {"message": f"could not call {called.url}: 500"}
    assert json.loads(first.request_body or b"")["hookUrl"] == called.url


def test_the_key_of_one_exchange_is_found_in_those_after_it() -> None:
    names = Pseudonyms()
    safe(sample(request_headers={"tt-api-key": KEY}), names)
    assert KEY.encode() not in as_line(
        safe(sample(response_body=json.dumps({"message": f"key {KEY}"}).encode()), names)
    )


MULTIPART = (
    b'--x1\r\nContent-Disposition: form-data; name="api_key"\r\n\r\n' + KEY.encode() + b"\r\n"
    b'--x1\r\nContent-Disposition: form-data; name="hookUrl"\r\n\r\n' + HOOK.encode() + b"\r\n--x1--\r\n"
)


@pytest.mark.parametrize(
    "body",
    [
        MULTIPART,
        MULTIPART[:90],
        urlencode({"prompt": "a cat", "api_key": KEY, "hookUrl": HOOK}).encode(),
        f'{{"api_key": "{KEY}", "api_key": null}}'.encode(),
        json.dumps({"hookUrl": HOOK, "signature": KEY}).encode("utf-16"),
        json.dumps({"hookUrl": HOOK, "jwt": KEY}).encode("utf-16-be"),
        f"note: hookUrl={HOOK}&pwd={KEY}".encode(),
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", ""])
def test_secrets_go_whatever_the_content_type_says(body: bytes, kind: str) -> None:
    clean = safe(sample(request_headers={"content-type": kind} if kind else {}, request_body=body))
    for secret in (KEY, quote_plus(KEY), "hunter2"):
        assert secret not in str(clean)
        assert secret.encode("utf-16-le") not in (clean.request_body or b"")
        assert secret.encode("utf-16-be") not in (clean.request_body or b"")


def test_signed_image_urls_lose_their_signatures() -> None:
    url = "https://cdn.example/a.webp?X-Amz-Credential=me&X-Amz-Signature=0a1b2c&sig=x1&w=512"
    clean = safe(sample(response_body=json.dumps({"data": {"imageUrl": url}}).encode()))
    names = [pair.partition("=")[::2] for pair in clean.response_body.decode().rpartition("?")[2].split("&")]  # type: ignore[union-attr]
    assert [value.startswith("key-") for _, value in names] == [True, True, True, False]


SECRET_WORDS = "TT-API-KEY apiKey session_id jwt X-Amz-Signature sig DB_PWD userPass credentials AUTHORIZATION auth"
PLAIN_WORDS = "design compass monkey keyword :authority author www-authenticate passed signal mode"


def test_one_list_says_which_names_are_secret() -> None:
    assert [name for name in SECRET_WORDS.split() if not is_secret(name)] == []
    assert [name for name in PLAIN_WORDS.split() if is_secret(name)] == []


def test_a_writer_redacts_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "recording.jsonl"
    with Writer(path) as writer:
        writer.write(sample(request_headers={"tt-api-key": KEY}))
        writer.write(sample(response_headers={"x-api-key": KEY}))
    assert KEY.encode() not in path.read_bytes()
    first, second = placeless(read(str(path)))
    assert first.request_headers["tt-api-key"] == second.response_headers["x-api-key"]
