"""What clients send, how, and for whom, C49 to C55 (and C07): faults are found, and good clients are not blamed."""

from __future__ import annotations

import asyncio
import gc
import http.client
import io
import json
import threading
import time
import unicodedata
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import httpx
import pytest
import requests
from broken_parts import calls, judged, made, urllib_calls, waited
from good_clients import BUSY, GOOD, PAUSE, TIMEOUT, form_of, job_of, url_of, url_only, with_requests
from PIL import Image

from contract_tests.clients.check import Plan, check_client
from contract_tests.clients.properties.base import Policy
from contract_tests.clients.properties.multipart import Malformed, means, read_strictly
from contract_tests.clients.verdict import Result
from mock_server.images.drawing import plain as plain_image
from mock_server.images.drawing import remarked

IDS = ("C49", "C50", "C51", "C52", "C53", "C54", "C55")


def edited(base_url: str, api_key: str, **body: Any) -> str:
    """Edit with requests, as `body` says, and return the URL."""
    headers = {"TT-API-KEY": api_key, **body.pop("headers", {})}
    answer = requests.post(base_url + "/flux/edits", headers=headers, timeout=TIMEOUT, allow_redirects=False, **body)
    answer.raise_for_status()
    return waited(calls(base_url, api_key), job_of(answer.json()))


# C49


def type_by_hand(base_url: str, api_key: str, prompt: str, image: str) -> str:
    fields, file = form_of(prompt, image)
    headers = {"Content-Type": "multipart/form-data"}
    return edited(base_url, api_key, headers=headers, data=fields, files={"image": file})


def type_of_the_old_page(base_url: str, api_key: str, prompt: str, image: str) -> str:
    fields, file = form_of(prompt, image)
    headers = {"Content-Type": "application/json"}
    return edited(base_url, api_key, headers=headers, data=fields, files={"image": file})


def json_beside_files(base_url: str, api_key: str, prompt: str, image: str) -> str:
    fields, file = form_of(prompt, image)
    return edited(base_url, api_key, json=fields, files={"image": file})


def body_with_bare_line_feeds(base_url: str, api_key: str, prompt: str, image: str) -> str:
    fields, (name, data, kind) = form_of(prompt, image)
    parts = [f'--xyzzy\nContent-Disposition: form-data; name="{key}"\n\n{value}\n' for key, value in fields.items()]
    head = f'--xyzzy\nContent-Disposition: form-data; name="image"; filename="{name}"\nContent-Type: {kind}\n\n'
    body = "".join(parts).encode() + head.encode() + data + b"\n--xyzzy--\n"
    return edited(base_url, api_key, headers={"Content-Type": "multipart/form-data; boundary=xyzzy"}, data=body)


def file_as_text(base_url: str, api_key: str, prompt: str, image: str) -> str:
    fields, (name, data, _) = form_of(prompt, image)
    return edited(base_url, api_key, data=fields, files={"image": (name, data.decode(errors="replace"))})


def file_as_a_field(base_url: str, api_key: str, prompt: str, image: str) -> str:
    fields, (_, data, _) = form_of(prompt, image)
    return edited(base_url, api_key, files={**{k: (None, v) for k, v in fields.items()}, "image": (None, data)})


def file_of_a_wrong_type(base_url: str, api_key: str, prompt: str, image: str) -> str:
    fields, (name, data, _) = form_of(prompt, image)
    return edited(base_url, api_key, data=fields, files={"image": (name, data, "text/plain")})


@pytest.mark.parametrize(
    ("client", "why"),
    [
        (type_by_hand, "has no boundary"),
        (type_of_the_old_page, "is application/json, and not multipart/form-data"),
        (json_beside_files, "has 0 fields 'prompt'"),
        (body_with_bare_line_feeds, "boundary"),
        (file_as_text, "bytes that are none"),
        (file_as_a_field, "image is a plain field"),
        (file_of_a_wrong_type, "the Content-Type text/plain"),
    ],
)
def test_a_form_that_not_every_server_can_read_is_found(client: Callable[..., Any], why: str) -> None:
    result = judged(client, "C49")
    assert result.result is Result.FAIL
    assert why in result.why


def form(*parts: bytes, end: bytes = b"--b--\r\n") -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + end


FIELD = b'Content-Disposition: form-data; name="prompt"\r\n\r\na cat'


@pytest.mark.parametrize(
    ("content_type", "body", "why"),
    [
        ("multipart/form-data; boundary=b", form(FIELD, end=b""), "last boundary"),
        ("multipart/form-data; boundary=b", form(FIELD) + b"more", "after the last boundary"),
        ("multipart/form-data; boundary=b", b"hello\r\n" + form(FIELD), "does not begin with its boundary"),
        ("multipart/form-data; boundary=b", form(b"a cat"), "no empty line"),
        ("multipart/form-data; boundary=b", form(b"\r\na cat"), "no Content-Disposition"),
        ("multipart/form-data; boundary=b", form(FIELD.replace(b"form-data", b"attachment")), "no Content-Disposition"),
        ("multipart/form-data; boundary=b", form(b'X: "1"\r\nX: 2\r\n' + FIELD), "header X twice"),
        (
            "multipart/form-data; boundary=b",
            form(FIELD.replace(b'"prompt"', b'"a "big" cat"')),
            "cannot be read from",
        ),
        ("multipart/form-data; boundary=b", form(b"Content-Transfer-Encoding: base64\r\n" + FIELD), "base64"),
        ("multipart/form-data; boundary=b", form(b"Content-Type: png\r\n" + FIELD), "'png', which is none"),
        (f"multipart/form-data; boundary={'b' * 71}", form(FIELD), "does not allow"),
        ("multipart/form-data", form(FIELD), "no boundary"),
        ("application/json", b"{}", "not multipart/form-data"),
    ],
)
def test_the_strict_reader_says_what_is_wrong(content_type: str, body: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        read_strictly(content_type, body)


def test_the_strict_reader_reads_what_is_right() -> None:
    file = b'Content-Disposition: form-data; name="image"; filename="a \\"b\\".png"\r\nContent-Type: image/png\r\n\r\n'
    data = b"\r\n--c\r\n\x00--b"
    prompt, image = read_strictly('multipart/form-data; boundary="b"', form(FIELD, file + data))
    assert (prompt.name, prompt.data, prompt.filename) == ("prompt", b"a cat", None)
    assert (image.name, image.data, image.content_type) == ("image", data, "image/png")


# C50


def ascii_names(base_url: str, api_key: str, prompt: str, image: str) -> str:
    fields, (name, *rest) = form_of(prompt, image)
    return edited(base_url, api_key, data=fields, files={"image": (name.encode("ascii", "replace").decode(), *rest)})


def names_in_latin_1(base_url: str, api_key: str, prompt: str, image: str) -> str:
    fields, (name, *rest) = form_of(prompt, image)
    return edited(base_url, api_key, data=fields, files={"image": (name.encode().decode("latin-1"), *rest)})


def extended_names(base_url: str, api_key: str, prompt: str, image: str) -> str:
    fields, (name, data, kind) = form_of(prompt, image)
    head = f"Content-Disposition: form-data; name=\"image\"; filename*=utf-8''{quote(name)}\r\nContent-Type: {kind}\r\n"
    parts = [f'--xyzzy\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
    body = "".join(parts).encode() + f"--xyzzy\r\n{head}\r\n".encode() + data + b"\r\n--xyzzy--\r\n"
    return edited(base_url, api_key, headers={"Content-Type": "multipart/form-data; boundary=xyzzy"}, data=body)


@pytest.mark.parametrize(
    ("client", "why"),
    [(ascii_names, "arrived as '"), (names_in_latin_1, "arrived as '"), (extended_names, "RFC 7578 forbids")],
)
def test_a_filename_that_does_not_survive_is_found(client: Callable[..., Any], why: str) -> None:
    result = judged(client, "C50")
    assert result.result is Result.FAIL
    assert why in result.why


def test_a_name_of_the_clients_own_is_not_judged() -> None:
    def own_name(base_url: str, api_key: str, prompt: str, image: str) -> str:
        fields, (_, *rest) = form_of(prompt, image)
        return edited(base_url, api_key, data=fields, files={"image": ("upload.png", *rest)})

    assert judged(own_name, "C50").result is Result.NOT_EXERCISED


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("猫 🐈.png", "猫 🐈.png"),
        ("%E7%8C%AB%20%F0%9F%90%88.png", "猫 🐈.png"),
        ("a %22cat%22.png", 'a "cat".png'),
        ('a \\"cat\\".png', 'a "cat".png'),
        ("100% cat.png", "100% cat.png"),
        ("100%25%20cat.png", "100% cat.png"),
        ("pictures/cat.png", "cat.png"),
        (unicodedata.normalize("NFD", "café.png"), "café.png"),
    ],
)
def test_every_way_to_write_a_filename_is_known(written: str, name: str) -> None:
    assert means(written, name)
    assert not means(written, "dog.png")


# C51


def template_of_json(base_url: str, api_key: str, prompt: str) -> str:
    body = f'{{"prompt": "{prompt}", "mode": "flux1-dev"}}'.encode()
    headers = {"TT-API-KEY": api_key, "Content-Type": "application/json"}
    answer = requests.post(base_url + "/flux/generate", data=body, headers=headers, timeout=TIMEOUT)
    answer.raise_for_status()
    return waited(calls(base_url, api_key), job_of(answer.json()))


def changed(change: Callable[[str], str]) -> Callable[..., str]:
    def client(base_url: str, api_key: str, prompt: str) -> str:
        return made(urllib_calls(base_url, api_key), change(prompt))

    return client


@pytest.mark.parametrize(
    ("client", "why"),
    [
        (template_of_json, "neither JSON nor a form"),
        (changed(lambda prompt: prompt.encode("ascii", "ignore").decode() or "?"), "arrived as"),
        (changed(lambda prompt: prompt.encode().decode("latin-1")), "arrived as"),
        (changed(lambda prompt: prompt[:1000]), "arrived as"),
        (changed(str.strip), "arrived as"),
        (changed(lambda prompt: " ".join(prompt.splitlines())), "arrived as"),
        (changed(lambda prompt: unicodedata.normalize("NFKC", prompt)), "arrived as"),
        (changed(lambda prompt: prompt.replace("\\", "\\\\")), "arrived as"),
    ],
)
def test_a_prompt_that_is_changed_on_its_way_is_found(client: Callable[..., Any], why: str) -> None:
    result = judged(client, "C51")
    assert result.result is Result.FAIL
    assert why in result.why


def test_a_client_may_put_words_of_its_own_around_a_prompt() -> None:
    assert judged(changed(lambda prompt: f"masterpiece, {prompt}, 4k"), "C51").result is Result.PASS


def test_line_ends_in_a_form_may_be_those_of_forms() -> None:
    def as_a_form(base_url: str, api_key: str, prompt: str) -> str:
        unix = prompt.replace("\r\n", "\n").replace("\r", "\n")
        fields = {"prompt": (None, unix.replace("\n", "\r\n")), "mode": (None, "flux1-dev")}
        headers = {"TT-API-KEY": api_key}
        answer = requests.post(base_url + "/flux/generate", files=fields, headers=headers, timeout=TIMEOUT)
        answer.raise_for_status()
        return waited(calls(base_url, api_key), job_of(answer.json()))

    assert judged(as_a_form, "C51").result is Result.PASS


# C52


def opened_once(base_url: str, api_key: str, prompt: str, image: str) -> str:
    with Path(image).open("rb") as file:
        for _ in range(4):
            answer = requests.post(
                base_url + "/flux/edits",
                headers={"TT-API-KEY": api_key},
                data={"prompt": prompt, "mode": "flux1-dev"},
                files={"image": ("cat.png", file, "image/png")},
                timeout=TIMEOUT,
            )
            if answer.status_code not in BUSY:
                break
            time.sleep(PAUSE)
    answer.raise_for_status()
    return waited(calls(base_url, api_key), job_of(answer.json()))


def test_a_file_that_is_at_its_end_in_the_second_attempt_is_found() -> None:
    result = judged(opened_once, "C52")
    assert result.result is Result.FAIL
    assert "attempt 2 has 0 bytes of the picture" in result.why


# C53


def json_that_is_called_a_form(base_url: str, api_key: str, prompt: str) -> str:
    def call(path: str, body: dict[str, Any]) -> Any:
        order = urllib.request.Request(base_url + path, json.dumps(body).encode(), {"TT-API-KEY": api_key})
        with urllib.request.urlopen(order, timeout=TIMEOUT) as answer:
            return json.load(answer)

    return made(call, prompt)


def json_without_a_type(base_url: str, api_key: str, prompt: str) -> str:
    def call(path: str, body: dict[str, Any]) -> Any:
        answer = requests.post(base_url + path, data=json.dumps(body), headers={"TT-API-KEY": api_key}, timeout=TIMEOUT)
        answer.raise_for_status()
        return answer.json()

    return made(call, prompt)


def key_as_a_bearer(base_url: str, api_key: str, prompt: str) -> str:
    def call(path: str, body: dict[str, Any]) -> Any:
        headers = {"Authorization": f"Bearer {api_key}"}
        return httpx.post(base_url + path, json=body, headers=headers, timeout=TIMEOUT).raise_for_status().json()

    return made(call, prompt)


def key_twice(base_url: str, api_key: str, prompt: str) -> str:
    def call(path: str, body: dict[str, Any]) -> Any:
        connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=TIMEOUT)
        data = json.dumps(body).encode()
        connection.putrequest("POST", path)
        for name, value in (
            ("TT-API-KEY", api_key),
            ("tt-api-key", api_key),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(data))),
        ):
            connection.putheader(name, value)
        connection.endheaders(data)
        try:
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    return made(call, prompt)


@pytest.mark.parametrize(
    ("client", "why"),
    [
        (json_that_is_called_a_form, "sends application/json, and calls it application/x-www-form-urlencoded"),
        (json_without_a_type, "sends application/json, and calls it nothing"),
        (key_as_a_bearer, "has no key in TT-API-KEY"),
        (key_twice, "has 2 times the key in TT-API-KEY"),
    ],
)
def test_a_call_with_headers_that_are_missing_wrong_or_repeated_is_found(client: Callable[..., Any], why: str) -> None:
    result = judged(client, "C53")
    assert result.result is Result.FAIL
    assert why in result.why


# C54

KEPT: list[Any] = []
"""What a client keeps that it should have closed; the tests close it."""


def session_for_each_call(base_url: str, api_key: str, prompt: str) -> str:
    def call(path: str, body: dict[str, Any]) -> Any:
        KEPT.append(requests.Session())
        return calls(base_url, api_key, KEPT[-1])(path, body)

    return made(call, prompt)


def client_that_stays_open(base_url: str, api_key: str, prompt: str) -> str:
    KEPT.append(httpx.Client(timeout=TIMEOUT, headers={"TT-API-KEY": api_key}))
    return made(lambda path, body: KEPT[-1].post(base_url + path, json=body).raise_for_status().json(), prompt)


async def loop_that_leaves_its_session(base_url: str, api_key: str, prompt: str) -> str:
    session = aiohttp.ClientSession(headers={"TT-API-KEY": api_key})
    KEPT.append(session)
    async with session.post(base_url + "/flux/generate", json={"prompt": prompt, "mode": "flux1-dev"}) as answer:
        job_id = job_of(await answer.json())
    while True:
        await asyncio.sleep(PAUSE)
        async with session.post(base_url + "/flux/fetch", json={"jobId": job_id}) as answer:
            url = url_of(await answer.json())
        if url is not None:
            return url


@pytest.mark.parametrize(
    "client",
    [
        session_for_each_call,
        client_that_stays_open,
        pytest.param(
            loop_that_leaves_its_session,
            marks=[
                pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
                pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning"),
            ],
        ),
    ],
)
def test_connections_that_are_left_open_are_found(client: Callable[..., Any]) -> None:
    try:
        result = judged(client, "C54")
    finally:
        while KEPT:
            kept = KEPT.pop()
            if not isinstance(kept, aiohttp.ClientSession):
                kept.close()
        kept = None
        gc.collect()  # here, where its warnings are expected
    assert result.result is Result.FAIL
    assert "connections open" in result.why


def test_a_session_that_is_kept_works_from_scenario_to_scenario() -> None:
    with requests.Session() as session:
        result = judged(lambda base_url, api_key, prompt: made(calls(base_url, api_key, session), prompt), "C51")
    assert result.result is Result.PASS


# C55


class SharedClient:
    """Keeps the job of the moment in one place for all."""

    job_id = ""

    def __call__(self, base_url: str, api_key: str, prompt: str) -> str:
        call = calls(base_url, api_key)
        self.job_id = job_of(call("/flux/generate", {"prompt": prompt, "mode": "flux1-dev"}))
        for _ in range(60):
            time.sleep(PAUSE)
            url = url_of(call("/flux/fetch", {"jobId": self.job_id}))
            if url is not None:
                return url
        raise AssertionError


class SharedAsyncClient:
    """The same on an event loop, with the image itself."""

    job_id = ""

    async def __call__(self, base_url: str, api_key: str, prompt: str) -> bytes:
        async with aiohttp.ClientSession() as session:
            key, order = {"TT-API-KEY": api_key}, {"prompt": prompt, "mode": "flux1-dev"}
            async with session.post(base_url + "/flux/generate", json=order, headers=key) as answer:
                self.job_id = job_of(await answer.json())
            url = None
            while url is None:
                await asyncio.sleep(PAUSE)
                body = {"jobId": self.job_id}
                async with session.post(base_url + "/flux/fetch", json=body, headers=key) as answer:
                    url = url_of(await answer.json())
            async with session.get(url) as answer:
                return await answer.read()


@pytest.mark.parametrize(
    ("client", "why"),
    [
        (SharedClient(), "is that of another call"),
        (SharedAsyncClient(), "is that of another call"),
    ],
)
def test_images_that_are_mixed_up_are_found(client: Callable[..., Any], why: str) -> None:
    result = judged(client, "C55")
    assert result.result is Result.FAIL
    assert why in result.why


def test_several_images_in_one_file_are_found(tmp_path: Path) -> None:
    def one_file_for_all(base_url: str, api_key: str, prompt: str) -> str:
        file = tmp_path / "result.webp"
        file.write_bytes(requests.get(made(calls(base_url, api_key), prompt), timeout=TIMEOUT).content)
        return str(file)

    assert judged(one_file_for_all, "C55").why == "it wrote several images to the same file"


def test_every_job_has_a_picture_of_its_own() -> None:
    images = [remarked(plain_image(64, 64, 3), job_id) for job_id in ("one", "another")]
    assert images[0] != images[1]
    for image in images:
        with Image.open(io.BytesIO(image)) as picture:
            picture.load()
            assert picture.size == (64, 64)


# C07


def test_a_cap_on_jobs_under_way_is_judged_with_several_at_once() -> None:
    slots = threading.Semaphore(2)

    def capped(base_url: str, api_key: str, prompt: str) -> bytes:
        with slots:
            return with_requests(base_url, api_key, prompt)

    policy = Policy(max_in_flight=2)
    assert judged(capped, "C07", policy).result is Result.PASS
    result = judged(with_requests, "C07", policy)
    assert result.result is Result.FAIL
    assert "were under way at once, more than 2" in result.why


# Good clients


@pytest.mark.parametrize("client", GOOD)
def test_good_clients_are_not_blamed(client: Callable[..., Any]) -> None:
    verdict = check_client(client, plan=Plan(only=IDS, examples=32))
    assert [(one.property.id, one.why) for one in verdict.failures()] == []
    exercised = {one.property.id for one in verdict.results if one.result is Result.PASS}
    assert {"C51", "C53", "C54", "C55"} <= exercised
    assert (exercised >= {"C49", "C50"}) is (client is not url_only)
